# `make demo` and `make test` are all that a newcomer needs; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKS := containers/requirements
STAMP := $(VENV)/.installed
PEERS := .venv-peers
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 20

# Every package comes from the lock file by its hash; the project itself needs nothing more to be installed.
$(STAMP): $(LOCKS)/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement $(LOCKS)/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

setup: $(STAMP) ## make .venv from the hash-locked dependencies

demo: $(STAMP) ## train both pipelines on data/ into an embedded MLflow store
	@mkdir -p demo
	@$(DEMO) train random-forest ../data/mock_data.csv > /dev/null
	@$(DEMO) train cnn ../data/mock_data.npz > /dev/null
	@echo && $(BIN)/mljobs runs demo/runs
	@echo && echo 'To see them in MLflow, at http://127.0.0.1:5000:'
	@echo '  cd demo && ../$(BIN)/mlflow server --backend-store-uri sqlite:///mlflow.db'
demo: DEMO := cd demo && MLFLOW_TRACKING_URI=sqlite:///mlflow.db ../$(BIN)/mljobs

test: lint $(STAMP) ## everything: linters, unit tests, TensorFlow, a real MLflow server, the containers
	$(BIN)/python -m pytest

test-fast: $(STAMP) ## the unit tests alone, under a minute
	$(BIN)/python -m pytest --numprocesses auto -m "not tensorflow and not server and not containers"

lint: $(STAMP) ## ruff, mypy, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## let ruff format and mend what it can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

soak: $(STAMP) ## ten minutes of starts and kills beside a server that comes and goes: nothing lost, nothing double
	cd tests && ../$(BIN)/python -m soak --seconds 600

bench: $(STAMP) ## our jobs against the plain functions, interleaved; how they scale: benchmarks/scaling.svg
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/scaling.py

# Whole as locked, but for what the lock leaves out: hence no dependencies.
$(PEERS)/.installed: benchmarks/requirements-peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --require-hashes --no-deps --requirement $<
	touch $@

bench-peers: $(STAMP) $(PEERS)/.installed ## our jobs against LightGBM, PyTorch, Keras on JAX (installs 5 GB into .venv-peers)
	$(BIN)/python benchmarks/peers.py

bench-containers: $(STAMP) ## the images' sizes, and images that do not fit a container's memory (needs a Docker engine)
	$(BIN)/python benchmarks/images.py
	$(BIN)/python benchmarks/streaming.py

lock: UV := --quiet --universal --generate-hashes --python-version 3.11 --no-annotate --no-header
lock: ## resolve the hash-locked requirements again (needs uv)
	uv pip compile $(UV) --extra cnn --extra intelex --extra server --group dev -o $(LOCKS)/dev.txt pyproject.toml
	uv pip compile $(UV) -c $(LOCKS)/dev.txt --extra intelex -o $(LOCKS)/random-forest.txt pyproject.toml
	uv pip compile $(UV) -c $(LOCKS)/dev.txt --extra cnn -o $(LOCKS)/cnn.txt pyproject.toml
	echo 'mlflow==3.17.2' | uv pip compile $(UV) -c $(LOCKS)/dev.txt -o $(LOCKS)/mlflow.txt -
	uv pip compile $(UV) -c $(LOCKS)/dev.txt --group peers --no-emit-package triton -o benchmarks/requirements-peers.txt
	sed -n 's/^tensorflow==\([^ ]*\).*/tensorflow-cpu==\1/p' $(LOCKS)/cnn.txt \
		| uv pip compile --quiet --generate-hashes --python-version 3.13 --python-platform x86_64-manylinux_2_28 \
		--no-deps --no-annotate --no-header -o $(LOCKS)/tensorflow-cpu.txt -

clean: ## remove what the other targets made
	rm -rf $(VENV) $(PEERS) demo .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.PHONY: help setup demo test test-fast lint format soak bench bench-peers bench-containers lock clean
