"""The append-only record of one run: what happened, in order, on disk before anyone hears of it."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from jobs import locks

Event = dict[str, Any]
"""One line of the journal: `event` names its kind, `time` is Unix time in milliseconds."""

NAME = "journal.jsonl"
_HEARTBEAT = ".unfinished/heartbeat"
"""Among what is not finished in the run directory, so that it goes with that."""

_SECONDS_BETWEEN_BEATS = 5.0
_PATIENCE = 1.0
"""Seconds for which a journal is waited for: others hold it for a moment, to see whether its run is alive."""

_TAIL = 1 << 16
"""Bytes from the end of a journal in which its last events are looked for."""


class Journal:
    """Appends events to one file, each on the disk when `append` returns.

    A run's journal is the run; MLflow is a view of it (see `tracking`). The kinds of events are

    ========== =====================================================================
    start      run, experiment, key (or null), result, file
    resume     attempt, tracking, file: the run goes on after an `end` or none
    params     params: what the fit was asked to do
    tags       tags
    dataset    name, sha256, source, context (`training` or `evaluation`), schema, rows
    metrics    metrics, step: points of curves, or results
    artifact   path (in the run directory), sha256, size
    model      path, sha256, size, name (in the registry, or null), description, tags
    promotion  promotion: what becomes of the model as a challenger; see `result`
    end        result: what the job said at its end; see `result`
    published  run_id, tracking_uri: all of the above is in MLflow
    unanswered requests: when MLflow was asked for what may be there twice, if it does that after all
    ========== =====================================================================

    An open journal is locked: whoever holds it owns the run, and one without an `end` that nobody holds is that of a
    dead process. `file` is the inode, by which a copy is told from the journal itself: who holds the original can't be
    seen from a copy.

    Parameters
    ----------
    path : the file; made if it is not there.
    patience : seconds to wait for another process that has it open.

    Raises
    ------
    BlockingIOError
        Another process has it open.
    """

    def __init__(self, path: Path, *, patience: float = _PATIENCE) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._stopped = threading.Event()
        self._beats: threading.Thread | None = None
        try:
            self._locked = locks.lock(self._file, patience=patience)
            # By its path: who waited while the run was removed does not get hold of what is gone.
            self._file.truncate(_end_of_last_line(path))
        except BaseException:
            self._file.close()
            raise

    @property
    def inode(self) -> int:
        """The file's number, which a copy does not have."""
        return os.fstat(self._file.fileno()).st_ino

    def is_original(self, begun: Event) -> bool:
        """Tell whether this is the file that the event `start` or `resume` was written to, and not a copy."""
        return self._locked and self.inode == begun["file"]

    def beat(self) -> None:
        """Write down every few seconds that the process is alive, for whoever finds the run without an end."""
        self._beats = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._beats.start()

    def _beat(self) -> None:
        """Keep the file of the last heartbeat until the journal is closed."""
        while not self._stopped.wait(_SECONDS_BETWEEN_BEATS):
            with suppress(OSError):  # a full disk costs the time of death, not the job; the end has removed the folder
                (self.path.parent / _HEARTBEAT).write_text(str(now()))

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
        self._stopped.set()
        if self._beats:
            self._beats.join()
        self._file.close()


def begin(path: Path, **facts: Any) -> Journal:
    """Return the journal of a new run with its event `start`; raise OSError, with nothing in it, if that fails."""
    record = Journal(path)
    try:
        record.append("start", **facts, file=record.inode)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except OSError:
        record.close()
        raise
    return record


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


def last_events(path: Path) -> list[Event]:
    """Return the last events of a journal, at least one unless there is none; of a long one without reading it all."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        lines = file.read().split(b"\n")[:-1]
    if size <= _TAIL:
        return [json.loads(line) for line in lines]
    return [json.loads(line) for line in lines[1:]] or list(read(path))


def first_event(path: Path) -> Event | None:
    """Return the first event of a journal, None if it has none yet."""
    return next(read(path), None)


def last_sign_of_life(path: Path) -> int:
    """Return when the process that wrote a journal was last known to be alive, Unix time in milliseconds."""
    last = max((int(event["time"]) for event in last_events(path)), default=0)
    with suppress(OSError, ValueError):  # no heartbeat, or a torn one
        last = max(last, int((path.parent / _HEARTBEAT).read_text()))
    return last


def now() -> int:
    """Return Unix time in milliseconds, as MLflow counts it."""
    return time.time_ns() // 1_000_000
