"""Publishing while the job runs, beside it: a server that is slow or away costs the training nothing."""

import itertools
import queue
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jobs import journal
from jobs.errors import TrackingError
from jobs.journal import Event
from jobs.signals import Stop
from jobs.tracking import LEAST_BYTES_A_SECOND, LOCAL_SECONDS, Patience, connect, is_remote, without_password
from jobs.tracking.answers import describe
from jobs.tracking.condensing import condensed
from jobs.tracking.replay import Replay

_PATIENCE_OF_STOPPED = 4.0
"""Seconds in which a job that is being stopped gives up on a server: Docker kills it after ten."""

_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between one try and the next, as long as the job works."""


@dataclass(frozen=True)
class Published:
    """Where a run went.

    Parameters
    ----------
    run_id : MLflow's, None if the run is not there, or not all of it.
    reason : why not.
    unanswered : see `Replay`.
    """

    run_id: str | None
    reason: str | None = None
    unanswered: tuple[int, ...] = ()


class Publisher:
    """Sends the events of one run from a thread of its own, in their order; what fails is tried until the job ends.

    Parameters
    ----------
    uri : tracking server or store.
    directory : the run directory.
    patience : what the job has left of the time that it waits for a server.
    earlier : events that are in the journal already: the beginning, and those of interrupted attempts.
    """

    def __init__(self, uri: str, directory: Path, patience: Patience, earlier: Iterable[Event] = ()) -> None:
        self._uri = uri
        self._directory = directory
        self._patience = patience if is_remote(uri) else Patience(LOCAL_SECONDS)
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._tried = threading.Event()
        self._finishing = threading.Event()
        self._bytes_under_way = 0
        self._error: Exception | None = None
        self._run_id: str | None = None
        self._replay: Replay | None = None
        for event in condensed(earlier):
            self.put(event)
        self._thread = threading.Thread(target=self._work, name="publisher", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Take an event that is in the journal; returns at once."""
        self._events.put(event)

    def require(self) -> None:
        """Wait until the run exists on the server; raise TrackingError if that does not happen."""
        seconds = self._patience.left_to_start
        self._tried.wait(seconds)
        if self._run_id is None:
            # The job ends for that: it does not wait once more.
            self._patience.left = 0
            server = without_password(self._uri)
            raise TrackingError(f"{server} does not take the run: {self._why(seconds)}; `mljobs doctor` looks closer")

    def finish(self, stop: Stop, *, at_once: bool) -> Published:
        """Wait until all is sent, but not for long, except for what is large; `at_once`, because the job is being stopped.

        A signal that comes now ends the waiting, not the job: that has its end already.
        """
        before = stop.wanted
        seconds = min(self._patience.left, _PATIENCE_OF_STOPPED) if at_once else self._patience.left
        self._finishing.set()
        self._events.put(None)
        start = time.monotonic()
        with self._patience.waiting():
            while self._thread.is_alive() and stop.wanted is before:
                if time.monotonic() > start + seconds + (0 if at_once else self._seconds_of_upload()):
                    break
                self._thread.join(0.05)
        if self._thread.is_alive() and stop.wanted is not before:
            return Published(None, "stopped while it was sent", self._unanswered())
        if self._thread.is_alive() or self._error:
            return Published(None, self._why(seconds), self._unanswered())
        return Published(self._run_id)

    def _unanswered(self) -> tuple[int, ...]:
        """Return when requests were sent that may still arrive."""
        return tuple(self._replay.unanswered) if self._replay else ()

    def _seconds_of_upload(self) -> float:
        """Return the time that what is being uploaded may take by its size; none if the server failed to take it."""
        return 0 if self._error else self._bytes_under_way / LEAST_BYTES_A_SECOND

    def _why(self, seconds: float) -> str:
        """Return what kept the run from the server for so long."""
        if self._error is None:
            return f"not all was sent within {seconds:.0f} s"
        return describe(self._error)

    def _work(self) -> None:
        """Send events until the end; an error is kept for whoever waits."""
        try:
            self._replay = Replay(connect(self._uri), self._directory)
            for event in iter(self._events.get, None):
                self._send(self._replay, event)
            self._replay.raise_doubt()
        except Exception as error:  # noqa: BLE001 - whatever the client raises, the job goes on and says it
            self._error = error
        finally:
            self._tried.set()

    def _send(self, replay: Replay, event: Event) -> None:
        """Send one event, again and again while the job works; once more, and then raise the error, when it has ended."""
        self._bytes_under_way = event.get("size", 0)
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            last_try = self._finishing.is_set()
            try:
                replay.send(event, last_try=last_try)
            except Exception as error:
                self._error = error
                self._tried.set()
                if last_try:
                    raise
                self._finishing.wait(pause)
            else:
                break
        self._error = None
        if event["event"] == "start":
            self._run_id = replay.run_id
            self._tried.set()


def publish(uri: str, directory: Path, *, wait: bool = False) -> Published:
    """Send all of a finished run's journal.

    Parameters
    ----------
    wait : for requests that earlier processes gave up, until they can no longer arrive.
    """
    replay: Replay | None = None
    try:
        replay = Replay(connect(uri), directory)
        for event in condensed(journal.read(directory / journal.NAME)):
            replay.send(event, last_try=True)
            while wait and event["event"] == "end" and replay.seconds_in_doubt:
                time.sleep(1)
                replay.send(event, last_try=True)
        replay.raise_doubt()
    except Exception as error:  # noqa: BLE001 - as above
        return Published(None, describe(error), tuple(replay.unanswered) if replay else ())
    return Published(replay.run_id)
