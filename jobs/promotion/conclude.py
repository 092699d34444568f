"""Carrying decisions out: the aliases move when all of a run is in MLflow, and not before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs import history, pipelines, resources
from jobs.artifacts import UNDECIDED, RunDirectory
from jobs.config import JobConfig
from jobs.console import Console
from jobs.errors import ConfigError, DataError, NoInputError
from jobs.promotion import QUEUED, drift_shortfall, points, sentence
from jobs.promotion import tags as promotion_tags
from jobs.promotion.challenge import left_by
from jobs.promotion.opponent import meet
from jobs.tracking import registry
from jobs.tracking.registry import Version


def is_waiting(promotion: Mapping[str, Any] | None) -> bool:
    """Tell whether a decision is still to be carried out."""
    return promotion is not None and promotion["status"] == QUEUED


def conclude(
    client: Any, directory: Path, run_id: str, promotion: Mapping[str, Any], console: Console
) -> dict[str, Any]:
    """Carry out the decision of a run that is in MLflow, and return what became of it; twice is as good as once.

    The caller has the champion's place locked, see `challenge.place`.

    Parameters
    ----------
    client : `mlflow.MlflowClient`.
    directory : the run directory.
    run_id : MLflow's.
    promotion : the decision as the journal has it; if it is carried out already, MLflow's page is brought up to it.

    MLflow's client raises what it likes.
    """
    if promotion["verdict"] == "undecided":
        raise ValueError("what is not decided can't be carried out")
    concluded = dict(promotion)
    if is_waiting(promotion):
        concluded = _carry_out(client, _version(client, run_id, promotion["model"]), promotion)
        _say(concluded, console)
    # All of the run may just have been sent once more, with what it said before.
    registry.note(client, run_id, promotion_tags(concluded), points(concluded), sentence(concluded))
    RunDirectory(directory).remove(UNDECIDED)
    return concluded


def _say(concluded: Mapping[str, Any], console: Console) -> None:
    """Tell what became of a decision."""
    model, reason = concluded["model"], concluded["reason"]
    if concluded["status"] == "kept":
        console.info(f"not promoted: {reason}")
        return
    console.info(f"promoted: champion of {model} is version {concluded['version']}, {reason}")


def _version(client: Any, run_id: str, model: str) -> Version | None:
    """Return the version that is the run's model; None if somebody deleted it."""
    return next((each for each in registry.of_run(client, run_id) if each.name == model), None)


def _carry_out(client: Any, own: Version | None, promotion: Mapping[str, Any]) -> dict[str, Any]:
    """Move the aliases if that is the verdict and the place is still as it was."""
    if promotion["verdict"] == "keep":
        return _kept(promotion, promotion["reason"])
    if own is None:
        return _kept(promotion, "its version is not in the registry any more")
    champion = registry.behind(client, own.name, registry.CHAMPION)
    now = champion.version if champion else None
    if now != own.version:
        if registry.ROLLED_BACK_TAG in own.tags:
            return _kept(promotion, "it was rolled back")
        if registry.has_been_champion(client, own):
            # The process was killed before it could say so, and another one was promoted since.
            return {**promotion, "status": "promoted", "version": own.version}
        if now != promotion["champion"]:
            return _kept(
                promotion,
                f"{f'version {now}' if now else 'none'} became champion in the meantime; --force holds it against that",
            )
        registry.crown(client, own, promotion["contract"] or own.version, promotion["reason"])
    return {**promotion, "status": "promoted", "version": own.version}


def _kept(promotion: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """Return a decision by which the champion stays."""
    return {**promotion, "status": "kept", "verdict": "keep", "reason": reason}


def decide(client: Any, directory: Path, promotion: Mapping[str, Any]) -> dict[str, Any]:
    """Make the decision that a job could not make, on the rows that it has left behind.

    Whoever calls this writes it down before it is carried out: whoever is champion afterwards, that is how it was decided.

    Raises
    ------
    JobError
        It can't be made here and now, and goes on waiting. MLflow's client raises what it likes.
    """
    run = history.open_run(directory)
    assert run is not None  # noqa: S101 - it has a decision in its journal
    config = JobConfig.from_json(run.start["config"])
    # If its packages are not installed here, the decision goes on waiting.
    pipelines.find(config.pipeline).prepare(resources.cpu_count())
    champion = registry.behind(client, promotion["model"], registry.CHAMPION)
    scratch = RunDirectory(directory).scratch
    scratch.mkdir(exist_ok=True)
    try:
        entrant, y_pred = left_by(directory, promotion["model"])
        opponent = meet(champion, config, entrant, scratch / "champion")
    except (ConfigError, DataError, NoInputError) as error:
        return {**_kept(promotion, str(error)), "status": QUEUED}
    decided = opponent.decide(config, entrant, y_pred, drift_shortfall(config, opponent.drift)).to_json()
    is_loose = config.promote_if != "better" and decided["verdict"] == "promote"
    if is_loose and champion and client.get_run(champion.run_id).info.start_time > run.start["time"]:
        decided = _kept(decided, f"version {champion.version} is champion, and was trained later")
    return {**decided, "status": QUEUED}
