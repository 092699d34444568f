"""The append-only record of one run: what happened, in order, on disk before anyone hears of it."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]
"""One line of the journal: `event` names its kind, `time` is Unix time in milliseconds."""


class Journal:
    """Appends events to one file, each on the disk when `append` returns.

    A run's journal is the run; MLflow is a view of it (see `tracking`). The kinds of events are

    ========== =====================================================================
    start      run, experiment: the run exists
    params     params: what the fit was asked to do
    tags       tags
    dataset    name, sha256, source, context (`training` or `evaluation`), schema, rows
    metrics    metrics, step: points of curves, or results
    artifact   path (in the run directory), sha256, size
    model      path, sha256, name (in the registry, or null), description, tags
    end        status, exit_code, reason
    published  run_id, tracking_uri: all of the above is in MLflow
    ========== =====================================================================
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def append(self, event: str, **fields: Any) -> Event:
        """Write one event through to the disk and return it; raise OSError if that fails."""
        record = {"event": event, "time": now(), **fields}
        os.write(self._descriptor, (json.dumps(record, allow_nan=False) + "\n").encode())
        os.fsync(self._descriptor)
        return record

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def read(path: Path) -> Iterator[Event]:
    """Yield the whole events of a journal; a last line that a crash tore off is left out."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def now() -> int:
    """Return Unix time in milliseconds, as MLflow counts it."""
    return time.time_ns() // 1_000_000
