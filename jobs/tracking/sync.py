"""Publishing what could not be published when it ran."""

import json
from collections.abc import Iterator
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
    refused = []
    for directory in _unpublished(runs_dir):
        published = publish(uri, directory)
        if published.run_id is None:
            refused.append(directory.name)
            console.warning(f"not published: {directory.name}: {published.reason}")
            continue
        _mark(directory, uri, published.run_id)
        console.info(f"published {directory.name}", run_id=published.run_id)
    if refused:
        raise TrackingError(f"{without_password(uri)} did not take {', '.join(refused)}; still queued")


def _require_answer(uri: str) -> None:
    """Raise TrackingError if the server does not answer: once, not once for every run."""
    try:
        connect(uri).search_experiments(max_results=1)
    except Exception as error:
        raise TrackingError(f"{without_password(uri)} does not answer: {describe(error)}; nothing was sent") from error


def _unpublished(runs_dir: Path) -> Iterator[Path]:
    """Yield the directories of runs that have ended and are not in MLflow, the oldest first."""
    for path in sorted(runs_dir.glob("*/journal.jsonl")):
        kinds = {event["event"] for event in journal.read(path)}
        if "end" in kinds and "published" not in kinds:
            yield path.parent


def _mark(directory: Path, uri: str, run_id: str) -> None:
    """Note in the journal and in `result.json` that a run is published."""
    record = Journal(directory / "journal.jsonl")
    record.append("published", run_id=run_id, tracking_uri=without_password(uri))
    record.close()
    if not (directory / "result.json").is_file():
        return  # the job was killed after its last event
    result = Result(**json.loads((directory / "result.json").read_bytes()))
    run_directory = RunDirectory(directory)
    run_directory.scratch.mkdir(exist_ok=True)
    run_directory.write_text("result.json", replace(result, tracking="published", run_id=run_id).to_json() + "\n")
    run_directory.clean()
