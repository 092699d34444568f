"""What a report says, in words and rounded numbers, before any markup: all readers get the same."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.evaluation import ClassRow, Evaluation, Label

if TYPE_CHECKING:
    from jobs.report import Report

MEANINGS = {
    "accuracy": ("Accuracy", "share of right answers"),
    "balanced_accuracy": ("Balanced accuracy", "recall, mean over the classes"),
    "f1_macro": ("F1, macro", "F1, mean over the classes"),
    "log_loss": ("Log loss", "-log of the true class's probability; less is better"),
    "roc_auc": ("ROC AUC", "how often a row of a class is ranked above another"),
}

MOST_CLASSES = 30
"""More classes than this are not shown one by one."""

WORST = 20
PAIRS = 10
FEATURES = 20
LONGEST = 60

NOTHING = "–"  # noqa: RUF001  # a dash, as in any printed table


@dataclass(frozen=True)
class Table:
    """Texts in rows; the first `texts` columns and those after `texts + numbers` are words, between are numbers."""

    headers: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    texts: int = 1
    numbers: int = 99

    def is_number(self, column: int) -> bool:
        """Tell whether a column is to be aligned right."""
        return self.texts <= column < self.texts + self.numbers


def number(value: float | None) -> str:
    """Return four decimals, more where four would say 1 or 0 for what is not."""
    if value is None or not math.isfinite(value):
        return NOTHING
    for decimals in range(4, 9):
        text = f"{value:.{decimals}f}"
        if value in {0, 1} or float(text) not in {0, 1}:
            break
    return text


def percent(value: float) -> str:
    """Return one decimal, more where that would say all or none for what is not."""
    for decimals in range(1, 6):
        text = f"{100 * value:.{decimals}f}%"
        if value in {0, 1} or float(text[:-1]) not in {0, 100}:
            break
    return text


def name(label: Label) -> str:
    """Return a name that comes from the data: visible, on one line, not endless."""
    text = re.sub(
        r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", lambda hit: repr(hit[0])[1:-1], str(label)
    )
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 20]}…{text[-19:]}"
    return text or "(empty)"


def headline(report: "Report") -> str:
    """Return the verdict in one word."""
    if report.status == "rejected":
        return "Rejected"
    return "Accepted" if report.gates else "Finished"


def verdict(evaluation: Evaluation) -> str:
    """Return the verdict in one sentence."""
    accuracy, base = evaluation.metrics["accuracy"], evaluation.baseline["accuracy"]
    sentence = (
        f"The model is right on {_percent(accuracy.value)} of {rows_in_words(evaluation.n_samples, 'held-out ')} "
    )
    sentence += f"(95% interval {_percent(accuracy.low)} to {_percent(accuracy.high)})"
    if base is None or accuracy.low is None or accuracy.high is None:
        return sentence + "."
    word = "clearly better" if accuracy.low > base else "worse" if accuracy.high < base else "not clearly better"
    return f"{sentence}: {word} than always answering the most frequent class ({percent(base)})."


def holdout(n_samples: int) -> str:
    """Return how far this many rows can be trusted."""
    step = f": one more right answer moves the accuracy by {100 / n_samples:.2g} points" if n_samples < 1000 else ""  # noqa: PLR2004
    return (
        f"This holdout has {rows_in_words(n_samples)}{step}. The intervals say how far the values could lie apart on other holdouts "
        "of this size; they do not cover another training run or data from another time. "
        "The baseline answers every row with the class shares of the training rows."
    )


def metrics(evaluation: Evaluation) -> Table:
    """Return value, interval and baseline of each metric."""
    rows = []
    for key, metric in evaluation.metrics.items():
        title, meaning = MEANINGS[key]
        interval = NOTHING if metric.low is None else f"{number(metric.low)} to {number(metric.high)}"
        rows.append((title, number(metric.value), interval, number(evaluation.baseline[key]), meaning))
    return Table(("Metric", "Value", "95% interval", "Baseline", "Meaning"), rows, numbers=3)


def gates(report: "Report") -> Table:
    """Return what was asked for and what was had."""
    rows = [
        (
            MEANINGS.get(metric, (metric,))[0],
            f"{least:.8g}",
            NOTHING if value is None else f"{value:.8g}",
            "yes" if passed else "NO",
        )
        for metric, least, value, passed in report.gates
    ]
    return Table(("Gate", "At least", "Value", "Passed"), rows, numbers=2)


def classes(evaluation: Evaluation) -> Table:
    """Return the table of classes; of many the worst."""
    areas = {curve.label: curve.area for curve in evaluation.roc}
    rows = [
        (name(row.label), number(row.precision), number(row.recall), number(row.f1))
        + ((number(areas.get(row.label)),) if len(evaluation.classes) > 2 else ())  # noqa: PLR2004
        + (f"{row.support}", f"{row.predicted}")
        for row in shown_classes(evaluation)
    ]
    auc = ("ROC AUC",) if len(evaluation.classes) > 2 else ()  # noqa: PLR2004
    return Table(("Class", "Precision", "Recall", "F1", *auc, "Rows", "Predicted"), rows)


def shown_classes(evaluation: Evaluation) -> list[ClassRow]:
    """Return the classes in their order, or of many the worst by F1, worst first, among those that occur."""
    rows = evaluation.per_class
    if len(rows) <= MOST_CLASSES:
        return list(rows)
    return sorted((row for row in rows if row.support), key=lambda row: row.f1)[:WORST]


def confused(evaluation: Evaluation) -> Table:
    """Return the most frequent mistakes."""
    errors = evaluation.confusion.copy()
    errors[range(len(errors)), range(len(errors))] = 0
    order = (-errors).argsort(axis=None, kind="stable")[:PAIRS]
    labels, support = evaluation.classes.tolist(), evaluation.confusion.sum(axis=1)
    rows = [
        (name(labels[i]), name(labels[j]), f"{errors[i, j]}", percent(errors[i, j] / support[i]))
        for i, j in (divmod(int(cell), len(labels)) for cell in order)
        if errors[i, j]
    ]
    return Table(("True class", "Taken for", "Rows", "Of the true class"), rows, texts=2)


def importances(values: Mapping[str, float]) -> tuple[Table, list[float], str]:
    """Return the greatest importances, their shares of the greatest from 0 to 1, and a sentence about the rest."""
    ranked = sorted(values.items(), key=lambda item: -item[1] if math.isfinite(item[1]) else math.inf)
    top = ranked[:FEATURES]
    greatest = max((value for _, value in top if math.isfinite(value)), default=0.0)
    shares = [max(0.0, value / greatest) if greatest > 0 and math.isfinite(value) else 0.0 for _, value in top]
    rest = sum(value for _, value in ranked[FEATURES:])
    sentence = (
        "" if len(ranked) <= FEATURES else f"The other {len(ranked) - FEATURES} features together: {number(rest)}."
    )
    return Table(("Feature", "Importance"), [(name(key), number(value)) for key, value in top]), shares, sentence


def series(curves: Mapping[str, Sequence[float]]) -> Table:
    """Return where each series of a training began and ended."""
    rows = [(name(key), f"{len(y)}", number(y[0]), number(y[-1])) for key, y in curves.items() if y]
    return Table(("Series", "Epochs", "First", "Last"), rows)


def _percent(value: float | None) -> str:
    """Return a percentage, or the sign for nothing."""
    return NOTHING if value is None or not math.isfinite(value) else percent(value)


def rows_in_words(n: int, kind: str = "") -> str:
    """Return a number of rows in words."""
    return f"{n:,} {kind}row{'' if n == 1 else 's'}"
