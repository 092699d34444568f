"""What a report says of the decision, the comparison behind it, and what the holdout can show."""

from typing import TYPE_CHECKING

from jobs.evaluation.comparison import POWER, Comparison, least_gain
from jobs.report import view
from jobs.report.view import Table

if TYPE_CHECKING:
    from jobs.evaluation.duplicates import Duplicates
    from jobs.report import Decision, Report

MAJORITY = "the most frequent class"
"""What a first model is compared with."""


def headline(decision: "Decision") -> tuple[str, str]:
    """Return the decision in a word or two, and who is champion by it."""
    model = view.name(decision.model)
    before = decision.champion and view.name(decision.champion)
    if decision.verdict == "promote":
        place = f"takes the place of {before} as champion" if before else "becomes the first champion"
        return "Promoted", f"This model {place} of {model}, as soon as all of its run is in MLflow."
    if decision.verdict == "keep":
        rest = f"{_begun(before)} stays the champion of {model}." if before else f"{model} has no champion yet."
        return "Not promoted", rest
    return "Not decided yet", f"Whether this model becomes the champion of {model} is decided later, on the same rows."


def sentences(report: "Report") -> list[str]:
    """Return reason and rule of the decision, then what the numbers say."""
    decision, comparison = report.decision, report.comparison
    said = []
    if decision:
        said += [f"Reason: {_ended(decision.reason)}", f"Rule: {_ended(decision.rule)}"]
    if comparison:
        said += [_gain(comparison, _champion(decision)), detectable(report)]
    return [each for each in said if each]


def _begun(text: str) -> str:
    """Return a text from elsewhere as a sentence begins."""
    return text[:1].upper() + text[1:]


def _ended(text: str) -> str:
    """Return a text from elsewhere as a sentence ends."""
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _champion(decision: "Decision | None") -> str:
    """Return what people call the other side of the comparison."""
    return view.name(decision.champion) if decision and decision.champion else MAJORITY


def _gain(comparison: Comparison, champion: str) -> str:
    """Return the gain in one sentence."""
    word = "gain" if comparison.gain >= 0 else "loss"
    answers = f"always answering {champion}" if champion == MAJORITY else champion
    return (
        f"On the same {comparison.n_samples:,} held-out rows this model is right on {view.percent(comparison.challenger)}, "
        f"{answers} on {view.percent(comparison.champion)}: a {word} of {points(abs(comparison.gain))} points "
        f"({_level(comparison)} interval of the gain {points(comparison.low)} to {points(comparison.high)})."
    )


def detectable(report: "Report") -> str:
    """Return what this many rows can show about a gain, and with a comparison what they are likely to."""
    alpha = report.alpha
    n = report.comparison.n_groups if report.comparison else report.evaluation.n_samples
    least = least_gain(n, alpha)
    if least is None:
        return f"This holdout can detect no gain at all: it has too few rows for the level {alpha:g}."
    sentence = (
        f"This holdout can detect a gain of {points(least)} points at best: {view.rows_in_words(round(least * n))} that only the new "
        f"model has right, and none that only the other has (one-sided test at level {alpha:g})."
    )
    if report.comparison is None:
        return sentence
    likely = report.comparison.likely_gain
    disagreeing = (report.comparison.gained + report.comparison.lost) / report.comparison.n_samples
    where = f"Between models that differ on as many answers as these ({view.percent(disagreeing)})"
    found = f"a true gain of {points(likely)} points is" if likely is not None else "no gain is"
    return f"{sentence} {where}, {found} found in {POWER:.0%} of cases."


def table(report: "Report") -> Table | None:
    """Return the numbers of the comparison."""
    comparison = report.comparison
    if comparison is None:
        return None
    champion = _champion(report.decision)
    rows = [
        ("Accuracy of this model", view.number(comparison.challenger), "share of right answers"),
        (f"Accuracy of {champion}", view.number(comparison.champion), "on the same rows"),
        (
            "Gain",
            f"{comparison.gain:+.4f}",
            f"{_level(comparison)} interval {comparison.low:+.4f} to {comparison.high:+.4f}",
        ),
        ("Right by this model only", f"{comparison.gained:,}", "rows"),
        ("Right by the other only", f"{comparison.lost:,}", "rows"),
        (
            "p-value of better",
            probability(comparison.p_better),
            "how often chance gives this model so many of these rows",
        ),
        ("p-value of worse", probability(comparison.p_worse), "how often chance gives the other so many of these rows"),
    ]
    if comparison.n_groups < comparison.n_samples:
        meaning = "rows that belong to each other, or are there twice, say one thing together"
        rows.append(("Groups of rows", f"{comparison.n_groups:,}", meaning))
    if champion != MAJORITY:
        rows.append(("Worst fall of recall", view.number(comparison.recall_drop), _fallen(comparison)))
    return Table(("Comparison", "Value", "Meaning"), rows, numbers=1)


def _fallen(comparison: Comparison) -> str:
    """Return the class whose recall fell most beyond chance."""
    if comparison.recall_class is None:
        return "no class's recall fell beyond chance"
    return f"class {view.name(comparison.recall_class)}, {view.rows_in_words(comparison.recall_rows)}"


def duplicates(found: "Duplicates | None", n_samples: int) -> str:
    """Return what rows on both sides of the split do to the accuracy; empty if there are none."""
    if found is None or not found.n_rows:
        return ""
    are = "are rows that were" if found.n_rows > 1 else "is a row that was"
    sentence = f"{found.n_rows:,} of the {n_samples:,} held-out rows {are} trained on too, with the very same features"
    if found.accuracy is None or found.accuracy.value is None:
        return f"{sentence}: the accuracy says nothing of rows that are new to the model."
    low, high = found.accuracy.low, found.accuracy.high
    interval = "" if low is None or high is None else f" (95% interval {view.percent(low)} to {view.percent(high)})"
    return f"{sentence}. On the others the model is right on {view.percent(found.accuracy.value)}{interval}."


def points(share: float) -> str:
    """Return percentage points."""
    return f"{100 * share:.2g}" if abs(share) < 0.1 else f"{100 * share:.0f}"  # noqa: PLR2004


def probability(p_value: float) -> str:
    """Return four decimals, or that it is less."""
    return f"{p_value:.4f}" if p_value >= 1e-4 else "< 0.0001"  # noqa: PLR2004


def _level(comparison: Comparison) -> str:
    """Return the level of the interval of the gain."""
    return f"{100 * (1 - 2 * comparison.alpha):.4g}%"
