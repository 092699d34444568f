"""The runs of a folder as a table."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from jobs.errors import NoInputError

_COLUMNS = ("run", "pipeline", "data", "status", "accuracy", "tracking", "age")
_AGES = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def table(runs_dir: Path) -> str:
    """Return one line a run, the oldest first; raise NoInputError if there is no such folder."""
    if not runs_dir.is_dir():
        raise NoInputError(f"{runs_dir} is no folder of runs")
    rows = [_COLUMNS, *_rows(runs_dir)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _rows(runs_dir: Path) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each run that has ended; of a file that is no result of ours, only where it is."""
    for path in sorted(runs_dir.glob("*/result.json")):
        try:
            yield _row(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            yield (path.parent.name, "-", "-", "unreadable", "-", "-", "-")


def _row(path: Path) -> tuple[str, ...]:
    """Return the cells of one run."""
    result = json.loads(path.read_bytes())
    accuracy = result["metrics"].get("accuracy")
    return (
        path.parent.name,
        str(result["pipeline"] or "-"),
        Path(result["data"].get("path", "-")).name,
        str(result["status"]),
        "-" if accuracy is None else f"{accuracy:.4f}",
        str(result["tracking"]),
        _age(datetime.now(UTC).timestamp() - path.stat().st_mtime),
    )


def _age(seconds: float) -> str:
    """Return an age in its largest unit."""
    unit, size = next(((unit, size) for unit, size in _AGES if seconds >= size), _AGES[-1])
    return f"{int(seconds // size)} {unit}"
