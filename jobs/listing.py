"""The runs of a folder as a table."""

import time
from pathlib import Path

from jobs import history, journal
from jobs.console import Console, columns
from jobs.errors import NoInputError
from jobs.history import PastRun

_COLUMNS = ("run", "pipeline", "data", "status", "accuracy", "promotion", "tracking", "age")
_AGES = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def table(runs_dir: Path, console: Console) -> str:
    """Return one line a run, the oldest first; raise NoInputError if there is no such folder."""
    if not runs_dir.is_dir():
        raise NoInputError(f"{runs_dir} is no folder of runs")
    rows = [_COLUMNS, *reversed([_row(run) for run in history.runs(runs_dir, console)])]
    return columns(rows)


def _row(run: PastRun) -> tuple[str, ...]:
    """Return the cells of one run."""
    result = run.result
    accuracy = result.metrics.get("accuracy")
    since = (run.end or run.begun)["time"]
    return (
        run.path.name,
        str(result.pipeline or "-"),
        Path(result.data["path"]).name,
        _status(run),
        "-" if accuracy is None else f"{accuracy:.4f}",
        result.promotion["status"] if result.promotion else "-",
        str(result.tracking) if run.end else "-",
        age(time.time() - since / 1000),
    )


def _status(run: PastRun) -> str:
    """Return how a run ended, or whether it goes on."""
    if run.end and run.result.exit_code is not None:
        return str(run.result.status)
    if run.is_running():
        return "running"
    # Whether the process of a copied run is alive can't be seen from here.
    is_copy = (run.path / journal.NAME).stat().st_ino != run.begun["file"]
    return "unknown" if is_copy and not run.end else "lost"


def age(seconds: float) -> str:
    """Return an age in its largest unit."""
    unit, size = next(((unit, size) for unit, size in _AGES if seconds >= size), _AGES[-1])
    return f"{int(seconds // size)} {unit}"
