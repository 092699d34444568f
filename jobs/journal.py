"""The append-only record of one run: what happened, in order, on disk before anyone hears of it."""

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

Event = dict[str, Any]
"""One line of the journal: `event` names its kind, `time` is Unix time in milliseconds."""


_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)


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
    model      path, sha256, size, name (in the registry, or null), description, tags
    end        status, exit_code, reason
    published  run_id, tracking_uri: all of the above is in MLflow
    ========== =====================================================================

    An open journal is locked: nobody else publishes a run while its job, or another `sync`, is at it.

    Raises
    ------
    BlockingIOError
        Another process has it open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        try:
            _lock(self._file)
        except BlockingIOError:
            self._file.close()
            raise
        self._file.truncate(_end_of_last_line(path))

    def append(self, event: str, **fields: Any) -> Event:
        """Write one event through to the disk and return it; raise OSError, with nothing written, if that fails."""
        record = {"event": event, "time": now(), **fields}
        line = (json.dumps(record, allow_nan=False) + "\n").encode()
        before = self._file.seek(0, os.SEEK_END)
        try:
            _write_all(self._file, line)
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(before)
            raise
        return record

    def close(self) -> None:
        """Close the file; that unlocks it."""
        self._file.close()


def _lock(file: FileIO) -> None:
    """Lock a file until it is closed, also by the end of the process; not where the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _end_of_last_line(path: Path) -> int:
    """Return the size of a journal without a last line that a crash tore off."""
    return path.read_bytes().rfind(b"\n") + 1


def _write_all(file: FileIO, content: bytes) -> None:
    """Write until all is written: a disk that fills up takes a part first, and refuses the next."""
    while content:
        content = content[file.write(content) :]


def read(path: Path) -> Iterator[Event]:
    """Yield the whole events of a journal; a last line that a crash tore off is left out."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def now() -> int:
    """Return Unix time in milliseconds, as MLflow counts it."""
    return time.time_ns() // 1_000_000
