"""What it costs that nothing is lost and nothing repeated: journal, checkpoints, and starts that have nothing to do."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import measuring
import skops.io  # noqa: F401 - which saving the model imports anyway

from jobs import resources
from jobs.checkpoint import Checkpoint
from jobs.datasets import splits
from jobs.journal import Journal
from jobs.pipelines import find

DATA = {
    name: measuring.ROOT / "data" / file
    for name, file in (("random-forest", "mock_data.csv"), ("cnn", "mock_data.npz"))
}
STARTS = 7


class Timed:
    """Adds up the seconds of calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.seconds = 0.0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call, and take the time."""
        start = time.perf_counter()
        try:
            return self._function(*arguments, **named)
        finally:
            self.seconds += time.perf_counter() - start


def render() -> str:
    """Return both tables."""
    return f"### What a fit on the mock data pays\n\n{_fits()}\n### Starts that have nothing to do\n\n{_starts()}"


def _fits() -> str:
    """Return a row a pipeline: shares of the fit's own wall time, measured inside of it."""
    rows = ["| fit | seconds | of it journal | of it checkpoints |", "|---|---:|---:|---:|"]
    for name in DATA:
        total, journal, checkpoints = _fit(name)
        rows.append(f"| {name} | {total:.2f} | {journal / total:.2%} | {checkpoints / total:.2%} |")
    return "\n".join(rows) + "\n"


def _fit(name: str) -> tuple[float, float, float]:
    """Fit with default parameters; return the seconds of all, of the journal, and of the checkpoints."""
    pipeline, threads = find(name), resources.cpu_count()
    pipeline.prepare(threads)
    with tempfile.TemporaryDirectory() as folder:
        dataset = pipeline.read(DATA[name], target="target", schema=None, scratch=Path(folder))
        inside, outside = splits.random_split(len(dataset), test_size=0.2, random_state=42)
        record = Journal(Path(folder) / "journal.jsonl")
        record.beat()
        checkpoint = Checkpoint(Path(folder) / "checkpoint", print)
        append, write = Timed(record.append), Timed(checkpoint.write)
        checkpoint.write = write  # type: ignore[method-assign]
        start = time.perf_counter()
        pipeline.fit(
            dataset.take(inside),
            dataset.take(outside),
            pipeline.Params(),
            random_state=42,
            threads=threads,
            on_progress=lambda _unit, done, _total, **metrics: append("metrics", step=done, metrics=metrics),
            checkpoint=checkpoint,
        )
        total = time.perf_counter() - start
        record.close()
    return total, append.seconds, write.seconds


def _starts() -> str:
    """Return the wall time of whole processes, in turns, and what an empty Python takes."""
    path = DATA["random-forest"]
    with tempfile.TemporaryDirectory() as folder:
        job = ["-m", "jobs", "train", "random-forest", path, "--runs-dir", folder]
        measuring.run([*job, "--param", "n_estimators=2"])
        programs = {
            "`python -c pass`": ["-c", "pass"],
            "unchanged input (`skipped`)": [*job, "--param", "n_estimators=2"],
            "`mljobs --version`": ["-m", "jobs", "--version"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(STARTS):
            for name, program in programs.items():
                seconds[name].append(measuring.run(program).wall)
    rows = ["| process | wall s |", "|---|---:|"]
    rows += [f"| {name} | {median(each):.2f} ({min(each):.2f}..{max(each):.2f}) |" for name, each in seconds.items()]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
