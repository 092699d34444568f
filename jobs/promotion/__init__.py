"""Whether a model takes the champion's place: the rule, and the decision by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jobs.config import JobConfig
from jobs.contract.columns import cut
from jobs.contract.drift import Drift
from jobs.evaluation.comparison import Comparison
from jobs.tracking import registry

Verdict = Literal["promote", "keep", "undecided"]

QUEUED = "queued"
"""Status of a decision that is not carried out yet, or not made."""


@dataclass(frozen=True)
class Decision:
    """What becomes of one challenger.

    Parameters
    ----------
    model : name in the registry.
    verdict : `undecided` as long as the server does not say who is champion.
    reason : one sentence.
    champion : version that it was held against; None if there was none, or none that could be asked.
    comparison : of both on the same rows, or with always naming the most frequent class; None if there is none.
    contract : version whose data are the contract; None if that are the challenger's own.
    drift : of its data from the contract, None if there is none.
    """

    model: str
    verdict: Verdict
    reason: str
    champion: str | None = None
    comparison: Comparison | None = None
    contract: str | None = None
    drift: Drift | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as `result.json` and the journal have it: `status` says whether the aliases were moved."""
        return {
            "model": self.model,
            "status": "kept" if self.verdict == "keep" else QUEUED,
            "verdict": self.verdict,
            "reason": self.reason,
            "version": None,
            "champion": self.champion,
            "contract": self.contract,
            "comparison": self.comparison.to_json() if self.comparison else None,
            "drift": self.drift.to_json() if self.drift else None,
        }


def tags(promotion: Mapping[str, Any]) -> dict[str, str]:
    """Return a decision as tags of its run in MLflow."""
    return {
        "mljobs.promotion": promotion["status"],
        "mljobs.promotion_reason": promotion["reason"],
        "mljobs.champion": promotion["champion"] or "",
    }


def sentence(promotion: Mapping[str, Any]) -> str:
    """Return a decision in one sentence of Markdown."""
    promoted, kept = registry.DECIDED
    return f"{promoted if promotion['verdict'] == 'promote' else kept}: {promotion['reason']}"


def points(promotion: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a decision as metrics of its run in MLflow; none if nothing was compared."""
    comparison = promotion["comparison"] or {}
    names = ("champion", "gain", "low", "high", "p_better", "p_worse", "recall_drop")
    return {
        f"champion/{'accuracy' if name == 'champion' else name}": comparison[name]
        for name in names
        if name in comparison
    }


def rule(config: JobConfig, champion: str | None) -> str:
    """Return by what rule a challenger is promoted in the place of a champion's version, if there is one, in words."""
    if champion is None:
        return (
            "a first champion passes the gates, and is better than always naming the most frequent class beyond chance"
        )
    if config.promote_if == "always":
        return "always, if the gates are passed"
    beyond = f"beyond chance (--alpha {config.alpha:g})"
    wanted = f"better {beyond}" if config.promote_if == "better" else f"not worse {beyond}"
    recall = f"no class's recall more than {config.max_recall_drop:g} lower"
    return f"{wanted}, a gain of at least {config.min_gain:g}, and {recall}"


def judge(config: JobConfig, comparison: Comparison, champion: str | None) -> tuple[Verdict, str]:
    """Return verdict and reason for a challenger that passed the gates.

    Parameters
    ----------
    comparison : with the champion; with always naming the most frequent class if there is none.
    champion : its version, or None.
    """
    if champion is None:
        other = "always naming the most frequent class"
        better = comparison.p_better <= config.alpha
        return ("promote" if better else "keep"), _sentence(comparison, other, "better" if better else "not better")
    other = f"version {champion}"
    if config.promote_if == "always":
        return "promote", f"--promote-if always; {_sentence(comparison, other, '')}"
    if bar := _bar(config, comparison, other):
        return "keep", bar
    return "promote", _sentence(comparison, other, "better" if config.promote_if == "better" else "not worse")


def _bar(config: JobConfig, comparison: Comparison, other: str) -> str:
    """Return what keeps a challenger from being promoted; empty if nothing does."""
    if comparison.recall_drop > config.max_recall_drop:
        fall = f"the recall of class {cut(str(comparison.recall_class))!r} falls by {comparison.recall_drop:.4f}"
        return f"{fall}, more than --max-recall-drop {config.max_recall_drop:g}"
    if config.promote_if == "better" and comparison.p_better > config.alpha:
        return _sentence(comparison, other, "not better")
    if config.promote_if == "not-worse" and comparison.p_worse <= config.alpha:
        return _sentence(comparison, other, "worse")
    if comparison.gain < config.min_gain:
        gain = f"the gain of {comparison.gain:+.4f} is under --min-gain {config.min_gain:g}"
        return f"{gain}; {_sentence(comparison, other, '')}"
    return ""


def drift_shortfall(config: JobConfig, drift: Drift | None) -> str:
    """Return by how much data have drifted too far for `--max-drift`; empty if they have not, or nobody asked."""
    worst = drift.worst if drift else None
    if config.max_drift is None or worst is None or worst.psi <= config.max_drift:
        return ""
    return f"the drift of {cut(worst.name)!r} (PSI {worst.psi:.4f}) is over --max-drift {config.max_drift:g}"


def _sentence(comparison: Comparison, other: str, word: str) -> str:
    """Return the comparison in one sentence; `word` is what it shows, if that is what was asked for."""
    p_value = comparison.p_worse if word in {"worse", "not worse"} else comparison.p_better
    what = f"{word} than {other} beyond chance" if word else f"held against {other}"
    accuracies = f"{comparison.challenger:.4f} against {comparison.champion:.4f}"
    return f"{what} (p = {p_value:.2g}): accuracy {accuracies} on the same {comparison.n_samples:,} rows"
