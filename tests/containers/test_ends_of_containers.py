"""How a container ends, and what the next one makes of it: out of memory, stopped, disk full, two at once."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docker_engine import docker, docker_ok
from harness import Ended

from jobs.errors import ExitCode

pytestmark = pytest.mark.containers

GREEDY = '''
"""A random forest that takes all memory there is in its fit, unless told that there is enough of it."""

import os
from jobs.pipelines import random_forest
from jobs.pipelines.random_forest import *

def fit(*arguments, **named):
    fitted = random_forest.fit(*arguments, **named)
    if "PLENTY" not in os.environ:
        hoard = [bytes(range(256)) * 40_000 for _ in range(10_000)]
    return fitted
'''
MOST_SECONDS = 10
"""What Docker gives a container that is stopped."""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a folder for runs, of everybody."""
    folder = tmp_path / "runs"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


Container = Callable[..., Ended]


@pytest.fixture
def forest(images: dict[str, str], data: Path, runs: Path) -> Container:
    """Run a random forest on `good.csv`, with its runs in `runs`."""

    def run(*options: object, arguments: tuple[str, ...] = ()) -> Ended:
        volumes = ("--volume", f"{data}:/data:ro", "--volume", f"{runs}:/runs")
        return docker("run", *volumes, *options, images["random-forest"], "/data/good.csv", *arguments)

    return run


def result_of(runs: Path) -> dict[str, Any]:
    """Return what the only run of a folder says of itself."""
    (directory,) = (each for each in runs.iterdir() if each.name[0] != ".")
    result: dict[str, Any] = json.loads((directory / "result.json").read_bytes())
    assert {each.name for each in directory.iterdir()} & {".unfinished", ".reserve"} == set()
    return result


def wait_until(happened: Callable[[], object], container: str, seconds: float = 60) -> None:
    """Wait until something has happened, or fail with the container's log."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, docker("logs", container)
        time.sleep(0.1)


def has_checkpoint(runs: Path) -> bool:
    """Tell whether a fit has saved its state."""
    return any(runs.glob("*/checkpoint/trees-from-*"))


def exit_code_of(container: str) -> int:
    """Return how a container ended."""
    return int(docker_ok("inspect", "--format", "{{.State.ExitCode}}", container))


def greedy(images: dict[str, str], tmp_path: Path) -> tuple[object, ...]:
    """Return options by which the image's package has one more pipeline: the greedy one."""
    module = tmp_path / "greedy.py"
    module.write_text(GREEDY)
    module.chmod(0o644)
    entrypoint = ("--entrypoint", "python", images["random-forest"], "-c", "import jobs; print(jobs.__path__[0])")
    package = docker_ok("run", "--rm", *entrypoint).strip()
    return ("--volume", f"{module}:{package}/pipelines/greedy.py:ro", "--entrypoint", "mljobs")


def test_a_job_that_the_kernel_kills_is_closed_and_can_go_on(
    images: dict[str, str], data: Path, runs: Path, tmp_path: Path
) -> None:
    """Out of memory: 137; the next start of another job says so of the run, the next of its own finishes it."""
    options = ("--rm", *greedy(images, tmp_path), "--volume", f"{data}:/data:ro", "--volume", f"{runs}:/runs")
    command = (images["random-forest"], "train", "greedy", "/data/good.csv")
    limits = ("--memory", "400m", "--memory-swap", "400m")
    assert docker("run", *limits, *options, *command).exit_code == 137
    (directory,) = runs.glob("*-greedy-*")
    assert not (directory / "result.json").exists()

    other = docker("run", *options, images["random-forest"], "train", "random-forest", "/data/good.csv")
    assert other.exit_code == ExitCode.OK, other.stderr
    lost = json.loads((directory / "result.json").read_bytes())
    assert (lost["status"], lost["exit_code"]) == ("failed", None)
    assert lost["reason"].startswith("lost: ")

    again = docker("run", "--env", "PLENTY=1", *options, *command)
    assert again.exit_code == ExitCode.OK, again.stderr
    assert Path(again.result["run_directory"]).name == directory.name
    assert (again.result["status"], again.result["attempts"]) == ("finished", 2)


def test_a_container_that_is_stopped_goes_on_in_the_next(forest: Container, runs: Path, container: str) -> None:
    """SIGTERM in the fit: 143 within ten seconds, the state saved; the next start finishes the same run."""
    trees = ("--param", "n_estimators=3000", "--param", "min_samples_leaf=20")
    assert forest("--detach", "--name", container, arguments=trees).exit_code == 0
    wait_until(lambda: has_checkpoint(runs), container)
    start = time.monotonic()
    docker_ok("stop", "--time", "60", container)
    seconds = time.monotonic() - start
    print(f"docker stop: {seconds:.1f} s")  # noqa: T201 - shown by pytest -s
    assert seconds < MOST_SECONDS
    assert exit_code_of(container) == ExitCode.TERMINATED
    stopped = result_of(runs)
    assert (stopped["status"], stopped["exit_code"]) == ("killed", ExitCode.TERMINATED)
    assert has_checkpoint(runs)

    again = forest("--rm", arguments=trees)
    assert again.exit_code == ExitCode.OK, again.stderr
    assert (again.result["run_directory"], again.result["attempts"]) == (stopped["run_directory"], 2)
    assert result_of(runs) == again.result
    assert not has_checkpoint(runs)


def test_a_container_that_is_stopped_as_it_starts_ends_soon(forest: Container, runs: Path, container: str) -> None:
    """As the first process it would not notice SIGTERM unless it listened from the beginning."""
    assert forest("--detach", "--name", container, arguments=("--param", "n_estimators=30000")).exit_code == 0
    wait_until((runs / ".locks").exists, container)
    start = time.monotonic()
    docker_ok("stop", "--time", "60", container)
    assert time.monotonic() - start < MOST_SECONDS
    assert exit_code_of(container) == ExitCode.TERMINATED


def test_a_full_disk_is_told(images: dict[str, str], data: Path) -> None:
    """73, on stdout at least; a disk on which not even a run's first file fits says so as well."""
    for size in ("16k", "300k"):
        disk = ("--tmpfs", f"/runs:size={size},mode=1777", "--volume", f"{data}:/data:ro")
        trees = ("--param", "n_estimators=2000")
        ended = docker("run", "--rm", *disk, images["random-forest"], "/data/good.csv", *trees)
        assert ended.exit_code == ExitCode.OUTPUT, ended.stderr
        assert (ended.result["status"], ended.result["exit_code"]) == ("failed", ExitCode.OUTPUT)
        assert "No space left on device" in ended.result["reason"]


def test_of_two_containers_of_one_job_one_trains(forest: Container, runs: Path, container: str) -> None:
    """They share nothing but the volume; the other ends with 75, and leaves the first alone."""
    trees = ("--param", "n_estimators=30000")
    assert forest("--detach", "--name", container, arguments=trees).exit_code == 0
    wait_until(lambda: has_checkpoint(runs), container)
    second = forest("--rm", arguments=trees)
    assert second.exit_code == ExitCode.LOCKED, second.stderr
    assert docker_ok("inspect", "--format", "{{.State.Running}}", container).strip() == "true"
    docker_ok("kill", container)
    assert exit_code_of(container) == 137
