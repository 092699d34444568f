"""One job in one container, as `docker run` starts it: results, limits, signals, exit codes."""

import json
import os
import time
from pathlib import Path

import pytest
from docker_engine import COMMIT, JOBS, LOCKED_DOWN, docker, docker_ok, readable
from harness import Ended

from jobs.errors import ExitCode

pytestmark = pytest.mark.containers

GOOD = {"random-forest": "good.csv", "cnn": "good.npz"}
BROKEN = {"random-forest": "broken.csv", "cnn": "broken.npz"}


def run(image: str, data: Path, file: str, *options: str, arguments: tuple[str, ...] = ()) -> Ended:
    """Run one job on a file of `data`."""
    return docker("run", "--rm", *options, "--volume", f"{data}:/data:ro", image, f"/data/{file}", *arguments)


@pytest.mark.parametrize("job", JOBS)
def test_plain_run(images: dict[str, str], data: Path, job: str) -> None:
    """The line of the README works, without a server."""
    ended = run(images[job], data, GOOD[job])
    assert ended.exit_code == ExitCode.OK, ended.stderr
    assert ended.result["status"] == "finished"
    assert ended.result["pipeline"] == job
    assert ended.result["tracking"] == "off"
    assert 0 <= ended.result["metrics"]["accuracy"] <= 1


@pytest.mark.parametrize("job", JOBS)
def test_locked_down(images: dict[str, str], data: Path, tmp_path: Path, job: str) -> None:
    """A job needs no network, no capability and no writable disk but /runs and /tmp, and no user of its own."""
    runs = tmp_path / "runs"
    runs.mkdir()
    os.chown(runs, 12345, 12345)
    options = (*LOCKED_DOWN, "--network", "none", "--user", "12345:12345", "--volume", f"{runs}:/runs")
    ended = run(images[job], data, GOOD[job], *options)
    assert ended.exit_code == ExitCode.OK, ended.stderr
    (directory,) = (path for path in runs.iterdir() if path.name != ".locks")
    assert ended.result["run_directory"] == f"/runs/{directory.name}"
    written = json.loads((directory / "result.json").read_text())
    assert written == ended.result
    assert directory.stat().st_uid == 12345


@pytest.mark.parametrize("job", JOBS)
def test_relative_name_is_one_in_the_data_folder(images: dict[str, str], data: Path, job: str) -> None:
    """The job starts in /data."""
    ended = docker("run", "--rm", "--volume", f"{data}:/data:ro", images[job], "missing")
    assert ended.exit_code == ExitCode.NO_INPUT
    assert ended.result["status"] == "failed"


@pytest.mark.parametrize("job", JOBS)
def test_bad_data(images: dict[str, str], data: Path, job: str) -> None:
    """A file that breaks the contract has an exit code of its own."""
    ended = run(images[job], data, BROKEN[job])
    assert ended.exit_code == ExitCode.DATA
    assert ended.result["reason"]


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("cpus", [1, 2])
def test_threads_follow_the_cpu_quota(images: dict[str, str], data: Path, job: str, cpus: int) -> None:
    """Libraries that count the machine's CPUs are told the container's."""
    if cpus > (os.cpu_count() or 1):
        pytest.skip(f"this machine has no {cpus} CPUs")
    assert run(images[job], data, GOOD[job], f"--cpus={cpus}").result["threads"] == cpus


@pytest.fixture(scope="module")
def big_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 400,000 rows of 100 numbers: 80 MB as text, 160 MB or more in memory."""
    folder, columns, rows = tmp_path_factory.mktemp("big"), 100, 400_000
    with (folder / "big.csv").open("w") as file:
        file.write(",".join(f"x{i}" for i in range(columns)) + ",target\n")
        file.writelines(f"{f'{i % 7},' * columns}{i % 2}\n" for i in range(rows))
    return readable(folder)


def test_data_that_cannot_fit_is_refused(images: dict[str, str], big_table: Path) -> None:
    """The kernel does not get to kill a job whose data can't fit: it says so first, with numbers."""
    ended = run(images["random-forest"], big_table, "big.csv", "--memory=256m", "--memory-swap=256m")
    assert ended.exit_code == ExitCode.FIT, ended.stderr
    assert "100 features" in ended.result["reason"]
    assert ended.result["reason"].count("MiB") == 2


@pytest.mark.parametrize("memory", ["320m", "400m", "500m", "600m"])
def test_no_limit_gets_a_job_killed(images: dict[str, str], big_table: Path, memory: str) -> None:
    """Data that could be read, but not trained on, is refused too; never is a job killed (137) without a word."""
    few = ("--param", "n_estimators=3")
    limits = (f"--memory={memory}", f"--memory-swap={memory}")
    ended = run(images["random-forest"], big_table, "big.csv", *limits, arguments=few)
    assert ended.exit_code in (ExitCode.OK, ExitCode.FIT), f"{ended.exit_code}: {ended.stderr}"
    assert ended.result["exit_code"] == ended.exit_code


@pytest.mark.parametrize("memory", ["200m", "300m", "400m", "500m", "600m"])
def test_no_limit_gets_a_cnn_killed(images: dict[str, str], data: Path, memory: str) -> None:
    """TensorFlow alone needs more than small limits have: that is said, not died of."""
    limits = (f"--memory={memory}", f"--memory-swap={memory}")
    ended = run(images["cnn"], data, GOOD["cnn"], *limits, arguments=("--param", "epochs=1"))
    assert ended.exit_code in (ExitCode.OK, ExitCode.FIT), f"{ended.exit_code}: {ended.stderr}"
    assert ended.result["exit_code"] == ended.exit_code


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("init", [(), ("--init",)], ids=["pid1", "init"])
def test_stop(images: dict[str, str], data: Path, container: str, job: str, init: tuple[str, ...]) -> None:
    """`docker stop` ends a job in the midst of training, at once, and the job says so."""
    endless = {"random-forest": "n_estimators=30000", "cnn": "epochs=1000000"}
    docker_ok("run", "--detach", "--name", container, *init, "--volume", f"{data}:/data:ro", images[job],
              f"/data/{GOOD[job]}", "--param", endless[job])  # fmt: skip
    wait_for_log(container, {"random-forest": "trees", "cnn": "epoch"}[job])
    start = time.monotonic()
    docker_ok("stop", "--time", "30", container)
    assert time.monotonic() - start < 10
    state = json.loads(docker_ok("inspect", "--format", "{{json .State}}", container))
    assert state["ExitCode"] == ExitCode.TERMINATED
    result = json.loads(docker("logs", container).stdout)
    assert result["status"] == "killed"
    assert result["exit_code"] == ExitCode.TERMINATED


def wait_for_log(container: str, text: str, seconds: float = 120) -> None:
    """Wait until a container logs `text`."""
    deadline = time.monotonic() + seconds
    while text not in (logged := docker("logs", container).stderr):
        assert time.monotonic() < deadline, logged
        time.sleep(0.2)


@pytest.mark.parametrize("job", JOBS)
def test_result_names_image_and_commit(images: dict[str, str], data: Path, tmp_path: Path, job: str) -> None:
    """A run can be led back to the code that made it."""
    runs = tmp_path / "runs"
    runs.mkdir(mode=0o777)
    runs.chmod(0o777)
    assert run(images[job], data, GOOD[job], "--volume", f"{runs}:/runs").exit_code == ExitCode.OK
    (journal,) = runs.glob("*/journal.jsonl")
    text = journal.read_text()
    assert COMMIT in text
    assert f"mljobs/{job}:" in text
