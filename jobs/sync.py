"""Publishing what could not be published when it ran."""

import threading
import time
from contextlib import closing
from pathlib import Path

from jobs import history, journal
from jobs.console import Console
from jobs.errors import ConfigError, JobError, NoInputError, OutputError, TrackingError
from jobs.history import PastRun
from jobs.journal import Journal
from jobs.promotion.challenge import place
from jobs.promotion.conclude import conclude, decide, is_waiting
from jobs.signals import Stop
from jobs.tracking import Patience, configure, configured_uri, connect, is_answering, without_password
from jobs.tracking.answers import describe
from jobs.tracking.publisher import publish

_ANSWER_SECONDS = 120
"""How long an answer is waited for where no job is held up."""

_DECIDING_SECONDS = 120.0
"""In which a job that has its own end decides what earlier ones could not."""


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
    sender = _Sender(uri, console, wait=True)
    refused = [run.path.name for run in unpublished if not sender.publish(run.path)]
    if refused:
        raise TrackingError(f"{without_password(uri)} did not take {', '.join(refused)}; still queued")
    if sender.undecided:
        raise TrackingError(
            f"who is champion is not decided yet by {', '.join(sender.undecided)}; all else is published"
        )


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

    sender = _Sender(uri, console)

    def work() -> None:
        for path in queued:
            if stop.wanted or time.monotonic() > deadline or not sender.publish(path):
                break

    thread = threading.Thread(target=work, name="queued", daemon=True)
    thread.start()
    # Whatever is under way then is left to the next start; to hold two models against each other is no waiting.
    longest = deadline + _DECIDING_SECONDS
    while thread.is_alive() and not stop.wanted and time.monotonic() < (longest if sender.is_deciding else deadline):
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


class _Sender:
    """Publishes ended runs one by one.

    Parameters
    ----------
    uri : of the server.
    console : where a person reads along.
    wait : for requests that earlier processes gave up, until they can no longer arrive.
    """

    def __init__(self, uri: str, console: Console, *, wait: bool = False) -> None:
        self._uri = uri
        self._console = console
        self._wait = wait
        self.is_deciding = False
        self.undecided: list[str] = []

    def publish(self, directory: Path) -> bool:
        """Publish one run, unless somebody else is at it or has done it; return False if it was not taken."""
        try:
            with closing(Journal(directory / journal.NAME)) as record:
                # Somebody may have published it before it was ours.
                run = history.open_run(directory)
                return run is None or not run.is_unpublished or self._publish_locked(record, run)
        except BlockingIOError:
            self._console.warning(f"skipped: {directory.name} is being published by another process")
            return True
        except (OSError, OutputError) as error:
            self._console.warning(f"not published: {directory.name}: {error}")
            return False

    def _publish_locked(self, record: Journal, run: PastRun) -> bool:
        """Publish the run of a journal that is ours, carry out its decision, and note both there and in `result.json`."""
        published = publish(self._uri, run.path, wait=self._wait)
        if published.run_id is None:
            if published.unanswered:
                record.append("unanswered", requests=published.unanswered)
            self._console.warning(f"not published: {run.path.name}: {published.reason}")
            return False
        if not self._conclude(record, run, published.run_id):
            self.undecided.append(run.path.name)
            return True
        record.append("published", run_id=published.run_id, tracking_uri=without_password(self._uri))
        history.write_result(run.path)
        self._console.info(f"published {run.path.name}", run_id=published.run_id)
        return True

    def _conclude(self, record: Journal, run: PastRun, run_id: str) -> bool:
        """Carry out what was decided of a run's model, or decide it now; return False if that is not possible yet."""
        promotion = run.result.promotion
        if promotion is None or not (is_waiting(promotion) or run.promotion):
            return True
        try:
            with place(run.path.parent, promotion["model"], self._console):
                self.is_deciding = True
                client = connect(self._uri)
                if promotion["verdict"] == "undecided":
                    promotion = decide(client, run.path, promotion)
                    record.append("promotion", promotion=promotion)
                concluded = conclude(client, run.path, run_id, promotion, self._console)
        except Exception as error:  # noqa: BLE001 - whatever the client raises; it goes on waiting
            reason = str(error) if isinstance(error, JobError) else describe(error)
            self._console.warning(f"published, but who is champion is not decided: {run.path.name}: {reason}")
            return False
        finally:
            self.is_deciding = False
        if concluded != promotion:
            record.append("promotion", promotion=concluded)
        return True
