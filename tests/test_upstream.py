"""What our code rests on in the libraries below it: an upgrade that changes one of these is seen here first."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
from harness import Server
from sklearn.ensemble import RandomForestClassifier

from jobs import tracking
from jobs.pipelines.random_forest.saving import TRUSTED_TYPES, dump_skops

EXPERIMENTS = "api/2.0/mlflow/experiments/search?max_results=1"


@pytest.fixture
def run_id(server: Server) -> str:
    """Return a fresh run of the server."""
    tracking.configure()
    run: str = server.client.create_run("0", start_time=1000).info.run_id
    return run


# The server


@pytest.mark.server
def test_a_server_is_healthy_and_refuses_all_calls_under_another_name(server: Server) -> None:
    """So compose.yaml sets --allowed-hosts and checks health by an API call, and `doctor` asks for the API first."""
    other = {"Host": "mlflow:5000"}
    refused = requests.get(f"{server.uri}/{EXPERIMENTS}", headers=other, timeout=10)
    assert requests.get(f"{server.uri}/health", headers=other, timeout=10).status_code == 200
    assert (refused.status_code, "Invalid Host header" in refused.text) == (403, True)
    assert requests.get(f"{server.uri}/{EXPERIMENTS}", timeout=10).status_code == 200


@pytest.mark.server
def test_points_params_tags_and_ends_may_be_sent_twice(server: Server, run_id: str) -> None:
    """So a replay sends all of a journal again, without asking what has arrived; times are those that are sent."""
    from mlflow.entities import Metric, Param, RunTag

    batch = {"metrics": [Metric("m", 1.5, 2000, 1)], "params": [Param("p", "1")], "tags": [RunTag("t", "1")]}
    for _ in range(2):
        server.client.log_batch(run_id, **batch)
        server.client.set_terminated(run_id, "FINISHED", 3000)
    run = server.client.get_run(run_id)
    history = [(each.value, each.timestamp, each.step) for each in server.client.get_metric_history(run_id, "m")]
    assert (history, run.data.params, run.data.tags["t"]) == ([(1.5, 2000, 1)], {"p": "1"}, "1")
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", 1000, 3000)


@pytest.mark.server
def test_datasets_may_be_sent_twice(server: Server, run_id: str) -> None:
    """So a replay need not look whether a dataset is there."""
    for _ in range(2):
        server.client.log_inputs(run_id, [_dataset("0" * 36)])
    assert len(server.client.get_run(run_id).inputs.dataset_inputs) == 1


@pytest.mark.server
def test_runs_and_versions_are_made_anew_by_every_call(server: Server, run_id: str) -> None:
    """So a replay searches for its run's tag, and for its run's versions, before it creates any."""
    client = server.client
    assert client.create_run("0").info.run_id != client.create_run("0").info.run_id
    client.create_registered_model("upstream")
    source = client.get_run(run_id).info.artifact_uri
    versions = [client.create_model_version("upstream", source, run_id, await_creation_for=0) for _ in range(2)]
    assert [int(each.version) for each in versions] == [1, 2]


@pytest.mark.server
def test_the_same_output_is_refused_the_second_time(server: Server, run_id: str) -> None:
    """So a replay looks at the run's outputs before it names the model as one."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException

    output = [LoggedModelOutput(server.client.create_logged_model("0", "m", run_id).model_id, step=0)]
    server.client.log_outputs(run_id, output)
    with pytest.raises(MlflowException, match="UNIQUE constraint failed"):
        server.client.log_outputs(run_id, output)


@pytest.mark.server
def test_the_client_parts_a_batch_that_the_server_would_refuse(server: Server, run_id: str) -> None:
    """So a replay sends what an event holds, however much that is."""
    from mlflow.entities import Metric, Param, RunTag

    server.client.log_batch(
        run_id,
        metrics=[Metric(f"m{i}", 1.0, 1, 0) for i in range(1001)],
        params=[Param(f"p{i}", "1") for i in range(101)],
        tags=[RunTag(f"t{i}", "1") for i in range(101)],
    )
    data = server.client.get_run(run_id).data
    assert (len(data.metrics), len(data.params)) == (1001, 101)
    assert len([name for name in data.tags if name.startswith("t")]) == 101


@pytest.mark.server
def test_a_digest_has_room_for_36_characters(server: Server, run_id: str) -> None:
    """So a dataset's digest in MLflow is the beginning of our sha256."""
    from mlflow.exceptions import MlflowException

    server.client.log_inputs(run_id, [_dataset("0" * 36)])
    with pytest.raises(MlflowException, match="36"):
        server.client.log_inputs(run_id, [_dataset("0" * 37)])


def _dataset(digest: str) -> Any:
    """Return a dataset as the client takes it."""
    from mlflow.entities import Dataset, DatasetInput

    return DatasetInput(Dataset("x.csv", digest, "local", "/x.csv"), [])


@pytest.mark.server
@pytest.mark.parametrize(
    ("program", "exit_code", "status"),
    [
        ("with mlflow.start_run() as run: print(run.info.run_id); sys.exit(0)", 0, "FAILED"),
        ("print(mlflow.start_run().info.run_id); raise ValueError", 1, "FINISHED"),
        ("print(mlflow.start_run().info.run_id); sys.exit(3)", 3, "FINISHED"),
        ("print(mlflow.start_run().info.run_id, flush=True); os.kill(os.getpid(), 15)", -15, "RUNNING"),
    ],
    ids=["exit 0 inside with", "error without with", "exit 3 without with", "SIGTERM"],
)
def test_the_fluent_interface_gives_runs_a_wrong_end(server: Server, program: str, exit_code: int, status: str) -> None:
    """So we use the client, and set the end of a run ourselves."""
    setup = f"import os, sys, mlflow; mlflow.set_tracking_uri({server.uri!r})"
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{setup}\n{program}"], capture_output=True, text=True, check=False
    )
    run = server.client.get_run(ended.stdout.splitlines()[0])
    assert (ended.returncode, run.info.status) == (exit_code, status)


# The client, without a server


@pytest.mark.filterwarnings("ignore:Starting with pandas version 4.0 all arguments of all")
def test_mlflow_itself_looks_at_the_first_10000_rows_only() -> None:
    """So the digest of a dataset is that of the file's bytes, not MLflow's own."""
    tracking.configure()
    from mlflow.data.digest_utils import compute_numpy_digest, compute_pandas_digest

    first = pd.DataFrame({"x": np.zeros(10_001)})
    second = first.copy()
    second.loc[10_000, "x"] = 1.0
    assert compute_pandas_digest(first) == compute_pandas_digest(second)
    assert compute_numpy_digest(first["x"].to_numpy()) == compute_numpy_digest(second["x"].to_numpy())
    second.loc[0, "x"] = 1.0
    assert compute_pandas_digest(first) != compute_pandas_digest(second)


@pytest.fixture(scope="module")
def forest() -> RandomForestClassifier:
    """Return a small forest."""
    random = np.random.default_rng(0)
    X = random.normal(size=(50, 3))
    return RandomForestClassifier(n_estimators=3, random_state=0).fit(X, X[:, 0] > 0)


def test_skops_refuses_a_forest_unless_trees_are_trusted(forest: RandomForestClassifier, tmp_path: Path) -> None:
    """So models are saved and loaded with TRUSTED_TYPES, a list of our own."""
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    skops.io.dump(forest, tmp_path / "model.skops")
    with pytest.raises(UntrustedTypesFoundException, match=r"sklearn\.tree\._tree\.Tree"):
        skops.io.load(tmp_path / "model.skops")
    loaded = skops.io.load(tmp_path / "model.skops", trusted=list(TRUSTED_TYPES))
    X = np.ones((2, 3))
    np.testing.assert_array_equal(forest.predict_proba(X), loaded.predict_proba(X))


def test_mlflow_refuses_a_forest_unless_trees_are_trusted(forest: RandomForestClassifier, tmp_path: Path) -> None:
    """So saving names TRUSTED_TYPES; the format is named too, lest another default makes it a pickle."""
    tracking.configure()
    import mlflow.sklearn
    from mlflow.exceptions import MlflowException

    kind = {"serialization_format": "skops", "pip_requirements": ["scikit-learn"]}
    with pytest.raises(MlflowException, match=r"sklearn\.tree\._tree\.Tree"):
        mlflow.sklearn.save_model(forest, str(tmp_path / "refused"), **kind)
    mlflow.sklearn.save_model(forest, str(tmp_path / "model"), skops_trusted_types=list(TRUSTED_TYPES), **kind)
    assert (tmp_path / "model" / "model.skops").is_file()


@pytest.mark.parametrize("steps", [(3, 7, 20), (1, 2, 20)])
def test_a_forest_grown_in_steps_is_the_forest_grown_at_once(frame: pd.DataFrame, steps: tuple[int, ...]) -> None:
    """So progress and prompt stops come from `warm_start`, at no cost to the result."""
    X, y = frame.drop(columns="target"), frame["target"]
    at_once = RandomForestClassifier(n_estimators=20, random_state=42).fit(X, y)
    grown = RandomForestClassifier(random_state=42, warm_start=True)
    for n_trees in steps:
        grown.set_params(n_estimators=n_trees).fit(X, y)
    np.testing.assert_array_equal(at_once.predict_proba(X), grown.predict_proba(X))
    for one, other in zip(at_once.estimators_, grown.estimators_, strict=True):
        np.testing.assert_array_equal(one.tree_.threshold, other.tree_.threshold)


def test_the_client_would_wait_for_minutes_by_default() -> None:
    """So `tracking.configure` sets timeouts and retries before MLflow is imported, unless the user did."""
    from mlflow.environment_variables import (
        MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR,
        MLFLOW_HTTP_REQUEST_MAX_RETRIES,
        MLFLOW_HTTP_REQUEST_TIMEOUT,
    )

    variables = (MLFLOW_HTTP_REQUEST_TIMEOUT, MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR)
    assert [variable.default for variable in variables] == [120, 7, 2]
    tracking.configure()
    assert [variable.get() for variable in variables[:2]] == [tracking.ANSWER_SECONDS, 0]


def test_a_forest_is_written_as_skops_writes_it(forest: RandomForestClassifier, tmp_path: Path) -> None:
    """`dump_skops` calls what is not public in skops, only faster: schema and arrays must be those of `skops.io.dump`."""
    import skops.io

    skops.io.dump(forest, tmp_path / "theirs.skops")
    dump_skops(forest, tmp_path / "ours.skops", compress=True)
    kept, asked = (content(tmp_path / name) for name in ("ours.skops", "theirs.skops"))
    assert kept == asked
    assert len(str(asked)) > 10_000


def content(path: Path) -> Any:
    """Return what a file of skops says, with its arrays in it and without what they and strings have as an address."""

    def whole(state: Any) -> Any:
        if isinstance(state, dict):
            found = {name: whole(value) for name, value in state.items() if name != "__id__"}
            return found | {"file": file.read(state["file"])} if "file" in state else found
        return [whole(each) for each in state] if isinstance(state, list) else state

    with zipfile.ZipFile(path) as file:
        return whole(json.loads(file.read("schema.json")))
