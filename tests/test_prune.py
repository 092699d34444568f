"""Old runs go, and none that somebody may still need."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness import Ended, MLJobs, Server

from jobs import journal
from jobs import prune as pruning
from jobs.history import PastRun
from jobs.journal import Journal

FAST = ("--param", "n_estimators=2")


def train(mljobs: MLJobs, csv: Path, seed: int, *options: str, **env: str) -> str:
    """Train once more; return the name of the run."""
    ended = mljobs("train", "random-forest", csv, *FAST, "--random-state", seed, *options, **env)
    return Path(ended.result["run_directory"]).name


def left(runs: Path) -> list[str]:
    """Return the names of the run directories that are there."""
    return sorted(path.name for path in runs.iterdir() if path.name[0] != ".")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return the folder that `mljobs` writes to."""
    return tmp_path / "runs"


def test_the_newest_of_each_job_stay(mljobs: MLJobs, csv: Path, runs: Path) -> None:
    """Each job has its own count."""
    first = [train(mljobs, csv, seed) for seed in range(4)]
    other = [train(mljobs, csv, seed, "--name", "other") for seed in range(2)]
    ended = mljobs("prune", runs, "--keep", 2)
    assert (ended.exit_code, left(runs)) == (0, sorted([*first[2:], *other]))
    assert f"removed {first[0]}" in ended.stderr
    assert f"removed {first[1]}" in ended.stderr
    assert "freed " in ended.stderr


def test_a_dry_run_removes_nothing(mljobs: MLJobs, csv: Path, runs: Path) -> None:
    """It says what would go."""
    names = [train(mljobs, csv, seed) for seed in range(3)]
    ended = mljobs("prune", runs, "--keep", 1, "--dry-run")
    assert (ended.exit_code, left(runs)) == (0, sorted(names))
    assert [f"would remove {name}" in ended.stderr for name in names] == [True, True, False]


def test_age_counts_from_the_end(mljobs: MLJobs, csv: Path, runs: Path) -> None:
    """A run that is younger stays, however many there are."""
    names = [train(mljobs, csv, seed) for seed in range(3)]
    assert mljobs("prune", runs, "--older-than", "1h").exit_code == 0
    assert left(runs) == sorted(names)
    time.sleep(0.01)
    mljobs("prune", runs, "--older-than", "0s")
    assert left(runs) == names[2:]


def test_the_last_finished_run_stays_for_later_starts(mljobs: MLJobs, csv: Path, runs: Path) -> None:
    """Else an unchanged input would be trained again, however many failed since."""
    finished = train(mljobs, csv, 1)
    content = csv.read_bytes()
    csv.write_bytes(b"a,b\n1,2\n")
    train(mljobs, csv, 1)
    csv.write_bytes(content)
    mljobs("prune", runs, "--keep", 0)
    assert left(runs) == [finished]
    assert mljobs("train", "random-forest", csv, *FAST, "--random-state", 1).result["status"] == "skipped"


def test_a_job_that_failed_before_it_began_goes_too(mljobs: MLJobs, csv: Path, runs: Path) -> None:
    """Its directory has a result and no journal."""
    assert mljobs("train", "random-forest", csv, "--test-size", "7").exit_code == 78
    mljobs("prune", runs, "--keep", 0)
    assert left(runs) == []


def test_a_run_that_goes_on_stays(mljobs: MLJobs, csv: Path, runs: Path) -> None:
    """So does one that was killed, whether somebody has closed it or not: the next start resumes it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs", "train", "random-forest", csv, "--param", "n_estimators=30000"],
        env={**os.environ, "MLJOBS_RUNS_DIR": str(runs)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(runs.glob("*/checkpoint/trees-from-0.*")):
        time.sleep(0.02)
    (name,) = left(runs)
    mljobs("prune", runs, "--keep", 0)
    assert left(runs) == [name]
    process.send_signal(signal.SIGKILL)
    process.wait()
    mljobs("prune", runs, "--keep", 0)
    assert left(runs) == [name]
    assert mljobs("train", "random-forest", csv, *FAST, "--name", "another").exit_code == 0
    assert "lost" in next(line for line in mljobs("runs").stdout.splitlines() if line.startswith(name))
    mljobs("prune", runs, "--keep", 0)
    assert name in left(runs)
    finished = train(mljobs, csv, 1)
    mljobs("prune", runs, "--keep", 0)
    assert (name in left(runs), finished in left(runs)) == (False, True)


def test_a_run_that_waits_to_be_published_stays(mljobs: MLJobs, csv: Path, runs: Path) -> None:
    """Its server is away; nothing of it is anywhere else."""
    queued = train(mljobs, csv, 1, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    newest = train(mljobs, csv, 2)
    mljobs("prune", runs, "--keep", 0)
    assert left(runs) == sorted([queued, newest])


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        ((), 78, "give --keep, --older-than, or both"),
        (("--older-than", "soon"), 78, "--older-than must be a number with a unit"),
        (("--keep", "-1"), 2, "Invalid value for '--keep'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    mljobs: MLJobs, csv: Path, runs: Path, options: tuple[str, ...], code: int, sentence: str
) -> None:
    """Before anything is removed."""
    names = [train(mljobs, csv, seed) for seed in range(2)]
    ended = mljobs("prune", runs, *options)
    assert (ended.exit_code, left(runs)) == (code, sorted(names))
    assert sentence in ended.stderr


def test_what_a_killed_prune_left_is_no_run(mljobs: MLJobs, csv: Path, runs: Path) -> None:
    """A directory is renamed before its files go."""
    name = train(mljobs, csv, 1)
    (runs / name).rename(runs / f".pruned-{name}")
    assert mljobs("runs", runs).stdout.splitlines()[1:] == []
    mljobs("prune", runs, "--keep", 5)
    assert not list(runs.glob(".pruned*"))


@pytest.mark.parametrize("locked", [True, False])
def test_a_run_that_somebody_has_taken_up_stays(
    mljobs: MLJobs, csv: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, *, locked: bool
) -> None:
    """Between the look at it and its removal a start may go on with it; the others are removed all the same."""
    taken, other, last = [train(mljobs, csv, seed) for seed in range(3)]
    real = pruning._remove

    def remove(run: PastRun) -> int | None:
        if run.path.name != taken:
            return real(run)
        with closing(Journal(runs / taken / journal.NAME)) as record:
            record.append("resume", attempt=2, tracking="off", file=record.inode)
            if locked:
                return real(run)
        return real(run)

    monkeypatch.setattr(pruning, "_remove", remove)
    ended = mljobs("prune", runs, "--keep", 0)
    assert (ended.exit_code, left(runs)) == (0, [taken, last])
    assert f"kept {taken}: somebody else is at it" in ended.stderr
    assert f"removed {other}" in ended.stderr


@pytest.fixture
def published(mljobs_process: MLJobs, csv: Path, tmp_path: Path, server: Server) -> list[Ended]:
    """Train three published runs of one registered model."""
    env = {"MLFLOW_TRACKING_URI": server.uri, "MLJOBS_MODEL_NAME": tmp_path.name}
    return [mljobs_process("train", "random-forest", csv, *FAST, "--random-state", seed, **env) for seed in range(3)]


@pytest.mark.server
def test_a_run_behind_an_alias_stays(
    mljobs_process: MLJobs, published: list[Ended], runs: Path, tmp_path: Path, server: Server
) -> None:
    """The champion's directory is there as long as it is the champion."""
    client: Any = server.client
    first, second, third = (Path(ended.result["run_directory"]).name for ended in published)
    (version,) = client.search_model_versions(f"run_id = '{published[0].result['run_id']}'")
    client.set_registered_model_alias(tmp_path.name, "champion", version.version)
    ended = mljobs_process("prune", runs, "--keep", 0, MLFLOW_TRACKING_URI=server.uri)
    assert (ended.exit_code, left(runs)) == (0, sorted([first, third])), ended.stderr
    assert f"kept {first}: its model is models:/{tmp_path.name}@champion" in ended.stderr
    assert f"removed {second}" in ended.stderr


@pytest.mark.server
def test_published_runs_stay_if_the_server_cannot_be_asked(
    mljobs_process: MLJobs, published: list[Ended], runs: Path
) -> None:
    """Whether one is behind an alias is not guessed."""
    for uri, sentence in (("", "set MLFLOW_TRACKING_URI"), ("http://127.0.0.1:9", "does not say which models")):
        ended = mljobs_process("prune", runs, "--keep", 0, MLFLOW_TRACKING_URI=uri)
        assert (ended.exit_code, len(left(runs))) == (69, len(published))
        assert sentence in ended.stderr


@pytest.mark.server
def test_a_run_in_mlflows_trash_stays(
    mljobs_process: MLJobs, published: list[Ended], runs: Path, server: Server
) -> None:
    """Its directory may be the only copy."""
    server.client.delete_run(published[0].result["run_id"])
    ended = mljobs_process("prune", runs, "--keep", 0, MLFLOW_TRACKING_URI=server.uri)
    first, _, third = (Path(each.result["run_directory"]).name for each in published)
    assert left(runs) == sorted([first, third])
    assert f"kept {first}: it is in MLflow's trash" in ended.stderr
