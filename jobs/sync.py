"""Publishing what could not be published when it ran."""

import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from jobs import history, journal
from jobs.console import Console
from jobs.errors import ConfigError, JobError, NoInputError, OutputError, TrackingError
from jobs.history import PastRun
from jobs.journal import Journal
from jobs.promotion.challenge import place
from jobs.promotion.conclude import conclude, is_waiting
from jobs.signals import Stop
from jobs.tracking import Patience, configure, configured_uri, connect, is_answering, without_password
from jobs.tracking.answers import describe
from jobs.tracking.publisher import publish

_ANSWER_SECONDS = 120
"""How long an answer is waited for where no job is held up."""


def sync(runs_dir: Path, console: Console, *, copies: bool = False) -> None:
    """Give the runs of dead processes their end, and publish every ended run of `runs_dir` that is not published.

    Parameters
    ----------
    copies : close runs without an end also where this is a copy of them: their processes are surely dead.

    Raises
    ------
    ConfigError, NoInputError
        No server is configured; no such folder.
    TrackingError
        The server does not answer, or refused a run (the others are published); what it did not take is still queued.
    """
    uri = configured_uri()
    if uri is None:
        raise ConfigError("there is no server to publish to: set MLFLOW_TRACKING_URI")
    if not runs_dir.is_dir():
        raise NoInputError(f"{runs_dir} is no folder of runs")
    history.settle(runs_dir, console, copies=copies)
    configure(answer_seconds=_ANSWER_SECONDS)
    _require_answer(uri)
    unpublished = [run for run in _oldest_first(runs_dir) if run.is_unpublished]
    refused = [run.path.name for run in unpublished if not _publish(run.path, uri, console, wait=True)]
    if refused:
        raise TrackingError(f"{without_password(uri)} did not take {', '.join(refused)}; still queued")


def publish_queued(
    runs_dir: Path, console: Console, stop: Stop, patience: Patience, *, also: Path | None = None
) -> None:
    """Publish the runs that earlier jobs could not, as far as that goes in some seconds and until a signal comes.

    Parameters
    ----------
    patience : what the job has left of the time that it waits for a server.
    also : directory of a run that is to be published even if its own job did not want that.
    """
    uri = configured_uri()
    if uri is None or stop.wanted:
        return
    unpublished = (run for run in _oldest_first(runs_dir) if run.is_unpublished)
    queued = [run.path for run in unpublished if run.result.tracking == "queued" or run.path == also]
    deadline = time.monotonic() + patience.left
    if not queued or not is_answering(uri):
        return

    def work() -> None:
        for path in queued:
            if stop.wanted or time.monotonic() > deadline or not _publish(path, uri, console):
                break

    thread = threading.Thread(target=work, name="queued", daemon=True)
    thread.start()
    # Whatever is under way then is left to the next start.
    while thread.is_alive() and not stop.wanted and time.monotonic() < deadline:
        thread.join(0.05)


def _require_answer(uri: str) -> None:
    """Raise TrackingError if the server does not answer: once, not once for every run."""
    try:
        connect(uri).search_experiments(max_results=1)
    except Exception as error:
        raise TrackingError(f"{without_password(uri)} does not answer: {describe(error)}; nothing was sent") from error


def _oldest_first(runs_dir: Path) -> list[PastRun]:
    """Return the runs of a folder, whose broken journals have been told of."""
    return list(history.runs(runs_dir, None))[::-1]


def _publish(directory: Path, uri: str, console: Console, *, wait: bool = False) -> bool:
    """Publish one run, unless somebody else is at it or has done it; return False if it was not taken."""
    try:
        with closing(Journal(directory / journal.NAME)) as record:
            # Somebody may have published it before it was ours.
            run = history.open_run(directory)
            if run is None or not run.is_unpublished:
                return True
            return _publish_locked(record, run.result.promotion, uri, console, wait=wait)
    except BlockingIOError:
        console.warning(f"skipped: {directory.name} is being published by another process")
        return True
    except (OSError, OutputError) as error:
        console.warning(f"not published: {directory.name}: {error}")
        return False


def _publish_locked(
    record: Journal, promotion: Mapping[str, Any] | None, uri: str, console: Console, *, wait: bool
) -> bool:
    """Publish the run of a journal that is ours, carry out what was decided of it, and note it there and in `result.json`."""
    directory = record.path.parent
    published = publish(uri, directory, wait=wait)
    if published.run_id is None:
        if published.unanswered:
            record.append("unanswered", requests=published.unanswered)
        console.warning(f"not published: {directory.name}: {published.reason}")
        return False
    if not _conclude(record, promotion, uri, published.run_id, console):
        return False
    record.append("published", run_id=published.run_id, tracking_uri=without_password(uri))
    history.write_result(directory)
    console.info(f"published {directory.name}", run_id=published.run_id)
    return True


def _conclude(record: Journal, promotion: Mapping[str, Any] | None, uri: str, run_id: str, console: Console) -> bool:
    """Carry out what was decided of a run's model, or decide it now; return False if that is not possible yet."""
    if promotion is None or not is_waiting(promotion):
        return True
    directory = record.path.parent
    try:
        with place(directory.parent, promotion["model"], console):
            concluded = conclude(connect(uri), directory, run_id, promotion, console)
    except Exception as error:  # noqa: BLE001 - whatever the client raises; it goes on waiting
        reason = str(error) if isinstance(error, JobError) else describe(error)
        console.warning(f"published, but not decided: {directory.name}: {reason}")
        return False
    record.append("promotion", promotion=concluded)
    return True
