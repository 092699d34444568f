"""Nothing is repeated: unchanged inputs are skipped, and starts that overlap do not both train."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from harness import ROOT, Ended, MLJobs, Server

from jobs import journal, locks
from jobs.artifacts import RunDirectory
from jobs.config import JobConfig, parse_age
from jobs.console import Console
from jobs.errors import ConfigError
from jobs.once import take_turn
from jobs.result import Result

FAST = ("--param", "n_estimators=5")
LONG = ("--param", "n_estimators=30000")


def run_of(ended: Ended) -> str:
    """Return the name of the run that a result is about."""
    return Path(ended.result["run_directory"]).name


def runs_in(folder: Path) -> list[str]:
    """Return the names of all run directories, the oldest first."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_an_unchanged_input_is_not_trained_again(mljobs: MLJobs, csv: Path, tmp_path: Path) -> None:
    """The second start ends with 0, names the run that stands for it, and leaves everything as it was."""
    first = mljobs("train", "random-forest", csv, *FAST)
    before = (Path(first.result["run_directory"]) / "result.json").read_bytes()
    second = mljobs("train", "random-forest", csv, *FAST)
    assert (second.exit_code, second.result["status"]) == (0, "skipped")
    assert second.result["reason"] == f"nothing changed since {run_of(first)}"
    same = ("run_directory", "metrics", "data", "run_id", "tracking")
    assert {key: second.result[key] for key in same} == {key: first.result[key] for key in same}
    assert runs_in(tmp_path / "runs") == [run_of(first)]
    assert (Path(first.result["run_directory"]) / "result.json").read_bytes() == before


def test_a_default_that_is_spelled_out_changes_nothing(mljobs: MLJobs, csv: Path) -> None:
    """The key is made of what settings mean, not of how they were written."""
    mljobs("train", "random-forest", csv, *FAST)
    spelled = ("--param", "criterion=gini", "--test-size", "0.20", "--random-state", "42", "--target", "target")
    assert mljobs("train", "random-forest", csv, *FAST, *spelled).result["status"] == "skipped"


@pytest.mark.parametrize(
    "change",
    [
        ("--param", "max_depth=3"),
        ("--random-state", "43"),
        ("--test-size", "0.3"),
        ("--min", "accuracy=0.1"),
        ("--model-format", "joblib"),
        ("--model-name", "other"),
        ("--experiment", "other"),
    ],
)
def test_another_setting_is_another_run(mljobs: MLJobs, csv: Path, change: tuple[str, ...]) -> None:
    """Whatever may change the end is part of the key."""
    mljobs("train", "random-forest", csv, *FAST)
    assert mljobs("train", "random-forest", csv, *FAST, *change).result["status"] == "finished"


def test_other_code_is_another_run(mljobs: MLJobs, csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new version of the program, or of a package that the model is made by, trains again."""
    mljobs("train", "random-forest", csv, *FAST)
    monkeypatch.setattr("jobs.keys.code", lambda _pipeline: "another digest of the source")
    assert mljobs("train", "random-forest", csv, *FAST).result["status"] == "finished"
    monkeypatch.setattr("jobs.provenance.packages", lambda: "scikit-learn 99.0")
    assert mljobs("train", "random-forest", csv, *FAST).result["status"] == "finished"
    assert mljobs("train", "random-forest", csv, *FAST).result["status"] == "skipped"


def test_a_change_in_the_last_of_a_million_rows_is_seen(mljobs: MLJobs, tmp_path: Path) -> None:
    """All bytes count, not the first ten thousand rows."""
    path = tmp_path / "million.csv"
    random = np.random.default_rng(0)
    x = random.integers(0, 10, 1_000_000)
    pd.DataFrame({"x": x, "target": x % 2}).to_csv(path, index=False)
    few = ("--param", "n_estimators=1", "--param", "max_depth=2")
    assert mljobs("train", "random-forest", path, *few).result["status"] == "finished"
    assert mljobs("train", "random-forest", path, *few).result["status"] == "skipped"
    content = path.read_bytes()
    path.write_bytes(content[:-4] + bytes([content[-4] ^ 1]) + content[-3:])
    status = path.stat()
    assert len(content) == status.st_size
    assert mljobs("train", "random-forest", path, *few).result["status"] == "finished"


def test_data_that_come_back_are_trained_again(mljobs: MLJobs, csv: Path) -> None:
    """Only the last finished run stands for a start: the model of another one is in its place now."""
    content = csv.read_bytes()
    mljobs("train", "random-forest", csv, *FAST)
    csv.write_bytes(content + content.splitlines(keepends=True)[-1])
    assert mljobs("train", "random-forest", csv, *FAST).result["status"] == "finished"
    csv.write_bytes(content)
    assert mljobs("train", "random-forest", csv, *FAST).result["status"] == "finished"


def test_a_failure_in_between_does_not_count(mljobs: MLJobs, csv: Path) -> None:
    """A broken file for one night leaves the finished run standing."""
    content = csv.read_bytes()
    first = mljobs("train", "random-forest", csv, *FAST)
    csv.write_bytes(b"a,b\n1,2\n")
    assert mljobs("train", "random-forest", csv, *FAST).exit_code == 65
    csv.write_bytes(content)
    assert run_of(mljobs("train", "random-forest", csv, *FAST)) == run_of(first)


def test_a_rejected_run_is_no_better_by_standing(mljobs: MLJobs, csv: Path) -> None:
    """The scheduler hears again that there is no good model."""
    gate = ("--min", "accuracy=0.999")
    assert mljobs("train", "random-forest", csv, *FAST, *gate).exit_code == 3
    again = mljobs("train", "random-forest", csv, *FAST, *gate)
    assert (again.exit_code, again.result["exit_code"], again.result["status"]) == (3, 3, "skipped")
    assert "which was rejected: accuracy" in again.result["reason"]


def test_force_trains_anyway(mljobs: MLJobs, csv: Path) -> None:
    """A new run, with the same model."""
    first = mljobs("train", "random-forest", csv, *FAST)
    second = mljobs("train", "random-forest", csv, *FAST, "--force")
    assert (second.result["status"], second.result["metrics"]) == ("finished", first.result["metrics"])
    assert run_of(first) != run_of(second)


def test_a_run_that_is_too_old_does_not_stand(mljobs: MLJobs, csv: Path) -> None:
    """`--max-age` asks for a fresh model now and then."""
    mljobs("train", "random-forest", csv, *FAST)
    assert mljobs("train", "random-forest", csv, *FAST, "--max-age", "1h").result["status"] == "skipped"
    assert mljobs("train", "random-forest", csv, *FAST, "--max-age", "0s").result["status"] == "finished"


@pytest.mark.parametrize(("text", "seconds"), [("30d", 2_592_000), ("12h", 43_200), ("1.5min", 90), ("2 w", 1_209_600)])
def test_ages_have_units(text: str, seconds: float) -> None:
    """As people write them."""
    assert parse_age("--max-age", text) == seconds


@pytest.mark.parametrize("text", ["30", "d", "-1d", "1y", "", "1 d 2 h", "infd"])
def test_an_age_without_meaning_is_refused(mljobs: MLJobs, csv: Path, text: str) -> None:
    """Before anything is trained; and the sentence says what an age looks like."""
    with pytest.raises(ConfigError, match="a number with a unit"):
        parse_age("--max-age", text)
    ended = mljobs("train", "random-forest", csv, "--max-age", text)
    assert (ended.exit_code, "--max-age must be a number with a unit" in ended.result["reason"]) == (78, True)


def test_a_run_whose_model_was_removed_does_not_stand(mljobs: MLJobs, csv: Path) -> None:
    """There has to be something to stand for it."""
    first = mljobs("train", "random-forest", csv, *FAST)
    (Path(first.result["run_directory"]) / "model").rename(csv.parent / "taken")
    assert mljobs("train", "random-forest", csv, *FAST).result["status"] == "finished"


def test_a_skip_takes_no_heavy_import_and_less_than_a_second(mljobs_process: MLJobs, csv: Path, tmp_path: Path) -> None:
    """The best of three, since other work may be on the machine."""
    mljobs_process("train", "random-forest", csv, *FAST)
    program = (
        "import sys, atexit; from jobs import cli\n"
        "heavy = ('pandas', 'sklearn', 'scipy', 'keras', 'tensorflow', 'mlflow', 'matplotlib', 'skops')\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules], file=sys.stderr))\n"
        f"sys.argv = ['mljobs', 'train', 'random-forest', {str(csv)!r}, *{FAST!r}]; cli.main()"
    )
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "MLJOBS_RUNS_DIR": str(tmp_path / "runs")},
            capture_output=True,
            text=True,
            check=True,
        )
        seconds.append(time.monotonic() - start)
        assert json.loads(ended.stdout)["status"] == "skipped"
        assert ended.stderr.splitlines()[-1] == "[]"
    assert min(seconds) < 1


@contextmanager
def running(csv: Path, runs: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """Start a job that takes long, and wait until it is in its fit; it is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs", "train", "random-forest", str(csv), *options],
        env={**os.environ, "MLJOBS_RUNS_DIR": str(runs)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for_event(runs, "dataset")
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_event(runs: Path, kind: str) -> None:
    """Wait until a run has an event of this kind."""
    deadline = time.monotonic() + 60
    while not any(kind == event["event"] for path in runs.glob("*/journal.jsonl") for event in journal.read(path)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_of_two_at_once_one_trains(mljobs: MLJobs, csv: Path, tmp_path: Path) -> None:
    """The other says who does, and makes no run; a job of another name is none of its business."""
    runs = tmp_path / "runs"
    with running(csv, runs, *LONG):
        (first,) = runs_in(runs)
        ended = mljobs("train", "random-forest", csv, *FAST)
        assert (ended.exit_code, ended.result["status"], ended.result["run_directory"]) == (75, "failed", None)
        assert f"another run of job random-forest-numbers is at work ({first})" in ended.result["reason"]
        skipped = mljobs("train", "random-forest", csv, *FAST, "--if-locked", "skip")
        assert (skipped.exit_code, skipped.result["status"]) == (0, "skipped")
        assert first in skipped.result["reason"]
        assert runs_in(runs) == [first]
        assert mljobs("train", "random-forest", csv, *FAST, "--name", "other").result["status"] == "finished"
        assert "running" in next(line for line in mljobs("runs").stdout.splitlines() if line.startswith(first))


def test_the_lock_is_free_as_soon_as_its_holder_is_killed(mljobs: MLJobs, csv: Path, tmp_path: Path) -> None:
    """No file has to be removed by hand, and no time has to pass."""
    with running(csv, tmp_path / "runs", *LONG) as process:
        process.kill()
        process.communicate()
        assert mljobs("train", "random-forest", csv, *FAST).result["status"] == "finished"


def test_who_waits_finds_the_work_done(csv: Path, tmp_path: Path) -> None:
    """`--if-locked wait` goes on when the other has ended, and then there is nothing to do."""
    runs, options = tmp_path / "runs", ("--param", "n_estimators=1000")
    with running(csv, runs, *options) as first, running(csv, runs, *options, "--if-locked", "wait") as second:
        outcomes = [json.loads(process.communicate(timeout=120)[0]) for process in (first, second)]
    assert [each["status"] for each in outcomes] == ["finished", "skipped"]
    assert outcomes[0]["run_directory"] == outcomes[1]["run_directory"]


def test_who_waits_can_be_stopped(csv: Path, tmp_path: Path) -> None:
    """Nothing was begun, so nothing is left."""
    runs = tmp_path / "runs"
    with running(csv, runs, *LONG), running(csv, runs, *LONG, "--if-locked", "wait") as second:
        time.sleep(1)
        second.send_signal(signal.SIGTERM)
        stdout, _ = second.communicate(timeout=20)
        assert (second.returncode, json.loads(stdout)["run_directory"]) == (143, None)
        assert len(runs_in(runs)) == 1


def test_who_asks_for_a_lock_is_not_taken_for_its_holder(tmp_path: Path) -> None:
    """Many starts look at the same runs at once; a run that is gone is nobody's."""
    path = tmp_path / "journal.jsonl"
    path.touch()
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not locks.is_locked(path)
        fcntl.flock(other, fcntl.LOCK_EX)
        assert locks.is_locked(path)
    assert not locks.is_locked(tmp_path / "gone")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_several_users_share_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take the same lock; what one may not resume of the other is done anew, and other jobs have their locks."""
    monkeypatch.setattr("jobs.keys.digests", lambda _config: {})
    monkeypatch.setattr("jobs.keys.run_key", lambda _config, _digests: "key")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as held:
        runs = Path(folder)
        runs.chmod(0o777)
        config = JobConfig(data=Path("x.csv"), pipeline="random-forest", runs_dir=runs)
        assert take_turn(config, "shared", held, Console()).key == "key"
        directory = RunDirectory.create(runs, "shared").path
        said = asdict(Result("train", "shared", "random-forest", data={"path": "x.csv"}))
        journal.begin(directory / journal.NAME, run=directory.name, key="key", result=said).close()
        assert as_another_user(lambda: turn_of(config)) == "LockedError"
        held.close()
        assert turn_of(config) == str(directory / journal.NAME)
        assert as_another_user(lambda: turn_of(config)) == "anew"
        assert as_another_user(lambda: turn_of(config, "other")) == "anew"


def turn_of(config: JobConfig, name: str = "shared") -> str:
    """Return the journal that a start goes on with, or the error that it ends with."""
    try:
        with ExitStack() as held:
            interrupted = take_turn(config, name, held, Console()).interrupted
            if interrupted is None:
                return "anew"
            interrupted.close()
            return str(interrupted.path)
    except Exception as error:  # noqa: BLE001 - any is told to the test
        return type(error).__name__


def as_another_user(call: Callable[[], str]) -> str:
    """Return what a function returns in a process of a user without rights."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        os.write(writer, call().encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        return answer.read()


@pytest.mark.parametrize("name", ["a/b", "..", ".a", "..//x", "", "a b", "ä", "x" * 101])
def test_a_name_that_is_no_file_name_is_refused(mljobs: MLJobs, csv: Path, name: str) -> None:
    """It is a part of the run directory's name."""
    ended = mljobs("train", "random-forest", csv, "--name", name)
    assert (ended.exit_code, "--name must be of letters" in ended.result["reason"]) == (78, True)


def test_a_data_file_of_any_name_gives_a_job_name(mljobs: MLJobs, csv: Path) -> None:
    """Blanks and the like become underscores, and two files never one job."""
    names = []
    for name in ("Zahlen für 2026 (neu).final.csv", "日本.csv", "中国.csv"):
        csv = csv.rename(csv.with_name(name))
        names.append(mljobs("train", "random-forest", csv, *FAST).result["name"])
    assert names[0].startswith("random-forest-Zahlen_f_r_2026_neu_-")
    assert len(set(names)) == 3


@pytest.mark.server
def test_without_state_of_its_own_a_job_asks_the_server(
    mljobs_process: MLJobs, csv: Path, tmp_path: Path, server: Server
) -> None:
    """A container that keeps nothing does not train again what MLflow has; a change, or age, and it does."""
    job = ("train", "random-forest", csv, *FAST, "--experiment", tmp_path.name)

    def start(number: int, *options: str) -> Ended:
        runs = str(tmp_path / f"runs-{number}")
        return mljobs_process(*job, *options, MLJOBS_RUNS_DIR=runs, MLFLOW_TRACKING_URI=server.uri)

    first = start(1)
    assert (first.result["status"], first.result["tracking"]) == ("finished", "published")
    second = start(2)
    assert (second.exit_code, second.result["status"], second.result["run_id"]) == (
        0,
        "skipped",
        first.result["run_id"],
    )
    assert second.result["reason"] == f"nothing changed since {run_of(first)}"
    assert second.result["metrics"] == first.result["metrics"]
    assert second.result["run_directory"] is None
    assert start(3, "--force").result["status"] == "finished"
    assert start(4, "--max-age", "0s").result["status"] == "finished"
    assert start(5, "--random-state", "1").result["status"] == "finished"
    assert start(6).result["status"] == "finished", "another model has come since"


@pytest.mark.server
def test_many_jobs_at_once_do_not_get_into_each_others_way(
    mljobs_process: MLJobs, frame: pd.DataFrame, tmp_path: Path, server: Server
) -> None:
    """Eight processes on one folder and one server, on good data and broken, and each is what it would be alone."""
    files = [tmp_path / f"data{i}.csv" for i in range(8)]
    for i, path in enumerate(files):
        frame.head(100 + 20 * i).to_csv(path, index=False)
    files[3].write_text("a,b\n1,2\n")
    experiment = tmp_path.name

    def start(path: Path) -> Ended:
        return mljobs_process(
            "train", "random-forest", path, *FAST, "--experiment", experiment, MLFLOW_TRACKING_URI=server.uri
        )

    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(start, files))
    assert [end.exit_code for end in ends] == [0, 0, 0, 65, 0, 0, 0, 0], [end.stderr for end in ends]
    mljobs_process("sync", tmp_path / "runs", MLFLOW_TRACKING_URI=server.uri)
    client = server.client
    (found,) = client.search_experiments(filter_string=f"name = '{experiment}'")
    runs = {run.data.tags["mljobs.run"]: run for run in client.search_runs([found.experiment_id])}
    assert len(runs) == 8
    for i, (path, end) in enumerate(zip(files, ends, strict=True)):
        run = runs[run_of(end)]
        assert run.info.status == ("FAILED" if i == 3 else "FINISHED")
        assert end.result["data"]["path"] == str(path)
        if i != 3:
            assert end.result["data"]["rows"] == 100 + 20 * i
            assert run.data.metrics["accuracy"] == end.result["metrics"]["accuracy"]


def test_the_mock_data_are_skipped_too(mljobs: MLJobs) -> None:
    """What the README shows."""
    mljobs("train", "random-forest", ROOT / "data" / "mock_data.csv", *FAST)
    assert mljobs("train", "random-forest", ROOT / "data" / "mock_data.csv", *FAST).result["status"] == "skipped"
