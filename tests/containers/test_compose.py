"""The whole stack, as `docker compose up --build` brings it up: server, both jobs, and one-off jobs after them."""

import json
import os
import shutil
import socket
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docker_engine import COMMIT, JOBS, ROOT, TARGETS, Ended, docker, docker_ok, readable

from jobs.errors import ExitCode

pytestmark = pytest.mark.containers

UP_SECONDS = 1800


@dataclass(frozen=True)
class Stack:
    """A compose project of its own, on a port of its own."""

    project: str
    port: int
    env: dict[str, str]

    def compose(self, *arguments: str, timeout: float = 300) -> Ended:
        """Run docker compose on this project."""
        return docker("compose", "--project-name", self.project, *arguments, timeout=timeout, env=self.env)

    def state(self, service: str) -> dict[str, Any]:
        """Return what the engine says of a service's container."""
        ended = self.compose("ps", "--all", "--quiet", service)
        return json.loads(docker_ok("inspect", "--format", "{{json .State}}", ended.stdout.strip()))

    def get(self, path: str, body: dict[str, Any] | None = None) -> bytes:
        """Ask the server from this host; raise HTTPError unless it answers 2xx."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - a fixed scheme
            return answer.read()

    def runs(self, experiment: str) -> list[dict[str, Any]]:
        """Return the runs of an experiment, as MLflow's REST API has them."""
        found = json.loads(self.get(f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={experiment}"))
        ids = [found["experiment"]["experiment_id"]]
        return json.loads(self.get("/api/2.0/mlflow/runs/search", {"experiment_ids": ids})).get("runs", [])


@pytest.fixture(scope="module")
def stack(tag: str, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Bring up the whole stack on the mock data; wait until both jobs have ended; remove it at the end."""
    folder = tmp_path_factory.mktemp("stack")
    for path in (*(ROOT / "data").glob("mock_data.*"), *data.iterdir()):
        shutil.copy(path, folder)
    port = _free_port()
    stack = Stack(
        project=f"mljobs-test-{uuid.uuid4().hex[:8]}",
        port=port,
        env={
            "MLFLOW_PORT": str(port),
            "MLJOBS_DATA": str(readable(folder)),
            "MLJOBS_COMMIT": COMMIT,
            "MLJOBS_TAG": tag,
            "MLJOBS_CPUS": "1",
            "MLJOBS_MEMORY": "2g",
        },
    )
    try:
        up = stack.compose("up", "--build", "--detach", timeout=UP_SECONDS)
        assert up.exit_code == 0, up.stderr
        _wait_for_jobs(stack)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "10")


def _free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_for_jobs(stack: Stack, seconds: float = 300) -> None:
    """Wait until both jobs have ended."""
    deadline = time.monotonic() + seconds
    while any(stack.state(job)["Status"] != "exited" for job in JOBS):
        assert time.monotonic() < deadline, stack.compose("logs").stdout
        time.sleep(0.5)


@pytest.mark.parametrize("job", JOBS)
def test_job_runs_to_its_end(stack: Stack, job: str) -> None:
    """Both jobs finish, and MLflow says so to a reader on this host."""
    assert stack.state(job)["ExitCode"] == ExitCode.OK, stack.compose("logs", job).stdout
    runs = stack.runs(job)
    assert [run["info"]["status"] for run in runs] == ["FINISHED"]
    metrics = {metric["key"]: metric["value"] for metric in runs[0]["data"]["metrics"]}
    assert 0.5 < metrics["accuracy"] <= 1


@pytest.mark.parametrize("job", JOBS)
def test_limits_reach_the_container(stack: Stack, job: str) -> None:
    """MLJOBS_CPUS and MLJOBS_MEMORY are the limits of each job."""
    container = stack.compose("ps", "--all", "--quiet", job).stdout.strip()
    limits = json.loads(docker_ok("inspect", "--format", "{{json .HostConfig}}", container))
    assert (limits["NanoCpus"], limits["Memory"]) == (10**9, 2 * 2**30)
    assert limits["ReadonlyRootfs"]
    assert limits["CapDrop"] == ["ALL"]


def test_server_stays_up_and_healthy(stack: Stack) -> None:
    """The server outlives the jobs."""
    assert stack.state("mlflow")["Health"]["Status"] == "healthy"


def test_ui_answers(stack: Stack) -> None:
    """A person can look at the runs."""
    page = stack.get("/").decode()
    assert "<title>MLflow</title>" in page
    script = page.partition('<script defer="defer" src="')[2].partition('"')[0]
    assert stack.get("/" + script.removeprefix("./")), "the UI's own script is missing"


def test_artifacts_go_through_the_server(stack: Stack) -> None:
    """What a job left can be fetched from the server, which alone has the disk."""
    (run,) = stack.runs("random-forest")
    assert run["info"]["artifact_uri"].startswith("mlflow-artifacts:/")
    report = stack.get(f"/get-artifact?path=report.html&run_id={run['info']['run_id']}")
    assert b"<html" in report


def test_port_is_for_this_machine_only(stack: Stack) -> None:
    """The server has no password, so the network must not see it."""
    bound = stack.compose("port", "mlflow", "5000").stdout.strip()
    assert bound == f"127.0.0.1:{stack.port}"
    container = stack.compose("ps", "--quiet", "mlflow").stdout.strip()
    ports = json.loads(docker_ok("inspect", "--format", "{{json .NetworkSettings.Ports}}", container))
    assert ports == {"5000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(stack.port)}]}


def test_server_answers_to_the_name_jobs_use(stack: Stack) -> None:
    """A default MLflow server answers `http://mlflow:5000/api` with 403, while its /health says 200."""
    ask = "import urllib.request as web; print(web.urlopen('http://mlflow:5000/api/2.0/mlflow/experiments/search?max_results=1').status)"
    arguments = ("run", "--rm", "--no-deps", "--entrypoint", "python", "random-forest", "-c", ask)
    ended = stack.compose(*arguments)
    assert (ended.exit_code, ended.stdout.strip()) == (0, "200"), ended.stderr


def test_server_refuses_other_names(stack: Stack) -> None:
    """A web page elsewhere can't reach the server through a name that it made point here."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.port}/api/2.0/mlflow/experiments/search?max_results=1",
        headers={"Host": "evil.example"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)  # noqa: S310 - a fixed scheme
    refused.value.close()
    assert refused.value.code == 403


@pytest.mark.parametrize(
    ("job", "file", "expected"),
    [
        ("cnn", "good.npz", ExitCode.OK),
        ("cnn", "broken.npz", ExitCode.DATA),
        ("cnn", "missing.npz", ExitCode.NO_INPUT),
        ("random-forest", "good.csv", ExitCode.OK),
        ("random-forest", "broken.csv", ExitCode.DATA),
        ("random-forest", "missing.csv", ExitCode.NO_INPUT),
    ],
)
def test_exit_code_passes_through(stack: Stack, job: str, file: str, expected: ExitCode) -> None:
    """`docker compose run` on another file returns the job's own exit code, and MLflow has the same end."""
    ended = stack.compose("run", "--rm", job, f"/data/{file}")
    assert ended.exit_code == expected, ended.stderr
    assert ended.result["exit_code"] == expected
    assert ended.result["tracking"] == "published"
    (run,) = [each for each in stack.runs(job) if each["info"]["run_id"] == ended.result["run_id"]]
    assert run["info"]["status"] == ("FINISHED" if expected is ExitCode.OK else "FAILED")


@pytest.mark.parametrize(
    ("job", "file", "weak"),
    [("random-forest", "mock_data.csv", "n_estimators=3"), ("cnn", "mock_data.npz", "epochs=1")],
)
def test_a_champion_and_its_challenger(stack: Stack, job: str, file: str, weak: str) -> None:
    """Promoted, held against each other, rolled back and had again, all in locked-down containers on one volume."""

    def challenge(*arguments: str) -> Ended:
        model = ("--promote", "--split", "stable", "--model-name", f"champion-of-{job}")
        return stack.compose("run", "--rm", job, f"/data/{file}", *model, *arguments)

    def mljobs(*arguments: str) -> Ended:
        return stack.compose("run", "--rm", "--entrypoint", "mljobs", job, *arguments)

    first, better = challenge("--param", weak), challenge()
    assert [each.result["promotion"]["status"] for each in (first, better)] == ["promoted", "promoted"], better.stderr
    worse = challenge("--param", weak, "--require-improvement")
    assert (worse.exit_code, worse.result["promotion"]["champion"]) == (ExitCode.REJECTED, "2")
    back = mljobs("rollback", f"champion-of-{job}")
    assert (back.exit_code, "version 1 is champion" in back.stdout) == (ExitCode.OK, True), back.stderr
    again = mljobs("reproduce", better.result["run_directory"])
    assert (again.exit_code, "NO" in again.stdout.split()) == (ExitCode.OK, False), again.stdout
    assert mljobs("reproduce", better.result["run_id"]).exit_code == ExitCode.OK


def test_run_directories_are_kept(stack: Stack) -> None:
    """The runs of all jobs are in one volume, to be listed or published again."""
    ended = stack.compose("run", "--rm", "--no-deps", "--entrypoint", "ls", "cnn", "/runs")
    names = ended.stdout.split()
    assert {job for job in JOBS if any(job in name for name in names)} == set(JOBS)


def test_server_keeps_its_runs_over_a_restart(stack: Stack) -> None:
    """The database is in a volume; SIGTERM ends the server at once."""
    before = len(stack.runs("random-forest"))
    start = time.monotonic()
    assert stack.compose("stop", "mlflow").exit_code == 0
    assert time.monotonic() - start < 8
    assert stack.compose("up", "--detach", "--no-build", "--wait", "mlflow").exit_code == 0
    assert len(stack.runs("random-forest")) == before


def test_images_are_built_here() -> None:
    """No service runs an image from outside, and each has a target in the Dockerfile."""
    services = json.loads(docker_ok("compose", "config", "--format", "json", env=dict(os.environ)))["services"]
    assert set(services) == set(TARGETS)
    for name, service in services.items():
        assert service["build"]["target"] == name
        assert service["image"].startswith(f"mljobs/{name}:")
