"""Whether one model is better than another on the same rows by more than chance, and what these rows could show."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from jobs.evaluation import paired
from jobs.evaluation.ranking import Label

POWER = 0.8
"""How often `likely_gain` would be found: the usual power of a planned study."""

SPREAD = 6.0
"""Standard deviations of a count that are summed over: beyond lie less than 1 in 10**8 draws."""


def least_gain(n_samples: int, alpha: float) -> float | None:
    """Return the smallest gain of accuracy that so many rows could show at level `alpha`, None if they can show none.

    `k` rows that only the challenger has right, and none that only the champion has, have the probability `0.5**k` if
    neither is better: so `k` must be at least `log2(1 / alpha)`.
    """
    rows = math.ceil(-math.log2(alpha))
    return rows / n_samples if rows <= n_samples else None


def likely_gain(n_samples: int, disagreeing: int, alpha: float) -> float | None:
    """Return the true gain that the exact test finds in `POWER` of the cases, None if there is no such gain.

    The power is summed over the binomial number of rows on which the models disagree: `disagreeing / n_samples` of the
    rows, or as large a share as the gain itself. Connor (1987), "Sample size for testing differences in proportions for
    the paired-sample design", Biometrics 43, 207-211, has the normal approximation of it.
    """
    low, high = 0.0, 1.0
    if _power(high, n_samples, 1.0, alpha) < POWER:
        return None
    for _ in range(40):
        middle = (low + high) / 2
        enough = _power(middle, n_samples, max(disagreeing / n_samples, middle), alpha) >= POWER
        low, high = (low, middle) if enough else (middle, high)
    return high


def _power(gain: float, n_samples: int, disagreement: float, alpha: float) -> float:
    """Return how often the exact test finds a true gain, if the models disagree on that share of the rows."""
    from scipy import stats

    mean, half = n_samples * disagreement, SPREAD * math.sqrt(n_samples * disagreement * (1 - disagreement))
    # Of many numbers some are enough: the power hardly differs from one to the next.
    step = max(1, int(half) // 100)
    counts = np.arange(max(0, math.floor(mean - half)), min(n_samples, math.ceil(mean + half)) + 1, step)
    weights = stats.binom.pmf(counts, n_samples, disagreement)
    needed = stats.binom.isf(alpha, counts, 0.5) + 1
    found = stats.binom.sf(needed - 1, counts, min(1.0, (disagreement + gain) / (2 * disagreement)))
    return float(weights @ found / weights.sum())


@dataclass(frozen=True)
class Comparison:
    """What the predictions of two models on the same held-out rows say of which is better.

    Parameters
    ----------
    n_samples : rows that both predicted.
    alpha : level of the one-sided tests.
    challenger, champion : accuracies.
    gained, lost : rows that only the challenger, or only the champion, has right.
    gain : difference of the accuracies, the champion's subtracted.
    low, high : interval of the gain at level `1 - 2 * alpha`, so that each end is as sure as a one-sided test.
    p_better : how often chance would give the challenger so much more than the champion, or more, if neither were better.
    p_worse : likewise the champion.
    recall_drop : the worst class's fall of recall beyond chance (sign test at `alpha` among its rows), the challenger's
        subtracted from the champion's, at least 0.
    recall_class : its label, None if no class's recall fell so.
    recall_rows : rows of that class, 0 if there is none.
    n_groups : groups of rows that belong to each other; `n_samples` if each is by itself.
    inflation : how many times more the gain varies than if each row were by itself.
    """

    n_samples: int
    alpha: float
    challenger: float
    champion: float
    gained: int
    lost: int
    gain: float
    low: float
    high: float
    p_better: float
    p_worse: float
    recall_drop: float
    recall_class: Label | None
    recall_rows: int
    n_groups: int
    inflation: float

    @classmethod
    def from_predictions(  # noqa: PLR0913 - three arrays and what they are to be read by
        cls,
        y_true: np.ndarray,
        challenger: np.ndarray,
        champion: np.ndarray,
        *,
        groups: np.ndarray | None = None,
        alpha: float = 0.05,
        random_state: int = 42,
    ) -> Self:
        """Compare two models' predictions; for the tests and the interval see `jobs.evaluation.paired`.

        Parameters
        ----------
        y_true : labels, shape (n_samples,), int64, bool or str.
        challenger, champion : predicted labels, shape (n_samples,); of any dtype, a label that is not of the kind of
            `y_true` is wrong. For lack of a champion: the same label for all rows, the most frequent one of the training.
        groups : what each row belongs to, shape (n_samples,): rows of a group, such as those of a person or those that are
            there many times, say one thing together, not many. None if each row is by itself.
        alpha : level of the tests, above 0, at most 0.5.
        random_state : seed of the bootstrap.

        Raises
        ------
        ValueError
            If there are no rows, or not as many predictions.
        """
        if not (len(y_true) == len(challenger) == len(champion) > 0):
            message = (
                f"as many predictions as labels, at least one: got {len(y_true)}, {len(challenger)}, {len(champion)}"
            )
            raise ValueError(message)
        n = len(y_true)
        ours, theirs = (np.broadcast_to(y_true == predicted, n) for predicted in (challenger, champion))
        change = ours.astype(np.int8) - theirs
        kinds = paired.Groups.of(change, groups)
        gained, lost = int(np.sum(change > 0)), int(np.sum(change < 0))
        low, high = paired.interval(kinds, alpha, random_state)
        p_better, p_worse = paired.p_values(kinds)
        recall_drop, recall_class, recall_rows = _worst_fall(y_true, -change, alpha)
        return cls(
            n_samples=n,
            alpha=alpha,
            challenger=float(np.mean(ours)),
            champion=float(np.mean(theirs)),
            gained=gained,
            lost=lost,
            gain=(gained - lost) / n,
            low=low,
            high=high,
            p_better=p_better,
            p_worse=p_worse,
            recall_drop=recall_drop,
            recall_class=recall_class,
            recall_rows=recall_rows,
            n_groups=int(kinds.counts.sum()),
            inflation=kinds.inflation,
        )

    @property
    def least_gain(self) -> float | None:
        """The smallest gain that these rows could show: see the function `least_gain`.

        Rows that belong to each other count as one: that is a little too much if their groups are of unequal size.
        """
        return least_gain(self.n_groups, self.alpha)

    @property
    def likely_gain(self) -> float | None:
        """The true gain found in `POWER` of the cases, if models disagree on as many rows as these two do.

        Rows that belong to each other count as the fewer that vary as much by themselves.
        """
        rows, disagreeing = (round(each / self.inflation) for each in (self.n_samples, self.gained + self.lost))
        return likely_gain(max(1, rows), min(max(1, rows), disagreeing), self.alpha)

    def to_json(self) -> dict[str, Any]:
        """Return the fields, and what the rows could show, as values that JSON knows."""
        return {**asdict(self), "least_gain": self.least_gain, "likely_gain": self.likely_gain}


def _worst_fall(y_true: np.ndarray, lost: np.ndarray, alpha: float) -> tuple[float, Label | None, int]:
    """Return the greatest fall of a class's recall beyond chance, the class (the first of equal ones), and its rows.

    A class of few rows falls by much for no reason: of many such classes one always does. So a fall counts if the sign
    test among the class's own rows says so; not corrected for the number of classes, to be on the safe side.

    `lost` is 1 for a row that only the champion has right, -1 for one that only the challenger has; shape (n_samples,).
    """
    from scipy import stats

    classes, codes, rows = np.unique(y_true, return_inverse=True, return_counts=True)
    falls, rises = (np.bincount(codes[lost == sign], minlength=len(classes)) for sign in (1, -1))
    is_sure = stats.binom.sf(falls - 1, falls + rises, 0.5) <= alpha
    change = np.where(is_sure, (falls - rises) / rows, 0)
    worst = int(np.argmax(change))
    if change[worst] <= 0:
        return 0.0, None, 0
    return float(change[worst]), classes[worst].item(), int(rows[worst])
