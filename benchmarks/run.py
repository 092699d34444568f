"""Our jobs against the plain functions: fresh processes, in turns, with a live tracking server.

Tables go to stdout as Markdown, all numbers to a JSON file, progress to stderr.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import measuring
import safety
import tables
from cases import FULL, QUICK, Case
from measuring import ROOT, Taken
from tables import Measured, Round

IMPORT_TENSORFLOW = "import tensorflow"
IMPORTS_OF_THE_JOB = """
from jobs import resources, runner, tracking
from jobs.pipelines import cnn
tracking.configure()
cnn.prepare(resources.cpu_count())
import mlflow.tensorflow
"""


def main() -> None:
    """Measure all cases and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small files, few rounds: about two minutes")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases with TEXT in their name")
    options = parser.parse_args()
    cases = [case for case in (QUICK if options.quick else FULL) if options.only in case.name]
    with tempfile.TemporaryDirectory() as folder, measuring.server(Path(folder)) as uri:
        measured = [_measure(case, uri) for case in cases]
    print(tables.render(measured))
    print(safety.render())
    print(f"all numbers: {_keep(measured)}", file=sys.stderr)


def _measure(case: Case, uri: str) -> Measured:
    """Run both sides in turns on one file."""
    with tempfile.TemporaryDirectory() as folder:
        path = case.write(Path(folder))
        rounds = []
        for number in range(1, case.rounds + 1):
            print(f"{case.name}: round {number} of {case.rounds}", file=sys.stderr)
            rounds.append(_round(case, path, uri, job_first=number % 2 == 0))
        return Measured(case, tuple(rounds))


def _round(case: Case, path: Path, uri: str, *, job_first: bool) -> Round:
    """Run each side once, in turns the one and the other first; for images also what importing alone takes."""
    early = _job(case, path, uri) if job_first else None
    seed = measuring.run([Path(__file__).parent / "seed.py", case.pipeline, path, json.dumps(case.params)])
    job = early or _job(case, path, uri)
    if case.pipeline != "cnn":
        return Round(seed, job)
    return Round(seed, job, measuring.run(["-c", IMPORT_TENSORFLOW]), measuring.run(["-c", IMPORTS_OF_THE_JOB]))


def _job(case: Case, path: Path, uri: str) -> Taken:
    """Run our job, published to the server."""
    params = [part for key, value in case.params.items() for part in ("--param", f"{key}={value}")]
    runs = ["--runs-dir", path.parent / "runs"]
    job = measuring.run(
        ["-m", "jobs", "train", case.pipeline, path, "--force", *params, *runs], {"MLFLOW_TRACKING_URI": uri}
    )
    if job.output["tracking"] != "published":
        raise RuntimeError(f"the job was not published: {job.output}")
    return job


def _keep(measured: Sequence[Measured]) -> Path:
    """Write all numbers into a JSON file of its own, and return its path."""
    path = Path(__file__).parent / "results" / time.strftime("%Y%m%dT%H%M%S.json")
    path.parent.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count()}
    path.write_text(json.dumps({**machine, "cases": [asdict(each) for each in measured]}, indent=1))
    return path.relative_to(ROOT)


if __name__ == "__main__":
    main()
