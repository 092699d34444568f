"""The numbers are scikit-learn's, the intervals cover, and nothing about the classes is passed over."""

import json
import math
import warnings
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier

from jobs.errors import FitError
from jobs.evaluation import METRICS, Evaluation
from jobs.evaluation.intervals import bootstrap, rank_all_right, wilson
from jobs.evaluation.ranking import Ranking

LABELS = {
    "int": np.array([-3, 0, 7, 12, 50], dtype=np.int64),
    "str": np.array(["<b>", "Zürich", "a", "b", "長い名前"]),
}


Drawn = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@st.composite
def predictions(draw: st.DrawFn) -> Drawn:
    """Draw y_true, y_proba, classes and y_train; few distinct scores make ties, few rows make classes miss."""
    kind = draw(st.sampled_from(["int", "str", "bool"]))
    classes = np.array([False, True]) if kind == "bool" else LABELS[kind][: draw(st.integers(2, 5))]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 40))
    y_true = classes[rng.integers(0, draw(st.integers(1, len(classes))), n)]
    y_proba = rng.integers(0, draw(st.sampled_from([2, 4, 1000])), (n, len(classes))) + 0.25
    y_proba = (y_proba / y_proba.sum(axis=1, keepdims=True)).astype(draw(st.sampled_from(["f4", "f8"])))
    return y_true, y_proba, classes, classes[rng.integers(0, len(classes), draw(st.integers(1, 20)))]


def sklearn_metrics(
    y_true: np.ndarray, y_pred: np.ndarray, y_proba: np.ndarray, classes: np.ndarray
) -> dict[str, float]:
    """Return the five metrics as scikit-learn has them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are predicted but do not occur
        return {
            "accuracy": sk.accuracy_score(y_true, y_pred),
            "balanced_accuracy": sk.balanced_accuracy_score(y_true, y_pred),
            "f1_macro": sk.f1_score(y_true, y_pred, average="macro", zero_division=0),
            "log_loss": sk.log_loss(y_true, y_proba, labels=classes),
            "roc_auc": sklearn_auc(y_true, y_proba, classes),
        }


def sklearn_auc(y_true: np.ndarray, y_proba: np.ndarray, classes: np.ndarray) -> float:
    """Return the ROC AUC, macro one-vs-rest over the classes that occur; NaN if only one does."""
    if len(np.unique(y_true)) < 2:
        return math.nan
    if len(classes) == 2:
        return sk.roc_auc_score(y_true, y_proba[:, 1])
    areas = [sk.roc_auc_score(y_true == k, y_proba[:, i]) for i, k in enumerate(classes) if np.any(y_true == k)]
    return float(np.mean(areas))


def values(evaluation: Evaluation) -> dict[str, float]:
    """Return the metrics without intervals, NaN for None."""
    return {name: math.nan if metric.value is None else metric.value for name, metric in evaluation.metrics.items()}


def example(n: int = 200, n_classes: int = 3, signal: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return y_true (n,) int64 and y_proba (n, n_classes) of a model that knows something."""
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, n_classes, n)
    scores = rng.normal(size=(n, n_classes))
    scores[np.arange(n), y_true] += signal
    y_proba = np.exp(scores)
    return y_true, y_proba / y_proba.sum(axis=1, keepdims=True)


@settings(deadline=None, max_examples=80)
@given(predictions())
def test_metrics_are_those_of_sklearn(drawn: Drawn) -> None:
    """All five values, their order and the tables equal `sklearn.metrics`, whatever occurs or is tied."""
    y_true, y_proba, classes, y_train = drawn
    y_pred = classes[np.argmax(y_proba, axis=1)]
    evaluation = Evaluation.from_predictions(y_true, y_proba, classes, y_train=y_train)

    assert tuple(evaluation.metrics) == METRICS
    assert pytest.approx(sklearn_metrics(y_true, y_pred, y_proba, classes), rel=1e-6, nan_ok=True) == values(evaluation)
    assert sk.accuracy_score(y_true, y_pred) == evaluation.metrics["accuracy"].value
    confusion = sk.confusion_matrix(y_true, y_pred, labels=classes)
    assert confusion.tolist() == evaluation.confusion.tolist()
    table = sk.precision_recall_fscore_support(y_true, y_pred, labels=classes, zero_division=0)
    columns = list(zip(*(astuple(row) for row in evaluation.per_class), strict=True))
    assert classes.tolist() == list(columns[0])
    assert pytest.approx(np.array([*table, confusion.sum(axis=0)])) == np.array(columns[1:])


@settings(deadline=None, max_examples=50)
@given(predictions())
def test_baseline_is_sklearns_dummy(drawn: Drawn) -> None:
    """The baseline is `DummyClassifier(strategy="prior")` fitted on the training labels."""
    y_true, y_proba, classes, y_train = drawn
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((len(y_train), 1)), y_train)
    proba = np.zeros((len(y_true), len(classes)))
    proba[:, np.searchsorted(classes, dummy.classes_)] = dummy.predict_proba(np.zeros((len(y_true), 1)))
    y_pred = dummy.predict(np.zeros((len(y_true), 1)))
    evaluation = Evaluation.from_predictions(y_true, y_proba, classes, y_train=y_train)

    baseline = {name: math.nan if value is None else value for name, value in evaluation.baseline.items()}
    assert pytest.approx(sklearn_metrics(y_true, y_pred, proba, classes), nan_ok=True) == baseline


@settings(deadline=None, max_examples=50)
@given(predictions())
def test_intervals_hold_their_value_and_stay_in_range(drawn: Drawn) -> None:
    """An interval contains its value, has a width unless the value can't vary, and never leaves [0, 1]."""
    y_true, y_proba, classes, y_train = drawn
    evaluation = Evaluation.from_predictions(y_true, y_proba, classes, y_train=y_train)
    for name in ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc"):
        metric = evaluation.metrics[name]
        if metric.value is not None:
            assert 0 <= metric.low <= metric.value + 1e-12
            assert metric.value - 1e-12 <= metric.high <= 1
    json.dumps(evaluation.to_json(), allow_nan=False)


@settings(deadline=None, max_examples=50)
@given(predictions())
def test_curve_areas_are_those_of_sklearn(drawn: Drawn) -> None:
    """Each class's AUC and average precision equal scikit-learn's, and the points of a short curve its points."""
    y_true, y_proba, classes, y_train = drawn
    evaluation = Evaluation.from_predictions(y_true, y_proba, classes, y_train=y_train)
    for roc, precision_recall in zip(evaluation.roc, evaluation.precision_recall, strict=True):
        scores = y_proba[:, classes.tolist().index(roc.label)]
        assert pytest.approx(sk.roc_auc_score(y_true == roc.label, scores)) == roc.area
        assert pytest.approx(sk.average_precision_score(y_true == roc.label, scores)) == precision_recall.area
        fpr, tpr, _ = sk.roc_curve(y_true == roc.label, scores, drop_intermediate=False)
        assert pytest.approx(fpr) == roc.x
        assert pytest.approx(tpr) == roc.y


def test_accuracy_is_that_of_the_forests_own_predict() -> None:
    """Ties between classes are broken as `predict` breaks them."""
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(300, 3)), rng.integers(0, 4, 300).astype(str)
    forest = RandomForestClassifier(n_estimators=4, random_state=0).fit(X[:150], y[:150])
    evaluation = Evaluation.from_predictions(y[150:], forest.predict_proba(X[150:]), forest.classes_, y_train=y[:150])
    assert forest.score(X[150:], y[150:]) == evaluation.metrics["accuracy"].value


def test_a_long_curve_is_thinned_without_visible_loss() -> None:
    """At most 200 points remain, and the area under them is the curve's own."""
    y_true, y_proba = example(n=20_000, n_classes=2)
    evaluation = Evaluation.from_predictions(y_true, y_proba, np.arange(2), y_train=y_true)
    (roc,), (precision_recall,) = evaluation.roc, evaluation.precision_recall
    assert len(roc.x) <= 200
    assert len(precision_recall.x) <= 200
    assert pytest.approx(roc.area, abs=1e-3) == np.trapezoid(roc.y, roc.x)
    assert pytest.approx(precision_recall.area, abs=5e-3) == np.trapezoid(precision_recall.y, precision_recall.x)
    assert [roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]] == [0, 0, 1, 1]


def test_a_class_that_the_model_never_saw_counts_as_wrong() -> None:
    """It joins the classes with probability 0, and a note names it."""
    y_true, classes = np.array(["a", "b", "new", "b"]), np.array(["a", "b"])
    y_proba = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    evaluation = Evaluation.from_predictions(y_true, y_proba, classes, y_train=np.array(["a", "b", "b"]))

    widened = np.column_stack([y_proba, np.zeros(4)])
    expected = sklearn_metrics(y_true, np.array(["a", "b", "a", "b"]), widened, ["a", "b", "new"])
    assert evaluation.classes.tolist() == ["a", "b", "new"]
    assert pytest.approx(expected) == values(evaluation)
    assert any("never saw" in note and note.endswith("new.") for note in evaluation.notes)


def test_columns_come_in_the_models_own_order() -> None:
    """Classes that are not sorted are matched by name, not by place."""
    y_true, y_proba = example(n_classes=3)
    order = np.array([2, 0, 1])
    ours = Evaluation.from_predictions(y_true, y_proba[:, order], order, y_train=y_true)
    assert values(Evaluation.from_predictions(y_true, y_proba, np.arange(3), y_train=y_true)) == values(ours)


def test_one_row() -> None:
    """One row gives values and wide intervals, no ROC AUC, no interval of the log loss, and says so."""
    evaluation = Evaluation.from_predictions(
        np.array([True]), np.array([[0.2, 0.8]]), np.array([False, True]), y_train=np.array([False, True])
    )
    assert {"value": 1.0, "low": pytest.approx(0.2065, abs=1e-4), "high": 1.0} == evaluation.to_json()["metrics"][
        "accuracy"
    ]
    assert evaluation.to_json()["metrics"]["roc_auc"] == {"value": None, "low": None, "high": None}
    assert pytest.approx(0.2065, abs=1e-4) == evaluation.metrics["balanced_accuracy"].low
    assert evaluation.metrics["log_loss"].low is None
    assert "The holdout has one class only, so there is no ROC AUC." in evaluation.notes


def test_perfect_predictions_are_not_certain() -> None:
    """All right on few rows leaves room below 1 in every interval."""
    y_true = np.arange(30) % 3
    evaluation = Evaluation.from_predictions(y_true, np.eye(3)[y_true], np.arange(3), y_train=y_true)
    for name in ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc"):
        metric = evaluation.metrics[name]
        assert (metric.value, metric.high) == (1.0, 1.0)
        assert 0.6 < metric.low < 0.99
    assert pytest.approx(0, abs=1e-12) == evaluation.metrics["log_loss"].value


def test_same_seed_same_evaluation() -> None:
    """The bootstrap is seeded."""
    y_true, y_proba = example()
    first, again = (Evaluation.from_predictions(y_true, y_proba, np.arange(3), y_train=y_true) for _ in range(2))
    assert first.to_json() == again.to_json()


def test_wilson_is_the_textbooks() -> None:
    """81 of 263 is the example of Newcombe (1998), Statistics in Medicine 17, 857-872, table I."""
    assert pytest.approx((0.2553, 0.3662), abs=5e-5) == wilson(81 / 263, 263)
    assert pytest.approx((0.0, 0.1135), abs=5e-5) == wilson(0, 30)


def test_delong_is_the_sum_over_pairs() -> None:
    """The variance by ranks equals DeLong's by the definition, ties included."""
    rng = np.random.default_rng(3)
    scores, positive = rng.integers(0, 9, 60) / 8, rng.random(60) < 0.3
    scores[positive] += rng.integers(0, 4, positive.sum()) / 8
    pairs = np.heaviside(scores[positive][:, None] - scores[~positive][None, :], 0.5)
    m, n = pairs.shape
    expected = np.var(pairs.mean(axis=1), ddof=1) / m + np.var(pairs.mean(axis=0), ddof=1) / n
    ranking = Ranking.from_scores(scores, positive)
    assert pytest.approx(pairs.mean()) == ranking.auc()
    assert pytest.approx(expected) == np.sum(ranking.influence() ** 2)


def test_bound_of_a_perfect_ranking_grows_with_the_rows() -> None:
    """More rows leave less room below an AUC of 1."""
    lows = [rank_all_right(m, 4 * m) for m in (1, 5, 50, 5000)]
    assert sorted(lows) == lows
    assert 0.999 < lows[-1] < 1


@pytest.mark.parametrize("n_classes", [2, 4])
def test_intervals_cover(n_classes: int) -> None:
    """Of 300 draws of a holdout about 95 % have an interval that holds the model's true value."""
    y_all, proba_all = example(n=100_000, n_classes=n_classes, signal=1.5, seed=5)
    truth = values(Evaluation.from_predictions(y_all, proba_all, np.arange(n_classes), y_train=y_all))
    hits = dict.fromkeys(METRICS, 0)
    for i in range(300):
        rows = slice(150 * i, 150 * (i + 1))
        drawn = Evaluation.from_predictions(y_all[rows], proba_all[rows], np.arange(n_classes), y_train=y_all)
        for name, metric in drawn.metrics.items():
            hits[name] += metric.low <= truth[name] <= metric.high
    for name, count in hits.items():
        assert 0.90 <= count / 300 <= 0.99, name


def test_macro_auc_knows_that_classes_are_correlated() -> None:
    """The interval of the macro AUC is as wide as the AUC really varies from draw to draw."""
    drawn = [example(n=300, n_classes=6, signal=1.0, seed=seed) for seed in range(200)]
    aucs = [Evaluation.from_predictions(y, p, np.arange(6), y_train=y).metrics["roc_auc"] for y, p in drawn]
    width = np.mean([auc.high - auc.low for auc in aucs])
    assert pytest.approx(2 * 1.96 * np.std([auc.value for auc in aucs]), rel=0.15) == width


def test_bootstrap_costs_the_same_for_any_number_of_rows() -> None:
    """A confusion matrix of a thousand million rows is resampled as one of ten."""
    (low, high), _ = bootstrap(np.array([[400_000_000, 100_000_000], [100_000_000, 400_000_000]]), 0)
    assert pytest.approx(0.8, abs=1e-4) == low
    assert pytest.approx(0.8, abs=1e-4) == high


def test_a_thousand_classes() -> None:
    """Many classes work in blocks and leave out what does not occur."""
    y_true, y_proba = example(n=1500, n_classes=1000, signal=6.0)
    evaluation = Evaluation.from_predictions(y_true, y_proba, np.arange(1000), y_train=y_true)
    assert len(np.unique(y_true)) == len(evaluation.roc)
    assert any("do not occur in the holdout" in note for note in evaluation.notes)


def test_json_has_no_nan() -> None:
    """What is not a number becomes null, and numpy's scalars become Python's."""
    y_true, y_proba = example()
    evaluation = Evaluation.from_predictions(
        y_true == 1, y_proba[:, :2] * 0 + 0.5, np.array([False, True]), y_train=y_true == 1
    )
    evaluation.baseline["log_loss"] = math.nan
    content = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert content["baseline"]["log_loss"] is None
    assert content["classes"] == [False, True]
    assert content["roc_auc"] == [{"label": True, "area": 0.5}]


def test_probabilities_that_are_not_finite_are_a_failed_fit() -> None:
    """The sentence says in how many rows."""
    y_proba = np.array([[0.5, 0.5], [np.nan, np.nan]])
    with pytest.raises(FitError, match="not finite in 1 of 2 rows"):
        Evaluation.from_predictions(np.array([0, 1]), y_proba, np.array([0, 1]), y_train=np.array([0, 1]))


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (0, 2)])
def test_shapes_must_fit(shape: tuple[int, int]) -> None:
    """Rows and columns are checked against labels and classes."""
    with pytest.raises(ValueError, match="y_proba must be"):
        Evaluation.from_predictions(
            np.arange(shape[0] and 2), np.zeros(shape), np.array([0, 1]), y_train=np.array([0, 1])
        )


def test_interval_of_f1_does_not_sink_with_few_rows_per_class() -> None:
    """With 20 rows a class the bootstrap's own bias is taken out, so the value is not at the interval's upper end."""
    y_true, y_proba = example(n=1000, n_classes=50, signal=2.0)
    f1 = Evaluation.from_predictions(y_true, y_proba, np.arange(50), y_train=y_true).metrics["f1_macro"]
    assert 0.3 < (f1.value - f1.low) / (f1.high - f1.low) < 0.7
