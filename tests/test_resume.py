"""A job that is killed goes on where it stopped, and ends with the model of one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import ROOT, MLJobs, Server, fit

from jobs import journal, resources
from jobs.checkpoint import Checkpoint
from jobs.datasets import Dataset, images, splits, table
from jobs.pipelines import Pipeline, find, open_model

FOREST = ("random-forest", ROOT / "data" / "mock_data.csv", "--param", "n_estimators=400")
CNN = ("cnn", ROOT / "data" / "mock_data.npz", "--param", "epochs=4")


def start(runs: Path, job: tuple[object, ...], **env: str) -> "subprocess.Popen[str]":
    """Start a job as a scheduler does."""
    return subprocess.Popen(
        [sys.executable, "-m", "jobs", "train", *map(str, job)],
        env={**os.environ, "MLJOBS_RUNS_DIR": str(runs), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for a job that is to end well; return its result."""
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    result: dict[str, Any] = json.loads(stdout)
    return result


def predictions(directory: str | Path, job: tuple[object, ...], scratch: Path) -> np.ndarray:
    """Return what a run's model says of the rows that it was not trained on."""
    saved = open_model(Path(directory) / "model")
    data = saved.pipeline.read(Path(str(job[1])), target="target", schema=saved.schema, scratch=scratch)
    _, outside = splits.random_split(len(data), test_size=0.2, random_state=42)
    return saved.load(trust_pickle=False).predict_proba(data.take(outside).X)


def repeated_steps(path: Path) -> list[tuple[str, int]]:
    """Return the points of curves that a journal has more than once."""
    events = [event for event in journal.read(path) if event["event"] == "metrics"]
    counts = Counter((name, event["step"]) for event in events for name in event["metrics"])
    return [point for point, count in counts.items() if count > 1]


def kill_until_it_ends(runs: Path, job: tuple[object, ...], seed: int, seconds: float, **env: str) -> dict[str, Any]:
    """Kill a job after random times, start it again, until there were five; then let it end."""
    moments = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(5):
        process = start(runs, job, **env)
        try:
            process.wait(timeout=moments.uniform(0.3, seconds))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
    return end(start(runs, job, **env))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_forest_that_is_killed_at_random_is_the_one_that_is_not(tmp_path: Path, seed: int) -> None:
    """Predictions on the holdout are the same to the last bit, in one run."""
    result = kill_until_it_ends(tmp_path / "killed", FOREST, seed, 5)
    expected = end(start(tmp_path / "whole", FOREST))
    assert len(list((tmp_path / "killed").glob("*/journal.jsonl"))) == 1
    assert result["metrics"] == expected["metrics"]
    np.testing.assert_array_equal(
        predictions(result["run_directory"], FOREST, tmp_path), predictions(expected["run_directory"], FOREST, tmp_path)
    )
    assert repeated_steps(Path(result["run_directory"]) / "journal.jsonl") == []


@pytest.mark.tensorflow
@pytest.mark.server
def test_a_network_that_is_killed_at_random_is_the_one_that_is_not(tmp_path: Path, server: Server) -> None:
    """The same for epochs and their curves, and in MLflow it is one run that was never there twice."""
    find("cnn").prepare(resources.cpu_count())
    env = {"MLFLOW_TRACKING_URI": server.uri, "MLFLOW_EXPERIMENT_NAME": tmp_path.name}
    result = kill_until_it_ends(tmp_path / "killed", CNN, 3, 10, **env)
    expected = end(start(tmp_path / "whole", CNN))
    directory = Path(result["run_directory"])
    assert len(list((tmp_path / "killed").glob("*/journal.jsonl"))) == 1
    assert result["metrics"] == expected["metrics"]
    np.testing.assert_array_equal(
        predictions(directory, CNN, tmp_path), predictions(expected["run_directory"], CNN, tmp_path)
    )
    assert repeated_steps(directory / "journal.jsonl") == []
    client = server.client
    (experiment,) = client.search_experiments(filter_string=f"name = '{tmp_path.name}'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.info.run_id, result["tracking"]) == ("FINISHED", result["run_id"], "published")
    history = client.get_metric_history(run.info.run_id, "epoch/loss")
    assert [point.step for point in history] == [1, 2, 3, 4]
    journalled = [event for event in journal.read(directory / "journal.jsonl") if event["event"] == "metrics"]
    assert [point.value for point in history] == [
        event["metrics"]["epoch/loss"] for event in journalled if "epoch/loss" in event["metrics"]
    ]


class KilledError(BaseException):
    """Stands for the end of the process."""


def interrupt(pipeline: Pipeline, training: Dataset, holdout: Dataset, params: Any, folder: Path, at: int) -> list[int]:
    """Fit until the `at`-th report of progress, and again from there to the end; return what was reported then."""
    reports: list[int] = []

    def die(_unit: str, done: int, _total: int, **_metrics: float) -> None:
        reports.append(done)
        if len(reports) == at:
            raise KilledError

    with pytest.raises(KilledError):
        fit(pipeline, training, holdout, params, folder, on_progress=die)
    return reports


@pytest.fixture
def table_sides(csv: Path) -> tuple[Dataset, Dataset]:
    """Return the two sides of a small table."""
    dataset = table.read_csv(csv, target="target", schema=None)
    inside, outside = splits.random_split(len(dataset), test_size=0.2, random_state=42)
    return dataset.take(inside), dataset.take(outside)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("at", [1, 5, 10])
def test_a_forest_goes_on_after_the_last_step(
    table_sides: tuple[Dataset, Dataset], tmp_path: Path, at: int, threads: int
) -> None:
    """Not one tree of those that were reported is grown again, whatever the number of threads is then."""
    pipeline = find("random-forest")
    params = pipeline.Params()
    grown = interrupt(pipeline, *table_sides, params, tmp_path / "state", at)[-1]
    reports: list[int] = []
    resumed = fit(
        pipeline,
        *table_sides,
        params,
        tmp_path / "state",
        threads=threads,
        on_progress=lambda _unit, done, _total: reports.append(done),
    )
    assert reports[0] == grown == 10 * at
    whole = fit(pipeline, *table_sides, params)
    X = table_sides[1].X
    np.testing.assert_array_equal(resumed.model.predict_proba(X), whole.model.predict_proba(X))
    assert resumed.importances == whole.importances


@pytest.mark.tensorflow
@pytest.mark.parametrize("at", [1, 3])
def test_a_network_goes_on_after_the_last_epoch(tmp_path: Path, at: int) -> None:
    """Weights, Adam's moments, the order of the images and the curves are those of a fit that was not stopped."""
    pipeline: Any = find("cnn")
    pipeline.prepare(resources.cpu_count())
    dataset = images.read_npz(ROOT / "data" / "mock_data.npz", schema=None, scratch=tmp_path)
    sides = dataset.take(np.arange(300)), dataset.take(np.arange(300, 400))
    params = pipeline.Params(epochs=3)
    assert interrupt(pipeline, *sides, params, tmp_path / "state", at) == list(range(1, at + 1))
    reports: list[int] = []
    resumed = fit(
        pipeline,
        *sides,
        params,
        tmp_path / "state",
        on_progress=lambda _unit, done, _total, **_: reports.append(done),
    )
    whole = fit(pipeline, *sides, params)
    assert reports == [1, 2, 3]
    assert resumed.learning_curves == whole.learning_curves
    for resumed_array, whole_array in zip(
        resumed.model.network.get_weights(), whole.model.network.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(resumed_array, whole_array)


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_broken_checkpoint_costs_work_not_the_job(
    table_sides: tuple[Dataset, Dataset], tmp_path: Path, length: int
) -> None:
    """What can't be read is grown again, and the forest is the same."""
    pipeline = find("random-forest")
    params = pipeline.Params()
    interrupt(pipeline, *table_sides, params, tmp_path / "state", 5)
    for path in sorted((tmp_path / "state").glob("trees-from-*"))[2:]:
        path.write_bytes(path.read_bytes()[:length])
    warnings: list[str] = []
    resumed = pipeline.fit(
        *table_sides,
        params,
        random_state=42,
        threads=2,
        on_progress=lambda *_, **__: None,
        checkpoint=Checkpoint(tmp_path / "state", warnings.append),
    )
    assert [warning.partition(" can't be read")[0] for warning in warnings] == [
        str(tmp_path / "state" / "trees-from-20.sklearn.skops")
    ]
    X = table_sides[1].X
    np.testing.assert_array_equal(
        resumed.model.predict_proba(X), fit(pipeline, *table_sides, params).model.predict_proba(X)
    )


def test_a_checkpoint_that_cannot_be_written_is_said_and_costs_nothing_else(tmp_path: Path) -> None:
    """The disk may be full; the fit goes on."""
    warnings: list[str] = []
    (tmp_path / "state").write_text("a file where the folder should be")
    checkpoint = Checkpoint(tmp_path / "state", warnings.append)
    checkpoint.write("part", lambda path: path.write_text("x"))
    (warning,) = warnings
    assert warning.startswith(f"{tmp_path}/state/part can't be written: ")


@pytest.fixture
def interrupted(csv: Path, tmp_path: Path) -> Path:
    """Return the run directory of a job that was killed in its fit, with a state."""
    runs = tmp_path / "runs"
    process = start(runs, ("random-forest", csv, "--param", "n_estimators=1000"))
    deadline = time.monotonic() + 60
    while not list(runs.glob("*/checkpoint/trees-from-0.*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (directory,) = (path.parent for path in runs.glob("*/journal.jsonl"))
    return directory


@pytest.mark.parametrize(
    "change",
    [("--random-state", "1"), ("--param", "max_depth=4"), ("--test-size", "0.3"), ("--force",)],
)
def test_another_setting_never_goes_on_from_an_old_state(
    mljobs: MLJobs, csv: Path, interrupted: Path, change: tuple[str, ...]
) -> None:
    """It is another run; the old one is closed, and its state goes when the new one has finished."""
    few = ("--param", "n_estimators=1000") if change == ("--force",) else ("--param", "n_estimators=5")
    ended = mljobs("train", "random-forest", csv, *few, *change, "--param", "max_leaf_nodes=2")
    assert (ended.result["status"], ended.result["attempts"]) == ("finished", 1)
    assert Path(ended.result["run_directory"]) != interrupted
    lost = json.loads((interrupted / "result.json").read_bytes())
    assert (lost["status"], lost["exit_code"]) == ("failed", None)
    assert lost["reason"].startswith("lost: ")
    assert not (interrupted / "checkpoint").exists()


def test_other_data_never_go_on_from_an_old_state(mljobs: MLJobs, csv: Path, interrupted: Path) -> None:
    """One more row is enough."""
    csv.write_bytes(csv.read_bytes() + csv.read_bytes().splitlines(keepends=True)[-1])
    ended = mljobs("train", "random-forest", csv, "--param", "n_estimators=1000", "--param", "max_leaf_nodes=2")
    assert (ended.result["attempts"], Path(ended.result["run_directory"]) == interrupted) == (1, False)


def test_a_failed_start_in_between_keeps_the_state(csv: Path, tmp_path: Path) -> None:
    """Stopped, then a night with a broken file, then the old file: the run goes on."""
    runs, job = tmp_path / "runs", ("random-forest", csv, "--param", "n_estimators=1000")
    process = start(runs, job)
    while not list(runs.glob("*/checkpoint/trees-from-0.*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    stopped = json.loads(process.communicate(timeout=60)[0])
    assert (process.returncode, stopped["status"]) == (143, "killed")
    content = csv.read_bytes()
    csv.write_bytes(b"a,b\n1,2\n")
    broken = start(runs, job)
    broken.communicate(timeout=60)
    assert broken.returncode == 65
    csv.write_bytes(content)
    resumed = end(start(runs, job))
    assert (resumed["run_directory"], resumed["attempts"]) == (stopped["run_directory"], 2)
    assert (resumed["status"], resumed["reason"]) == ("finished", None)


def test_data_that_change_after_the_key_was_made_are_refused(
    mljobs: MLJobs, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the model of the new data would stand for the old ones, or go on from their state."""
    from jobs.pipelines import random_forest

    real = random_forest.prepare

    def prepare(threads: int) -> None:
        csv.write_bytes(csv.read_bytes() + csv.read_bytes().splitlines(keepends=True)[-1])
        real(threads)

    monkeypatch.setattr(random_forest, "prepare", prepare)
    ended = mljobs("train", "random-forest", csv, "--param", "n_estimators=5")
    assert (ended.exit_code, "was changed since the job began" in ended.result["reason"]) == (66, True)


def test_data_that_change_while_they_are_read_are_refused(
    mljobs: MLJobs, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key would tell of other data than the model was trained on."""
    from jobs.pipelines import random_forest

    real = random_forest.read

    def read(path: Path, **settings: Any) -> Dataset:
        csv.write_bytes(csv.read_bytes() + csv.read_bytes().splitlines(keepends=True)[-1])
        return real(path, **settings)

    monkeypatch.setattr(random_forest, "read", read)
    ended = mljobs("train", "random-forest", csv, "--param", "n_estimators=5")
    assert (ended.exit_code, "was changed since the job began" in ended.result["reason"]) == (66, True)


def test_a_job_that_always_dies_at_the_same_place_says_so(mljobs: MLJobs, csv: Path, tmp_path: Path) -> None:
    """As one does whose memory is too small: a scheduler that tries again would do so for ever."""
    job = ("random-forest", csv, "--param", "n_estimators=1000")
    runs = tmp_path / "runs"
    # Dies after its data, before the fit has any state.
    program = (
        "import os, signal, sys; from jobs import cli; from jobs.pipelines import random_forest\n"
        "random_forest.fit = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"sys.argv = ['mljobs', 'train', *{list(map(str, job))!r}]; cli.main()"
    )
    for _ in range(6):
        died = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "MLJOBS_RUNS_DIR": str(runs)}, check=False
        )
        assert died.returncode == -signal.SIGKILL
    ended = mljobs("train", *job)
    assert (ended.exit_code, ended.result["attempts"]) == (70, 7)
    assert "the last 5 attempts died at the same place" in ended.result["reason"]
    assert mljobs("train", *job).result["attempts"] == 1, "and then anew, since somebody may have given it more memory"


def test_a_job_that_gets_further_each_time_may_be_killed_often(mljobs: MLJobs, csv: Path, tmp_path: Path) -> None:
    """What counts is that it gets nowhere."""
    job = ("random-forest", csv, "--param", "n_estimators=16", "--param", "max_depth=2")
    program = (
        "import os, signal, sys; from jobs import cli, checkpoint\n"
        "real = checkpoint.Checkpoint.write\n"
        "def write(self, *arguments): real(self, *arguments); os.kill(os.getpid(), signal.SIGKILL)\n"
        "checkpoint.Checkpoint.write = write\n"
        f"sys.argv = ['mljobs', 'train', *{list(map(str, job))!r}]; cli.main()"
    )
    for _ in range(7):
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "MLJOBS_RUNS_DIR": str(tmp_path / "runs"), "LOKY_MAX_CPU_COUNT": "2"},
            check=False,
        )
    ended = mljobs("train", *job)
    assert (ended.result["status"], ended.result["attempts"]) == ("finished", 8)


@pytest.mark.server
def test_a_model_that_mlflow_has_already_is_not_made_again(csv: Path, tmp_path: Path, server: Server) -> None:
    """Killed between the upload of the model and the end: MLflow and the run directory have the same bytes afterwards."""
    job = ("random-forest", csv, "--param", "n_estimators=5", "--experiment", tmp_path.name)
    program = (
        "import os, signal, sys, time; from jobs import cli; from jobs.run import Run\n"
        "from jobs.tracking.publisher import Publisher\n"
        "def die(self, stop): self._publisher._events.put(None); self._publisher._thread.join(60); os.kill(os.getpid(), 9)\n"
        "Run.end = die\n"
        f"sys.argv = ['mljobs', 'train', *{list(map(str, job))!r}]; cli.main()"
    )
    env = {"MLFLOW_TRACKING_URI": server.uri}
    died = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MLJOBS_RUNS_DIR": str(tmp_path / "runs"), **env},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    (path,) = (tmp_path / "runs").glob("*/journal.jsonl")
    result = end(start(tmp_path / "runs", job, **env))
    assert (Path(result["run_directory"]), result["tracking"]) == (path.parent, "published")
    first, second = (event for event in journal.read(path) if event["event"] == "model")
    assert first["sha256"] == second["sha256"]
    (model,) = server.client.search_logged_models([experiment_of(server, tmp_path.name)])
    from mlflow.artifacts import download_artifacts

    found = Path(download_artifacts(model.artifact_location, dst_path=str(tmp_path / "found"), tracking_uri=server.uri))
    ours = {each.name: each.read_bytes() for each in (path.parent / "model").iterdir()}
    # MLflow adds the ids of its own to the description.
    assert {each.name: each.read_bytes() for each in found.iterdir() if each.name != "MLmodel"} == {
        name: content for name, content in ours.items() if name != "MLmodel"
    }


def experiment_of(server: Server, name: str) -> str:
    """Return the id of an experiment."""
    return str(server.client.get_experiment_by_name(name).experiment_id)
