"""What a report says of data that no longer look like those of the contract."""

import math
from dataclasses import dataclass

import numpy as np

from jobs.contract.columns import Categories, Column, Numbers
from jobs.contract.drift import ColumnDrift, Drift
from jobs.report.promoting import probability
from jobs.report.view import NOTHING, Table, name, percent

MOST_ROWS = 20
"""Columns in the table."""

MOST_SHARES = 8
"""Values of a column that are shown one by one."""

MOST_NAMED = 3
"""Values of a column that a cell names."""

OTHERS = "(all others)"
MISSING = "(missing)"

MEANING = (
    "PSI, the population stability index, says how far the shares of values have moved: under 0.1 is usually called "
    "stable, over 0.25 a shift. The p-value says how often data that have not changed would differ as much; it is "
    "corrected for the number of columns (Holm)."
)


@dataclass(frozen=True)
class Share:
    """How large a share of the rows has a value, in the contract's data and now."""

    value: str
    before: float
    now: float

    @property
    def most(self) -> float:
        """The larger of the two."""
        return max(self.before, self.now)


def short(drift: Drift) -> str:
    """Return whether the data have drifted, for those who only want to know that."""
    if not drift.alarms:
        return "The data look like those of the contract."
    worst = max(column.psi for column in drift.alarms)
    return f"{_columns(drift)} no longer look like the contract's (PSI up to {worst:.2f}): see Drift, below."


def _columns(drift: Drift) -> str:
    """Return how many columns have an alarm."""
    return f"{len(drift.alarms):,} of {len(drift.columns):,} columns"


def sentence(drift: Drift) -> str:
    """Return whether the data have drifted."""
    n = len(drift.columns)
    looked = f"{drift.n_before:,} rows of its data and {drift.n_now:,} of these were compared"
    if not drift.alarms:
        return f"The data look like those of the contract: none of {n:,} columns differs by more than chance. {looked}."
    differ = "differ" if len(drift.alarms) > 1 else "differs"
    return (
        f"{_columns(drift)} {differ} from the contract's data by more than chance: {looked}, and data that have not changed "
        f"give any alarm at all in at most {percent(drift.alpha)} of cases."
    )


def table(drift: Drift) -> Table | None:
    """Return the columns with an alarm, the largest index first."""
    rows = [
        (name(column.name), f"{column.psi:.4f}", probability(column.adjusted), column.test, changes(column))
        for column in drift.alarms[:MOST_ROWS]
    ]
    return Table(("Column", "PSI", "p-value", "Test", "What has changed"), rows, numbers=2) if rows else None


def rest(drift: Drift) -> str:
    """Return how many columns with an alarm the table leaves out."""
    more = len(drift.alarms) - MOST_ROWS
    return f"The {MOST_ROWS} with the largest index; {more:,} more are in metrics.json." if more > 0 else ""


def changes(column: ColumnDrift) -> str:
    """Return in words how a column differs."""
    before, now = column.before, column.now
    if isinstance(before, Numbers) and isinstance(now, Numbers):
        return "; ".join(_changed_numbers(before, now, missing_first=column.of_missing))
    said = _named("new", _only(now, before)) + _named("gone", _only(before, now))
    moved = sorted(shares(before, now), key=lambda share: (share.value == OTHERS, -abs(share.now - share.before)))
    return "; ".join(said or [_moved(share.value, share.before, share.now) for share in moved[:MOST_NAMED]])


def _changed_numbers(before: Numbers, now: Numbers, *, missing_first: bool) -> list[str]:
    """Return how the middle, the range and the gaps of a numeric column differ."""
    said = [f"median from {value(_median(before))} to {value(_median(now))}"]
    if now.low < before.low or now.high > before.high:
        ends = [f"{value(each.low)} to {value(each.high)}" for each in (before, now)]
        said.append(f"range from ({ends[0]}) to ({ends[1]})")
    if before.missing + now.missing:
        missing = _moved("missing", missing_share(before), missing_share(now))
        said.insert(0 if missing_first else len(said), missing)
    return said


def _moved(what: str, before: float, now: float) -> str:
    """Return a share then and now."""
    return f"{what} from {percent(before)} to {percent(now)}"


def _named(word: str, found: list[tuple[str, float]]) -> list[str]:
    """Return the first values of a list with their shares."""
    return [f"{word}: {', '.join(f'{name(text)} ({percent(share)})' for text, share in found)}"] if found else []


def _only(these: Column, others: Column) -> list[tuple[str, float]]:
    """Return the most frequent values that one side has and the other has not, with their shares."""
    if not (isinstance(these, Categories) and isinstance(others, Categories)):
        return []
    digests = np.array(list(these.names), dtype=np.uint64)
    counts, absent = these.counts_of(digests), others.counts_of(digests) == 0
    found = [
        (these.names[int(digest)], count / these.n_rows)
        for digest, count, is_absent in zip(digests, counts.tolist(), absent, strict=True)
        if is_absent and count / these.n_rows >= 0.01  # noqa: PLR2004 - rarer ones may be chance
    ]
    return found[:MOST_NAMED]


def shares(before: Column, now: Column) -> list[Share]:
    """Return the most frequent values of a column with few of them or of text, the rest in one, and missing ones."""
    total = np.array([max(1, before.n_rows), max(1, now.n_rows)])
    every = _counts(before, now)
    if isinstance(before, Categories):
        every.sort(key=lambda each: -float((each[1] / total).sum()))
    shown = [Share(text, *(counts / total).tolist()) for text, counts in every[:MOST_SHARES]]
    there = np.array([each.n_rows - each.missing for each in (before, now)])
    others = there - sum((counts for _, counts in every[:MOST_SHARES]), np.zeros(2, np.int64))
    return [
        *shown,
        *([Share(OTHERS, *(others / total).tolist())] if others.any() else []),
        *([Share(MISSING, missing_share(before), missing_share(now))] if before.missing + now.missing else []),
    ]


def _counts(before: Column, now: Column) -> list[tuple[str, np.ndarray]]:
    """Return the rows of each value that has a name, then and now, shape (2,)."""
    if isinstance(before, Categories) and isinstance(now, Categories):
        names = {**before.names, **now.names}
        digests = np.array(list(names), dtype=np.uint64)
        both = np.stack([before.counts_of(digests), now.counts_of(digests)], axis=1)
        return list(zip(map(name, names.values()), both, strict=True))
    samples = [each.sample for each in (before, now) if isinstance(each, Numbers)]
    distinct = np.unique(np.concatenate(samples))
    ends = [np.searchsorted(each, distinct, side="right") - np.searchsorted(each, distinct) for each in samples]
    return list(zip(map(value, distinct.tolist()), np.stack(ends, axis=1), strict=True))


def middle(column: Numbers) -> str:
    """Return the middle value, and how many are missing."""
    missing = f", {percent(missing_share(column))} missing" if column.missing else ""
    return f"median {value(_median(column))}{missing}"


def has_few_values(column: ColumnDrift) -> bool:
    """Tell whether the values of a column can be shown one by one."""
    both = [each.sample for each in (column.before, column.now) if isinstance(each, Numbers)]
    return not both or len(np.unique(np.concatenate(both))) <= MOST_SHARES


def missing_share(column: Column) -> float:
    """Return the share of rows without a value."""
    return column.missing / max(1, column.n_rows)


def _median(column: Numbers) -> float:
    """Return the middle value, NaN if there is none."""
    return float(column.sample[len(column.sample) // 2]) if len(column.sample) else math.nan


def value(number: float) -> str:
    """Return a number of the data, short."""
    if math.isnan(number):
        return NOTHING
    text = f"{number:.4g}"
    return f"{float(text):,.0f}" if "e+0" in text and abs(number) < 1e9 else text  # noqa: PLR2004
