"""Whether two samples may be of one distribution, and how far they are from each other."""

import warnings
from typing import Literal, NamedTuple

import numpy as np

Test = Literal["Kolmogorov-Smirnov", "chi-square", "Fisher", "none"]

LEAST_EXPECTED = 5.0
"""Rows that the chi-square test needs in each cell, by the usual rule (Cochran 1954, Biometrics 10, 417-451)."""

EXACT_ROWS = 100
"""Up to so many values in each sample the Kolmogorov-Smirnov test is exact."""


class Finding(NamedTuple):
    """What a test says: `p_value` is how often samples of one distribution differ by `statistic` or more.

    Of Fisher's test the statistic is the difference of the shares of the first cell.
    """

    test: Test
    statistic: float
    p_value: float


NOTHING = Finding("none", 0.0, 1.0)
"""There is nothing to be tested."""


def kolmogorov_smirnov(one: np.ndarray, other: np.ndarray) -> Finding:
    """Compare two sorted samples of numbers; shapes (n,) and (m,), without NaN.

    The statistic is the greatest distance of the empirical distribution functions. Its
    p-value is exact for small samples: Hodges (1958), "The significance probability of the Smirnov two-sample test", Arkiv
    för Matematik 3, 469-486. For larger ones it is that of one sample of `n * m / (n + m)` values, rounded down, which
    rather errs on the safe side. With ties, as discrete columns have them, the p-value is too large, never too small.
    """
    from scipy import stats

    n, m = len(one), len(other)
    if not (n and m):
        return NOTHING
    if max(n, m) > EXACT_ROWS:
        distance = _distance(one, other)
        return Finding("Kolmogorov-Smirnov", distance, float(stats.kstwo.sf(distance, max(1, n * m // (n + m)))))
    with warnings.catch_warnings():
        # A probability of 1 may come out as a little more; then the large samples' one is taken, which is 1 as well.
        warnings.filterwarnings("ignore", "ks_2samp: Exact calculation unsuccessful", RuntimeWarning)
        exact = stats.ks_2samp(one, other, method="exact")
    return Finding("Kolmogorov-Smirnov", float(exact.statistic), float(exact.pvalue))


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the statistic of `scipy.stats.ks_2samp`, without its checks, which take most of its time."""
    values = np.concatenate([one, other])
    shares = (np.searchsorted(each, values, side="right") / len(each) for each in (one, other))
    return float(np.abs(np.subtract(*shares)).max())


def chi_square(one: np.ndarray, other: np.ndarray) -> Finding:
    """Compare how two samples fall into the same cells; counts, shape (n_cells,), pooled by `pool`.

    Pearson (1900), "On the criterion that a given system of deviations ...", Philosophical Magazine 50, 157-175, each
    deviation taken half a row smaller: Yates (1934), "Contingency tables involving small numbers and the chi-square test",
    Supplement to the Journal of the Royal Statistical Society 1, 217-235. Without that its tail is too light for samples of
    very different sizes, where many columns are tested. Two cells with few rows are tested exactly: Fisher (1922), "On the
    interpretation of chi-square from contingency tables", Journal of the Royal Statistical Society 85, 87-94.
    """
    from scipy import stats

    table = np.stack([one, other])
    if table.shape[1] < 2 or not table.sum(axis=1).all():  # noqa: PLR2004
        return NOTHING
    expected = stats.contingency.expected_freq(table)
    if expected.min() < LEAST_EXPECTED:
        shares = table[:, 0] / table.sum(axis=1)
        return Finding("Fisher", float(abs(shares[1] - shares[0])), float(stats.fisher_exact(table).pvalue))
    deviations = np.maximum(np.abs(table - expected) - 0.5, 0)
    statistic = float(np.sum(deviations**2 / expected))
    return Finding("chi-square", statistic, float(stats.chi2.sf(statistic, table.shape[1] - 1)))


def pool(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the cell that each of some categories goes to, so that no cell is sparse; shape (n_categories,), int64.

    Categories of which less than `LEAST_EXPECTED` rows are expected in one of the samples share the last cell; if that
    is sparse still, the rarest other category joins them. What is left as one cell becomes two: the most frequent
    category and the rest. All of this looks at both samples together, never at how they differ: otherwise those that are
    frequent in one of them by chance would be found to be rarer in the other.

    Parameters
    ----------
    one, other : counts of each category, shape (n_categories,).
    """
    total = one + other
    smaller, n = min(one.sum(), other.sum()), total.sum()
    order = np.argsort(-total, kind="stable")
    expected = total[order] * (smaller / n if n else 0.0)
    kept = int(np.sum(expected >= LEAST_EXPECTED))
    if kept < len(order) and kept > 1 and expected[kept:].sum() < LEAST_EXPECTED:
        kept -= 1
    cells = np.empty(len(order), dtype=np.int64)
    cells[order] = np.minimum(np.arange(len(order)), max(kept, 1))
    return cells


def psi(one: np.ndarray, other: np.ndarray) -> float:
    """Return the population stability index of counts in the same bins, shape (n_bins,); 0 if a sample is empty.

    `sum((q - p) * log(q / p))` over the shares `p` of the one sample and `q` of the other. An empty bin would make it
    infinite: so half a row is added to each bin, but for those that are empty in both samples. Below 0.1 is usually
    called stable, above 0.25 a shift. Siddiqi (2006), "Credit Risk Scorecards", chapter 9.
    """
    filled = (one + other) > 0
    if not (one.sum() and other.sum()):
        return 0.0
    p, q = ((counts[filled] + 0.5) / (counts[filled] + 0.5).sum() for counts in (one, other))
    return float(np.sum((q - p) * np.log(q / p)))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values adjusted for their number, shape (n,): each is at most alpha with no more than that probability.

    Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 65-70.
    It holds however the columns depend on each other.
    """
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted
