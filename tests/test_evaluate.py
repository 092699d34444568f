"""Evaluations as jobs: of a saved model, and of a file beside the training file."""

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
