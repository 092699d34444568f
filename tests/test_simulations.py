"""What is said of chance is true: simulated thousands of times, with seeds. `pytest -s` prints the figures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jobs.config import JobConfig
from jobs.contract.drift import Drift
from jobs.contract.profile import Profile
from jobs.datasets import Dataset
from jobs.datasets.columns import TEXT_DTYPE
from jobs.evaluation import METRICS, Evaluation
from jobs.evaluation.comparison import Comparison, likely_gain

ALPHA = JobConfig(Path()).alpha
MOST_DROP = JobConfig(Path()).max_recall_drop
DOUBT = 1e-4
"""How often a simulation may fail although what it tests is true."""

Figure = Callable[[str, float], None]


@pytest.fixture
def figure(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Figure:
    """Print a figure and put it into the test's record."""

    def note(name: str, value: float) -> None:
        record_property(name, float(value))  # xdist can't send NumPy's
        print(f"\n{request.node.name}: {name} {value:.4f}", end="")  # noqa: T201

    return note


def most(share: float, n: int) -> float:
    """Return the largest share of `n` draws that a true rate may give by chance."""
    return float(stats.binom.isf(DOUBT, n, share)) / n


def least(share: float, n: int) -> float:
    """Return the smallest share of `n` draws that a true rate may give by chance."""
    return float(stats.binom.ppf(DOUBT, n, share)) / n


def compare(rng: np.random.Generator, n: int, accuracy: float, disagreement: float, gain: float) -> Comparison:
    """Draw a holdout of ten classes on which the champion has that accuracy, and compare.

    The models differ on a share `disagreement` of the rows: the challenger alone is right on `(disagreement + gain) / 2`.
    """
    draws, y_true = rng.random(n), rng.integers(0, 10, n)
    only_ours, only_theirs = (disagreement + gain) / 2, (disagreement - gain) / 2
    ours = (draws < accuracy - only_theirs) | ((draws >= accuracy) & (draws < accuracy + only_ours))
    theirs = draws < accuracy
    challenger, champion = (np.where(right, y_true, 10) for right in (ours, theirs))
    return Comparison.from_predictions(y_true, challenger, champion, alpha=ALPHA, random_state=int(rng.integers(2**32)))


def is_promoted(found: Comparison) -> bool:
    """Apply the rule `better` with the options' defaults."""
    return found.p_better <= ALPHA and found.gain >= 0 and found.recall_drop <= MOST_DROP


@pytest.mark.parametrize(
    ("n", "accuracy", "disagreement"),
    [(200, 0.7, 0.3), (1000, 0.9, 0.1), (5000, 0.6, 0.3), (5000, 0.95, 0.02)],
)
def test_no_better_model_is_promoted_at_most_at_alpha(
    n: int, accuracy: float, disagreement: float, figure: Figure
) -> None:
    """Of 2,000 challengers that are as good as the champion, a share of alpha at most takes its place.

    The test alone keeps that rate too, and the interval of the gain, of level 1 - 2 alpha, has the true 0 inside.
    """
    rng, pairs = np.random.default_rng(1), 2000
    found = [compare(rng, n, accuracy, disagreement, 0.0) for _ in range(pairs)]
    promoted = np.mean([is_promoted(each) for each in found])
    better = np.mean([each.p_better <= ALPHA for each in found])
    covered = np.mean([each.low <= 0 <= each.high for each in found])
    figure("promoted", promoted)
    figure("p_better <= alpha", better)
    figure("interval covers", covered)
    assert promoted <= better <= most(ALPHA, pairs)
    assert covered >= least(1 - 2 * ALPHA, pairs)


@pytest.mark.parametrize(("n_groups", "mean_size"), [(100, 10)])
def test_rows_that_belong_together_promote_no_more(n_groups: int, mean_size: int, figure: Figure) -> None:
    """Where a group's rows are all alike, only the test of groups keeps to alpha; the figure of the plain one says why."""
    rng, pairs = np.random.default_rng(9), 300
    grouped = plain = 0
    for _ in range(pairs):
        sizes = rng.geometric(1 / mean_size, n_groups)
        wrong = rng.random((2, n_groups)) < 0.1
        challenger, champion = np.repeat(wrong.astype(np.int64), sizes, axis=1)
        groups, y_true = np.repeat(np.arange(n_groups), sizes), np.zeros(sizes.sum(), np.int64)
        found = Comparison.from_predictions(y_true, challenger, champion, alpha=ALPHA, groups=groups)
        grouped += found.p_better <= ALPHA
        plain += Comparison.from_predictions(y_true, challenger, champion, alpha=ALPHA).p_better <= ALPHA
    figure("p_better <= alpha", grouped / pairs)
    figure("if each row were by itself", plain / pairs)
    assert grouped / pairs <= most(ALPHA, pairs) < plain / pairs


@pytest.mark.parametrize(("accuracy", "disagreement"), [(0.9, 0.05), (0.85, 0.1), (0.7, 0.2), (0.6, 0.3)])
def test_two_points_on_five_thousand_rows_are_seen(accuracy: float, disagreement: float, figure: Figure) -> None:
    """A challenger that is better by 2 points is promoted in at least 80 % of cases, up to a disagreement of 30 %.

    The interval of the gain has the true one inside.
    """
    rng, pairs = np.random.default_rng(2), 500
    found = [compare(rng, 5000, accuracy, disagreement, 0.02) for _ in range(pairs)]
    promoted = np.mean([is_promoted(each) for each in found])
    covered = np.mean([each.low <= 0.02 <= each.high for each in found])
    figure("promoted", promoted)
    figure("interval covers", covered)
    assert promoted >= 0.8
    assert covered >= least(1 - 2 * ALPHA, pairs)


@pytest.mark.parametrize(("n", "disagreement"), [(200, 0.1), (1000, 0.3), (5000, 0.05)])
def test_the_likely_gain_is_found_in_four_of_five_cases(n: int, disagreement: float, figure: Figure) -> None:
    """What the report says of the holdout is the power that challengers with that gain really have."""
    rng, pairs = np.random.default_rng(3), 600
    gain = likely_gain(n, round(n * disagreement), ALPHA)
    assert gain is not None
    found = np.mean([compare(rng, n, 0.6, disagreement, gain).p_better <= ALPHA for _ in range(pairs)])
    figure(f"found of a gain of {gain:.4f}", found)
    assert least(0.8, pairs) <= found <= most(0.8, pairs)


def of_columns(rng: np.random.Generator, n: int, kind: str) -> Dataset:
    """Return `n` rows of ten columns of a kind, with labels of three classes."""
    shared = rng.normal(size=n)
    columns: dict[str, object] = {}
    for k in range(10):
        if kind == "continuous":
            values = shared + rng.normal(size=n) if k % 2 else rng.normal(size=n)
        elif kind == "discrete":
            values = rng.integers(0, [2, 3, 5, 10, 30][k % 5], n)
        elif kind == "missing":
            values = np.where(rng.random(n) < [0.5, 0.1, 0.02, 0.005, 0][k % 5], np.nan, rng.normal(size=n))
        else:
            shares = 1 / np.arange(1, [2, 3, 10, 100, 1000][k % 5] + 1)
            texts = np.array([f"w{j}" for j in range(len(shares))], dtype=object)
            texts[-1] = np.nan
            columns[f"c{k}"] = pd.Series(rng.choice(texts, n, p=shares / shares.sum()), dtype=TEXT_DTYPE)
            continue
        columns[f"c{k}"] = values.astype(np.float32)
    schema = {"kind": "table", "columns": {}, "target": "y", "classes": [0, 1, 2]}
    return Dataset(Path(), "", pd.DataFrame(columns), rng.choice(3, n, p=[0.6, 0.3, 0.1]), np.arange(3), schema)


@pytest.mark.parametrize("kind", ["continuous", "discrete", "missing", "text"])
@pytest.mark.parametrize(("before", "now"), [(5, 9), (40, 150), (300, 3000)])
def test_unchanged_data_raise_an_alarm_at_most_at_alpha(kind: str, before: int, now: int, figure: Figure) -> None:
    """Of data sets of one distribution a share of alpha at most has any alarm, over all columns and the labels."""
    rng, pairs = np.random.default_rng(4), 250
    everything = of_columns(rng, 30_000, kind)
    alarmed = 0
    for _ in range(pairs):
        drawn = (everything.take(rng.integers(0, len(everything), n)) for n in (before, now))
        profiles = [Profile.from_dataset(each, random_state=5) for each in drawn]
        alarmed += bool(Drift.between(*profiles, alpha=ALPHA).alarms)
    figure("any alarm", alarmed / pairs)
    assert alarmed / pairs <= most(ALPHA, pairs)


@pytest.mark.parametrize(("shift", "seen"), [(0.1, 0.8), (0.3, 1.0)])
def test_drift_of_one_column_in_ten_is_seen(shift: float, seen: float, figure: Figure) -> None:
    """A tenth of a standard deviation is seen on 5,000 rows mostly, three tenths always."""
    rng, pairs = np.random.default_rng(6), 60
    found = 0
    for _ in range(pairs):
        one, other = (of_columns(rng, 5000, "continuous") for _ in range(2))
        other.X["c0"] += np.float32(shift)
        profiles = [Profile.from_dataset(each, random_state=7) for each in (one, other)]
        found += "c0" in [column.name for column in Drift.between(*profiles, alpha=ALPHA).alarms]
    figure("seen", found / pairs)
    assert found / pairs >= seen


@pytest.mark.parametrize(("n", "n_classes"), [(150, 2), (150, 4), (1000, 3)])
def test_intervals_of_the_metrics_cover(n: int, n_classes: int, figure: Figure) -> None:
    """Of 400 holdouts about 95 % have an interval that holds the model's true value, in each metric.

    The bootstrap's intervals of few rows are a little too narrow, which is why 2 points are allowed for.
    """
    rng, draws = np.random.default_rng(8), 400
    y_all = rng.integers(0, n_classes, 200_000)
    scores = rng.normal(size=(len(y_all), n_classes))
    scores[np.arange(len(y_all)), y_all] += 1.5
    proba_all = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    classes = np.arange(n_classes)
    truth = Evaluation.from_predictions(y_all, proba_all, classes, y_train=y_all).metrics
    hits = dict.fromkeys(METRICS, 0)
    for _ in range(draws):
        rows = rng.integers(0, len(y_all), n)
        drawn = Evaluation.from_predictions(y_all[rows], proba_all[rows], classes, y_train=y_all)
        for name, metric in drawn.metrics.items():
            low, value, high = metric.low, truth[name].value, metric.high
            assert low is not None
            assert value is not None
            assert high is not None
            hits[name] += low <= value <= high
    for name, count in hits.items():
        figure(f"{name} covers", count / draws)
        assert least(0.93, draws) <= count / draws <= most(0.97, draws)
