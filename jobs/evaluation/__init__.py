"""How good a model's predictions on a holdout are: metrics, how sure they are, and what guessing would give."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from jobs.errors import FitError
from jobs.evaluation import intervals
from jobs.evaluation.context import class_notes, prior_baseline
from jobs.evaluation.ranking import Curve, Label, rank_classes

__all__ = ["METRICS", "ClassRow", "Curve", "Evaluation", "Label", "Metric"]

METRICS = ("accuracy", "balanced_accuracy", "f1_macro", "log_loss", "roc_auc")
"""The names of the metrics; of all but the log loss more is better."""


@dataclass(frozen=True)
class Metric:
    """A value and its 95 % confidence interval; None where the rows can't give it."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ClassRow:
    """One class: `support` rows are of it, `predicted` rows were taken for it; a share of no rows is 0."""

    label: Label
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What predictions on rows that were not trained on are worth.

    Parameters
    ----------
    n_samples : rows that were predicted.
    classes : sorted labels that the model knows or that occur, shape (n_classes,).
    metrics : `METRICS` to value and interval.
    baseline : `METRICS` to the value of always answering with the training rows' class shares.
    per_class : one row per class, in the order of `classes`.
    confusion : counts, shape (n_classes, n_classes), int64; rows are true classes, columns predicted ones.
    roc, precision_recall : one curve per class that occurs and is not alone; of two classes the second's only.
    notes : sentences that a reader of the numbers should know.
    """

    n_samples: int
    classes: np.ndarray
    metrics: Mapping[str, Metric]
    baseline: Mapping[str, float | None]
    per_class: tuple[ClassRow, ...]
    confusion: np.ndarray
    roc: tuple[Curve, ...]
    precision_recall: tuple[Curve, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_predictions(
        cls,
        y_true: np.ndarray,
        y_proba: np.ndarray,
        classes: np.ndarray,
        *,
        y_train: np.ndarray,
        random_state: int = 42,
    ) -> Self:
        """Evaluate predicted probabilities.

        The values are those of `sklearn.metrics`: `accuracy_score`, `balanced_accuracy_score`, `f1_score` (macro, 0 for
        0/0), `log_loss` (clipped by the epsilon of the dtype) and `roc_auc_score` (binary: of the second class; else
        macro one-vs-rest over the classes that occur). For the intervals see `jobs.evaluation.intervals`.

        Parameters
        ----------
        y_true : labels, shape (n_samples,), int64, bool or str. A label that is not in `classes` gets probability 0.
        y_proba : probabilities, shape (n_samples, n_known), float; the first largest of a row is the prediction.
        classes : the classes that the model knows, in the order of the columns, shape (n_known,).
        y_train : labels of the rows that were trained on, shape (n_train,), for the baseline.
        random_state : seed of the bootstrap.

        Raises
        ------
        ValueError
            If the shapes don't fit each other or there are no rows.
        FitError
            If a probability is not finite.
        """
        _check(y_true, y_proba, classes)
        union = np.unique(np.concatenate([classes, np.unique(y_true)]))
        labels: list[Label] = union.tolist()
        true, known = np.searchsorted(union, y_true), np.searchsorted(union, classes)
        predicted = known[np.argmax(y_proba, axis=1)]
        n, n_classes = len(true), len(labels)
        confusion = np.bincount(true * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)
        column = np.full(n_classes, -1)
        column[known] = np.arange(len(known))
        auc, auc_interval, roc, precision_recall = rank_classes(
            labels, true, lambda k: y_proba[:, column[k]] if column[k] >= 0 else np.zeros(n)
        )
        losses = _losses(y_proba, column[true])
        metrics = {
            **_count_metrics(confusion, random_state),
            "log_loss": _metric(float(losses.mean()), intervals.mean_interval(losses)),
            "roc_auc": _metric(auc, auc_interval),
        }
        return cls(
            n_samples=n,
            classes=union,
            metrics=metrics,
            baseline=prior_baseline(union, confusion.sum(axis=1), y_train, auc),
            per_class=_class_rows(labels, confusion),
            confusion=confusion,
            roc=roc,
            precision_recall=precision_recall,
            notes=tuple(class_notes(labels, confusion.sum(axis=1), column)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return all but the points of the curves as values that JSON knows; what is not a number becomes None."""
        return {
            "n_samples": self.n_samples,
            "classes": self.classes.tolist(),
            "metrics": {name: _finite(asdict(metric)) for name, metric in self.metrics.items()},
            "baseline": _finite(self.baseline),
            "per_class": [_finite(asdict(row)) for row in self.per_class],
            "confusion": self.confusion.tolist(),
            "roc_auc": [_finite({"label": curve.label, "area": curve.area}) for curve in self.roc],
            "average_precision": [
                _finite({"label": curve.label, "area": curve.area}) for curve in self.precision_recall
            ],
            "notes": list(self.notes),
        }


def _check(y_true: np.ndarray, y_proba: np.ndarray, classes: np.ndarray) -> None:
    """Raise if the arrays can't be evaluated."""
    if len(y_true) == 0 or y_proba.shape != (len(y_true), len(classes)):
        message = (
            f"y_proba must be (n_samples, n_classes) = {(len(y_true), len(classes))}, not empty, got {y_proba.shape}"
        )
        raise ValueError(message)
    bad = int(np.sum(~np.isfinite(y_proba.sum(axis=1))))
    if bad:
        message = f"the model's probabilities are not finite in {bad} of {len(y_true)} rows: the training has diverged"
        raise FitError(message)


def _losses(y_proba: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return each row's -log of the probability of its class, float64; `column` is -1 for an unknown class."""
    chosen = y_proba[np.arange(len(column)), column]
    eps = np.finfo(chosen.dtype if chosen.dtype.kind == "f" else np.float64).eps
    return np.asarray(-np.log(np.where(column >= 0, chosen, 0).clip(eps, 1 - eps).astype(np.float64)))


def _count_metrics(confusion: np.ndarray, random_state: int) -> dict[str, Metric]:
    """Return the metrics that depend on the counts only."""
    tp, true, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    n = int(true.sum())
    accuracy = float(tp.sum() / n)
    of_balanced, of_f1 = intervals.bootstrap(confusion, random_state)
    return {
        "accuracy": _metric(accuracy, intervals.wilson(accuracy, n)),
        "balanced_accuracy": _metric(float(intervals.balanced_accuracy(tp, true, predicted)), of_balanced),
        "f1_macro": _metric(float(intervals.f1_macro(tp, true, predicted)), of_f1),
    }


def _class_rows(labels: list[Label], confusion: np.ndarray) -> tuple[ClassRow, ...]:
    """Return the table of classes."""
    tp, true, predicted = (a.tolist() for a in (confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)))
    return tuple(
        ClassRow(label, hits / (taken or 1), hits / (rows or 1), 2 * hits / (rows + taken or 1), rows, taken)
        for label, hits, rows, taken in zip(labels, tp, true, predicted, strict=True)
    )


def _metric(value: float | None, interval: intervals.Interval | None) -> Metric:
    """Return a metric from a value and an interval, either of which may be missing."""
    return Metric(value, *(interval or (None, None)))


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace floats that JSON does not know by None."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }
