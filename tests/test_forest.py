"""The random forest, from CSV to a model that predicts raw rows."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import reference
from harness import ROOT, MLJobs, fit
from sklearn import datasets

from jobs.datasets import splits, table
from jobs.datasets.fingerprints import ROWS, Fingerprints
from jobs.errors import DataError
from jobs.pipelines import find, open_model
from jobs.pipelines.random_forest.growing import steps
from jobs.pipelines.random_forest.saving import load_skops

_FAST = ("--param", "n_estimators=8")


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "digits", "iris"])
def test_accuracy_is_the_references(mljobs: MLJobs, tmp_path: Path, name: str) -> None:
    """On numbers without gaps the default run gives the reference's accuracy to the last digit."""
    path = tmp_path / f"{name}.csv"
    getattr(datasets, f"load_{name}")(as_frame=True).frame.to_csv(path, index=False)
    assert mljobs("train", "random-forest", path).result["metrics"]["accuracy"] == reference.random_forest_accuracy(
        path
    )


def test_mock_data_accuracy_is_the_references(mljobs: MLJobs) -> None:
    """So it is on the data that come with the project."""
    path = ROOT / "data" / "mock_data.csv"
    assert mljobs("train", "random-forest", path).result["metrics"]["accuracy"] == reference.random_forest_accuracy(
        path
    )


@pytest.mark.parametrize("class_weight", [None, "balanced", "balanced_subsample"])
def test_forest_grown_in_steps_predicts_as_the_references(csv: Path, class_weight: Any) -> None:
    """Not the accuracy alone: each probability is the one of the forest grown at once."""
    from sklearn.ensemble import RandomForestClassifier

    dataset = table.read_csv(csv, target="target", schema=None)
    inside, outside = splits.random_split(len(dataset), test_size=0.2, random_state=42)
    training, holdout = dataset.take(inside), dataset.take(outside)
    pipeline = find("random-forest")
    fitted = fit(pipeline, training, holdout, pipeline.Params(class_weight=class_weight))
    expected = RandomForestClassifier(n_estimators=100, random_state=42, class_weight=class_weight)
    expected.fit(training.X, training.y)
    np.testing.assert_array_equal(fitted.model.predict_proba(holdout.X), expected.predict_proba(holdout.X))


@pytest.mark.parametrize("threads", [1, 2, 3, 16, 2_000])
@pytest.mark.parametrize("n_trees", [1, 7, 10, 100, 1_000, 123_456])
def test_steps_are_small_and_the_first_is_smaller(n_trees: int, threads: int) -> None:
    """Soon there is something to judge the memory by, and never long until a job can be stopped."""
    counts = list(steps(n_trees, threads))
    sizes = np.diff([0, *counts])
    assert counts[-1] == n_trees
    assert sizes.min() > 0
    assert sizes[0] <= max(threads, 10 + threads - 1)
    assert sizes.max() <= max(threads, 1_000)


def test_default_steps_are_tenths() -> None:
    """The progress of the default run is even."""
    assert list(steps(100, 2)) == list(range(10, 101, 10))


def test_a_forest_whose_trees_are_all_grown_goes_on_to_its_end(csv: Path, tmp_path: Path) -> None:
    """A job may be killed between its last tree and its end."""
    dataset = table.read_csv(csv, target="target", schema=None)
    pipeline = find("random-forest")
    first, second = (fit(pipeline, dataset, dataset, pipeline.Params(), tmp_path / "state").model for _ in range(2))
    assert np.array_equal(first.predict_proba(dataset.X), second.predict_proba(dataset.X))


def test_more_trees_than_fit_the_memory_are_refused_at_once(mljobs: MLJobs, csv: Path) -> None:
    """A few trees tell how large a forest will be."""
    ended = mljobs("train", "random-forest", csv, "--param", "n_estimators=2000000000")
    assert ended.exit_code != 0
    assert "a forest of 2000000000 such trees needs about" in ended.stderr


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("min_samples_leaf", [1, 2**31 - 1, 0.999], [0, 0.0, 1.0, math.nan]),
        ("min_samples_split", [2, 2**31 - 1, 1.0], [1, 0.0, 1.1, math.nan]),
        ("max_features", [1, 2**31 - 1, 1.0, "sqrt", None], [0, 0.0, 1.1, math.nan]),
        ("max_depth", [1, 2**31 - 1, None], [0]),
        ("max_leaf_nodes", [2, 100_000, None], [1]),
    ],
)
def test_parameters_are_those_that_scikit_learn_takes(csv: Path, name: str, good: list[Any], bad: list[Any]) -> None:
    """What passes can be trained with, the rest is refused before the data are read."""
    dataset = table.read_csv(csv, target="target", schema=None)
    pipeline = find("random-forest")
    for value in good:
        params = pipeline.Params(n_estimators=2, **{name: value})
        fit(pipeline, dataset, dataset, params, threads=1)
    for value in bad:
        with pytest.raises(ValueError, match=f"{name} must be "):
            pipeline.Params(**{name: value})


@pytest.fixture
def mixed() -> pd.DataFrame:
    """Return rows with numbers, text, truth values, gaps and text labels."""
    random = np.random.default_rng(3)
    n = 200
    colour = random.choice(["red", "green", "blue"], n)
    size = random.normal(size=n)
    label = np.where((colour == "red") ^ (size > 0), "yes", "no")
    frame = pd.DataFrame({"colour": colour, "size": size, "open": random.random(n) < 0.5, "target": label})
    frame["colour"] = frame["colour"].mask(random.random(n) < 0.1)
    frame["size"] = frame["size"].mask(random.random(n) < 0.1)
    return frame


@pytest.mark.parametrize("missing", ["", "?", "NA"])
@pytest.mark.parametrize(("separator", "name"), [(",", "mixed.csv"), (";", "mixed.csv.gz"), ("\t", "mixed.csv")])
def test_trains_on_any_honest_table(
    mljobs: MLJobs, tmp_path: Path, mixed: pd.DataFrame, missing: str, separator: str, name: str
) -> None:
    """Text, truth values and gaps, in any dialect, are learnt from."""
    mixed.to_csv(tmp_path / name, sep=separator, na_rep=missing, index=False, encoding="utf-8-sig")
    ended = mljobs("train", "random-forest", tmp_path / name, *_FAST)
    assert ended.exit_code == 0
    assert ended.result["metrics"]["accuracy"] > 0.7


def test_saved_model_predicts_raw_rows(mljobs: MLJobs, tmp_path: Path, mixed: pd.DataFrame) -> None:
    """The model folder alone turns rows as they come, with unseen categories and gaps, into labels."""
    mixed.to_csv(tmp_path / "mixed.csv", index=False)
    folder = Path(mljobs("train", "random-forest", tmp_path / "mixed.csv", *_FAST).result["run_directory"]) / "model"
    model = open_model(folder).load(trust_pickle=False)
    rows = pd.DataFrame({"open": [True, False], "size": [1.5, np.nan], "colour": ["red", "violet"]})
    assert set(model.predict(rows)) <= {"yes", "no"}
    assert model.predict(mixed.drop(columns="target").head(1))[0] == mixed["target"][0]


def test_loaded_model_predicts_bit_for_bit_as_the_trained_one(mljobs: MLJobs, csv: Path, frame: pd.DataFrame) -> None:
    """Nothing is lost by saving and loading, in either format."""
    X = frame.drop(columns="target")
    found = []
    for model_format, path in (("skops", "model.skops"), ("joblib", "data/model.joblib")):
        ended = mljobs("train", "random-forest", csv, *_FAST, "--model-format", model_format)
        folder = Path(ended.result["run_directory"]) / "model"
        assert (folder / path).is_file()
        found.append(open_model(folder).load(trust_pickle=True).predict_proba(X))
    np.testing.assert_array_equal(found[0], found[1])


def test_a_damaged_model_is_never_a_bug(mljobs: MLJobs, csv: Path) -> None:
    """Whichever byte is another one: it is refused as damaged, or still one that loads."""
    run = mljobs("train", "random-forest", csv, *_FAST).result["run_directory"]
    model = Path(run, "model", "model.skops")
    whole, random = model.read_bytes(), np.random.default_rng(0)
    refused: list[str] = []
    for position in random.integers(0, len(whole), 300):
        model.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        try:
            load_skops(model)
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > 150
    assert all(str(model) in sentence for sentence in refused)


@pytest.mark.parametrize("model_format", ["skops", "joblib"])
def test_model_holds_nothing_of_the_working_folder(
    mljobs: MLJobs, tmp_path: Path, csv: Path, model_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow would add the lock file and settings of a project that the job happens to be started in."""
    for name, text in (("uv.lock", "version = 1\n"), ("pyproject.toml", '[project]\nname = "other"\nversion = "1"\n')):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    result = mljobs("train", "random-forest", csv, *_FAST, "--model-format", model_format).result
    found = {each.name for each in (Path(result["run_directory"]) / "model").rglob("*")}
    assert "MLmodel" in found
    assert not found & {"uv.lock", "pyproject.toml"}


def test_evaluation_file_is_the_holdout(mljobs: MLJobs, tmp_path: Path, frame: pd.DataFrame) -> None:
    """With --eval-data all rows of the data file are trained on; columns may come in another order."""
    frame[:200].to_csv(tmp_path / "train.csv", index=False)
    frame[200:][frame.columns[::-1]].to_csv(tmp_path / "test.csv", index=False)
    ended = mljobs("train", "random-forest", tmp_path / "train.csv", "--eval-data", tmp_path / "test.csv", *_FAST)
    assert (ended.result["data"]["rows"], ended.result["eval_data"]["rows"]) == (200, 100)
    again = mljobs("evaluate", ended.result["run_directory"], tmp_path / "test.csv")
    assert again.result["metrics"] == ended.result["metrics"]


def test_evaluating_on_the_training_file_is_said_to_be_no_test(mljobs: MLJobs, csv: Path) -> None:
    """Nobody takes such an accuracy for the real one."""
    ended = mljobs("train", "random-forest", csv, *_FAST)
    again = mljobs("evaluate", ended.result["run_directory"], csv)
    assert "is the file that the model was trained on" in again.stderr
    assert (
        "is the file that the model was trained on" in (Path(again.result["run_directory"]) / "report.md").read_text()
    )


def test_gate_decides_the_exit_code(mljobs: MLJobs, csv: Path) -> None:
    """A result under a gate is recorded, and is no success."""
    ended = mljobs("train", "random-forest", csv, *_FAST, "--min", "accuracy=0.999", "--min", "roc_auc=0.5")
    assert (ended.exit_code, ended.result["status"]) == (3, "rejected")
    assert "is under the gate 0.999" in ended.result["reason"]
    assert "roc_auc" not in ended.result["reason"]
    assert {"model", "report.html", "report.md", "metrics.json", "result.json"} <= {
        each.name for each in Path(ended.result["run_directory"]).iterdir()
    }


def test_same_job_gives_the_same_model(mljobs: MLJobs, csv: Path) -> None:
    """Two runs differ in nothing that depends on the data."""
    first, second = (mljobs("train", "random-forest", csv, *_FAST, "--force").result for _ in range(2))
    assert first["metrics"] == second["metrics"]
    assert first["run_directory"] != second["run_directory"]


def test_models_say_what_they_were_trained_on(mljobs: MLJobs, csv: Path) -> None:
    """Beside the model are the fingerprints of its rows: those that were not held out."""
    result = mljobs("train", "random-forest", csv, *_FAST, "--split", "stable").result
    found = open_model(Path(result["run_directory"]) / "model").fingerprints()
    rows = Fingerprints.of(table.read_csv(csv, target="target", schema=None))
    train, holdout = splits.stable_split(rows.units, test_size=0.2, random_state=42)

    assert found is not None
    assert sorted(rows.rows[train].tolist()) == found.rows.tolist()
    assert not rows.take(holdout).are_in(found).any()


def test_models_say_which_groups_they_were_trained_on(mljobs: MLJobs, tmp_path: Path, frame: pd.DataFrame) -> None:
    """The split key is no feature; later data need not have it."""
    named = frame.assign(who=[f"p{i % 30}" for i in range(len(frame))])
    named.to_csv(tmp_path / "named.csv", index=False)
    result = mljobs(
        "train", "random-forest", tmp_path / "named.csv", *_FAST, "--split", "stable", "--split-key", "who"
    ).result
    saved = open_model(Path(result["run_directory"]) / "model")
    found = saved.fingerprints()
    later = table.read_csv(tmp_path / "named.csv", target="target", schema=saved.schema)
    is_known = Fingerprints.of(later).are_in(found)
    frame.to_csv(tmp_path / "unnamed.csv", index=False)

    assert "who" == saved.schema["split_key"]
    assert "who" not in saved.schema["columns"]
    assert len(set(named["who"][is_known])) + len(set(named["who"][~is_known])) == 30
    assert len(found.groups) == len(set(named["who"][is_known]))
    assert 0 == mljobs("evaluate", result["run_directory"], tmp_path / "unnamed.csv").exit_code
    assert 0 == mljobs("evaluate", result["run_directory"], tmp_path / "named.csv").exit_code


def test_a_model_of_an_older_version_says_nothing_of_its_rows(mljobs: MLJobs, csv: Path) -> None:
    """It can be evaluated all the same."""
    result = mljobs("train", "random-forest", csv, *_FAST).result
    folder = Path(result["run_directory"]) / "model"
    (folder / ROWS).unlink()

    assert open_model(folder).fingerprints() is None
    assert 0 == mljobs("evaluate", result["run_directory"], csv).exit_code


def test_rows_that_are_kept_aside_predict_the_same(tmp_path: Path, mixed: pd.DataFrame) -> None:
    """A holdout that is written and read again gets the very same probabilities."""
    mixed.to_csv(tmp_path / "mixed.csv", index=False)
    pipeline = find("random-forest")
    dataset = pipeline.read(tmp_path / "mixed.csv", target="target", schema=None, scratch=tmp_path)
    inside, outside = splits.random_split(len(dataset), test_size=0.2, random_state=42)
    training, holdout = dataset.take(inside), dataset.take(outside)
    model = fit(pipeline, training, holdout, pipeline.Params(n_estimators=8)).model
    path = tmp_path / f"rows{pipeline.SUFFIX}"
    pipeline.write(holdout, path)
    again = pipeline.read(path, target="target", schema=holdout.schema, scratch=tmp_path)

    np.testing.assert_array_equal(model.predict_proba(holdout.X), model.predict_proba(again.X))
    assert holdout.y.tolist() == again.y.tolist()
