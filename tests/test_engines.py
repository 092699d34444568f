"""The two engines that grow a forest: the same promises, and which is taken when."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from harness import MLJobs, fit

from jobs import resources
from jobs.checkpoint import Checkpoint
from jobs.datasets import Dataset
from jobs.datasets.splits import random_split
from jobs.datasets.table import read_csv
from jobs.errors import ConfigError, FitError
from jobs.pipelines import find
from jobs.pipelines.random_forest import engines
from jobs.pipelines.random_forest.engines import LEAST_WORK, Engine, choose
from jobs.pipelines.random_forest.saving import load_skops

pytest.importorskip("sklearnex", reason="scikit-learn-intelex is made for Linux on x86-64 only")

_PIPELINE = find("random-forest")
_INTELEX = ("--param", "engine=intelex")


def table(n_rows: int = 2_000, seed: int = 0) -> pd.DataFrame:
    """Return rows of three classes that overlap: no honest accuracy is 1."""
    random = np.random.default_rng(seed)
    target = random.integers(0, 3, n_rows)
    X = random.normal(scale=2, size=(n_rows, 8)) + np.arange(8) % 2 * target[:, np.newaxis]
    return pd.DataFrame(X.round(4), columns=[f"x{i}" for i in range(8)]).assign(target=target)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Return a CSV of such rows."""
    path = tmp_path / "wide.csv"
    table().to_csv(path, index=False)
    return path


@pytest.fixture
def sides(wide: Path) -> tuple[Dataset, Dataset]:
    """Return its rows as a job splits them."""
    return split(wide)


def split(path: Path) -> tuple[Dataset, Dataset]:
    """Return training rows and holdout of a file."""
    dataset = read_csv(path, target="target", schema=None)
    inside, outside = random_split(len(dataset), test_size=0.2, random_state=42)
    return dataset.take(inside), dataset.take(outside)


def params(**settings: Any) -> Any:
    """Return parameters of a forest that oneDAL grows in three chunks, the last one smaller."""
    return _PIPELINE.Params(**{"n_estimators": 25, "engine": "intelex", **settings})


def test_a_few_rows_are_the_references_and_many_are_grown_faster(mljobs: MLJobs, wide: Path) -> None:
    """What is small stays what it was; where there is time to win, the result says by whom and why."""
    small = mljobs("train", "random-forest", wide, "--param", "n_estimators=50").result
    assert small["fit"]["engine"] == "sklearn"
    n_trees = LEAST_WORK // (1_600 * 2)
    large = mljobs("train", "random-forest", wide, "--param", f"n_estimators={n_trees + 1}")
    assert large.result["fit"] == {
        "engine": "intelex",
        "engine_reason": "several times faster on so many rows and trees",
    }
    report = Path(large.result["run_directory"], "report.md").read_text()
    assert "several times faster on so many rows and trees" in report


@pytest.mark.parametrize("settings", [{}, {"bootstrap": False, "class_weight": "balanced"}, {"max_depth": 3}])
def test_the_forest_is_the_same_for_any_number_of_threads(sides: tuple[Dataset, Dataset], settings: Any) -> None:
    """A seed gives one forest, whatever the machine has."""
    one, two, three = (fit(_PIPELINE, *sides, params(**settings), threads=n).model for n in (1, 2, 3))
    expected = one.predict_proba(sides[1].X)
    np.testing.assert_array_equal(two.predict_proba(sides[1].X), expected)
    np.testing.assert_array_equal(three.predict_proba(sides[1].X), expected)
    other = fit(_PIPELINE, *sides, params(**settings), random_state=43).model
    assert not np.array_equal(other.predict_proba(sides[1].X), expected)


def test_no_two_chunks_are_the_same(sides: tuple[Dataset, Dataset]) -> None:
    """Each has a seed of its own: trees that are there twice would be worth nothing."""
    trees = fit(_PIPELINE, *sides, params()).model[-1].estimators_
    thresholds = {each.tree_.threshold.tobytes() for each in trees}
    assert len(thresholds) == len(trees) == 25


def test_trees_grown_by_onedal_predict_as_it_does(sides: tuple[Dataset, Dataset]) -> None:
    """The model is made of scikit-learn's trees, and a mean of them is what oneDAL itself would say."""
    from sklearnex.ensemble import RandomForestClassifier

    training, holdout = sides
    seed = np.random.SeedSequence((42, 0)).generate_state(1)[0]
    theirs = RandomForestClassifier(n_estimators=10, random_state=int(seed)).fit(training.X.to_numpy(), training.y)
    ours = fit(_PIPELINE, *sides, params(n_estimators=10)).model
    np.testing.assert_allclose(
        ours.predict_proba(holdout.X), theirs.predict_proba(holdout.X.to_numpy()), rtol=0, atol=1e-6
    )


def test_accuracy_is_scikit_learns_but_for_chance(tmp_path: Path) -> None:
    """The two forests are not the same, but neither is better: paired over ten draws of data."""
    differences = []
    for seed in range(10):
        path = tmp_path / f"{seed}.csv"
        table(3_000, seed).to_csv(path, index=False)
        training, holdout = split(path)
        right = {}
        for engine in ("sklearn", "intelex"):
            model = fit(_PIPELINE, training, holdout, params(n_estimators=50, engine=engine)).model
            right[engine] = np.mean(model.predict(holdout.X) == holdout.y)
        differences.append(right["intelex"] - right["sklearn"])
    # 600 rows, of which the forests disagree on some 15 %: 0.016 is the standard error of one difference.
    assert abs(np.mean(differences)) < 3 * 0.016 / np.sqrt(10)
    assert np.std(differences) > 0


@pytest.mark.parametrize("n_kept", [1, 2])
def test_an_interrupted_forest_goes_on_to_the_same(sides: tuple[Dataset, Dataset], tmp_path: Path, n_kept: int) -> None:
    """Chunks that are there are not grown again, the others do not depend on them."""
    whole = fit(_PIPELINE, *sides, params(), tmp_path / "state").model
    chunks = sorted((tmp_path / "state").glob("trees-from-*.intelex.skops"))
    assert len(chunks) == 3
    for path in chunks[n_kept:]:
        path.unlink()
    told: list[int] = []

    def on_progress(_: str, done: int, __: int) -> None:
        told.append(done)

    resumed = fit(_PIPELINE, *sides, params(), tmp_path / "state", on_progress=on_progress).model
    assert told == [10, 20, 25][n_kept - 1 :]
    np.testing.assert_array_equal(resumed.predict_proba(sides[1].X), whole.predict_proba(sides[1].X))


def test_trees_of_the_other_engine_are_no_state_to_go_on_from(sides: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    """A run may be resumed where `auto` decides otherwise."""
    fit(_PIPELINE, *sides, params(engine="sklearn"), tmp_path / "state")
    mixed = fit(_PIPELINE, *sides, params(), tmp_path / "state").model
    expected = fit(_PIPELINE, *sides, params()).model
    np.testing.assert_array_equal(mixed.predict_proba(sides[1].X), expected.predict_proba(sides[1].X))


def test_the_model_needs_no_intelex(mljobs: MLJobs, wide: Path) -> None:
    """It is a plain forest: predicting with it is nobody's privilege."""
    ended = mljobs("train", "random-forest", wide, *_INTELEX, "--param", "n_estimators=12")
    model = Path(ended.result["run_directory"], "model")
    forest = load_skops(model / "model.skops")[-1]
    assert type(forest).__module__ == "sklearn.ensemble._forest"
    assert "intelex" not in (model / "requirements.txt").read_text()
    program = (
        "import sys; sys.modules['sklearnex'] = sys.modules['daal4py'] = sys.modules['onedal'] = None\n"
        "import jobs.cli; jobs.cli.main()"
    )
    again = subprocess.run(
        [sys.executable, "-c", program, "evaluate", model, wide, "--runs-dir", wide.parent / "runs"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (again.returncode, again.stderr.count("Traceback")) == (0, 0)


def test_without_intelex_scikit_learn_grows_the_forest(wide: Path) -> None:
    """Whoever has not got it gets a forest all the same, and is told of the other."""
    program = "import sys; sys.modules['sklearnex'] = None\nimport jobs.cli; jobs.cli.main()"
    command = [sys.executable, "-c", program, "train", "random-forest", wide, "--runs-dir", wide.parent / "runs"]
    taken = subprocess.run([*command, "--param", "n_estimators=1000"], capture_output=True, text=True, check=False)
    assert taken.returncode == 0
    assert json.loads(taken.stdout)["fit"]["engine_reason"].startswith("scikit-learn-intelex is not installed")
    refused = subprocess.run([*command, *_INTELEX], capture_output=True, text=True, check=False)
    assert refused.returncode == 78
    assert "pip install 'mljobs[intelex]'" in refused.stderr


@pytest.mark.parametrize(
    "setting", [("criterion", "entropy"), ("class_weight", "balanced"), ("class_weight", "balanced_subsample")]
)
def test_what_intelex_does_not_know_is_said_before_anything_is_read(
    mljobs: MLJobs, wide: Path, setting: tuple[str, str]
) -> None:
    """It would fall back to scikit-learn without a word."""
    ended = mljobs("train", "random-forest", wide, *_INTELEX, "--param", "=".join(setting))
    assert (ended.exit_code, "read" in ended.result["seconds"]) == (78, False)
    assert f"got {setting[1]}" in ended.stderr


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda X, _: X.__setitem__((3, 1), np.nan), "takes no missing values, found 1"),
        (lambda X, _: X.__setitem__((3, 1), -3e38), "takes no values beyond 1e.38"),
        (lambda _, y: y.fill(2), "takes no rows that are all of one class"),
    ],
)
def test_rows_that_intelex_does_not_take_are_scikit_learns(spoil: Any, reason: str) -> None:
    """With `auto` it goes without saying more than why; whoever asks for intelex is told."""
    from sklearn.ensemble import RandomForestClassifier

    random = np.random.default_rng(0)
    X = random.normal(size=(LEAST_WORK // 100, 4)).astype(np.float32)
    y = random.integers(0, 2, len(X))
    assert choose("auto", RandomForestClassifier(), X, y).name == "intelex"
    spoil(X, y)
    taken = choose("auto", RandomForestClassifier(), X, y)
    assert taken.name == "sklearn"
    assert re.fullmatch(f"scikit-learn-intelex {reason}", taken.reason)
    with pytest.raises(ConfigError, match=reason):
        choose("intelex", RandomForestClassifier(), X, y)


def test_too_little_memory_for_intelex_may_be_enough_for_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """OneDAL sorts all features first, in as much memory again as they take, and more."""
    from sklearn.ensemble import RandomForestClassifier

    random = np.random.default_rng(0)
    X = random.normal(size=(LEAST_WORK // 100, 4)).astype(np.float32)
    y = random.integers(0, 2, len(X))
    monkeypatch.setattr(resources, "available_memory", lambda: X.nbytes)
    taken = choose("auto", RandomForestClassifier(), X, y)
    assert taken.name == "sklearn"
    assert re.fullmatch(r"scikit-learn-intelex needs \d+ MiB of memory, more than there is", taken.reason)
    with pytest.raises(FitError, match="growing trees with oneDAL needs about"):
        choose("intelex", RandomForestClassifier(), X, y)
    small = RandomForestClassifier(max_depth=2, n_estimators=200)
    monkeypatch.setattr(resources, "available_memory", lambda: 2 * X.nbytes)
    assert choose("auto", small, X, y).name == "intelex"


def test_a_silent_fallback_would_be_seen(sides: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    """Should a version of scikit-learn-intelex refuse more than we know of, no result says that oneDAL grew it."""
    from sklearn.ensemble import RandomForestClassifier

    from jobs.pipelines.random_forest.growing import grow

    X = sides[0].X.to_numpy().copy()
    X[0, 0] = np.nan
    with pytest.raises(FitError, match="did not grow the trees with oneDAL"):
        grow(
            RandomForestClassifier(random_state=1, n_jobs=2),
            Engine("intelex", "forced"),
            X,
            sides[0].y,
            on_progress=lambda *_, **__: None,
            checkpoint=Checkpoint(tmp_path / "state", print),
        )


def test_values_that_are_names_are_not_put_together(tmp_path: Path) -> None:
    """Each of 2,000 numbers stands for a thing of its own: in 256 bins most of what they tell would be lost."""
    random = np.random.default_rng(0)
    names = random.integers(0, 2_000, 20_000)
    target = random.integers(0, 2, 2_000)[names]
    path = tmp_path / "names.csv"
    pd.DataFrame({"name": names, "noise": random.normal(size=20_000)}).assign(target=target).to_csv(path, index=False)
    training, holdout = split(path)
    settings = params(max_features=None)
    model = fit(_PIPELINE, training, holdout, settings).model
    assert np.mean(model.predict(holdout.X) == holdout.y) > 0.95


def test_many_rows_are_grown_in_smaller_chunks(sides: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal waits for a chunk: its size goes by the rows, and by nothing that another machine has otherwise."""
    monkeypatch.setattr(engines, "_CELLS_IN_CHUNK", 3 * 1_600 * 8)
    told: list[int] = []

    def on_progress(_: str, done: int, __: int) -> None:
        told.append(done)

    models = [
        fit(_PIPELINE, *sides, params(n_estimators=8), threads=threads, on_progress=on_progress).model
        for threads in (1, 2)
    ]
    assert told == [3, 6, 8] * 2
    one, two = (model.predict_proba(sides[1].X) for model in models)
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("max_features", ["sqrt", "log2", 3, 0.5, None, 2**31 - 1])
@pytest.mark.parametrize("leaf", [1, 0.01])
def test_each_parameter_is_taken_by_onedal_too(sides: tuple[Dataset, Dataset], max_features: Any, leaf: float) -> None:
    """Whatever passes our checks can be trained with."""
    settings = params(n_estimators=3, max_features=max_features, min_samples_leaf=leaf, max_leaf_nodes=50)
    forest = fit(_PIPELINE, *sides, settings).model[-1]
    assert all(2 <= each.tree_.n_leaves <= 50 for each in forest.estimators_)
