"""Whether one model is better than another on the same rows by more than chance, and what these rows could show."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np

from jobs.evaluation.ranking import Label

RESAMPLES = 10_000

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
    p_better : how often `gained` of the rows that only one has right, or more, would be the challenger's if neither were
        better; of no such row 1.
    p_worse : likewise how often `lost` or more would be the champion's.
    recall_drop : the worst class's fall of recall, the challenger's subtracted from the champion's, at least 0.
    recall_class : its label, None if no class's recall fell.
    recall_rows : rows of that class, 0 if there is none.
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

    @classmethod
    def from_predictions(
        cls,
        y_true: np.ndarray,
        challenger: np.ndarray,
        champion: np.ndarray,
        *,
        alpha: float = 0.05,
        random_state: int = 42,
    ) -> Self:
        """Compare two models' predictions.

        The p-values are those of the one-sided exact test of McNemar (1947), "Note on the sampling error of the difference
        between correlated proportions or percentages", Psychometrika 12, 153-157: of the rows that only one model has
        right, each is the challenger's with probability 1/2 if neither is better. For the interval see `_interval`.

        Parameters
        ----------
        y_true : labels, shape (n_samples,), int64, bool or str.
        challenger, champion : predicted labels, shape (n_samples,); of any dtype, a label that is not of the kind of
            `y_true` is wrong. For lack of a champion: the same label for all rows, the most frequent one of the training.
        alpha : level of the tests, above 0, at most 0.5.
        random_state : seed of the bootstrap.

        Raises
        ------
        ValueError
            If there are no rows, or not as many predictions.
        """
        from scipy import stats

        if not (len(y_true) == len(challenger) == len(champion) > 0):
            message = (
                f"as many predictions as labels, at least one: got {len(y_true)}, {len(challenger)}, {len(champion)}"
            )
            raise ValueError(message)
        n = len(y_true)
        ours, theirs = (np.broadcast_to(y_true == predicted, n) for predicted in (challenger, champion))
        gained, lost = int(np.sum(ours & ~theirs)), int(np.sum(theirs & ~ours))
        low, high = _interval(n, gained, lost, alpha, random_state)
        disagreeing = gained + lost
        p_better, p_worse = (
            float(stats.binomtest(rows, disagreeing, alternative="greater").pvalue) if disagreeing else 1.0
            for rows in (gained, lost)
        )
        return cls(
            n,
            alpha,
            float(np.mean(ours)),
            float(np.mean(theirs)),
            gained,
            lost,
            (gained - lost) / n,
            low,
            high,
            p_better,
            p_worse,
            *_worst_fall(y_true, ours, theirs),
        )

    @property
    def least_gain(self) -> float | None:
        """The smallest gain that these rows could show: see the function `least_gain`."""
        return least_gain(self.n_samples, self.alpha)

    @property
    def likely_gain(self) -> float | None:
        """The true gain found in `POWER` of the cases, if models disagree on as many rows as these two do."""
        return likely_gain(self.n_samples, self.gained + self.lost, self.alpha)

    def to_json(self) -> dict[str, Any]:
        """Return the fields, and what the rows could show, as values that JSON knows."""
        return {**asdict(self), "least_gain": self.least_gain, "likely_gain": self.likely_gain}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Return what `to_json` gave; what else is there is passed over."""
        return cls(**{each.name: said[each.name] for each in fields(cls)})


def _interval(n: int, gained: int, lost: int, alpha: float, random_state: int) -> tuple[float, float]:
    """Return the percentile interval of the gain by the paired bootstrap.

    Rows are drawn as pairs of answers; the gain depends on them only through how many are gained, lost and neither, and
    these counts are then multinomial: so the cost is the same for any `n`. Efron and Tibshirani (1993), "An Introduction
    to the Bootstrap", chapter 13. It knows no width where the models never disagree, and too little where they hardly
    do: therefore one row more of each kind of disagreement is drawn from, as in the interval of Bonett and Price (2012),
    "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data", Journal of
    Educational and Behavioral Statistics 37, 479-488.
    """
    rng = np.random.default_rng(random_state)
    shares = np.array([gained + 1, lost + 1, n - gained - lost]) / (n + 2)
    drawn = rng.multinomial(n + 2, shares, size=RESAMPLES)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / (n + 2), [alpha, 1 - alpha])
    gain = (gained - lost) / n
    return min(float(low), gain), max(float(high), gain)


def _worst_fall(y_true: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> tuple[float, Label | None, int]:
    """Return the greatest fall of a class's recall, the class (the first of equal ones), and how many rows it has."""
    classes, codes, rows = np.unique(y_true, return_inverse=True, return_counts=True)
    change = np.bincount(codes, weights=theirs.astype(np.int64) - ours, minlength=len(classes)) / rows
    worst = int(np.argmax(change))
    if change[worst] <= 0:
        return 0.0, None, 0
    return float(change[worst]), classes[worst].item(), int(rows[worst])
