"""What a challenger is held against: the champion, asked for the same rows, if that is fair."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs import contract, pipelines, promotion
from jobs.config import JobConfig
from jobs.contract import profile
from jobs.contract.drift import Drift
from jobs.contract.profile import Profile
from jobs.datasets import Dataset
from jobs.datasets.fingerprints import Fingerprints
from jobs.errors import ConfigError, DataError, NoInputError
from jobs.evaluation.comparison import Comparison
from jobs.pipelines import SavedModel
from jobs.promotion import Decision, Verdict
from jobs.tracking import models
from jobs.tracking.registry import Version


@dataclass(frozen=True, eq=False)
class Entrant:
    """A challenger's rows.

    Parameters
    ----------
    model : name in the registry of what it wants to be champion of.
    pipeline : its name.
    path : data file.
    profile : of all rows of that file.
    holdout : rows that both are asked for.
    held_out : its fingerprints.
    trained_on : those of the rows that the challenger was trained on.
    majority : most frequent label of the rows that the challenger was trained on.
    """

    model: str
    pipeline: str
    path: Path
    profile: Profile
    holdout: Dataset
    held_out: Fingerprints
    trained_on: Fingerprints
    majority: Any


@dataclass(frozen=True, eq=False)
class Opponent:
    """The other side of the comparison, as it was at one moment.

    Parameters
    ----------
    champion : the version, None if there is none.
    y_pred : its labels for the holdout, or the most frequent label where no champion can be asked, shape (n_holdout,);
        None if a comparison would not be fair, and the rule can do without.
    is_champion : whether `y_pred` are the champion's.
    drift : of the challenger's data from the contract, None if there is none.
    contract : version whose data are the contract; None if that are the challenger's own.
    """

    champion: Version | None
    y_pred: np.ndarray | None
    is_champion: bool
    drift: Drift | None = None
    contract: str | None = None

    def decide(self, config: JobConfig, entrant: Entrant, y_pred: np.ndarray, shortfall: str) -> Decision:
        """Return what becomes of a challenger.

        Parameters
        ----------
        y_pred : its labels for the holdout.
        shortfall : which gates it misses; empty if it passes.
        """
        version = self.champion.version if self.champion else None
        comparison = None
        if self.y_pred is not None:
            comparison = Comparison.from_predictions(
                entrant.holdout.y,
                y_pred,
                self.y_pred,
                groups=entrant.held_out.units,
                alpha=config.alpha,
                random_state=config.random_state,
            )
        verdict: Verdict
        if shortfall:
            verdict, reason = "keep", shortfall
        elif comparison is None:
            verdict, reason = "promote", f"--promote-if always; version {version} can't be compared fairly"
        else:
            verdict, reason = promotion.judge(config, comparison, version if self.is_champion else None)
        return Decision(entrant.model, verdict, reason, version, comparison, self.contract, self.drift)


def meet(champion: Version | None, config: JobConfig, entrant: Entrant, scratch: Path) -> Opponent:
    """Ask a champion, if there is one, for its labels of the entrant's holdout; `scratch` takes its files.

    Raises
    ------
    TrackingError
        The server does not give the champion's model.
    DataError
        The entrant's data break the contract.
    ConfigError
        The comparison would not be fair, or the champion is of another kind.
    """
    majority = np.full(len(entrant.holdout), entrant.majority)
    if champion is None:
        return Opponent(None, majority, is_champion=False)
    saved = pipelines.open_model(models.folder(champion.uri, scratch))
    if saved.pipeline_name != entrant.pipeline:
        raise ConfigError(f"the champion of {champion.name} is a {saved.pipeline_name}: choose another --model-name")
    if config.new_contract and not _can_be_asked(saved, entrant):
        return Opponent(champion, majority, is_champion=False)
    drift, origin = (
        (None, None) if config.new_contract else _hold_to_contract(config, champion, saved, entrant, scratch)
    )
    y_pred = None
    if _is_fair(config, champion, saved, entrant):
        model = saved.load(trust_pickle=config.trust_pickle)
        y_pred = model.classes_[np.argmax(model.predict_proba(entrant.holdout.X), axis=1)]
    return Opponent(champion, y_pred, is_champion=True, drift=drift, contract=origin)


def _can_be_asked(saved: SavedModel, entrant: Entrant) -> bool:
    """Tell whether a champion knows the columns and classes of the entrant's rows."""
    try:
        contract.check(entrant.path, entrant.profile.schema, saved.schema)
    except DataError:
        return False
    return True


def _hold_to_contract(
    config: JobConfig, champion: Version, saved: SavedModel, entrant: Entrant, scratch: Path
) -> tuple[Drift | None, str]:
    """Return the drift from the contract, and the version that has it; raise DataError for data that break it."""
    origin = champion.contract
    agreed = Profile.load(saved.folder)
    if origin != champion.version:
        try:
            first = models.file(f"models:/{champion.name}/{origin}", profile.NAME, scratch / f"contract-{origin}")
            agreed = Profile.load(first.parent)
        except NoInputError:  # that version was deleted: its heir's data are the contract
            origin = champion.version
    if agreed is None:  # of a version of this program that kept none
        contract.check(entrant.path, entrant.profile.schema, saved.schema)
        return None, origin
    contract.check(entrant.path, entrant.profile.schema, agreed.schema)
    return Drift.between(agreed, entrant.profile, alpha=config.alpha), origin


def _is_fair(config: JobConfig, champion: Version, saved: SavedModel, entrant: Entrant) -> bool:
    """Tell whether no row of the holdout is one that only one of both was trained on.

    Raises
    ------
    ConfigError
        It is not fair, and the rule can't do without a comparison.
    """
    seen = saved.fingerprints()
    what = "does not say which rows it was trained on"
    if seen is not None:
        by_champion, by_entrant = entrant.held_out.are_in(seen), entrant.held_out.are_in(entrant.trained_on)
        # What both were trained on, as rows that are there twice, favours neither.
        if (by_champion == by_entrant).all():
            return True
        n_seen, n_own = np.count_nonzero(by_champion & ~by_entrant), np.count_nonzero(by_entrant & ~by_champion)
        what = f"was trained on {n_seen:,} of the {len(by_champion):,} rows that are held out now"
        if n_own:
            what += f", and the challenger on {n_own:,} others of them"
    if config.promote_if == "always":
        return False
    raise ConfigError(
        f"version {champion.version} of {champion.name}, the champion, {what}, so a comparison would not be fair; "
        "use --split stable, with the same --random-state, --split-key and no larger --test-size, from now on "
        "(to begin with it, once with --promote-if always), or rows of their own with --eval-data"
    )
