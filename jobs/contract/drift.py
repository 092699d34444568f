"""Whether data still look like those of the contract: a test for each column, and how far it is away."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from jobs.contract import statistics
from jobs.contract.columns import Categories, Column, Numbers, cut
from jobs.contract.profile import Profile
from jobs.contract.statistics import Finding, Test

BINS = 10
FEW_VALUES = 20
"""Numeric columns of at most so many different values have a bin for each."""

MOST_TOLD = 20
"""Columns that the journal is told of, those with the largest index."""


@dataclass(frozen=True, eq=False)
class ColumnDrift:
    """One column then and now.

    Parameters
    ----------
    name : of the column.
    before, now : the column in the reference and in the current data.
    test : what gave `statistic` and `p_value`.
    of_missing : whether it was the shares of missing values that it compared.
    statistic : of the test.
    p_value : how often data of one distribution would differ so much; already for both parts of the column.
    psi : population stability index.
    adjusted : the p-value, adjusted for the number of columns by Holm's method.
    is_alarm : whether the adjusted p-value is at most alpha.
    """

    name: str
    before: Column
    now: Column
    test: Test
    of_missing: bool
    statistic: float
    p_value: float
    psi: float
    adjusted: float
    is_alarm: bool

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as values that JSON knows."""
        test = f"{self.test} of missing or not" if self.of_missing else self.test
        numbers = {key: getattr(self, key) for key in ("statistic", "p_value", "adjusted", "psi")}
        return {"column": cut(self.name), "test": test, **numbers}


@dataclass(frozen=True, eq=False)
class Drift:
    """How current data differ from those of the contract.

    Parameters
    ----------
    alpha : probability of any alarm at all if nothing has changed, at most.
    n_before, n_now : rows that were looked at.
    columns : one entry for each column that both have, and for the labels, which come last.
    """

    alpha: float
    n_before: int
    n_now: int
    columns: tuple[ColumnDrift, ...]

    @classmethod
    def between(cls, reference: Profile, current: Profile, *, alpha: float) -> Self:
        """Hold a profile against that of the contract.

        A numeric column is tested in two parts: its values by Kolmogorov and Smirnov's test, and whether they are missing
        by the chi-square test, if any are. The smaller p-value counts, twice (Bonferroni). Text and labels are tested by
        the chi-square test, with missing values as a category. All p-values are adjusted by Holm's method.
        """
        pairs = list(_pairs(reference, current))
        found = [_test(before, now) for _, before, now in pairs]
        adjusted = statistics.holm(np.array([part.p_value for part in found])).tolist()
        columns = tuple(
            ColumnDrift(name, before, now, **part._asdict(), adjusted=p_value, is_alarm=p_value <= alpha)
            for (name, before, now), part, p_value in zip(pairs, found, adjusted, strict=True)
        )
        return cls(alpha, reference.n_sampled, current.n_sampled, columns)

    @property
    def alarms(self) -> tuple[ColumnDrift, ...]:
        """The columns that differ by more than chance, the largest index first."""
        return tuple(sorted((column for column in self.columns if column.is_alarm), key=lambda column: -column.psi))

    @property
    def worst(self) -> ColumnDrift | None:
        """The column with the largest index among the alarms, None if there are none."""
        return self.alarms[0] if self.alarms else None

    def to_json(self, most: int | None = MOST_TOLD) -> dict[str, Any]:
        """Return the summary and the columns with an alarm, at most so many, as values that JSON knows."""
        alarms = self.alarms
        return {
            "alpha": self.alpha,
            "rows": [self.n_before, self.n_now],
            "columns": len(self.columns),
            "alarms": len(alarms),
            "worst": self.worst.psi if self.worst else None,
            "alarming": [column.to_json() for column in alarms[:most]],
        }


def _pairs(reference: Profile, current: Profile) -> Iterator[tuple[str, Column, Column]]:
    """Yield name, reference and current of what both have as columns of the same kind, then the labels."""
    for name, before in reference.columns.items():
        now = current.columns.get(name)
        if type(now) is type(before) and now is not None:
            yield name, before, now
    yield current.target, reference.labels, current.labels


class _Found(NamedTuple):
    """What is found of one column before the others are known; see `ColumnDrift`."""

    test: Test
    of_missing: bool
    statistic: float
    p_value: float
    psi: float


def _test(before: Column, now: Column) -> _Found:
    """Test one column; both are of the same kind."""
    if isinstance(before, Numbers) and isinstance(now, Numbers):
        return _test_numbers(before, now)
    if isinstance(before, Categories) and isinstance(now, Categories):
        counts = cells(before, now)
        return _found(statistics.chi_square(*counts), statistics.psi(*counts))
    raise TypeError(before, now)


def _test_numbers(before: Numbers, now: Numbers) -> _Found:
    """Test the values, and whether they are missing."""
    edges = _edges(before.sample)
    index = statistics.psi(_bins(before, edges), _bins(now, edges))
    found = statistics.kolmogorov_smirnov(before.sample, now.sample)
    of_missing = False
    if before.missing + now.missing:
        missing = statistics.chi_square(*(np.array([len(each.sample), each.missing]) for each in (before, now)))
        of_missing = missing.p_value < found.p_value
        smaller = missing if of_missing else found
        found = smaller._replace(p_value=min(1.0, 2 * smaller.p_value))
    return _found(found, index, of_missing=of_missing)


def _found(finding: Finding, index: float, *, of_missing: bool = False) -> _Found:
    """Put a test and an index together."""
    return _Found(finding.test, of_missing, finding.statistic, finding.p_value, index)


def cells(before: Categories, now: Categories) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of each category then and now, sparse ones pooled; missing is a category; shapes (n_cells,)."""
    digests = np.union1d(before.digests, now.digests)
    one, other = (np.append(each.counts_of(digests), each.missing) for each in (before, now))
    occurs = (one + other) > 0
    cell = statistics.pool(one[occurs], other[occurs])
    n_cells = int(cell.max(initial=-1)) + 1
    counts = (np.bincount(cell, weights=each[occurs], minlength=n_cells) for each in (one, other))
    pooled_one, pooled_other = (each.astype(np.int64) for each in counts)
    return pooled_one, pooled_other


def _edges(values: np.ndarray) -> np.ndarray:
    """Return where the bins of sorted values end: twice at each of few values, so that it has its own, or at deciles."""
    distinct = np.unique(values)
    if len(distinct) <= FEW_VALUES:
        return np.concatenate([np.nextafter(distinct, -np.inf), distinct])
    return np.unique(values[np.arange(1, BINS) * len(values) // BINS])


def _bins(column: Numbers, edges: np.ndarray) -> np.ndarray:
    """Return the values up to each edge but above the one before, those above all edges, and those missing."""
    places = np.searchsorted(column.sample, np.sort(edges), side="right")
    return np.append(np.diff(places, prepend=0, append=len(column.sample)), column.missing)
