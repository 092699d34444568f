"""Publishing while the job runs, beside it: a server that is slow or away costs the training nothing."""

import queue
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from jobs import journal
from jobs.errors import TrackingError
from jobs.journal import Event
from jobs.signals import Stop
from jobs.tracking import connect, status_of, without_password
from jobs.tracking.replay import Replay

_REMOTE_PATIENCE = 10.0
"""Seconds without a sent event after which a job gives up on a server."""

_PATIENCE_OF_STOPPED = 4.0
"""The same for a job that is being stopped: Docker kills it after ten seconds."""

_LEAST_BYTES_A_SECOND = 5_000_000
"""An upload that is slower than that is given up."""

_MAX_LINE = 300
"""Characters of an error's line that a person reads."""

_LOCAL_PATIENCE = 120.0
"""The same for an embedded store, which can't be away; it takes seconds to be opened and is made at first use."""


@dataclass(frozen=True)
class Published:
    """Where a run went: MLflow's run id, or None and the reason why it is not there."""

    run_id: str | None
    reason: str | None = None


class Publisher:
    """Sends the events of one run from a thread of its own, in their order.

    Parameters
    ----------
    uri : tracking server or store.
    directory : the run directory.
    """

    def __init__(self, uri: str, directory: Path) -> None:
        self._uri = uri
        self._directory = directory
        self._patience = _REMOTE_PATIENCE if uri.startswith("http") else _LOCAL_PATIENCE
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._created = threading.Event()
        self._deadline = 0.0
        self._error: Exception | None = None
        self._run_id: str | None = None
        self._thread = threading.Thread(target=self._work, name="publisher", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Take an event that is in the journal; returns at once."""
        self._events.put(event)

    def require(self) -> None:
        """Wait until the run exists on the server; raise TrackingError if that does not happen."""
        self._created.wait(self._patience)
        if self._run_id is None:
            server = without_password(self._uri)
            raise TrackingError(f"{server} does not take the run: {self._why()}; `mljobs doctor` looks closer")

    def finish(self, stop: Stop, *, at_once: bool) -> Published:
        """Wait until all is sent, as long as it goes on; `at_once`, because the job is being stopped, not for long.

        A signal that comes now ends the waiting, not the job: that has its end already.
        """
        before = stop.wanted
        self._events.put(None)
        if at_once:
            self._patience = min(self._patience, _PATIENCE_OF_STOPPED)
            self._deadline = 0.0
        self._deadline = max(self._deadline, time.monotonic() + self._patience)
        while self._thread.is_alive() and time.monotonic() < self._deadline and stop.wanted is before:
            self._thread.join(0.05)
        if self._thread.is_alive() and stop.wanted is not before:
            return Published(None, "stopped while it was sent")
        if self._thread.is_alive() or self._error:
            return Published(None, self._why())
        return Published(self._run_id)

    def _allow(self, n_bytes: int) -> None:
        """Give the next event its time: more for what is to be uploaded."""
        self._deadline = time.monotonic() + self._patience + n_bytes / _LEAST_BYTES_A_SECOND

    def _why(self) -> str:
        """Return what kept the run from the server."""
        if self._error is None:
            return f"no answer within {self._patience:.0f} s"
        return describe(self._error)

    def _work(self) -> None:
        """Send events until the end; an error is kept for whoever waits."""
        try:
            replay = Replay(connect(self._uri), self._directory)
            while (event := self._events.get()) is not None:
                self._allow(event.get("size", 0))
                replay.send(event)
                if event["event"] == "start":
                    self._run_id = replay.run_id
                    self._created.set()
        except Exception as error:  # noqa: BLE001 - whatever the client raises, the job goes on and says it
            self._error = error
        finally:
            self._created.set()


def publish(uri: str, directory: Path) -> Published:
    """Send all of a finished run's journal."""
    try:
        replay = Replay(connect(uri), directory)
        for event in journal.read(directory / "journal.jsonl"):
            replay.send(event)
    except Exception as error:  # noqa: BLE001 - as above
        return Published(None, describe(error))
    return Published(replay.run_id)


def describe(error: Exception) -> str:
    """Return one line of an error of MLflow's client, and what to do about it where that is known."""
    lines = without_password(str(error)).strip().splitlines()
    text = f"{type(error).__name__}: {_shorten(lines[0]) if lines else 'no message'}"
    if status_of(error) == HTTPStatus.UNAUTHORIZED:
        text += "; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    return text


def _shorten(line: str) -> str:
    """Return a line with its middle left out if it is long: it ends with the cause."""
    if len(line) <= _MAX_LINE:
        return line
    cause = line.rfind("(Caused by ")
    end = line[cause:] if cause >= 0 else line[-_MAX_LINE // 2 :]
    return f"{line[: _MAX_LINE // 2].rstrip()} ... {end[:_MAX_LINE].lstrip()}"
