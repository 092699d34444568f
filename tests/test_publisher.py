"""How long a job waits for what is still to be sent."""

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.signals import Stop
from jobs.tracking import Patience, publisher
from jobs.tracking.publisher import Published, Publisher


class SlowReplay:
    """Stands in for a server on a slow line, where each event takes a second; `Replay` promises no more than this."""

    run_id = "1"

    def __init__(self, _client: object, _directory: Path) -> None:
        """Take what `Replay` takes."""
        self.unanswered: list[int] = []

    def raise_doubt(self) -> None:
        """Have none."""

    def send(self, _event: dict[str, Any], *, last_try: bool) -> None:  # noqa: ARG002 - as `Replay`
        """Take a second."""
        time.sleep(1)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Publisher:
    """Return a publisher of a job that waits half a second, on a line where that is too short."""
    monkeypatch.setattr(publisher, "connect", lambda _uri: None)
    monkeypatch.setattr(publisher, "Replay", SlowReplay)
    return Publisher("http://server", tmp_path, Patience(0.5))


def test_an_upload_has_time_by_its_size(slow: Publisher) -> None:
    """A model of 50 MB gets ten seconds more, though the job's end comes right after it."""
    slow.put({"event": "start"})
    slow.put({"event": "model", "size": 50_000_000})
    time.sleep(1.1)
    assert slow.finish(Stop(), at_once=False) == Published("1")


def test_a_job_that_is_stopped_waits_for_no_upload(slow: Publisher) -> None:
    """Docker gives it ten seconds in all."""
    slow.put({"event": "model", "size": 50_000_000})
    time.sleep(0.1)
    assert slow.finish(Stop(), at_once=True).run_id is None


def test_a_signal_ends_the_waiting(slow: Publisher) -> None:
    """The job has its end; what is not sent is queued."""
    stop = Stop()
    slow.put({"event": "model", "size": 50_000_000})
    time.sleep(0.1)
    threading.Timer(0.2, stop.handle, (signal.SIGTERM, None)).start()
    assert slow.finish(stop, at_once=False) == Published(None, "stopped while it was sent")
