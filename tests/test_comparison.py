"""Two models on the same rows: what differs, whether that can be chance, and what the rows could show at all."""

import itertools
import json
import math
import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.evaluation import paired
from jobs.evaluation.comparison import Comparison, least_gain, likely_gain


def of_counts(gained: int, lost: int, both: int, neither: int = 0, **options: Any) -> Comparison:
    """Compare models that have so many rows right: only the challenger, only the champion, both, none."""
    ours = np.repeat([1, 0, 1, 0], [gained, lost, both, neither])
    theirs = np.repeat([0, 1, 1, 0], [gained, lost, both, neither])
    return Comparison.from_predictions(np.ones(len(ours), np.int64), ours, theirs, **options)


def at_least(rows: int, of: int) -> Fraction:
    """Return how often at least so many of some coins fall on one side."""
    return Fraction(sum(math.comb(of, k) for k in range(rows, of + 1)), 2**of)


@settings(deadline=None, max_examples=60)
@given(*[st.integers(0, 40)] * 4)
def test_p_values_are_the_binomial_sums(gained: int, lost: int, both: int, neither: int) -> None:
    """McNemar's exact test is the sum over coins, on either side; no disagreement says nothing."""
    if gained + lost + both + neither == 0:
        return
    found = of_counts(gained, lost, both, neither)
    n = found.n_samples
    assert pytest.approx(float(at_least(gained, gained + lost))) == found.p_better
    assert pytest.approx(float(at_least(lost, gained + lost))) == found.p_worse
    assert (gained, lost) == (found.gained, found.lost)
    assert pytest.approx((gained + both) / n) == found.challenger
    assert pytest.approx((lost + both) / n) == found.champion
    assert pytest.approx(found.challenger - found.champion) == found.gain
    assert -1 <= found.low <= found.gain <= found.high <= 1


def test_the_other_way_round_all_is_mirrored() -> None:
    """Who is called champion changes signs and sides, nothing else."""
    one, other = of_counts(30, 12, 100), of_counts(12, 30, 100)
    assert (one.p_better, one.p_worse, one.gain) == (other.p_worse, other.p_better, -other.gain)
    assert pytest.approx((one.low, one.high), abs=0.005) == (-other.high, -other.low)


def test_a_tie_is_neither_better_nor_worse_and_not_certain() -> None:
    """The same answers on all rows give p-values of 1 and an interval that has a width, less with more rows."""
    small, large = of_counts(0, 0, 80, 20), of_counts(0, 0, 8000, 2000)
    assert (small.p_better, small.p_worse, small.gain) == (1.0, 1.0, 0.0)
    assert small.low < large.low < 0 < large.high < small.high
    assert (0.0, None, 0) == (small.recall_drop, small.recall_class, small.recall_rows)


@pytest.mark.parametrize(("gained", "lost"), [(4, 0), (5, 0), (20, 9), (21, 9), (60, 40), (60, 44), (600, 540)])
def test_the_interval_agrees_with_the_test(gained: int, lost: int) -> None:
    """Its lower end, of level 1 - alpha by itself, is above 0 where the one-sided test finds a gain."""
    found = of_counts(gained, lost, 1000)
    assert (found.p_better <= 0.05) == (found.low > 0)


def test_the_level_of_the_interval_is_that_of_the_test() -> None:
    """A smaller alpha gives a wider interval; the seed decides the resampling."""
    wide, narrow = (of_counts(60, 40, 900, alpha=alpha) for alpha in (0.01, 0.2))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert of_counts(60, 40, 900, random_state=1) == of_counts(60, 40, 900, random_state=1)


def test_the_worst_fall_of_recall_is_named() -> None:
    """It is the class that lost the largest share of its own rows, of those that chance would hardly take."""
    y_true = np.repeat(["a", "b", "c"], [100, 10, 50])
    champion, challenger = y_true.copy(), y_true.copy()
    challenger[:5], challenger[100:106], champion[110:130] = "b", "a", "a"
    found = Comparison.from_predictions(y_true, challenger, champion)
    assert (pytest.approx(0.6), "b", 10) == (found.recall_drop, found.recall_class, found.recall_rows)
    assert found.gain > 0
    challenger[103:106] = "b"  # three of ten may be chance
    less = Comparison.from_predictions(y_true, challenger, champion)
    assert (pytest.approx(0.05), "a", 100) == (less.recall_drop, less.recall_class, less.recall_rows)


@pytest.mark.parametrize("labels", [[0, 1], ["a", "b"], [False, True]])
def test_labels_of_any_kind(labels: list[Any]) -> None:
    """A label that is of another kind than the truth is wrong, without a warning; JSON gets Python's values."""
    y_true = np.array(labels)[np.arange(40) % 2]
    other = np.full(40, 7) if isinstance(labels[0], str) else np.full(40, "7")
    found = Comparison.from_predictions(y_true, y_true[::-1], other)
    assert (0.0, 0.0) == (found.challenger, found.champion)
    worse = Comparison.from_predictions(y_true, other, y_true)
    assert (1.0, labels[0], 20) == (worse.recall_drop, worse.recall_class, worse.recall_rows)
    said = json.loads(json.dumps(worse.to_json(), allow_nan=False))
    assert pytest.approx(worse.least_gain) == said["least_gain"]


def test_the_first_champion_is_held_against_one_answer_for_all() -> None:
    """A constant stands for the majority class."""
    y_true = np.repeat([0, 1], [70, 30])
    found = Comparison.from_predictions(y_true, y_true, np.full(100, 0))
    assert (30, 0, 0.7) == (found.gained, found.lost, found.champion)
    assert found.p_better < 1e-8


@pytest.mark.parametrize("lengths", [(0, 0, 0), (2, 3, 2), (2, 2, 1)])
def test_as_many_predictions_as_labels(lengths: tuple[int, int, int]) -> None:
    """No rows, or other numbers of them, are a mistake of the caller."""
    with pytest.raises(ValueError, match="as many predictions as labels"):
        Comparison.from_predictions(*(np.zeros(length) for length in lengths))


@given(st.floats(1e-6, 0.5), st.integers(1, 10_000))
def test_least_gain_is_the_first_that_the_test_can_show(alpha: float, n: int) -> None:
    """So many rows on one side are enough at that level, one less is not."""
    gain = least_gain(n, alpha)
    needed = next(k for k in range(1, 30) if Fraction(1, 2**k) <= Fraction(alpha))
    assert (needed / n if needed <= n else None) == gain


def test_least_gain_of_few_rows() -> None:
    """At level 0.05 it takes 5 rows: 4 can't show anything, 1,000 at best half a point."""
    assert (None, 1.0, 0.005) == (least_gain(4, 0.05), least_gain(5, 0.05), least_gain(1000, 0.05))


def test_likely_gain_grows_with_disagreement_and_shrinks_with_rows() -> None:
    """It is never under the least gain; where models disagree on much, more is needed."""
    gains = [likely_gain(1000, disagreeing, 0.05) for disagreeing in (0, 50, 100, 300, 1000)]
    assert sorted(map(float, gains)) == gains
    assert gains[0] > least_gain(1000, 0.05)
    rows = [likely_gain(n, n // 10, 0.05) for n in (100, 1000, 100_000, 100_000_000)]
    assert sorted(map(float, rows), reverse=True) == rows
    assert likely_gain(4, 0, 0.05) is None


def test_likely_gain_is_near_the_textbooks_approximation() -> None:
    """Connor's (1987) normal approximation differs little where there are many rows."""
    n, share = 20_000, 0.1
    gain = float(likely_gain(n, int(n * share), 0.05))
    power = (gain * math.sqrt(n) - 1.6449 * math.sqrt(share)) / math.sqrt(share - gain**2)
    assert pytest.approx(0.8416, abs=0.03) == power


def of_groups(nets: list[int], **options: Any) -> Comparison:
    """Compare models on groups of 5 rows each, of which so many are gained (or, if negative, lost)."""
    ours = np.concatenate([[k < net for k in range(5)] for net in nets])
    theirs = np.concatenate([[k < -net for k in range(5)] for net in nets])
    return Comparison.from_predictions(
        np.ones(len(ours), np.bool_), ours, theirs, groups=np.repeat(np.arange(len(nets)), 5), **options
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_groups_change_their_signs_together(nets: list[int]) -> None:
    """The p-values are those of trying all ways in which the models could have changed places group by group."""
    found = of_groups(nets)
    sums = [np.dot(signs, nets) for signs in itertools.product((1, -1), repeat=len(nets))]
    assert pytest.approx(np.mean(np.array(sums) >= sum(nets))) == found.p_better
    assert pytest.approx(np.mean(np.array(sums) <= sum(nets))) == found.p_worse
    assert (len(nets), 5 * len(nets)) == (found.n_groups, found.n_samples)
    assert found.low <= found.gain <= found.high


def test_a_row_by_itself_is_a_group() -> None:
    """Groups of one row change nothing."""
    rng = np.random.default_rng(0)
    y_true, ours, theirs = rng.integers(0, 2, (3, 300))
    names = np.array([f"row {k}" for k in rng.permutation(300)], dtype=object)
    one, other = (Comparison.from_predictions(y_true, ours, theirs, groups=each) for each in (None, names))
    assert (one.p_better, one.p_worse, one.inflation) == (other.p_better, other.p_worse, other.inflation)
    assert pytest.approx((one.low, one.high), abs=0.01) == (other.low, other.high)
    assert 300 == one.n_groups == other.n_groups


def test_a_row_that_is_there_many_times_is_no_more_than_one() -> None:
    """Ten rows, one of them a hundred times: it alone does not make a better model."""
    is_right = np.repeat([1, 0], [100, 9])
    rows = np.repeat(np.arange(10, dtype=np.uint64), [100] + [1] * 9)
    found = Comparison.from_predictions(np.ones(109, np.int64), is_right, is_right * 0, groups=rows)
    assert pytest.approx((0.5, 1.0, 100.0, 10)) == (found.p_better, found.p_worse, found.inflation, found.n_groups)
    assert found.low < 0 < found.gain
    assert Comparison.from_predictions(np.ones(109, np.int64), is_right, is_right * 0).p_better < 1e-20


def test_groups_make_the_likely_gain_larger() -> None:
    """What varies like fewer rows shows what fewer rows show."""
    found = of_groups([5, -5, 0, 0, 0, 0, 0, 0] * 20)
    assert 5.0 == found.inflation
    assert likely_gain(160, 40, 0.05) == found.likely_gain


def test_very_many_rows_in_groups_are_tested_by_the_normal_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives nearly what the exact test gives."""
    nets = np.random.default_rng(0).integers(-5, 6, 3000).tolist()
    exact = of_groups(nets)
    monkeypatch.setattr(paired, "MOST_EXACT", 0)
    nearly = of_groups(nets)
    assert pytest.approx((exact.p_better, exact.p_worse), abs=0.01) == (nearly.p_better, nearly.p_worse)


def test_many_rows_cost_no_more_than_few() -> None:
    """Ten million rows are compared in a moment, since only counts are resampled."""
    y_true = np.zeros(10_000_000, np.int8)
    ours, theirs = y_true.copy(), y_true.copy()
    ours[:500_000], theirs[300_000:900_000] = 1, 1
    assert pytest.approx(0.01) == Comparison.from_predictions(y_true, ours, theirs).gain


def test_nothing_heavy_is_imported_with_the_module() -> None:
    """SciPy comes when something is compared."""
    code = "import sys, jobs.evaluation.comparison; sys.exit(any(m in sys.modules for m in ('scipy', 'sklearn', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
