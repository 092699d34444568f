"""Chance in the difference of two models, where rows may belong to each other: signs that could have been others."""

import math
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
MOST_NUMBERS = 10_000_000
"""Numbers that the resamples may take together (80 MB); at least a tenth of `RESAMPLES` are made."""

MOST_EXACT = 1_000_000
"""Rows that only one model has right, up to which the test of groups is exact."""


class Groups(NamedTuple):
    """Groups of rows that are alike in what they say of two models.

    Parameters
    ----------
    nets : rows that only the challenger has right less those that only the champion has, shape (n_kinds,), int64.
    sizes : rows of the group, shape (n_kinds,), int64.
    counts : groups that are so, shape (n_kinds,), int64.
    """

    nets: np.ndarray
    sizes: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, change: np.ndarray, groups: np.ndarray | None) -> "Groups":
        """Count the kinds of groups.

        Parameters
        ----------
        change : 1 for a row that only the challenger has right, -1 for one that only the champion has, else 0; (n,).
        groups : what each row belongs to, shape (n,), of any dtype that can be sorted; None if each is by itself.
        """
        if groups is None:
            gained, lost = (np.count_nonzero(change == each) for each in (1, -1))
            return cls(
                np.array([1, -1, 0]), np.ones(3, np.int64), np.array([gained, lost, len(change) - gained - lost])
            )
        _, group = np.unique(groups, return_inverse=True)
        sizes = np.bincount(group)
        nets = np.bincount(group, weights=change).astype(np.int64)
        above = int(sizes.max()) + 1
        kinds, counts = np.unique(nets * above + sizes, return_counts=True)
        return cls(kinds // above, kinds % above, counts)

    @property
    def inflation(self) -> float:
        """By how much larger the variance of the gain is than if each row were by itself; 1 if they never differ."""
        # Of a group with as many rows gained as lost nothing is left, so it is never taken for less than 1.
        moved = float(np.abs(self.nets) @ self.counts)
        return max(1.0, float(self.nets**2 @ self.counts) / moved) if moved else 1.0


def p_values(groups: Groups) -> tuple[float, float]:
    """Return how often chance would give the challenger, and the champion, what it has or more, if neither is better.

    If neither is better, the two may change places in each group. Of groups of one row that is the exact test of McNemar
    (1947), "Note on the sampling error of the difference between correlated proportions or percentages", Psychometrika 12,
    153-157. Of larger ones it is the randomization test of Fisher (1935), "The Design of Experiments", section 21, for the
    groups' net gains; the distribution of the sum over all changes of sign comes by its characteristic function.
    """
    from scipy import stats

    weights, nets = np.abs(groups.nets), groups.nets
    moved, won = int(weights @ groups.counts), int(nets.clip(min=0) @ groups.counts)
    if not moved:
        return 1.0, 1.0
    if weights.max() == 1:
        return tuple(  # type: ignore[return-value]
            float(stats.binomtest(each, moved, alternative="greater").pvalue) for each in (won, moved - won)
        )
    if moved > MOST_EXACT:
        deviation = math.sqrt(float(weights**2 @ groups.counts))
        return tuple(float(stats.norm.sf(side * (2 * won - moved) / deviation)) for side in (1, -1))  # type: ignore[return-value]
    chances = _sums(weights, groups.counts, moved)
    better, worse = chances[won:].sum(), chances[: won + 1].sum()
    return float(np.clip(better, 0, 1)), float(np.clip(worse, 0, 1))


def _sums(weights: np.ndarray, counts: np.ndarray, total: int) -> np.ndarray:
    """Return the chances of the sums 0 to `total` of weights, `counts` of each, each of which is in or out by a coin."""
    angles = 2j * np.pi * np.arange(total // 2 + 1) / (total + 1)
    transform = np.ones(len(angles), dtype=np.complex128)
    for weight, count in zip(weights.tolist(), counts.tolist(), strict=True):
        transform *= ((1 + np.exp(-weight * angles)) / 2) ** count
    return np.asarray(np.fft.irfft(transform, total + 1))


def interval(groups: Groups, alpha: float, random_state: int) -> tuple[float, float]:
    """Return the percentile interval of the gain, of level `1 - 2 * alpha`, by the paired bootstrap of groups.

    Groups are drawn with the answers of both models; how often each kind is drawn is multinomial, so the cost hardly
    grows with the rows. Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapters 8 and 13. It knows no
    width where the models never disagree, and too little where they hardly do: therefore a typical group more of each
    kind of disagreement is drawn from. Of groups of one row that is what the interval of Bonett and Price (2012) does,
    "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data", Journal of
    Educational and Behavioral Statistics 37, 479-488.
    """
    typical = round(math.sqrt(groups.inflation))
    n_groups = int(groups.counts.sum())
    size = max(typical, round(float(groups.sizes @ groups.counts) / n_groups))
    nets, sizes = np.append(groups.nets, [typical, -typical]), np.append(groups.sizes, [size, size])
    shares = np.append(groups.counts, [1, 1]) / (n_groups + 2)
    resamples = max(RESAMPLES // 10, min(RESAMPLES, MOST_NUMBERS // len(shares)))
    drawn = np.random.default_rng(random_state).multinomial(n_groups + 2, shares, size=resamples)
    low, high = np.quantile(drawn @ nets / (drawn @ sizes), [alpha, 1 - alpha])
    gain = float(groups.nets @ groups.counts) / float(groups.sizes @ groups.counts)
    return min(float(low), gain), max(float(high), gain)
