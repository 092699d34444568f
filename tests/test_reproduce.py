"""A result can be had again, or it is said what differs."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from harness import Ended, MLJobs, Server
from sklearn.datasets import load_breast_cancer, load_digits

from jobs import journal

FAST = ("--param", "n_estimators=10")


@pytest.fixture(scope="module")
def cancer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return scikit-learn's breast cancer data as a file."""
    path = tmp_path_factory.mktemp("data") / "cancer.csv"
    load_breast_cancer(as_frame=True).frame.to_csv(path, index=False)
    return path


def rows(ended: Ended) -> dict[str, list[str]]:
    """Return the table on stdout: name to then, now, same."""
    header, *lines = ended.stdout.splitlines()
    ends = [header.index(word) for word in ("then", "now", "same")]
    cells = [
        [line[left:right].strip() for left, right in zip([0, *ends], [*ends, None], strict=True)] for line in lines
    ]
    return {name: each for name, *each in cells}


def changed(ended: Ended) -> list[str]:
    """Return the names of what differs."""
    return [name for name, (_, _, same) in rows(ended).items() if same != "yes"]


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("--split", "stable", "--test-size", "0.3", "--random-state", "7"),
        ("--param", "max_features=0.5", "--param", "class_weight=balanced"),
    ],
)
def test_the_same_again(mljobs: MLJobs, cancer: Path, settings: tuple[str, ...], tmp_path: Path) -> None:
    """To the last bit, and nothing is left behind."""
    run = mljobs("train", "random-forest", cancer, *FAST, *settings).result["run_directory"]
    before = sorted(each.name for each in (tmp_path / "runs").iterdir())
    ended = mljobs("reproduce", run)
    assert (ended.exit_code, changed(ended)) == (0, []), ended.stderr
    assert sorted(each.name for each in (tmp_path / "runs").iterdir()) == before


def test_groups_and_another_file(mljobs: MLJobs, cancer: Path, tmp_path: Path) -> None:
    """What decides the split, and a file to evaluate on, are part of the settings."""
    frame = pd.read_csv(cancer)
    frame.assign(patient=np.arange(len(frame)) // 2).to_csv(tmp_path / "grouped.csv", index=False)
    frame[::3].to_csv(tmp_path / "later.csv", index=False)
    grouped = mljobs(
        "train", "random-forest", tmp_path / "grouped.csv", *FAST, "--split", "stable", "--split-key", "patient"
    )
    later = mljobs("train", "random-forest", cancer, *FAST, "--eval-data", tmp_path / "later.csv")
    for each in (grouped, later):
        ended = mljobs("reproduce", each.result["run_directory"])
        assert (ended.exit_code, changed(ended)) == (0, []), ended.stderr


def test_other_data(mljobs: MLJobs, cancer: Path, tmp_path: Path) -> None:
    """They are named first, and nothing is trained; data that have only moved are no others."""
    data = Path(shutil.copy(cancer, tmp_path / "data.csv"))
    run = mljobs("train", "random-forest", data, *FAST).result["run_directory"]
    moved = data.rename(tmp_path / "moved.csv")
    gone = mljobs("reproduce", run)
    assert (gone.exit_code, "data.csv" in gone.stderr) == (66, True)
    assert mljobs("reproduce", run, "--data", moved).exit_code == 0
    frame = pd.read_csv(moved)
    frame.loc[0, "target"] = 1 - frame.loc[0, "target"]
    frame.to_csv(data, index=False)
    other = mljobs("reproduce", run)
    assert (other.exit_code, changed(other)) == (4, ["data"])
    assert "the first that differs is data: " in other.stderr
    assert "nothing was trained" in other.stderr
    assert "trees" not in other.stderr


def test_another_result(mljobs: MLJobs, cancer: Path) -> None:
    """Settings that are no longer those by which the run was made: metrics and predictions are held side by side."""
    run = Path(mljobs("train", "random-forest", cancer, *FAST).result["run_directory"])
    path = run / "journal.jsonl"
    events = list(journal.read(path))
    for event in events:
        if "mljobs.config" in event.get("tags", {}):
            config = json.loads(event["tags"]["mljobs.config"]) | {"param": ["n_estimators=2"]}
            event["tags"] |= {"mljobs.config": json.dumps(config), "mljobs.python": "3.9.1"}
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    ended = mljobs("reproduce", run)
    assert ended.exit_code == 4
    assert changed(ended)[0] == "python"
    assert {"log_loss", "probabilities"} <= set(changed(ended))
    assert "the first that differs is python: 3.9.1 then, " in ended.stderr
    assert " of them differ, by " in rows(ended)["probabilities"][1]


def test_an_input_that_changed_nothing(mljobs: MLJobs, cancer: Path) -> None:
    """Another package, but the same result: 0, and the table says what is another."""
    run = Path(mljobs("train", "random-forest", cancer, *FAST).result["run_directory"])
    path = run / "journal.jsonl"
    path.write_text(path.read_text().replace("skops 0.", "skops 99."))
    ended = mljobs("reproduce", run)
    assert (ended.exit_code, changed(ended)) == (0, ["skops"])


def test_a_pickle(mljobs: MLJobs, cancer: Path) -> None:
    """It is loaded only if that is asked for."""
    run = mljobs("train", "random-forest", cancer, *FAST, "--model-format", "joblib").result["run_directory"]
    assert mljobs("reproduce", run).exit_code == 78
    assert mljobs("reproduce", run, "--trust-pickle").exit_code == 0


def test_what_has_no_result(mljobs: MLJobs, tmp_path: Path) -> None:
    """A failed run, an empty folder, a name: one sentence."""
    (tmp_path / "bad.csv").write_text("a,target\n1,2\n")
    failed = mljobs("train", "random-forest", tmp_path / "bad.csv").result["run_directory"]
    (tmp_path / "empty").mkdir()
    for run in (failed, tmp_path / "empty", "nothing"):
        ended = mljobs("reproduce", run)
        assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (66, "", 1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_nothing_behind(cancer: Path, mljobs: MLJobs, tmp_path: Path, number: int, code: int) -> None:
    """The folder in which it was trained again is gone."""
    run = Path(mljobs("train", "random-forest", cancer, "--param", "n_estimators=2000").result["run_directory"])
    command = [sys.executable, "-m", "jobs", "reproduce", str(run), "--runs-dir", str(tmp_path / "aside")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        while not list(tmp_path.glob("aside/.reproduce-*/checkpoint/trees-from-0.*")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(timeout=60) == code
    assert list((tmp_path / "aside").iterdir()) == []


@pytest.mark.server
def test_a_run_in_mlflow(mljobs: MLJobs, cancer: Path, server: Server) -> None:
    """Its id is enough: the run directory may be gone."""
    env = {"MLFLOW_TRACKING_URI": server.uri}
    result = mljobs("train", "random-forest", cancer, *FAST, **env).result
    shutil.rmtree(result["run_directory"])
    ended = mljobs("reproduce", result["run_id"], **env)
    assert (ended.exit_code, changed(ended)) == (0, []), ended.stderr


@pytest.mark.server
def test_an_evaluation_in_mlflow(mljobs: MLJobs, cancer: Path, server: Server) -> None:
    """It has no model of its own."""
    env = {"MLFLOW_TRACKING_URI": server.uri}
    run = mljobs("train", "random-forest", cancer, *FAST).result["run_directory"]
    evaluated = mljobs("evaluate", run, cancer, **env)
    ended = mljobs("reproduce", evaluated.result["run_id"], **env)
    assert (ended.exit_code, "has no trained model" in ended.stderr) == (66, True)


@pytest.mark.tensorflow
def test_images(mljobs_process: MLJobs, tmp_path: Path) -> None:
    """A network, too, with its stored weights against those trained again."""
    digits = load_digits()
    np.savez(tmp_path / "digits.npz", images=digits.images[:600].astype(np.uint8), labels=digits.target[:600])
    trained = mljobs_process("train", "cnn", tmp_path / "digits.npz", "--param", "epochs=2", "--split", "stable")
    ended = mljobs_process("reproduce", trained.result["run_directory"])
    assert (ended.exit_code, changed(ended)) == (0, []), ended.stdout
