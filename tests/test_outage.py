"""A tracking server that is down, slow or dying costs no training and no result; in the end MLflow has each run once."""

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import proxy as proxies
import pytest
from harness import Ended, Processes, Server, end
from proxy import Proxy, Request

from jobs import journal
from jobs.datasets import sha256_of

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.server

SMALL = ("--param", "n_estimators=5")
LONG = ("--param", "n_estimators=1000")


class Jobs(Processes):
    """Starts mljobs in a folder, with a proxy as its server."""

    def __init__(self, folder: Path, uri: str) -> None:
        super().__init__(folder, MLFLOW_TRACKING_URI=uri, MLFLOW_EXPERIMENT_NAME=folder.name)
        self.runs = folder / "runs"

    def train(self, *arguments: object) -> "subprocess.Popen[str]":
        """Start a job that registers its model under the folder's name."""
        return self.start("train", "random-forest", "numbers.csv", "--model-name", self.folder.name, *arguments)

    def sync(self, *arguments: object) -> Ended:
        """Run `mljobs sync` to its end."""
        return self.call("sync", *arguments)


@pytest.fixture
def jobs(tmp_path: Path, frame: pd.DataFrame, proxy: Proxy) -> Jobs:
    """Return a folder with 100 rows of data."""
    frame[:100].to_csv(tmp_path / "numbers.csv", index=False)
    return Jobs(tmp_path, proxy.uri)


def end_queued(process: "subprocess.Popen[str]", proxy: Proxy) -> Path:
    """Wait for the end of a job during an outage; it trained, waited ten seconds at most, and says `queued`."""
    ended = end(process)
    exit_time = time.time() * 1000
    assert ended.exit_code == 0, ended.stderr
    result = ended.result
    directory = Path(result["run_directory"])
    assert (result["status"], result["exit_code"]) == ("finished", 0)
    assert (result["tracking"], result["run_id"]) == ("queued", None)
    assert json.loads((directory / "result.json").read_text()) == result
    events = {event["event"]: event for event in journal.read(directory / "journal.jsonl")}
    first, last = events["start"], events["end"]
    assert ("published" in events, last["result"]["status"]) == (False, "finished")
    # At the start it may ask the server whether all this was done before.
    asked = [request.time for request in proxy.requests[:1]]
    seconds = sum(max(0, first["time"] - each) for each in asked) / 1000 + (exit_time - last["time"]) / 1000
    assert seconds <= 10
    assert f"or mljobs sync {directory.parent}" in ended.stderr
    return directory


def assert_once(server: Server, directory: Path) -> None:
    """Compare what MLflow has of a finished run with its journal: all of it, and all of it once."""
    events = list(journal.read(directory / "journal.jsonl"))
    of = {event["event"]: event for event in events}
    kinds = [event["event"] for event in events]
    assert [kinds.count(each) for each in ("start", "published")] == [1, 1]
    result = json.loads((directory / "result.json").read_text())
    client = server.client
    experiment = [client.get_experiment_by_name(of["start"]["experiment"]).experiment_id]

    (run,) = client.search_runs(experiment, f"tags.`mljobs.run` = '{directory.name}'")
    run_id = run.info.run_id
    assert (of["published"]["run_id"], result["run_id"], result["tracking"]) == (run_id, run_id, "published")
    assert result["run_directory"] == str(directory)
    assert run.info.status == "FINISHED"
    assert (run.info.start_time, run.info.end_time) == (of["start"]["time"], of["end"]["time"])
    for kind, shown in (("params", run.data.params), ("tags", run.data.tags)):
        sent = {name: str(value) for event in events if event["event"] == kind for name, value in event[kind].items()}
        assert {name: shown[name] for name in sent} == sent
    assert len(run.inputs.dataset_inputs) == 1

    expected = [
        (name, each["step"], value, each["time"])
        for each in events
        if each["event"] == "metrics"
        for name, value in each["metrics"].items()
    ]
    histories = [point for name in run.data.metrics for point in client.get_metric_history(run_id, name)]
    assert sorted((each.key, each.step, each.value, each.timestamp) for each in histories) == sorted(expected)
    assert len({(name, step) for name, step, _, _ in expected}) == len(expected)

    folder = directory.parent.parent / "downloaded" / directory.name
    folder.mkdir(parents=True)
    artifacts = {event["path"]: event["sha256"] for event in events if event["event"] == "artifact"}
    found = [each.path for each in client.list_artifacts(run_id)]
    digests = {path: sha256_of(Path(client.download_artifacts(run_id, path, str(folder)))) for path in found}
    assert digests == artifacts

    (model,) = client.search_logged_models(experiment, f"source_run_id = '{run_id}'")
    assert (model.status.value, [each.model_id for each in run.outputs.model_outputs]) == ("READY", [model.model_id])
    versions = client.search_model_versions(f"name = '{of['model']['name']}'")
    (version,) = [each for each in versions if each.run_id == run_id]
    assert version.source == model.artifact_location
    assert len({each.run_id for each in versions}) == len(versions)
    assert _digests(_model_files(server, model, folder)) == _digests(directory / "model")


def _model_files(server: Server, model: Any, folder: Path) -> Path:
    """Return a copy of a logged model's files."""
    import mlflow.artifacts

    where = {"artifact_uri": model.artifact_location, "tracking_uri": server.uri}
    return Path(mlflow.artifacts.download_artifacts(**where, dst_path=str(folder / "model")))


def _digests(folder: Path) -> dict[str, str]:
    """Return what the files below a folder hold; MLflow's own card of the registered model is not ours."""
    return {
        str(each.relative_to(folder)): sha256_of(each)
        for each in folder.rglob("*")
        if each.is_file() and each.name != "registered_model_meta"
    }


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def has_event(runs: Path, kind: str) -> bool:
    """Tell whether the one run in a folder has come to an event."""
    return any(event["event"] == kind for path in runs.glob("*/journal.jsonl") for event in journal.read(path))


# The outages


def test_a_server_that_is_down_from_the_start(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """`sync` publishes what was queued, once it is back; another sync has nothing to do."""
    proxy.refuse()
    directory = end_queued(jobs.train(*SMALL), proxy)
    assert jobs.sync().exit_code == 69
    proxy.open()
    assert jobs.sync().exit_code == 0
    assert_once(server, directory)
    assert jobs.sync() == Ended(0, "", "")


def test_a_server_that_goes_down_in_the_middle(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """The run is in MLflow already, and goes on there with `sync`."""
    proxy.faults["runs/log-batch"] = proxies.die
    directory = end_queued(jobs.train(*SMALL), proxy)
    proxy.faults.clear()
    proxy.open()
    assert jobs.sync().exit_code == 0
    assert_once(server, directory)


def test_a_server_that_takes_connections_and_never_answers(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """As a machine does that is out of memory; the next start publishes."""
    proxy.fault = proxies.hang
    directory = end_queued(jobs.train(*SMALL), proxy)
    proxy.fault = proxies.pass_on
    again = end(jobs.train(*SMALL))
    assert (again.exit_code, again.result["status"], again.result["tracking"]) == (0, "skipped", "published")
    assert_once(server, directory)


@pytest.mark.parametrize("slow", [proxies.slow, proxies.late], ids=["answers", "requests"])
def test_a_server_that_is_slow(
    server: Server, proxy: Proxy, jobs: Jobs, slow: Callable[[float], proxies.Fault]
) -> None:
    """Ten seconds an answer, or until the request arrives at all, which it does though the job has given up."""
    proxy.fault = slow(10)
    directory = end_queued(jobs.train(*SMALL), proxy)
    proxy.fault = proxies.pass_on
    assert jobs.sync().exit_code == 0
    assert_once(server, directory)


def test_a_server_that_answers_slowly_but_in_time(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """Two seconds an answer are too many for all that is to be sent; the rest is queued."""
    proxy.fault = proxies.slow(2)
    directory = end_queued(jobs.train(*SMALL), proxy)
    proxy.fault = proxies.pass_on
    assert jobs.sync().exit_code == 0
    assert_once(server, directory)


@pytest.mark.parametrize("path", ["/", "mlflow-artifacts", "runs/log-batch"])
def test_a_server_that_answers_500(server: Server, proxy: Proxy, jobs: Jobs, path: str) -> None:
    """To everything, or to some requests: a full disk, a broken database."""
    proxy.faults[path] = proxies.answer_500
    directory = end_queued(jobs.train(*SMALL), proxy)
    proxy.faults.clear()
    assert jobs.sync().exit_code == 0
    assert_once(server, directory)


def test_a_run_without_its_model_in_mlflow_does_not_stand_for_a_start_without_state(proxy: Proxy, jobs: Jobs) -> None:
    """It ended well, but its model may be gone with its container: what MLflow has is no reason not to train."""

    def start(number: int) -> str:
        ended = end(jobs.train(*SMALL, "--experiment", jobs.folder.name, "--runs-dir", f"runs-{number}"))
        return str(ended.result["status"])

    proxy.faults["mlflow-artifacts"] = proxies.answer_500
    assert start(1) == "finished"
    proxy.faults.clear()
    assert [start(2), start(3)] == ["finished", "skipped"]


@pytest.mark.parametrize("path", ["report.html", "model.skops"])
def test_a_server_that_dies_during_an_upload(server: Server, proxy: Proxy, jobs: Jobs, path: str) -> None:
    """Half of a file has arrived; in the end it is whole."""
    proxy.faults[path] = proxies.die
    directory = end_queued(jobs.train(*SMALL), proxy)
    assert sum(path in request.line for request in proxy.requests) == 1
    proxy.faults.clear()
    proxy.open()
    assert jobs.sync().exit_code == 0
    assert_once(server, directory)


@pytest.mark.parametrize("was", ["down", "hanging"])
def test_a_server_that_is_back_before_the_end(server: Server, proxy: Proxy, jobs: Jobs, was: str) -> None:
    """The job publishes all itself."""
    if was == "down":
        proxy.refuse()
    proxy.fault = proxies.hang
    process = jobs.train(*LONG)
    wait_for(lambda: has_event(jobs.runs, "dataset"))
    proxy.fault = proxies.pass_on
    proxy.open()
    ended = end(process)
    assert (ended.exit_code, ended.result["tracking"]) == (0, "published"), ended.stderr
    assert_once(server, Path(ended.result["run_directory"]))


def test_the_next_start_publishes_what_is_queued_besides_its_own_run(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """Each of them once, with its own version of the registered model."""
    proxy.refuse()
    queued = end_queued(jobs.train(*SMALL), proxy)
    proxy.open()
    ended = end(jobs.train(*SMALL, "--random-state", 7))
    assert (ended.exit_code, ended.result["tracking"]) == (0, "published"), ended.stderr
    assert_once(server, queued)
    assert_once(server, Path(ended.result["run_directory"]))


# Required


@pytest.mark.parametrize("outage", ["refuses", "hangs", "slow", "500"])
@pytest.mark.parametrize("force", [(), ("--force",)], ids=["asked before", "forced"])
def test_a_required_server_that_does_not_answer(
    server: Server, proxy: Proxy, jobs: Jobs, outage: str, force: tuple[str, ...]
) -> None:
    """69 within ten seconds, and nothing is trained; when the server is back, the same run goes on."""
    if outage == "refuses":
        proxy.refuse()
    proxy.fault = {"slow": proxies.slow(10), "500": proxies.answer_500}.get(outage, proxies.hang)
    started = time.monotonic()
    ended = end(jobs.train(*SMALL, "--tracking", "required", *force))
    seconds = time.monotonic() - started
    result = ended.result
    directory = Path(result["run_directory"])
    assert (ended.exit_code, result["exit_code"], result["status"]) == (69, 69, "failed")
    assert json.loads((directory / "result.json").read_text()) == result
    assert ("fit" in result["seconds"], (directory / "model").exists()) == (False, False)
    *_, last = journal.read(directory / "journal.jsonl")
    assert (last["event"], last["result"]["exit_code"]) == ("end", 69)
    assert server.client.get_experiment_by_name(jobs.folder.name) is None
    assert seconds <= 10
    proxy.fault = proxies.pass_on
    proxy.open()
    again = end(jobs.train(*SMALL, "--tracking", "required"))
    assert (again.exit_code, again.result["run_directory"]) == (0, str(directory)), again.stderr
    assert_once(server, directory)


# Sync


@pytest.fixture
def queued(proxy: Proxy, jobs: Jobs) -> Path:
    """Train once while the server is down; it is back now."""
    proxy.refuse()
    directory = end_queued(jobs.train(*SMALL), proxy)
    proxy.open()
    return directory


def test_sync_that_is_killed_at_every_request(server: Server, proxy: Proxy, jobs: Jobs, queued: Path) -> None:
    """At its first, then at its second, and so on; each of them reaches the server. Then sync comes to its end."""
    for number in range(1, 100):
        proxy.requests.clear()
        process = jobs.start("sync")
        proxy.on_request = _killer(process, number)
        ended = end(process)
        if ended.exit_code == 0:
            break
        assert ended.exit_code == -signal.SIGKILL, ended.stderr
    assert 15 < number < 99
    assert_once(server, queued)


def _killer(process: "subprocess.Popen[str]", number: int) -> Callable[[Request], None]:
    """Return what kills a process at a request."""

    def kill(request: Request) -> None:
        if request.number == number:
            process.kill()

    return kill


def test_sync_of_a_copy_on_another_machine(
    server: Server, jobs: Jobs, queued: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The folder is elsewhere, and the original is gone."""
    copied = tmp_path_factory.mktemp("copied") / "copied runs"
    shutil.copytree(jobs.runs, copied)
    shutil.rmtree(jobs.runs)
    assert jobs.sync(copied).exit_code == 0
    assert_once(server, copied / queued.name)


def test_sync_of_a_copy_and_of_the_original(server: Server, jobs: Jobs, queued: Path, tmp_path: Path) -> None:
    """Both are published; MLflow has one run."""
    shutil.copytree(jobs.runs, tmp_path / "copy" / "runs")
    for runs in (jobs.runs, tmp_path / "copy" / "runs"):
        assert jobs.sync(runs).exit_code == 0
    assert_once(server, queued)
    assert_once(server, tmp_path / "copy" / "runs" / queued.name)


# Requests that arrive late


@pytest.mark.parametrize("path", ["runs/create", "POST /api/2.0/mlflow/logged-models ", "model-versions/create"])
def test_what_was_given_up_and_arrives_late_is_not_there_twice(
    server: Server, proxy: Proxy, jobs: Jobs, path: str
) -> None:
    """The journal remembers that a request was given up, and `sync` waits for it, and removes what it made."""
    proxy.faults[path] = proxies.only_first(proxies.late(12))
    directory = end_queued(jobs.train(*SMALL), proxy)
    assert not proxy.idle
    assert jobs.sync().exit_code == 0
    assert proxy.idle
    assert sum(path in request.line for request in proxy.requests) == 2
    assert_once(server, directory)
