"""95 % confidence intervals: what another draw of as many rows could have given."""

import math
from collections.abc import Iterator

import numpy as np

Z = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""

RESAMPLES = 1000
BLOCK = 2_000_000
"""Most numbers that a block of resamples may hold (16 MB)."""

Interval = tuple[float, float]


def wilson(share: float, n: float) -> Interval:
    """Return the score interval of a share among `n` independent rows.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference", JASA 22, 209-212.
    It stays in [0, 1] and has a width also for a share of 0 or 1.
    """
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def mean_interval(values: np.ndarray) -> Interval | None:
    """Return the normal interval of the mean of `values`, shape (n,), none below 0; None for a single one."""
    if len(values) < 2:  # noqa: PLR2004
        return None
    mean = float(np.mean(values, dtype=np.float64))
    half = Z * float(np.std(values, dtype=np.float64, ddof=1)) / math.sqrt(len(values))
    return max(0.0, mean - half), mean + half


def logit_interval(share: float, variance: float) -> Interval:
    """Return the normal interval on the logit scale of an estimate inside (0, 1) with that variance.

    By the delta method the standard error there is `sqrt(variance) / (share (1 - share))`; the interval stays in (0, 1).
    Pepe (2003), "The Statistical Evaluation of Medical Tests for Classification and Prediction", section 5.2.
    """
    half = Z * math.sqrt(variance) / (share * (1 - share))
    centre = math.log(share / (1 - share))
    return _expit(centre - half), _expit(centre + half)


def rank_all_right(m: int, n: int) -> float:
    """Return the lower bound of the ROC AUC of `m` rows that all rank above `n` others.

    Newcombe (2006), "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2",
    Statistics in Medicine 25, 559-573, method 5: a score interval like Wilson's, with the variance of Hanley and
    McNeil at the bound itself.
    """
    from scipy.optimize import brentq

    more = (m + n) / 2 - 1

    def excess(auc: float) -> float:
        return (1 - auc) * m * n - Z**2 * auc * (1 + more * ((1 - auc) / (2 - auc) + auc / (1 + auc)))

    return float(brentq(excess, 0, 1))


def balanced_accuracy(tp: np.ndarray, true: np.ndarray, _predicted: np.ndarray) -> np.ndarray:
    """Return the mean recall of the classes that occur; all arrays (..., n_classes), the result (...)."""
    occurs = true > 0
    recall = np.divide(tp, true, out=np.zeros(tp.shape), where=occurs)
    return np.asarray(recall.sum(axis=-1) / occurs.sum(axis=-1))


def f1_macro(tp: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the mean F1 of the classes that occur or are predicted; all arrays (..., n_classes), the result (...)."""
    rows = true + predicted
    f1 = np.divide(2 * tp, rows, out=np.zeros(tp.shape), where=rows > 0)
    return np.asarray(f1.sum(axis=-1) / (rows > 0).sum(axis=-1))


def bootstrap(confusion: np.ndarray, random_state: int) -> tuple[Interval, Interval]:
    """Return the percentile bootstrap intervals of balanced accuracy and, corrected for its bias, of macro F1.

    Both depend on the rows through the confusion matrix only, and drawing `n` rows with replacement draws the matrix
    from a multinomial distribution: so the cost is that of the matrix, for any `n`. Where the resamples do not
    differ (all right, all wrong, one row) the bootstrap knows no width: then Wilson's interval, see `effective_rows`.
    Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapters 13 and 14.3.

    Parameters
    ----------
    confusion : counts, shape (n_classes, n_classes), int64, rows are the true classes.
    random_state : seed of the resampling.
    """
    balanced, f1 = np.concatenate([_scores(*counts) for counts in _resamples(confusion, random_state)], axis=1)
    of_balanced, of_f1 = _scores(confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)).tolist()
    n = effective_rows(confusion.sum(axis=1))
    return _percentile(of_balanced, balanced, 0.0, n), _percentile(of_f1, f1, _median_bias(of_f1, f1), n)


def _percentile(value: float, drawn: np.ndarray, bias: float, n: float) -> Interval:
    """Return the percentile interval of resamples, its levels moved by a bias in normal quantiles; Wilson's if empty."""
    from scipy.special import ndtr

    low, high = np.quantile(drawn, ndtr(2 * bias + np.array([-Z, Z])))
    return (min(float(low), value), max(float(high), value)) if low < high else wilson(value, n)


def _median_bias(value: float, drawn: np.ndarray) -> float:
    """Return how far the median of the resamples lies beside the value, as a normal quantile.

    The mean F1 of classes with few rows sinks with the resampling, as it did with the sampling; without the correction
    its interval would lie too low.
    """
    from scipy.special import ndtri

    below = np.mean(drawn < value) + np.mean(drawn == value) / 2
    return float(ndtri(np.clip(below, 0.5 / len(drawn), 1 - 0.5 / len(drawn))))


def effective_rows(true: np.ndarray) -> float:
    """Return how many rows an accuracy needs for the variance that the mean recall has, if all recalls are alike.

    `K**2 / sum(1 / n_k)` over the K classes that occur, `n_k` rows each: `n` if the classes are balanced.
    """
    rows = true[true > 0]
    return float(len(rows) ** 2 / np.sum(1 / rows))


def _scores(tp: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Stack balanced accuracy and macro F1."""
    return np.stack([balanced_accuracy(tp, true, predicted), f1_macro(tp, true, predicted)])


def _resamples(confusion: np.ndarray, random_state: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield blocks of resamples: correct, true and predicted rows per class, each of shape (block, n_classes)."""
    from scipy import sparse

    rng = np.random.default_rng(random_state)
    rows, columns = np.nonzero(confusion)
    counts = confusion[rows, columns]
    n, cells, n_classes = int(counts.sum()), len(counts), len(confusion)
    cell = np.arange(cells)
    to_row = sparse.csr_array((np.ones(cells), (cell, rows)), shape=(cells, n_classes))
    to_column = sparse.csr_array((np.ones(cells), (cell, columns)), shape=(cells, n_classes))
    right = rows == columns
    # Many thousand cells are many classes, whose mean varies little: fewer resamples are enough.
    left = max(200, min(RESAMPLES, 10_000_000 // cells))
    while left:
        block = min(left, max(1, BLOCK // max(cells, n_classes)))
        drawn = rng.multinomial(n, counts / n, size=block)
        yield (drawn * right) @ to_row, drawn @ to_row, drawn @ to_column
        left -= block


def _expit(x: float) -> float:
    """Return the logistic function of x without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
