"""A person moves the aliases: `mljobs promote` and `mljobs rollback`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from jobs import history
from jobs.config import check_model_name
from jobs.console import Console
from jobs.errors import ConfigError, JobError, NoInputError, TrackingError
from jobs.promotion.challenge import place
from jobs.tracking import configured_uri, connect, registry
from jobs.tracking.answers import DOES_NOT_EXIST, describe, status_of
from jobs.tracking.registry import Version

T = TypeVar("T")


def promote(run: str, runs_dir: Path, console: Console) -> str:
    """Make the model of a run the champion, whatever it was held against; return what was done, for a person.

    Parameters
    ----------
    run : a run directory, or MLflow's id of a run.
    runs_dir : where the lock of the champion's place is, if `run` is no directory.

    Raises
    ------
    NoInputError
        There is no such run, or its model is not in the registry.
    ConfigError
        It is not published yet.
    TrackingError
        The server does not answer.
    """
    directory = Path(run) if Path(run).is_dir() else None
    run_id = _published_as(directory) if directory else run
    client = _client()
    own = _ask(lambda: _only_version(client, run_id))
    with place(directory.absolute().parent if directory else runs_dir, own.name, console):
        before = _ask(lambda: _crown(client, own))
    if before and before.version == own.version:
        return f"version {own.version} is champion of {own.name} already"
    return f"version {own.version} is champion of {own.name}" + (f"; previous: {before.version}" if before else "")


def rollback(model: str, runs_dir: Path, console: Console) -> str:
    """Let champion and previous change places; return what was done, for a person.

    Raises
    ------
    NoInputError
        There is no such model, or nothing to go back to.
    TrackingError
        The server does not answer.
    """
    check_model_name(model)
    client = _client()
    _ask(lambda: registry.partners(client, model))  # before anything is made in the folder
    with place(runs_dir, model, console):
        new, old = _ask(lambda: registry.roll_back(client, model))
    return f"version {new.version} is champion of {model} again; previous: {old.version}"


def _crown(client: Any, own: Version) -> Version | None:
    """Move the aliases."""
    registry.pardon(client, own)
    champion = registry.behind(client, own.name, registry.CHAMPION)
    if champion and champion.version != own.version:
        # Else a decision for it that is still on its way would put it back.
        registry.mark_rolled_back(client, champion)
    return registry.crown(client, own, champion.contract if champion else own.version, "promoted by hand")


def _published_as(directory: Path) -> str:
    """Return MLflow's id of a run."""
    run = history.open_run(directory)
    if run is None or not run.is_accepted_or_rejected:
        raise NoInputError(f"{directory} holds no finished run")
    if run.published is None:
        raise ConfigError(f"{directory} is not published yet: mljobs sync {directory.parent}")
    return str(run.published["run_id"])


def _only_version(client: Any, run_id: str) -> Version:
    """Return the version that is the run's model."""
    found, tags = registry.of_run(client, run_id), client.get_run(run_id).data.tags
    if len(found) > 1:
        name = json.loads(tags["mljobs.config"])["model_name"] or tags["mljobs.pipeline"]
        found = [each for each in found if each.name == name]
    if found:
        return found[0]
    reason = tags.get("mljobs.reason")
    raise NoInputError(
        f"the model of run {run_id} is not in the registry{f', because it was rejected: {reason}' if reason else ''}"
    )


def _client() -> Any:
    """Return a client of the configured server."""
    uri = configured_uri()
    if uri is None:
        raise ConfigError("the registry is the tracking server's: set MLFLOW_TRACKING_URI")
    return connect(uri)


def _ask(call: Callable[[], T]) -> T:
    """Return what a call of the client returns; raise JobError."""
    try:
        return call()
    except JobError:
        raise
    except Exception as error:
        kind = NoInputError if status_of(error) in DOES_NOT_EXIST else TrackingError
        raise kind(f"asking the server failed: {describe(error)}") from error
