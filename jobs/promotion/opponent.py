"""What a challenger is held against: the champion, asked for the same rows, if that is fair."""

from dataclasses import dataclass, replace
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

_OTHER_ROWS = (
    "use --split stable, with the same --random-state, --split-key and no larger --test-size, from now on (to begin with it, "
    "once with --promote-if always), or rows of their own with --eval-data"
)
_ANEW = "to begin anew, once with --promote-if always, or another --model-name"
"""What a person can do about a comparison that is not fair."""

_NAMED = 5
"""Classes that a message names, at most."""


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
    y_pred : its labels for the holdout, or for lack of a champion the most frequent label, shape (n_holdout,); None if a
        comparison would not be fair, and the rule can do without.
    is_new : which rows of the holdout neither side was trained on, shape (n_holdout,), bool: they alone are compared.
    drift : of the challenger's data from the contract, None if there is none.
    contract : version whose data are the contract; None if that are the challenger's own.
    """

    champion: Version | None
    y_pred: np.ndarray | None
    is_new: np.ndarray
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
                entrant.holdout.y[self.is_new],
                y_pred[self.is_new],
                self.y_pred[self.is_new],
                groups=entrant.held_out.units[self.is_new],
                alpha=config.alpha,
                random_state=config.random_state,
            )
        verdict: Verdict
        if shortfall:
            verdict, reason = "keep", shortfall
        elif comparison is None:
            verdict, reason = "promote", "--promote-if always, without a comparison, since there is no fair one"
        else:
            verdict, reason = promotion.judge(config, comparison, version)
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
        There is no fair comparison, and the rule can't do without.
    """
    is_new = ~entrant.held_out.are_in(entrant.trained_on)
    bar = "" if is_new.any() else f"all rows that are held out were trained on too; {_OTHER_ROWS}"
    if champion is None:
        return _unless_barred(config, Opponent(None, np.full(len(is_new), entrant.majority), is_new), bar)
    try:
        saved = pipelines.open_model(models.folder(champion.uri, scratch))
    except NoInputError as error:
        return _unless_barred(
            config, Opponent(champion, None, is_new), f"the champion can't be asked: {error}; {_ANEW}"
        )
    held: tuple[Drift | None, str | None] = (None, None)
    if saved.pipeline_name == entrant.pipeline and not config.new_contract:
        held = _hold_to_contract(config, champion, saved, entrant, scratch)
    bar = bar or _bar(saved, entrant)
    y_pred = None
    if not bar:
        model = saved.load(trust_pickle=config.trust_pickle)
        y_pred = model.classes_[np.argmax(model.predict_proba(entrant.holdout.X), axis=1)]
    said = f"version {champion.version} of {champion.name}, the champion, {bar}" if bar else ""
    return _unless_barred(config, Opponent(champion, y_pred, is_new, *held), said)


def _unless_barred(config: JobConfig, opponent: Opponent, bar: str) -> Opponent:
    """Return the opponent, without its labels if a comparison is barred; raise ConfigError if the rule needs one."""
    if bar and config.promote_if != "always":
        raise ConfigError(f"there is no fair comparison: {bar}")
    return replace(opponent, y_pred=None) if bar else opponent


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
    if agreed is not None:  # a version of this program that kept none has made it
        contract.check(entrant.path, entrant.profile.schema, agreed.schema)
    # A champion that was promoted by hand may know others than the contract has.
    _require_alike(saved, entrant)
    return Drift.between(agreed, entrant.profile, alpha=config.alpha) if agreed else None, origin


def _require_alike(saved: SavedModel, entrant: Entrant) -> None:
    """Raise DataError if the entrant's rows are not such as the champion can be asked for; classes may be new to it."""
    schema = entrant.profile.schema
    contract.check(entrant.path, schema, {**saved.schema, "classes": schema["classes"]})
    if not set(schema["classes"]) & set(saved.schema["classes"]):
        named = ", ".join(map(repr, saved.schema["classes"][:_NAMED]))
        raise DataError(f"{entrant.path} has none of the champion's classes ({named}); correct it, or --new-contract")


def _bar(saved: SavedModel, entrant: Entrant) -> str:
    """Return what keeps a champion from being compared, and what to do; empty if nothing does."""
    if saved.pipeline_name != entrant.pipeline:
        return f"is a {saved.pipeline_name}; {_ANEW}"
    try:
        _require_alike(saved, entrant)
    except DataError as error:
        return f"can't be asked for rows like these ({error}); {_ANEW}"
    seen = saved.fingerprints()
    if seen is None:
        return f"does not say which rows it was trained on; {_ANEW}"
    by_champion, by_entrant = entrant.held_out.are_in(seen), entrant.held_out.are_in(entrant.trained_on)
    n_seen, n_own = np.count_nonzero(by_champion & ~by_entrant), np.count_nonzero(by_entrant & ~by_champion)
    if n_seen:
        return f"was trained on {n_seen:,} of the {len(by_entrant):,} rows that are held out now; {_OTHER_ROWS}"
    if n_own:
        return f"was not trained on {n_own:,} of the {len(by_entrant):,} rows that are held out, but the new model is: take them out"
    return ""
