# `make demo` and `make test` are all that a newcomer needs; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
LOCKS := containers/requirements
.DEFAULT_GOAL := help

.PHONY: lock
lock: ## resolve the hash-locked requirements again (needs uv)
	uv pip compile $(UV) --extra cnn --extra server --group dev -o $(LOCKS)/dev.txt pyproject.toml
	uv pip compile $(UV) -c $(LOCKS)/dev.txt -o $(LOCKS)/random-forest.txt pyproject.toml
	uv pip compile $(UV) -c $(LOCKS)/dev.txt --extra cnn -o $(LOCKS)/cnn.txt pyproject.toml
	echo 'mlflow==3.17.2' | uv pip compile $(UV) -c $(LOCKS)/dev.txt -o $(LOCKS)/mlflow.txt -
lock: UV := --quiet --universal --generate-hashes --python-version 3.11 --no-annotate --no-header
