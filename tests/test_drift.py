"""Drift: the statistics are the textbooks', what has changed raises an alarm, what has not does not."""

import json
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_contract import images, profile, table

from jobs.contract.drift import MOST_TOLD, Drift
from jobs.contract.statistics import EXACT_ROWS, LEAST_EXPECTED, chi_square, holm, kolmogorov_smirnov, pool, psi

COUNTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=40)


def between(before: dict[str, Any], now: dict[str, Any]) -> Drift:
    """Compare two tables of columns."""
    return Drift.between(profile(table(before)), profile(table(now)), alpha=0.05)


def alarms(drift: Drift) -> list[str]:
    """Return the names of the columns with an alarm, sorted."""
    return sorted(column.name for column in drift.alarms)


def normal(n: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    """Return normal numbers."""
    return np.random.default_rng(seed).normal(shift, 1, n)


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.floats(-9, 9, width=16), min_size=1, max_size=300),
    st.lists(st.floats(-9, 9, width=16), min_size=1, max_size=300),
)
def test_distance_is_scipys(one: list[float], other: list[float]) -> None:
    """The statistic equals `ks_2samp`'s, ties included, and so does the p-value of small samples."""
    found = kolmogorov_smirnov(np.sort(one), np.sort(other))
    is_large = max(len(one), len(other)) > EXACT_ROWS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a probability of 1 that comes out as a little more
        expected = stats.ks_2samp(one, other, method="asymp" if is_large else "exact")
    assert pytest.approx(expected.statistic) == found.statistic
    if is_large:
        assert found.p_value >= expected.pvalue - 1e-9
    else:
        assert expected.pvalue == found.p_value


def test_chi_square_is_yates() -> None:
    """Of two cells it is SciPy's with Yates's correction; without rows for that it is Fisher's exact test."""
    large = stats.chi2_contingency([[30, 70], [50, 60]], correction=True)
    found = chi_square(np.array([30, 70]), np.array([50, 60]))
    assert ("chi-square", pytest.approx(large.statistic), pytest.approx(large.pvalue)) == found
    small = chi_square(np.array([1, 9]), np.array([8, 2]))
    assert ("Fisher", pytest.approx(0.7), pytest.approx(stats.fisher_exact([[1, 9], [8, 2]]).pvalue)) == small
    assert pytest.approx(1.0) == chi_square(np.array([20, 30, 50]), np.array([40, 60, 100])).p_value


@pytest.mark.parametrize(("one", "other"), [([], []), ([5], [9]), ([0, 0], [3, 4]), ([3, 4], [0, 0])])
def test_where_there_is_nothing_to_compare_nothing_is_found(one: list[int], other: list[int]) -> None:
    """One cell, or a sample without rows, gives the p-value 1 and no distance."""
    counts = np.array(one, dtype=np.int64), np.array(other, dtype=np.int64)
    assert ("none", 0.0, 1.0) == chi_square(*counts)
    assert psi(*counts) == 0


@given(COUNTS)
def test_pooled_cells_are_not_sparse(counts: list[tuple[int, int]]) -> None:
    """Each has enough rows for the chi-square test, or there are two; nothing is lost, and sides don't matter."""
    one, other = np.array(counts).T
    cell = pool(one, other)
    assert cell.tolist() == pool(other, one).tolist()
    pooled = np.stack([np.bincount(cell, weights=each) for each in (one, other)])
    assert (one.sum(), other.sum()) == tuple(pooled.sum(axis=1))
    if len(set(cell.tolist())) > 2 and pooled.sum(axis=1).all():
        assert stats.contingency.expected_freq(pooled).min() >= LEAST_EXPECTED - 1e-9
    if len(counts) > 1:
        assert len(set(cell.tolist())) > 1


def test_pooling_joins_the_rare_ones() -> None:
    """Two frequent categories stay, three rare ones share a cell; of rare ones only, the most frequent stands apart."""
    assert [0, 2, 1, 2, 2] == pool(np.array([50, 3, 30, 4, 2]), np.array([50, 4, 30, 2, 1])).tolist()
    assert [1, 0, 1] == pool(np.array([2, 3, 1]), np.array([2, 3, 1])).tolist()


def test_psi_is_the_textbooks_sum() -> None:
    """The terms by hand; where no bin is empty the half rows change little, and an empty one stays finite."""
    before, now = np.array([4000, 6000]), np.array([5000, 5000])
    expected = (0.5 - 0.4) * np.log(0.5 / 0.4) + (0.5 - 0.6) * np.log(0.5 / 0.6)
    assert pytest.approx(expected, rel=1e-3) == psi(before, now)
    assert psi(before, now) == psi(np.append(before, 0), np.append(now, 0))
    assert 0.5 < psi(np.array([90, 10, 0]), np.array([50, 40, 10])) < 3
    assert psi(before, before) == 0


def test_holm_is_the_textbooks_procedure() -> None:
    """Holm's (1979) steps: the smallest counts for all, the next for one less, none falls below one before."""
    assert pytest.approx([0.03, 0.06, 0.06, 0.02]) == holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert [1.0] == holm(np.array([1.0])).tolist()


def test_unchanged_data_raise_no_alarm() -> None:
    """The same rows have p-values of 1 and an index of 0 in every column."""
    columns = {"n": normal(500), "t": ["a", "b"] * 250, "constant": [1.0] * 500, "gaps": [1.0, np.nan] * 250}
    found = between(columns, columns)
    assert ({1.0}, {0.0}) == ({c.p_value for c in found.columns}, {c.psi for c in found.columns})
    assert ([], None) == (alarms(found), found.worst)
    assert ["n", "t", "constant", "gaps", "y"] == [column.name for column in found.columns]


@pytest.mark.parametrize(
    ("before", "now", "test"),
    [
        (normal(300), normal(300, 1, shift=0.8), "Kolmogorov-Smirnov"),
        (normal(300), normal(300, 1) * 3, "Kolmogorov-Smirnov"),
        ([5.0] * 300, [3.0] * 300, "Kolmogorov-Smirnov"),
        ([1.0, 2.0] * 150, [1.0, 1.5] * 150, "Kolmogorov-Smirnov"),
        ([0.0] * 300, [np.inf] * 300, "Kolmogorov-Smirnov"),
        ([1.0] * 300, [1.0] * 250 + [np.nan] * 50, "chi-square"),
        ([1.0] * 300, [np.nan] * 300, "chi-square"),
        (["a", "b", "c"] * 100, ["a", "b", "b"] * 100, "chi-square"),
        (["a", "b"] * 150, ["a", "b", "new"] * 100, "chi-square"),
        (["a", "b"] * 150, ["A", "B"] * 150, "chi-square"),
        (["a", "b"] * 150, ["a", None] * 150, "chi-square"),
        ([f"w{k}" for k in range(300)], ["w1"] * 300, "chi-square"),
        (["a"] * 8, ["b"] * 8, "Fisher"),
    ],
)
def test_what_has_changed_raises_an_alarm(before: Any, now: Any, test: str) -> None:
    """Shift, spread, constants, new values and categories, gaps: each by the test that sees it, with a large index."""
    found = between({"same": [1.0] * len(before), "x": before}, {"same": [1.0] * len(now), "x": now})
    assert ["x"] == alarms(found)
    assert found.worst is not None
    assert test == found.worst.test
    assert found.worst.psi > 0.2
    reverse = between({"x": now}, {"x": before})
    assert ["x"] == alarms(reverse)


def test_missing_values_are_a_part_of_their_own() -> None:
    """Where only the gaps differ it is they that are told of, and the p-value counts for both parts."""
    before, now = normal(400), normal(400, 1)
    now[:80] = np.nan
    (column,) = between({"x": before}, {"x": now}).alarms
    assert (True, "chi-square") == (column.of_missing, column.test)
    assert "chi-square of missing or not" == column.to_json()["test"]
    assert pytest.approx(2 * chi_square(np.array([400, 0]), np.array([320, 80])).p_value) == column.p_value


def test_class_shares_are_a_column() -> None:
    """They come last, under the target's name."""
    before, now = (table({"x": [1.0] * 300}, y=["u"] * n + ["v"] * (300 - n)) for n in (150, 290))
    found = Drift.between(profile(before), profile(now), alpha=0.05)
    assert ["y"] == alarms(found)
    assert "y" == found.columns[-1].name


def test_brighter_images_raise_an_alarm() -> None:
    """The mean of each channel moves, its deviation does not."""
    pixels = np.random.default_rng(0).integers(0, 200, (300, 6, 6, 3), dtype=np.uint8)
    found = Drift.between(profile(images(pixels[:150])), profile(images(pixels[150:] + 50)), alpha=0.05)
    assert [f"mean of an image's pixels, channel {k} of 3" for k in (1, 2, 3)] == alarms(found)


def test_columns_that_only_one_side_has_are_passed_over() -> None:
    """The contract's own check has refused them before."""
    found = between({"a": [1.0] * 20, "b": ["u"] * 20}, {"b": [1.0] * 20, "c": [1.0] * 20})
    assert ["y"] == [column.name for column in found.columns]


def test_few_rows_are_no_reason_for_an_alarm() -> None:
    """Five rows on either side can't show much; their index is large by chance and alarms nobody."""
    found = between({"x": normal(5), "t": list("abcde")}, {"x": normal(5, 1), "t": list("fghij")})
    assert [] == alarms(found)
    assert max(column.psi for column in found.columns) > 0.25


def test_the_journal_gets_a_summary() -> None:
    """However many columns drift, JSON stays short and names the worst; the report may have all."""
    before = {f"column {k}": normal(200) for k in range(60)}
    now = {name: values + 1 + k / 60 for k, (name, values) in enumerate(before.items())}
    found = between(before, now)
    said = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (61, 60, MOST_TOLD) == (said["columns"], said["alarms"], len(said["alarming"]))
    assert [200, 200] == said["rows"]
    assert said["worst"] == said["alarming"][0]["psi"] == max(column.psi for column in found.columns)
    assert 60 == len(found.to_json(most=None)["alarming"])
    assert {"column", "test", "statistic", "p_value", "adjusted", "psi"} == set(said["alarming"][0])
