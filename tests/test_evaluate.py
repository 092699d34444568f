"""Evaluations as jobs: of a saved model, and of a file beside the training file."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from harness import MLJobs

FAST = ("--param", "n_estimators=5")
NO_TEST = "is the file that the model was trained on: this is no test of it"


def test_labels_are_in_the_column_that_the_model_was_trained_with(
    mljobs: MLJobs, tmp_path: Path, frame: pd.DataFrame
) -> None:
    """Nobody has to say --target again."""
    churn = frame.rename(columns={"target": "churned"})
    churn[:200].to_csv(tmp_path / "train.csv", index=False)
    churn[200:].to_csv(tmp_path / "test.csv", index=False)
    trained = mljobs("train", "random-forest", tmp_path / "train.csv", "--target", "churned", *FAST).result
    ended = mljobs("evaluate", trained["run_directory"], tmp_path / "test.csv")
    assert (ended.exit_code, ended.result["data"]["rows"]) == (0, 100)


@pytest.mark.parametrize("job", ["train", "evaluate"])
def test_evaluating_on_the_training_file_is_said_to_be_no_test(mljobs: MLJobs, csv: Path, job: str) -> None:
    """Nobody takes such an accuracy for the real one."""
    if job == "train":
        ended = mljobs("train", "random-forest", csv, "--eval-data", csv, *FAST)
    else:
        ended = mljobs("evaluate", mljobs("train", "random-forest", csv, *FAST).result["run_directory"], csv)
    assert NO_TEST in ended.stderr
    assert NO_TEST in (Path(ended.result["run_directory"]) / "report.md").read_text()


def test_a_gate_holds_an_evaluation_too(mljobs: MLJobs, tmp_path: Path, frame: pd.DataFrame) -> None:
    """A metric that these rows can't give does not pass."""
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame[frame["target"] == 1].to_csv(tmp_path / "one.csv", index=False)
    trained = mljobs("train", "random-forest", tmp_path / "train.csv", *FAST).result
    ended = mljobs("evaluate", trained["run_directory"], tmp_path / "one.csv", "--min", "roc_auc=0.5")
    assert (ended.exit_code, ended.result["status"]) == (3, "rejected")
    assert ended.result["reason"] == "roc_auc can't be had from these rows, but the gate asks for 0.5"


@pytest.mark.parametrize("job", ["train", "evaluate"])
def test_rows_that_were_trained_on_are_counted(mljobs: MLJobs, tmp_path: Path, frame: pd.DataFrame, job: str) -> None:
    """The report has the accuracy without them."""
    frame[:200].to_csv(tmp_path / "train.csv", index=False)
    frame[170:].to_csv(tmp_path / "test.csv", index=False)
    if job == "train":
        ended = mljobs("train", "random-forest", tmp_path / "train.csv", "--eval-data", tmp_path / "test.csv", *FAST)
    else:
        # Trained on all of the file, since it is evaluated on another.
        other = ("--eval-data", tmp_path / "test.csv", *FAST)
        run = mljobs("train", "random-forest", tmp_path / "train.csv", *other).result["run_directory"]
        ended = mljobs("evaluate", run, tmp_path / "test.csv")
    directory = Path(ended.result["run_directory"])
    duplicates = json.loads((directory / "metrics.json").read_text())["duplicates"]
    assert duplicates["n_rows"] == 30
    assert duplicates["accuracy"]["value"] < ended.result["metrics"]["accuracy"]
    assert f"{100 * duplicates['accuracy']['value']:.1f}%" in (directory / "report.md").read_text()


def test_groups_that_were_trained_on_are_told(mljobs: MLJobs, tmp_path: Path, frame: pd.DataFrame) -> None:
    """New rows of a known patient are no test of how new patients fare."""
    patients = frame.assign(patient=[f"p{i % 20}" for i in range(len(frame))])
    patients[:200].to_csv(tmp_path / "train.csv", index=False)
    patients[200:].to_csv(tmp_path / "test.csv", index=False)
    split = ("--split", "stable", "--split-key", "patient")
    trained = mljobs("train", "random-forest", tmp_path / "train.csv", *split, *FAST)
    assert trained.exit_code == 0
    ended = mljobs("evaluate", trained.result["run_directory"], tmp_path / "test.csv")
    assert ended.exit_code == 0
    (n_known,) = re.findall(r"(\d+) of the 100 rows are of a 'patient' that the model was trained on", ended.stderr)
    assert 60 <= int(n_known) <= 95  # four fifths of the patients
    assert int(n_known) % 5 == 0
