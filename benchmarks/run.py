"""Our jobs against the plain functions: fresh processes, in turns, with a live tracking server.

Tables go to stdout as Markdown, all numbers to a JSON file, progress to stderr.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import job
import measuring
import overhead
import reading
import results
import safety
import tables
from cases import FULL, QUICK, Case
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
    parser.add_argument("--only", default="", metavar="TEXT", help="cases with TEXT in their name, and nothing else")
    options = parser.parse_args()
    cases = [case for case in (QUICK if options.quick else FULL) if options.only in case.name]
    with tempfile.TemporaryDirectory() as folder, measuring.server(Path(folder)) as uri:
        measured = [_measure(case, uri) for case in cases]
    print(tables.render(measured))
    if not options.only:
        print(reading.render(quick=options.quick))
        print(overhead.render(1 if options.quick else overhead.ROUNDS))
        print(safety.render())
    print(f"all numbers: {results.keep('run', measured)}", file=sys.stderr)


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
    early = job.run(case, path, uri) if job_first else None
    seed = measuring.run([Path(__file__).parent / "seed.py", case.pipeline, path, json.dumps(case.params)])
    ours = early or job.run(case, path, uri)
    if case.pipeline != "cnn":
        return Round(seed, ours)
    return Round(seed, ours, measuring.run(["-c", IMPORT_TENSORFLOW]), measuring.run(["-c", IMPORTS_OF_THE_JOB]))


if __name__ == "__main__":
    main()
