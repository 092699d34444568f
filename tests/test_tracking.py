"""MLflow shows what the journal says: once, with the original times, whenever the server answers."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from harness import Ended, MLJobs, Server, free_port

from jobs import journal, tracking
from jobs.tracking import answers, publisher

FAST = ("--param", "n_estimators=10")
SECRET = "s3cr3t-w0rd"  # noqa: S105 - nobody's: it must not be seen again


def run_of(server: Server, ended: Ended) -> Any:
    """Return MLflow's run of a job that was published."""
    return server.client.get_run(ended.result["run_id"])


def everything(server: Server, run_id: str) -> dict[str, Any]:
    """Return all that MLflow has of a run, in a form that can be compared."""
    client = server.client
    run = client.get_run(run_id)
    name = run.data.tags["mljobs.run"]
    experiment = [run.info.experiment_id]
    models = client.search_logged_models(experiment, f"source_run_id = '{run_id}'")
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    return {
        "runs": [each.info.run_id for each in client.search_runs(experiment, f"tags.`mljobs.run` = '{name}'")],
        "info": (run.info.status, run.info.start_time, run.info.end_time, run.info.run_name),
        "params": run.data.params,
        "tags": run.data.tags,
        "points": {
            metric: [(each.value, each.timestamp, each.step) for each in client.get_metric_history(run_id, metric)]
            for metric in run.data.metrics
        },
        "datasets": [(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs],
        "artifacts": sorted((each.path, each.file_size) for each in client.list_artifacts(run_id)),
        "models": [(each.model_id, each.status.value) for each in models],
        "outputs": [each.model_id for each in run.outputs.model_outputs],
        "versions": [(each.name, str(each.version), each.description, each.tags) for each in versions],
    }


def events_of(run_directory: str | Path) -> dict[str, journal.Event]:
    """Return the last event of each kind in a run's journal."""
    return {event["event"]: event for event in journal.read(Path(run_directory) / "journal.jsonl")}


def all_texts(folder: Path) -> str:
    """Return what all files below a folder hold."""
    return "\n".join(each.read_bytes().decode(errors="replace") for each in folder.rglob("*") if each.is_file())


@pytest.fixture(scope="module")
def trained(server: Server, tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame) -> Ended:
    """Train once, published to the server under the name `shop`; for tests that only look."""
    folder = tmp_path_factory.mktemp("trained")
    frame.to_csv(folder / "numbers.csv", index=False)
    command = [sys.executable, "-m", "jobs", "train", "random-forest", "numbers.csv", *FAST, "--model-name", "shop"]
    env = {**os.environ, "MLFLOW_TRACKING_URI": server.uri, "MLFLOW_EXPERIMENT_NAME": "looked at"}
    ended = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    server.client.set_registered_model_alias("shop", "champion", "1")
    return Ended(ended.returncode, ended.stdout, ended.stderr)


# What a published run looks like


@pytest.mark.server
def test_a_result_says_where_it_was_published(server: Server, trained: Ended) -> None:
    """The run id is in the result, and in the journal with the server."""
    published = events_of(trained.result["run_directory"])["published"]
    assert (trained.result["tracking"], published["run_id"]) == ("published", trained.result["run_id"])
    assert published["tracking_uri"] == server.uri


@pytest.mark.server
def test_status_and_times_are_those_of_the_journal(server: Server, trained: Ended) -> None:
    """Start and end are when the job started and ended, in milliseconds."""
    info = run_of(server, trained).info
    events = events_of(trained.result["run_directory"])
    assert info.status == "FINISHED"
    assert (info.start_time, info.end_time) == (events["start"]["time"], events["end"]["time"])
    assert server.client.get_experiment(info.experiment_id).name == "looked at"


@pytest.mark.server
def test_params_are_settings_and_the_pipelines_own(server: Server, trained: Ended) -> None:
    """Defaults too: what decided the result."""
    params = run_of(server, trained).data.params
    expected = {"random_state": "42", "test_size": "0.2", "n_estimators": "10", "max_depth": "None"}
    assert {name: params[name] for name in expected} == expected


@pytest.mark.server
def test_metrics_have_their_intervals_and_baselines(server: Server, trained: Ended) -> None:
    """MLflow's numbers are the result's, to the last bit."""
    metrics = run_of(server, trained).data.metrics
    assert {name: metrics[name] for name in trained.result["metrics"]} == trained.result["metrics"]
    assert metrics["interval/accuracy_low"] < metrics["accuracy"] < metrics["interval/accuracy_high"]
    assert metrics["majority_class/accuracy"] < metrics["accuracy"]


@pytest.mark.server
def test_tags_and_description_tell_where_it_comes_from(server: Server, trained: Ended) -> None:
    """MLflow's pages show source and description; ours can be searched for."""
    tags = run_of(server, trained).data.tags
    expected = {"mljobs.job": "train", "mljobs.pipeline": "random-forest"}
    assert {name: tags[name] for name in expected} == expected
    assert tags["mljobs.run"] == Path(trained.result["run_directory"]).name
    assert tags["mlflow.source.name"] == "mljobs train random-forest"
    assert "| accuracy |" in tags["mlflow.note.content"]


@pytest.mark.server
def test_the_dataset_is_known_by_the_digest_of_its_bytes(server: Server, trained: Ended) -> None:
    """As much of our sha256 as MLflow has room for."""
    (entry,) = run_of(server, trained).inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("numbers.csv", trained.result["data"]["sha256"][:36])
    assert json.loads(entry.dataset.profile) == {"num_rows": 300}
    assert [(each.key, each.value) for each in entry.tags] == [("mlflow.data.context", "training")]
    assert "x0" in [each["name"] for each in json.loads(entry.dataset.schema)["mlflow_colspec"]]


@pytest.mark.server
def test_artifacts_are_the_files_of_the_run_directory(server: Server, trained: Ended, tmp_path: Path) -> None:
    """Byte for byte."""
    run_id = trained.result["run_id"]
    names = [each.path for each in server.client.list_artifacts(run_id)]
    assert sorted(names) == ["metrics.json", "report.html", "report.md"]
    for name in names:
        found = Path(server.client.download_artifacts(run_id, name, str(tmp_path)))
        assert found.read_bytes() == (Path(trained.result["run_directory"]) / name).read_bytes()


@pytest.mark.server
def test_the_model_is_ready_and_a_version_of_the_registered_model(server: Server, trained: Ended) -> None:
    """One logged model, an output of the run, registered with a description."""
    found = everything(server, trained.result["run_id"])
    ((model_id, status),) = found["models"]
    assert (status, found["outputs"]) == ("READY", [model_id])
    ((name, version, description, tags),) = found["versions"]
    assert (name, version) == ("shop", "1")
    model = server.client.get_logged_model(model_id)
    assert server.client.get_model_version("shop", "1").source == model.artifact_location
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "shop", "version": 1}]
    assert description.startswith("Accuracy 0.")
    assert tags["data_sha256"] == trained.result["data"]["sha256"]


@pytest.mark.server
@pytest.mark.parametrize("uri", ["models:/shop/1", "models:/shop@champion"])
def test_mlflow_loads_the_model_and_predicts_as_we_do(
    server: Server, trained: Ended, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    """`mlflow.sklearn` and `mlflow.pyfunc` give the predictions of the run directory's model."""
    tracking.configure()
    import mlflow.pyfunc
    import mlflow.sklearn

    from jobs import pipelines

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    X = frame.drop(columns="target")
    ours = pipelines.open_model(Path(trained.result["run_directory"]) / "model").load(trust_pickle=False)
    expected = ours.predict_proba(X)
    np.testing.assert_array_equal(expected, mlflow.sklearn.load_model(uri).predict_proba(X))
    labels = np.array(ours.classes_)[expected.argmax(axis=1)]
    np.testing.assert_array_equal(labels, mlflow.pyfunc.load_model(uri).predict(X))


# How runs end in MLflow


@pytest.mark.server
def test_a_rejected_run_is_finished_and_not_registered(server: Server, mljobs: MLJobs, csv: Path) -> None:
    """It is a result, but no version that somebody might deploy."""
    ended = mljobs("train", "random-forest", csv, *FAST, "--min", "accuracy=1", MLFLOW_TRACKING_URI=server.uri)
    found = everything(server, ended.result["run_id"])
    assert (ended.exit_code, found["info"][0], found["versions"]) == (3, "FINISHED", [])
    assert [status for _, status in found["models"]] == ["READY"]
    assert "**Rejected**" in found["tags"]["mlflow.note.content"]


@pytest.mark.server
def test_a_run_on_bad_data_is_failed(server: Server, mljobs: MLJobs, tmp_path: Path) -> None:
    """The run is there, says FAILED, and has no model."""
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    ended = mljobs("train", "random-forest", tmp_path / "bad.csv", MLFLOW_TRACKING_URI=server.uri)
    found = everything(server, ended.result["run_id"])
    assert (ended.exit_code, found["info"][0], found["models"]) == (65, "FAILED", [])


@pytest.mark.server
def test_a_terminated_run_is_killed(server: Server, tmp_path: Path, csv: Path) -> None:
    """MLflow, result and exit code agree on what SIGTERM did."""
    command = [sys.executable, "-m", "jobs", "train", "random-forest", str(csv), "--param", "n_estimators=100000"]
    env = {**os.environ, "MLFLOW_TRACKING_URI": server.uri, "MLJOBS_RUNS_DIR": str(tmp_path / "runs")}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    _wait_for_event(tmp_path / "runs", "dataset")
    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate(timeout=60)
    result = json.loads(stdout)
    assert (process.returncode, result["status"], result["tracking"]) == (143, "killed", "published")
    assert server.client.get_run(result["run_id"]).info.status == "KILLED"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_a_server_hangs_ends_the_waiting_not_the_result(
    tmp_path: Path, csv: Path, number: signal.Signals
) -> None:
    """The job had its end before: exit code, result and journal stay the same, and the run is queued."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs", "train", "random-forest", str(csv), *FAST],
            env={**os.environ, "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{silent.getsockname()[1]}"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        _wait_for_event(tmp_path / "runs", "end")
        time.sleep(0.2)
        process.send_signal(number)
        stdout, _ = process.communicate(timeout=60)
    result = json.loads(stdout)
    assert (process.returncode, result["status"], result["tracking"]) == (0, "finished", "queued")
    assert events_of(result["run_directory"])["end"]["result"]["status"] == "finished"
    assert json.loads((Path(result["run_directory"]) / "result.json").read_text()) == result
    assert result["seconds"]["publish"] < 5


def _wait_for_event(runs: Path, kind: str) -> None:
    """Wait until the one run below a folder has recorded an event."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in runs.glob("*/journal.jsonl"):
            if any(event["event"] == kind for event in journal.read(path)):
                return
        time.sleep(0.05)
    raise AssertionError(f"no event {kind}")


# Once, whatever is sent twice


@pytest.mark.server
def test_a_journal_that_is_sent_again_changes_nothing(server: Server, trained: Ended) -> None:
    """One run, one logged model, one version, each metric point once."""
    before = everything(server, trained.result["run_id"])
    for _ in range(2):
        published = publisher.publish(server.uri, Path(trained.result["run_directory"]))
        assert published == publisher.Published(trained.result["run_id"])
    assert everything(server, trained.result["run_id"]) == before
    assert (len(before["runs"]), len(before["models"]), len(before["versions"])) == (1, 1, 1)
    assert {len(points) for points in before["points"].values()} == {1}


@pytest.mark.server
def test_a_journal_that_was_sent_half_is_completed(server: Server, trained: Ended, tmp_path: Path) -> None:
    """A connection that breaks after any event leaves nothing that the next try repeats or misses."""
    directory = tmp_path / "half"
    shutil.copytree(trained.result["run_directory"], directory)
    _rename_run(directory, "half-sent", "it's half")
    lines = (directory / "journal.jsonl").read_text().splitlines(keepends=True)
    for sent in range(1, len(lines) + 1):
        (directory / "journal.jsonl").write_text("".join(lines[:sent]))
        published = publisher.publish(server.uri, directory)
        assert published.run_id is not None, published.reason
    actual = everything(server, published.run_id)
    expected = everything(server, trained.result["run_id"])
    for same in ("params", "points", "datasets", "artifacts"):
        assert actual[same] == expected[same]
    assert actual["info"][:3] == expected["info"][:3]
    assert [len(actual[each]) for each in ("runs", "models", "versions", "outputs")] == [1, 1, 1, 1]


def named(job: str) -> str:
    """Return a run directory's name of a job."""
    return f"20260101T000000.000Z-{job}-0a1b2c"


def _rename_run(directory: Path, run: str, model: str) -> None:
    """Let a copy of a run directory be another run with another registered model."""
    path = directory / "journal.jsonl"
    events = list(journal.read(path))
    for event in events:
        if event["event"] == "start":
            event["run"] = run
        if event["event"] == "model":
            event["name"] = model
    path.write_text("".join(json.dumps(event) + "\n" for event in events if event["event"] != "published"))


# What the server refuses


def changed_copy(source: Path, directory: Path, **changes: Callable[[journal.Event], journal.Event]) -> Path:
    """Copy a run directory as another run that is not published, with the events of some kinds changed."""
    shutil.copytree(source, directory)
    _rename_run(directory, directory.name, directory.name)
    path = directory / "journal.jsonl"
    events = [changes.get(event["event"], dict)(event) for event in journal.read(path)]
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return directory


@pytest.mark.server
def test_a_table_of_many_columns_has_a_schema_of_those_that_fit(server: Server, trained: Ended, tmp_path: Path) -> None:
    """MLflow refuses more than a million characters; the last entries say how many are left out, and the target."""

    def widen(event: journal.Event) -> journal.Event:
        names = [f"a_column_with_a_longer_name_{i}" for i in range(20_000)]
        return event | {"sha256": "w1de" * 16, "schema": event["schema"] | {"columns": dict.fromkeys(names, "numeric")}}

    directory = changed_copy(Path(trained.result["run_directory"]), tmp_path / "wide", dataset=widen)
    published = publisher.publish(server.uri, directory)
    assert published.run_id is not None, published.reason
    (entry,) = server.client.get_run(published.run_id).inputs.dataset_inputs
    *columns, rest, target = [each["name"] for each in json.loads(entry.dataset.schema)["mlflow_colspec"]]
    assert (rest, target) == (f"... and {20_000 - len(columns)} more columns", "target")
    assert 1_040_000 < len(entry.dataset.schema) <= 1_048_575


@pytest.mark.server
def test_a_deleted_experiment_is_restored(server: Server, trained: Ended, tmp_path: Path) -> None:
    """MLflow keeps the name of what is in its trash, and refuses runs in it."""
    experiment_id = server.client.create_experiment("thrown away")
    server.client.delete_experiment(experiment_id)
    directory = changed_copy(
        Path(trained.result["run_directory"]),
        tmp_path / "restored",
        start=lambda event: event | {"experiment": "thrown away"},
    )
    published = publisher.publish(server.uri, directory)
    assert published.run_id is not None, published.reason
    assert server.client.get_run(published.run_id).info.experiment_id == experiment_id
    assert server.client.get_experiment(experiment_id).lifecycle_stage == "active"


@pytest.mark.server
def test_a_run_with_an_event_that_is_refused_for_good_has_its_end(
    server: Server, trained: Ended, tmp_path: Path
) -> None:
    """It is not called published, but MLflow shows no run that goes on for ever; what could be sent is there."""
    directory = changed_copy(
        Path(trained.result["run_directory"]),
        tmp_path / "refused",
        params=lambda event: event | {"params": {"a\nb": 1}},
    )
    for _ in range(2):
        published = publisher.publish(server.uri, directory)
        assert published.run_id is None
        assert "INVALID_PARAMETER_VALUE" in str(published.reason)
    experiment = server.client.get_experiment_by_name("looked at").experiment_id
    (run,) = server.client.search_runs([experiment], "tags.`mljobs.run` = 'refused'")
    assert (run.info.status, run.data.params) == ("FINISHED", {})
    assert run.data.metrics["accuracy"] == trained.result["metrics"]["accuracy"]


@pytest.mark.server
def test_what_is_outside_of_a_run_directory_is_never_sent(server: Server, trained: Ended, tmp_path: Path) -> None:
    """A copied folder of runs may be of somebody who would like to have another file of ours."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    directory = changed_copy(
        Path(trained.result["run_directory"]),
        tmp_path / "outside",
        artifact=lambda event: event | {"path": "../secret/key"},
    )
    published = publisher.publish(server.uri, directory)
    assert published.run_id is None
    assert f"../secret/key is not in {directory}" in str(published.reason)


@pytest.mark.server
def test_values_that_are_too_long_are_cut(server: Server, trained: Ended, tmp_path: Path) -> None:
    """MLflow takes 6,000 characters of a param, and older servers 5,000 of a tag."""
    directory = changed_copy(
        Path(trained.result["run_directory"]),
        tmp_path / "long",
        params=lambda event: event | {"params": {"long": "p" * 7_000}},
        tags=lambda event: event | {"tags": {"long": "t" * 9_000}},
    )
    published = publisher.publish(server.uri, directory)
    assert published.run_id is not None, published.reason
    data = server.client.get_run(published.run_id).data
    assert (len(data.params["long"]), len(data.tags["long"])) == (6_000, 5_000)


# The server is away


@pytest.fixture(scope="module")
def queued(tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame) -> tuple[Ended, float]:
    """Train once while the server is away, with a password in its address; return its end and how long it took."""
    folder = tmp_path_factory.mktemp("queued")
    frame.to_csv(folder / "numbers.csv", index=False)
    command = [sys.executable, "-m", "jobs", "train", "random-forest", "numbers.csv", *FAST]
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"http://user:{SECRET}@127.0.0.1:{free_port()}"}
    start = time.monotonic()
    ended = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    return Ended(ended.returncode, ended.stdout, ended.stderr), time.monotonic() - start


@pytest.mark.server
def test_a_server_that_is_away_costs_no_result(queued: tuple[Ended, float]) -> None:
    """The job's own exit code, a result that says `queued`, and a hint at what to do."""
    ended, seconds = queued
    assert (ended.exit_code, ended.result["tracking"], ended.result["run_id"]) == (0, "queued", None)
    assert (Path(ended.result["run_directory"]) / "model" / "model.skops").is_file()
    assert "warning: not published to http://127.0.0.1" in ended.stderr
    assert f"or mljobs sync {Path(ended.result['run_directory']).parent}" in ended.stderr
    assert seconds < 30


@pytest.mark.server
def test_no_password_is_shown_or_kept(queued: tuple[Ended, float]) -> None:
    """Neither in the log, nor in the result, nor in any file of the run directory."""
    ended, _ = queued
    shown = ended.stdout + ended.stderr + all_texts(Path(ended.result["run_directory"]))
    assert "127.0.0.1" in shown
    assert SECRET not in shown


@pytest.mark.server
def test_what_was_queued_is_published_later_with_its_own_times(
    server: Server, mljobs: MLJobs, queued: tuple[Ended, float], tmp_path: Path
) -> None:
    """`mljobs sync` publishes exactly once, and the result says so afterwards."""
    runs = tmp_path / "queued-runs"
    shutil.copytree(Path(queued[0].result["run_directory"]).parent, runs)
    directory = runs / Path(queued[0].result["run_directory"]).name
    with_user = server.uri.replace("://", f"://user:{SECRET}@")
    first = mljobs("sync", runs, MLFLOW_TRACKING_URI=with_user)
    result = json.loads((directory / "result.json").read_text())
    found = everything(server, result["run_id"])
    second = mljobs("sync", runs, MLFLOW_TRACKING_URI=with_user)
    events = events_of(directory)
    assert (first.exit_code, second.exit_code, result["tracking"]) == (0, 0, "published")
    assert found["info"][:3] == ("FINISHED", events["start"]["time"], events["end"]["time"])
    assert [len(found[each]) for each in ("runs", "models", "versions")] == [1, 1, 1]
    assert ("published" in first.stderr, second.stderr) == (True, "")
    assert everything(server, result["run_id"]) == found
    there = {"tracking": "published", "run_id": result["run_id"], "run_directory": str(directory)}
    assert result == {**events["end"]["result"], **there}
    assert result == {**queued[0].result, **there, "seconds": result["seconds"]}
    assert SECRET not in first.stderr + all_texts(runs)


@pytest.mark.server
def test_sync_publishes_the_others_when_one_is_refused(
    server: Server, mljobs: MLJobs, queued: tuple[Ended, float], tmp_path: Path
) -> None:
    """One run whose report was deleted does not keep all later ones from MLflow."""
    runs = tmp_path / "queued-runs"
    original = Path(queued[0].result["run_directory"])
    broken, whole = named("broken"), named("whole")
    for name in (broken, whole):
        shutil.copytree(original, runs / name)
        _rename_run(runs / name, name, "two")
    (runs / broken / "report.html").unlink()
    ended = mljobs("sync", runs, MLFLOW_TRACKING_URI=server.uri)
    assert (ended.exit_code, ended.stderr.count(broken)) == (69, 3)
    assert [name for name in (broken, whole) if "published" in events_of(runs / name)] == [whole]


@pytest.mark.server
def test_sync_publishes_a_run_whose_process_died_after_its_last_event(
    server: Server, mljobs: MLJobs, queued: tuple[Ended, float], tmp_path: Path
) -> None:
    """The journal is the run: `result.json` may be missing."""
    directory = tmp_path / "runs" / named("died")
    shutil.copytree(queued[0].result["run_directory"], directory)
    _rename_run(directory, directory.name, "died")
    (directory / "result.json").unlink()
    ended = mljobs("sync", tmp_path / "runs", MLFLOW_TRACKING_URI=server.uri)
    assert (ended.exit_code, "published" in events_of(directory)) == (0, True)


@pytest.mark.server
def test_sync_to_a_server_that_is_away_is_69_and_keeps_the_queue(
    mljobs: MLJobs, queued: tuple[Ended, float], tmp_path: Path
) -> None:
    """Soon, with one sentence without the password, and nothing is marked."""
    runs = tmp_path / "runs"
    shutil.copytree(Path(queued[0].result["run_directory"]).parent, runs)
    before = all_texts(runs)
    ended = mljobs("sync", runs, MLFLOW_TRACKING_URI=f"http://user:{SECRET}@127.0.0.1:{free_port()}")
    assert (ended.exit_code, len(ended.stderr.splitlines()), SECRET in ended.stderr) == (69, 1, False)
    assert all_texts(runs) == before


@pytest.mark.server
def test_two_syncs_at_once_publish_each_run_once(
    server: Server, mljobs: MLJobs, queued: tuple[Ended, float], tmp_path: Path
) -> None:
    """Who comes second skips what the other is at, or finds it published."""
    runs = tmp_path / "runs"
    for name in (named("twice-1"), named("twice-2")):
        changed_copy(Path(queued[0].result["run_directory"]), runs / name)
    command = [sys.executable, "-m", "jobs", "sync", str(runs)]
    env = {**os.environ, "MLFLOW_TRACKING_URI": server.uri}
    both = [subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in both]
    assert [exit_code for _, exit_code in ends] == [0, 0], ends
    for name in (named("twice-1"), named("twice-2")):
        (published,) = [event for event in journal.read(runs / name / "journal.jsonl") if event["event"] == "published"]
        found = everything(server, published["run_id"])
        assert [len(found[each]) for each in ("runs", "models", "versions")] == [1, 1, 1]
    assert mljobs("sync", runs, MLFLOW_TRACKING_URI=server.uri).stderr == ""


@pytest.mark.server
def test_sync_skips_a_run_that_somebody_is_at(
    server: Server, mljobs: MLJobs, queued: tuple[Ended, float], tmp_path: Path
) -> None:
    """A job between its end and its being published holds its journal open."""
    directory = changed_copy(Path(queued[0].result["run_directory"]), tmp_path / "runs" / named("held"))
    with closing(journal.Journal(directory / "journal.jsonl")):
        ended = mljobs("sync", tmp_path / "runs", MLFLOW_TRACKING_URI=server.uri)
    assert (ended.exit_code, "published" in events_of(directory)) == (0, False)
    assert f"skipped: {directory.name} is being published by another process" in ended.stderr


@pytest.mark.server
def test_sync_skips_what_is_not_of_mljobs(
    server: Server, mljobs: MLJobs, queued: tuple[Ended, float], tmp_path: Path
) -> None:
    """Foreign journals are left out, and the others are published, with a result as the journal has it."""
    runs = tmp_path / "runs"
    for number, text in enumerate(("{}\n", "[1]\n", "no json\n")):
        (runs / named(f"foreign-{number}")).mkdir(parents=True)
        (runs / named(f"foreign-{number}") / "journal.jsonl").write_text(text)
    directory = changed_copy(Path(queued[0].result["run_directory"]), runs / named("ours"))
    (directory / "result.json").write_text("{}")
    ended = mljobs("sync", runs, MLFLOW_TRACKING_URI=server.uri)
    skipped = {line for line in ended.stderr.splitlines() if "skipped: " in line}
    assert (ended.exit_code, len(skipped)) == (0, 3)
    assert "published" in events_of(directory)
    assert json.loads((directory / "result.json").read_text())["tracking"] == "published"


def test_sync_without_a_server_or_a_folder_says_so(mljobs: MLJobs, tmp_path: Path) -> None:
    """A setting that is missing is 78, a folder that is missing 66."""
    assert mljobs("sync", tmp_path).exit_code == 78
    assert mljobs("sync", tmp_path, MLFLOW_TRACKING_URI=" ").exit_code == 78
    assert mljobs("sync", tmp_path / "none", MLFLOW_TRACKING_URI="http://127.0.0.1:9").exit_code == 66


@pytest.mark.server
def test_a_required_server_that_is_away_ends_the_job_before_it_trains(
    mljobs_process: MLJobs, csv: Path, tmp_path: Path
) -> None:
    """69, soon, nothing read; the sentence hides the password."""
    uri = f"http://user:{SECRET}@127.0.0.1:{free_port()}"
    start = time.monotonic()
    ended = mljobs_process("train", "random-forest", csv, "--tracking", "required", MLFLOW_TRACKING_URI=uri)
    seconds = time.monotonic() - start
    assert (ended.exit_code, ended.result["status"], "fit" in ended.result["seconds"]) == (69, "failed", False)
    assert "does not take the run" in ended.result["reason"]
    assert SECRET not in ended.stdout + ended.stderr + all_texts(tmp_path / "runs")
    assert seconds < 20


def test_a_required_server_that_is_not_named_is_a_config_error(mljobs: MLJobs, csv: Path) -> None:
    """The sentence has the variable to set."""
    ended = mljobs("train", "random-forest", csv, "--tracking", "required")
    assert ended.exit_code == 78
    assert ended.result["reason"] == "--tracking required needs a server: set MLFLOW_TRACKING_URI"


@pytest.mark.server
def test_tracking_off_leaves_the_server_alone(server: Server, mljobs: MLJobs, csv: Path) -> None:
    """Even if one is configured."""
    ended = mljobs(
        "train",
        "random-forest",
        csv,
        *FAST,
        "--tracking",
        "off",
        "--experiment",
        "never",
        MLFLOW_TRACKING_URI=server.uri,
    )
    assert (ended.exit_code, ended.result["tracking"], ended.result["run_id"]) == (0, "off", None)
    assert server.client.get_experiment_by_name("never") is None


@pytest.mark.server
def test_an_embedded_store_needs_no_server(mljobs_process: MLJobs, csv: Path, tmp_path: Path) -> None:
    """`sqlite:///` works from nothing, and holds the run."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    ended = mljobs_process("train", "random-forest", csv, *FAST, MLFLOW_TRACKING_URI=uri)
    assert (ended.exit_code, ended.result["tracking"]) == (0, "published")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        found = database.execute(
            "select status, value from runs join latest_metrics using (run_uuid) where run_uuid = ? and key = 'accuracy'",
            [ended.result["run_id"]],
        ).fetchall()
    assert found == [("FINISHED", ended.result["metrics"]["accuracy"])]


@pytest.mark.server
@pytest.mark.parametrize("uri", ["no-scheme://x", "sqlite:////proc/none/x.db"])
def test_an_address_that_can_be_none_costs_no_result_either(mljobs: MLJobs, csv: Path, uri: str) -> None:
    """It is queued like with a server that is away."""
    ended = mljobs("train", "random-forest", csv, *FAST, MLFLOW_TRACKING_URI=uri)
    assert (ended.exit_code, ended.result["tracking"]) == (0, "queued")


# The doctor


@pytest.mark.server
def test_the_doctor_finds_a_real_server_well_and_leaves_nothing_behind(server: Server, mljobs: MLJobs) -> None:
    """One line a check; experiments, runs and models are as before."""

    def standing() -> tuple[list[str], list[str]]:
        models = [each.name for each in server.client.search_registered_models()]
        return sorted(each.name for each in server.client.search_experiments()), sorted(models)

    before = standing()
    ended = mljobs("doctor", MLFLOW_TRACKING_URI=server.uri.replace("://", f"://user:{SECRET}@"))
    assert (ended.exit_code, ended.stderr.count(": ok\n")) == (0, 6)
    assert ended.stderr.endswith(f"{server.uri} has all that a job needs\n")
    assert SECRET not in ended.stderr + ended.stdout
    assert standing() == before


@pytest.mark.server
@pytest.mark.parametrize("uri", ["http://user:{secret}@127.0.0.1:{port}", "no-scheme://user:{secret}@x"])
def test_the_doctor_says_what_to_do_about_a_server_that_does_not_answer(mljobs: MLJobs, uri: str) -> None:
    """69, the address without its password, the check and its remedy."""
    uri = uri.format(secret=SECRET, port=free_port())
    ended = mljobs("doctor", MLFLOW_TRACKING_URI=uri)
    (line,) = ended.stderr.splitlines()
    assert (ended.exit_code, ended.stdout) == (69, "")
    assert line.startswith(f"error: {tracking.without_password(uri)}: answer: ")
    assert line.endswith("is it running and reachable? Is this host in its --allowed-hosts?")
    assert SECRET not in line


@pytest.mark.server
def test_the_doctor_knows_a_server_that_refuses_the_hosts_name(
    server: Server, mljobs: MLJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is up and its /health is fine, but it takes no calls under this name: `--allowed-hosts` is the fix."""
    monkeypatch.setenv("http_proxy", server.uri)  # the name is not resolved; the request goes to our server as it is
    ended = mljobs("doctor", MLFLOW_TRACKING_URI="http://mlflow:5000")
    assert ended.exit_code == 69
    assert "Invalid Host header" in ended.stderr
    assert "Is this host in its --allowed-hosts?" in ended.stderr


def test_the_doctor_without_a_server_names_the_variable(mljobs: MLJobs) -> None:
    """78: there is nothing to examine."""
    ended = mljobs("doctor")
    assert (ended.exit_code, "MLFLOW_TRACKING_URI is not set" in ended.stderr) == (78, True)


@pytest.mark.server
def test_who_is_not_known_to_the_server_reads_what_to_set(mljobs: MLJobs, refusing: str, csv: Path) -> None:
    """401 from the doctor, from sync, and in a job's warning."""
    hint = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    assert hint in mljobs("doctor", MLFLOW_TRACKING_URI=refusing).stderr
    assert hint in mljobs("sync", csv.parent, MLFLOW_TRACKING_URI=refusing).stderr
    trained = mljobs("train", "random-forest", csv, *FAST, MLFLOW_TRACKING_URI=refusing)
    assert (trained.exit_code, hint in trained.stderr) == (0, True)
    assert mljobs("evaluate", "models:/shop/1", csv, MLFLOW_TRACKING_URI=refusing).exit_code == 69


@pytest.fixture
def refusing() -> Iterator[str]:
    """Start a server that answers 401 to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever).start()
        yield f"http://127.0.0.1:{listener.server_port}"
        listener.shutdown()


def test_a_long_error_keeps_its_cause() -> None:
    """The middle is left out; of more lines only the first is shown."""
    url = "/api/2.0/mlflow/runs/search?" + "x" * 400
    cause = "(Caused by ResponseError('too many 500 error responses'))"
    shown = answers.describe(OSError(f"API request failed: Max retries exceeded with url: {url} {cause}\nmore"))
    assert shown.startswith("OSError: API request failed: Max retries exceeded")
    assert shown.endswith(f" ... {cause}")
    assert answers.describe(OSError("a" * 200 + "b" * 200)) == "OSError: " + "a" * 150 + " ... " + "b" * 150
    assert answers.describe(OSError()) == "OSError: no message"


@pytest.mark.server
def test_a_password_with_a_slash_is_not_shown(mljobs: MLJobs) -> None:
    """It makes an address that can be none; the sentence about it does not give it away."""
    ended = mljobs("doctor", MLFLOW_TRACKING_URI="http://u:se/cret@127.0.0.1:1")
    assert (ended.exit_code, "cret" in ended.stderr) == (69, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Invalid url: http://u:se/cret@127.0.0.1:1/api", "Invalid url: http://127.0.0.1:1/api"),
        ("http://u:5a/cret@host", "http://host"),
        ("http://[::1]:5000/a@b", "http://[::1]:5000/a@b"),
        ("neither http://h:1, nor https://v:q@i", "neither http://h:1, nor https://i"),
        ("http://user:pw@host:5000/x", "http://host:5000/x"),
        ("http://user:p@w@host", "http://host"),
        ("http://token@host", "http://host"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("no answer from http://u:p@h:1/api, nor https://v:q@i", "no answer from http://h:1/api, nor https://i"),
        ("sqlite:////data/a@b.db", "sqlite:////data/a@b.db"),
    ],
)
def test_users_and_passwords_are_taken_out_of_uris_and_sentences(text: str, expected: str) -> None:
    """What follows the host stays as it is."""
    assert tracking.without_password(text) == expected


# Evaluating models


@pytest.mark.server
@pytest.mark.parametrize("model", ["run directory", "model folder", "models:/shop/1", "models:/shop@champion"])
def test_a_model_is_evaluated_wherever_it_is_kept(
    server: Server, trained: Ended, mljobs: MLJobs, csv: Path, model: str
) -> None:
    """The same model gives the same metrics, on rows that it has not seen as on others."""
    frame = pd.read_csv(csv)
    directory = trained.result["run_directory"]
    named = {"run directory": directory, "model folder": f"{directory}/model"}.get(model, model)
    frame.iloc[::-1].to_csv(csv, index=False)
    ended = mljobs("evaluate", named, csv, MLFLOW_TRACKING_URI=server.uri, MLJOBS_TRACKING="off")
    assert (ended.exit_code, ended.result["job"], ended.result["pipeline"]) == (0, "evaluate", "random-forest")
    assert ended.result["metrics"]["accuracy"] == pytest.approx(_accuracy(directory, frame), abs=1e-12)
    assert "this is no test of it" not in ended.stderr


def _accuracy(directory: str, frame: pd.DataFrame) -> float:
    """Return the share of rows that a run's model gets right, counted here."""
    from jobs import pipelines

    model = pipelines.open_model(Path(directory) / "model").load(trust_pickle=False)
    predicted = np.array(model.classes_)[model.predict_proba(frame.drop(columns="target")).argmax(axis=1)]
    return float(np.mean(predicted == frame["target"]))


@pytest.mark.server
def test_an_evaluation_on_the_training_file_is_warned_of(
    server: Server, trained: Ended, mljobs: MLJobs, csv: Path
) -> None:
    """It is published as a run of its own, with the warning in the report."""
    ended = mljobs("evaluate", trained.result["run_directory"], csv, MLFLOW_TRACKING_URI=server.uri)
    run = run_of(server, ended)
    assert "this is no test of it" in ended.stderr
    assert (run.info.status, run.data.tags["mljobs.job"]) == ("FINISHED", "evaluate")
    assert [each.dataset.digest for each in run.inputs.dataset_inputs] == [trained.result["data"]["sha256"][:36]]
    assert "this is no test of it" in (Path(ended.result["run_directory"]) / "report.md").read_text()


@pytest.mark.server
@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("model", ["models:/shop@nobody", "models:/nothing/1", "runs:/0123/model"])
def test_a_model_that_the_server_does_not_have_is_66(server: Server, mljobs: MLJobs, csv: Path, model: str) -> None:
    """The sentence names server and model, without the password."""
    with_user = server.uri.replace("://", f"://user:{SECRET}@")
    ended = mljobs("evaluate", model, csv, MLFLOW_TRACKING_URI=with_user)
    assert ended.exit_code == 66
    assert ended.result["reason"].startswith(f"{server.uri} does not give {model}: ")
    assert SECRET not in ended.stdout + ended.stderr


@pytest.mark.server
def test_a_model_of_a_server_that_is_away_is_69(mljobs: MLJobs, csv: Path) -> None:
    """It may well be there: another try can help."""
    uri = f"http://127.0.0.1:{free_port()}"
    ended = mljobs("evaluate", "models:/shop/1", csv, MLFLOW_TRACKING_URI=uri, MLJOBS_TRACKING="off")
    assert ended.exit_code == 69
    assert ended.result["reason"].startswith(f"{uri} does not give models:/shop/1: ")


@pytest.mark.server
def test_a_foreign_model_is_named_as_it_was_given(
    server: Server, trained: Ended, mljobs: MLJobs, csv: Path, tmp_path: Path
) -> None:
    """Not by the place that it was downloaded to."""
    experiment = run_of(server, trained).info.experiment_id
    run_id = server.client.create_run(experiment).info.run_id
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    server.client.log_artifact(run_id, str(tmp_path / "MLmodel"), "model")
    ended = mljobs("evaluate", f"runs:/{run_id}/model", csv, MLFLOW_TRACKING_URI=server.uri)
    assert ended.exit_code == 66
    assert ended.result["reason"] == f"runs:/{run_id}/model holds no model of mljobs: mljobs.json is missing"


def test_a_model_that_nobody_has_is_66(mljobs: MLJobs, csv: Path, tmp_path: Path) -> None:
    """A missing folder, a folder without a model, and a registered model without a server."""
    assert mljobs("evaluate", tmp_path / "none", csv).exit_code == 66
    assert "mljobs.json is missing" in mljobs("evaluate", tmp_path, csv).result["reason"]
    assert "set MLFLOW_TRACKING_URI" in mljobs("evaluate", "models:/shop/1", csv).result["reason"]


@pytest.mark.parametrize("uri", ["localhost:5000", "127.0.0.1:5000", "mlruns", "/srv/mlruns"])
@pytest.mark.parametrize("command", ["train", "sync", "doctor"])
def test_a_server_without_a_scheme_is_refused(mljobs: MLJobs, csv: Path, uri: str, command: str) -> None:
    """It would be taken for a folder, which MLflow refuses only when all is done."""
    arguments = {"train": ("random-forest", csv), "sync": (csv.parent,), "doctor": ()}[command]
    ended = mljobs(command, *arguments, MLFLOW_TRACKING_URI=uri)
    assert ended.exit_code == 78
    assert (
        f"MLFLOW_TRACKING_URI must begin with http:// or another scheme, as in http://127.0.0.1:5000, got '{uri}'"
        in ended.stderr
    )


@pytest.mark.parametrize("command", [("train", "random-forest", "--force"), ("evaluate", "model")])
def test_a_job_with_such_a_server_leaves_no_half_of_a_run(
    mljobs: MLJobs, csv: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """It ends before it has a run directory."""
    ended = mljobs(*command, csv, MLFLOW_TRACKING_URI="localhost:5000")
    assert (ended.exit_code, ended.result["run_directory"]) == (78, None)
    assert not list(tmp_path.glob("runs/2*"))


def test_no_server_is_asked_for_by_a_job_that_wants_none(mljobs: MLJobs, csv: Path) -> None:
    """What is set does not matter then."""
    ended = mljobs("train", "random-forest", csv, *FAST, "--tracking", "off", MLFLOW_TRACKING_URI="localhost:5000")
    assert ended.exit_code == 0
