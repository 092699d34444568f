"""How well scores rank the rows of one class above the others: ROC, precision-recall, their areas and the variance."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from jobs.evaluation.intervals import Interval, logit_interval, rank_all_right

Label = int | bool | str

MOST_POINTS = 200


@dataclass(frozen=True, eq=False)
class Curve:
    """One class's curve.

    Parameters
    ----------
    label : the class.
    area : ROC AUC, or average precision.
    x, y : points, shape (n_points,) with n_points <= 200, float64 from 0 to 1: false and true positive rate, or
        recall and precision, from the strictest threshold on.
    """

    label: Label
    area: float
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class Ranking:
    """One class against the rest, by falling score.

    Parameters
    ----------
    tp, fp : rows of the class, and others, that score at least each distinct score, shape (n_thresholds,), int64.
    order : the rows by falling score, shape (n_samples,), int64.
    positive : whether each row in that order is of the class, shape (n_samples,), bool.
    threshold : the index of each row's score in that order, shape (n_samples,), int64.
    """

    tp: np.ndarray
    fp: np.ndarray
    order: np.ndarray
    positive: np.ndarray
    threshold: np.ndarray

    @classmethod
    def from_scores(cls, scores: np.ndarray, is_class: np.ndarray) -> Self:
        """Rank `scores`, shape (n_samples,), float; `is_class`, same shape, bool, must hold both values."""
        order = np.argsort(-scores)
        ranked, positive = scores[order], is_class[order]
        last = np.append(ranked[1:] != ranked[:-1], [True])
        ends = np.flatnonzero(last)
        tp = np.cumsum(positive)[ends]
        return cls(tp, ends + 1 - tp, order, positive, np.cumsum(last) - last)

    @property
    def m(self) -> int:
        """Rows of the class."""
        return int(self.tp[-1])

    @property
    def n(self) -> int:
        """Rows of the other classes."""
        return int(self.fp[-1])

    def auc(self) -> float:
        """Return the area under the ROC curve: the share of pairs ranked rightly, ties count half."""
        tp, fp = np.append(0, self.tp), np.append(0, self.fp)
        return float(np.sum(np.diff(fp) * (tp[1:] + tp[:-1]))) / (2 * self.m * self.n)

    def average_precision(self) -> float:
        """Return the precision at each threshold, weighted with the growth of recall there."""
        return float(np.sum(np.diff(self.tp, prepend=0) / self.m * self.tp / (self.tp + self.fp)))

    def influence(self) -> np.ndarray:
        """Return each row's part of the error of the AUC, shape (n_samples,); the sum of squares is its variance.

        A row of the class counts the others ranked below it (structural component V10), any other row those of the
        class ranked above it (V01), ties half: DeLong, DeLong and Clarke-Pearson (1988), "Comparing the areas under
        two or more correlated receiver operating characteristic curves", Biometrics 44, 837-845; by ranks as in Sun
        and Xu (2014), IEEE Signal Processing Letters 21, 1389-1393.
        """
        m, n, auc = self.m, self.n, self.auc()
        v10 = 1 - (self.fp - np.diff(self.fp, prepend=0) / 2) / n - auc
        v01 = (self.tp - np.diff(self.tp, prepend=0) / 2) / m - auc
        of_class = v10 / math.sqrt(m * max(m - 1, 1))
        of_others = v01 / math.sqrt(n * max(n - 1, 1))
        result = np.empty(len(self.order))
        result[self.order] = np.where(self.positive, of_class[self.threshold], of_others[self.threshold])
        return result

    def lone_variance(self) -> float:
        """Return the most that the variance can be for a side of one row, which by itself shows none."""
        auc = self.auc()
        return auc * (1 - auc) if min(self.m, self.n) == 1 else 0.0

    def roc(self, label: Label) -> Curve:
        """Return the ROC curve, from (0, 0) to (1, 1)."""
        return Curve(label, self.auc(), *_thin(np.append(0, self.fp) / self.n, np.append(0, self.tp) / self.m))

    def precision_recall(self, label: Label) -> Curve:
        """Return the precision where recall grows: a step back to the recall before has the average precision below."""
        grows = np.diff(self.tp, prepend=0) > 0
        tp, fp = self.tp[grows], self.fp[grows]
        precision = tp / (tp + fp)
        x, y = np.append(0, tp / self.m), np.append(precision[0], precision)
        return Curve(label, self.average_precision(), *_thin(x, y))


def rank_classes(
    labels: list[Label], true: np.ndarray, scores_of: Callable[[int], np.ndarray]
) -> tuple[float | None, Interval | None, tuple[Curve, ...], tuple[Curve, ...]]:
    """Return the macro one-vs-rest ROC AUC with its interval, and the ROC and precision-recall curves.

    The mean goes over the classes that occur and are not alone; of two classes only the second is looked at. One class
    is worked on at a time, so memory grows with `n_samples` only. The influences of a row on the AUCs of all classes
    are averaged before they are squared, so the correlation of the classes is part of the variance.

    Parameters
    ----------
    labels : the classes.
    true : index of each row's class, shape (n_samples,), int64.
    scores_of : gives the scores of a class, shape (n_samples,), float.
    """
    looked_at = range(1, 2) if len(labels) == 2 else range(len(labels))  # noqa: PLR2004
    rows = np.bincount(true, minlength=len(labels))
    roc, precision_recall, sides = [], [], []
    influence, lone = np.zeros(len(true)), 0.0
    for k in looked_at:
        if 0 < rows[k] < len(true):
            ranking = Ranking.from_scores(scores_of(k), true == k)
            roc.append(ranking.roc(labels[k]))
            precision_recall.append(ranking.precision_recall(labels[k]))
            sides.append((ranking.m, ranking.n))
            influence += ranking.influence()
            lone += ranking.lone_variance()
    if not roc:
        return None, None, (), ()
    auc = sum(curve.area for curve in roc) / len(roc)
    variance = (float(influence @ influence) + lone) / len(roc) ** 2
    return auc, _auc_interval(auc, variance, sides), tuple(roc), tuple(precision_recall)


def _auc_interval(auc: float, variance: float, sides: list[tuple[int, int]]) -> Interval:
    """Return the interval of an AUC; the bound for a perfect ranking stands in where there is no variance to see."""
    if 0 < auc < 1:
        return logit_interval(auc, variance)
    room = 1 - sum(rank_all_right(m, n) for m, n in sides) / len(sides)
    return (1 - room, 1.0) if auc >= 1 else (0.0, room)


def _thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `MOST_POINTS` of the points of a curve, evenly along its way, both ends among them."""
    if len(x) <= MOST_POINTS:
        return x, y
    way = np.append(0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    kept = np.unique(np.searchsorted(way, np.linspace(0, way[-1], MOST_POINTS)).clip(0, len(x) - 1))
    kept[-1] = len(x) - 1
    return x[kept], y[kept]
