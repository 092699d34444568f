"""How a job's time and memory grow with rows, features, trees, images, pixels, and what a second core is worth.

Tables go to stdout as Markdown, the plot to benchmarks/scaling.svg (with --quick beside the numbers), progress to stderr.
Every job is a fresh process with a live tracking server, splits by the rows' content and is held against a champion:
that is all of our own code.
"""

import argparse
import re
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import job
import measuring
import results
import scaling_plot
import scaling_tables
import sweeps
from cases import Case
from measuring import Taken
from scaling_tables import Cores, Crossing, Grown, Scaling
from sweeps import Sweep

ALL_OF_OURS = ("--split", "stable", "--promote", "--model-name")


@dataclass(frozen=True)
class Bench:
    """What the measurements share: a tracking server, a folder for data files, and how often each job runs."""

    uri: str
    folder: Path
    rounds: int

    def sweep(self, sweep: Sweep) -> Grown:
        """Measure a sweep; from a case's second round on there is a champion, that of the first."""
        sizes, cases = zip(*sweep.points, strict=True)
        taken = tuple(tuple(self.run(case) for _ in range(self.rounds)) for case in cases)
        return Grown(sweep.axis, sweep.title, sweep.with_data, sizes, cases, taken)

    def cores(self, case: Case) -> Cores:
        """Measure a case on one core and on two, in turns."""
        return Cores(case, tuple((self.run(case, 1), self.run(case, 2)) for _ in range(self.rounds)))

    def crossing(self, cases: tuple[Case, ...]) -> Crossing:
        """Measure the engines on one file."""
        return Crossing(cases, tuple(self.run(case) for case in cases))

    def run(self, case: Case, n_cores: int | None = None) -> Taken:
        """Run one job, on some of the cores or on all; cases of one shape share their file."""
        folder = self.folder / f"{case.n_samples}-{case.n_features or case.side}"
        path = next(folder.glob("data.*"), None) if folder.exists() else None
        if path is None:
            folder.mkdir()
            path = case.write(folder)
        print(case.name, f"on {n_cores or 'all'} cores", file=sys.stderr)
        with ExitStack() as stack:
            if n_cores:
                stack.enter_context(measuring.on_cores(n_cores))
            return job.run(case, path, self.uri, *ALL_OF_OURS, re.sub(r"\W+", "-", case.name))


def main() -> None:
    """Measure all, print the tables, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, once each: about two minutes")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="sweeps whose title starts with TEXT, and nothing else"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, measuring.server(Path(folder)) as uri:
        scaling = _measure(Bench(uri, Path(folder), 1 if options.quick else 2), quick=options.quick, only=options.only)
    print(scaling_tables.render(scaling))
    numbers = results.keep("scaling", [*scaling.grown, *scaling.cores, *scaling.crossings])
    whole = not (options.quick or options.only)
    plot = Path(__file__).with_suffix(".svg") if whole else results.FOLDER / "scaling.svg"
    scaling_plot.draw(scaling, plot)
    print(f"all numbers: {numbers}, plot: {plot}", file=sys.stderr)


def _measure(bench: Bench, *, quick: bool, only: str) -> Scaling:
    """Measure sweeps, cores and engines."""
    return Scaling(
        [bench.sweep(each) for each in sweeps.sweeps(quick=quick) if each.title.startswith(only)],
        [] if only else [bench.cores(each) for each in sweeps.cores(quick=quick)],
        [] if only else [bench.crossing(each) for each in sweeps.crossing(quick=quick)],
    )


if __name__ == "__main__":
    main()
