"""Publishing what could not be published when it ran."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from jobs import journal
from jobs.artifacts import RunDirectory
from jobs.console import Console
from jobs.errors import ConfigError, NoInputError, TrackingError
from jobs.journal import Journal
from jobs.result import Result
from jobs.tracking import configured_uri, connect, without_password
from jobs.tracking.publisher import describe, publish


def sync(runs_dir: Path, console: Console) -> None:
    """Publish every ended run of `runs_dir` that is not published.

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
    _require_answer(uri)
    refused = [path.name for path in _unpublished(runs_dir, console) if not _publish(path, uri, console)]
    if refused:
        raise TrackingError(f"{without_password(uri)} did not take {', '.join(refused)}; still queued")


def _require_answer(uri: str) -> None:
    """Raise TrackingError if the server does not answer: once, not once for every run."""
    try:
        connect(uri).search_experiments(max_results=1)
    except Exception as error:
        raise TrackingError(f"{without_password(uri)} does not answer: {describe(error)}; nothing was sent") from error


def _unpublished(runs_dir: Path, console: Console) -> Iterator[Path]:
    """Yield the directories of runs that have ended and are not in MLflow, the oldest first."""
    for path in sorted(runs_dir.glob("*/journal.jsonl")):
        try:
            unpublished = _is_unpublished(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            console.warning(f"skipped: {path} is no journal of mljobs, or can't be read: {error!r}")
            continue
        if unpublished:
            yield path.parent


def _is_unpublished(path: Path) -> bool:
    """Tell whether a journal's run has ended and is not in MLflow."""
    kinds = {event["event"] for event in journal.read(path)}
    return "end" in kinds and "published" not in kinds


def _publish(directory: Path, uri: str, console: Console) -> bool:
    """Publish one run, unless somebody else is at it or has done it; return False if it was not taken."""
    try:
        with closing(Journal(directory / "journal.jsonl")) as record:
            # Somebody may have published it before it was ours.
            return not _is_unpublished(record.path) or _publish_locked(record, uri, console)
    except BlockingIOError:
        console.warning(f"skipped: {directory.name} is being published by another process")
        return True
    except OSError as error:
        console.warning(f"not published: {directory.name}: its journal can't be written: {error.strerror}")
        return False


def _publish_locked(record: Journal, uri: str, console: Console) -> bool:
    """Publish the run of a journal that is ours, and note it there and in `result.json`."""
    directory = record.path.parent
    published = publish(uri, directory)
    if published.run_id is None:
        console.warning(f"not published: {directory.name}: {published.reason}")
        return False
    record.append("published", run_id=published.run_id, tracking_uri=without_password(uri))
    _note_in_result(directory, published.run_id, console)
    console.info(f"published {directory.name}", run_id=published.run_id)
    return True


def _note_in_result(directory: Path, run_id: str, console: Console) -> None:
    """Note in `result.json` that a run is published."""
    path = directory / "result.json"
    if not path.is_file():
        return  # the job was killed after its last event
    try:
        result = replace(Result(**json.loads(path.read_bytes())), tracking="published", run_id=run_id)
    except (ValueError, TypeError) as error:
        console.warning(f"{path} is no result of mljobs, and left as it is: {error!r}")
        return
    run_directory = RunDirectory(directory)
    run_directory.scratch.mkdir(exist_ok=True)
    run_directory.write_text("result.json", result.to_json() + "\n")
    run_directory.clean()
