"""Our jobs against other libraries that do the same work: fresh processes, in turns, each with its accuracy.

Tables go to stdout as Markdown, progress to stderr. Peers live in an environment of their own (`make bench-peers` makes
it); what is not installed there is left out. Ours is the whole job with model, report and journal, theirs a program that
reads, fits and predicts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import job
import measuring
import peers_tables
import results
from cases import Case
from measuring import ROOT, Taken
from peers_tables import Forest, Network

PYTHON = ROOT / ".venv-peers" / "bin" / "python"
HERE = Path(__file__).parent
PLAIN = peers_tables.REFERENCE

Program = Callable[[Case, Path], Taken]
"""Trains on a case's file; prints `accuracy`, or `epochs`: for each its end in seconds since the start, and accuracy."""

FOREST = Case("random-forest", 50_000, 30, {"n_estimators": 100}, rounds=2)
TREES = (10, 30, 100)
NETWORK = Case("cnn", 10_000, params={"epochs": 10}, rounds=2, hard=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small files, once each: about a minute")
    quick = parser.parse_args().quick
    forests, networks, missing = _installed(_forests(), _networks())
    with tempfile.TemporaryDirectory() as folder:
        grown = _forest(_quick(FOREST, 2_000, n_estimators=30) if quick else FOREST, forests, Path(folder))
        trained = _network(_quick(NETWORK, 1_000, epochs=2) if quick else NETWORK, networks, Path(folder))
    print(peers_tables.render(grown, trained))
    print("\n".join(f"Left out, for it is not installed: {name}." for name in missing))
    print(f"all numbers: {results.keep('peers', [grown, trained])}", file=sys.stderr)


def _quick(case: Case, n_samples: int, **params: int) -> Case:
    """Return a small case of the kind, run once."""
    return replace(case, n_samples=n_samples, params=params, rounds=1)


def _forests() -> dict[str, tuple[str, Program]]:
    """Return who grows forests: the module that it needs in the peers' environment, if any, and its program."""
    lightgbm = {f"LightGBM, {leaves} leaves": ("lightgbm", _peer(f"lightgbm-{leaves}")) for leaves in (31, 255, 1023)}
    return {
        PLAIN: ("", _plain_forest),
        "scikit-learn, n_jobs=-1": ("", _peer("scikit-learn", sys.executable)),
        **lightgbm,
        "mljobs": ("", lambda case, path: job.run(case, path, None)),
    }


def _plain_forest(case: Case, path: Path) -> Taken:
    """Run the plain function."""
    return measuring.run([HERE / "seed.py", case.pipeline, path, json.dumps(case.params)])


def _peer(name: str, python: Path | str = PYTHON) -> Program:
    """Return the program that grows a library's forest."""
    return lambda case, path: measuring.run(
        [HERE / "programs" / "forest.py", name, path, case.params["n_estimators"]], python=python
    )


def _networks() -> dict[str, tuple[str, Program]]:
    """Return who trains the network, as `_forests` does."""
    return {
        PLAIN: ("", _epochs("network_keras.py", sys.executable, "tensorflow")),
        "Keras on JAX": ("jax", _epochs("network_keras.py", PYTHON, "jax")),
        "PyTorch": ("torch", _epochs("network_torch.py", PYTHON)),
        "mljobs": ("", _our_epochs),
    }


def _epochs(program: str, python: Path | str, backend: str = "") -> Program:
    """Return a program that trains the network; it is told when it was started."""
    return lambda case, path: measuring.run(
        [HERE / "programs" / program, path, case.params["epochs"], time.time()], {"KERAS_BACKEND": backend}, python
    )


def _our_epochs(case: Case, path: Path) -> Taken:
    """Run our job, and take from its journal what each epoch gave."""
    start = time.time()
    taken = job.run(case, path, None)
    events = map(json.loads, (Path(taken.output["run_directory"]) / "journal.jsonl").read_text().splitlines())
    points = [each for each in events if "epoch/val_accuracy" in each.get("metrics", {})]
    epochs = [(each["time"] / 1000 - start, each["metrics"]["epoch/val_accuracy"]) for each in points]
    return replace(taken, output={**taken.output, "epochs": epochs})


def _installed(
    *groups: Mapping[str, tuple[str, Program]],
) -> tuple[dict[str, Program], dict[str, Program], list[str]]:
    """Return the programs of both groups whose modules are there, and the names of those whose are not."""
    there = {module: not module or _has(module) for group in groups for module, _ in group.values()}
    forests, networks = ({name: run for name, (module, run) in each.items() if there[module]} for each in groups)
    return forests, networks, [name for each in groups for name, (module, _) in each.items() if not there[module]]


def _has(module: str) -> bool:
    """Tell whether the peers' environment has a module that can be imported."""
    return PYTHON.exists() and not subprocess.run([PYTHON, "-c", f"import {module}"], check=False).returncode


def _forest(case: Case, programs: Mapping[str, Program], folder: Path) -> Forest:
    """Grow forests of several sizes in turns; the plain function the whole one alone."""
    path, most = case.write(folder), int(case.params["n_estimators"])
    taken: dict[str, dict[int, list[Taken]]] = {name: {} for name in programs}
    for _ in range(case.rounds):
        for trees in (each for each in TREES if each <= most):
            for name, program in programs.items():
                if name != PLAIN or trees == most:
                    print(f"{case.name}: {trees} trees by {name}", file=sys.stderr)
                    grown = program(replace(case, params={"n_estimators": trees}), path)
                    taken[name].setdefault(trees, []).append(grown)
    return Forest(case, taken)


def _network(case: Case, programs: Mapping[str, Program], folder: Path) -> Network:
    """Train networks in turns."""
    path = case.write(folder)
    taken: dict[str, list[Taken]] = {name: [] for name in programs}
    for _ in range(case.rounds):
        for name, program in programs.items():
            print(f"{case.name}: by {name}", file=sys.stderr)
            taken[name].append(program(case, path))
    return Network(case, taken)


if __name__ == "__main__":
    main()
