"""Champion and previous: the two aliases of a registered model, and how they move."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobs import journal
from jobs.errors import ConfigError, NoInputError
from jobs.tracking.answers import status_of

CHAMPION = "champion"
PREVIOUS = "previous"

_LEAVING = "leaving"
"""Alias of a champion that is being rolled back from, as long as that takes."""

CONTRACT_TAG = "mljobs.contract"
"""Tag of a version: the one whose data are the contract, handed on from champion to champion."""

REASON_TAG = "mljobs.promotion"
"""Tag of a version that is or was champion: why it became that."""

ROLLED_BACK_TAG = "mljobs.rolled_back"
"""Tag of a version that was rolled back: no decision that is still on its way may put it back."""

DECIDED = ("**Promoted**", "**Not promoted**")
"""How the sentence about a decision begins on the page of a run."""

_PAGE = "mlflow.note.content"
_NOT_FOUND = 404


@dataclass(frozen=True)
class Version:
    """A version of a registered model: its number as text, the run that made it, its tags."""

    name: str
    version: str
    run_id: str
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """What MLflow calls it."""
        return f"models:/{self.name}/{self.version}"

    @property
    def contract(self) -> str:
        """The version whose data are the contract."""
        return self.tags.get(CONTRACT_TAG, self.version)


def behind(client: Any, name: str, alias: str) -> Version | None:
    """Return the version behind an alias of the registered model `name`; None if there is none, or no such model."""
    version = _aliases(client, name).get(alias)
    return None if version is None else _version(client.get_model_version(name, version))


def of_run(client: Any, run_id: str) -> list[Version]:
    """Return the versions that are models of a run."""
    return [_version(each) for each in client.search_model_versions(f"run_id = '{run_id}'")]


def crown(client: Any, version: Version, contract: str, reason: str) -> Version | None:
    """Make a version the champion, and the champion `previous`; doing it twice changes nothing more.

    Parameters
    ----------
    contract : the version whose data are the contract.
    reason : for a person who looks at the version.

    Returns
    -------
    Version or None
        Whose place it took.
    """
    before = behind(client, version.name, CHAMPION)
    client.set_model_version_tag(version.name, version.version, CONTRACT_TAG, contract)
    if before and before.version != version.version:
        client.set_registered_model_alias(version.name, PREVIOUS, before.version)
    client.set_registered_model_alias(version.name, CHAMPION, version.version)
    client.set_model_version_tag(version.name, version.version, REASON_TAG, reason)
    return before


def has_been_champion(client: Any, version: Version) -> bool:
    """Tell whether a version was champion at some time."""
    previous = behind(client, version.name, PREVIOUS)
    return REASON_TAG in version.tags or (previous is not None and previous.version == version.version)


def partners(client: Any, name: str) -> tuple[Version, Version]:
    """Return the previous champion of `name` and the champion.

    Raises
    ------
    NoInputError
        There is no such model, or no version behind one of the aliases.
    """
    new, old = behind(client, name, PREVIOUS), behind(client, name, CHAMPION)
    if new is None or old is None:
        missing = PREVIOUS if old else CHAMPION
        raise NoInputError(f"{name} has no version behind the alias {missing!r}, so there is nothing to roll back to")
    return new, old


def roll_back(client: Any, name: str) -> tuple[Version, Version]:
    """Let champion and previous change places, or finish what was killed at that; return the new champion and the old one.

    Raises
    ------
    NoInputError
        There is no such model, or no version behind one of the aliases.
    ConfigError
        Both are the same version.
    """
    new, old = partners(client, name)
    begun = behind(client, name, _LEAVING)
    if begun and new.version == old.version:
        old = begun
    if new.version == old.version:
        raise ConfigError(f"champion and previous of {name} are both version {old.version}: nothing to roll back to")
    # The marks first: a decision for the old one that is still on its way finds it, whenever this is killed.
    mark_rolled_back(client, old)
    client.set_registered_model_alias(name, _LEAVING, old.version)
    client.set_registered_model_alias(name, CHAMPION, new.version)
    client.set_registered_model_alias(name, PREVIOUS, old.version)
    client.delete_registered_model_alias(name, _LEAVING)
    pardon(client, new)
    return new, old


def mark_rolled_back(client: Any, version: Version) -> None:
    """Mark a version so that no decision that is still on its way puts it back."""
    client.set_model_version_tag(
        version.name, version.version, ROLLED_BACK_TAG, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    )


def pardon(client: Any, version: Version) -> None:
    """Take the mark of having been rolled back from a version."""
    if ROLLED_BACK_TAG in version.tags:
        client.delete_model_version_tag(version.name, version.version, ROLLED_BACK_TAG)


def note(client: Any, run_id: str, tags: Mapping[str, str], points: Mapping[str, float], sentence: str) -> None:
    """Write tags to a run, metrics that are not there yet, or are of an earlier decision, and the sentence of the decision on top of its page."""
    from mlflow.entities import Metric, RunTag

    now, known = journal.now(), client.get_run(run_id).data
    metrics = [Metric(name, value, now, 0) for name, value in points.items() if known.metrics.get(name) != value]
    first, *others = known.tags.get(_PAGE, "").split("\n\n")
    others = [each for each in others if not each.startswith(DECIDED)]
    page = {_PAGE: "\n\n".join([first, sentence, *others])}
    client.log_batch(run_id, metrics=metrics, tags=[RunTag(name, value) for name, value in {**tags, **page}.items()])


def _aliases(client: Any, name: str) -> dict[str, str]:
    """Return alias to version of a registered model; empty if there is no such model."""
    try:
        return {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}
    except Exception as error:
        if status_of(error) != _NOT_FOUND:
            raise
        return {}


def _version(found: Any) -> Version:
    """Return MLflow's version as ours."""
    return Version(found.name, str(found.version), found.run_id, dict(found.tags))
