"""Publishing while the job runs, beside it: a server that is slow or away costs the training nothing."""

import queue
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from jobs import journal
from jobs.errors import TerminatedError, TrackingError
from jobs.journal import Event
from jobs.tracking import connect, without_password
from jobs.tracking.replay import Replay

_REMOTE_PATIENCE = 10.0
"""Seconds without a sent event after which a job gives up on a server."""

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
        self._last_sent = time.monotonic()
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

    def finish(self) -> Published:
        """Wait until all is sent, as long as it goes on; a signal ends the waiting, not the job: that has its end."""
        self._events.put(None)
        self._last_sent = time.monotonic()
        try:
            while self._thread.is_alive() and time.monotonic() - self._last_sent < self._patience:
                self._thread.join(0.05)
        except (KeyboardInterrupt, TerminatedError):
            return Published(None, "stopped while it was sent")
        if self._thread.is_alive() or self._error:
            return Published(None, self._why())
        return Published(self._run_id)

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
                replay.send(event)
                self._last_sent = time.monotonic()
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
    """Return one line of an error of MLflow's client."""
    text = without_password(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300] if text else 'no message'}"
