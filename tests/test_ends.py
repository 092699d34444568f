"""However and whenever a job is stopped: exit code, `result.json` and journal tell the same."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from harness import Ended, MLJobs

from jobs import artifacts, history, journal, run, signals
from jobs.console import Console
from jobs.errors import StopError
from jobs.journal import Journal
from jobs.result import Result

FAST = ("--param", "n_estimators=5")
DISK = 512 * 1024
SIGNALS = pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])


def signal_once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int, when: object) -> None:
    """Let a method send a signal to this process before it does its work, the first time its argument is `when`."""
    real, sent = getattr(owner, name), []

    def signalled(self: object, argument: object, *arguments: Any, **named: Any) -> Any:
        if argument == when and not sent:
            sent.append(number)
            os.kill(os.getpid(), number)
            time.sleep(0.05)
        return real(self, argument, *arguments, **named)

    monkeypatch.setattr(owner, name, signalled)


def check_agreement(ended: Ended) -> dict[str, Any]:
    """Assert that all that is left of a job tells the same end; return the journal's last event."""
    directory = Path(ended.result["run_directory"])
    assert json.loads((directory / "result.json").read_bytes()) == ended.result
    assert not (directory / ".unfinished").exists()
    (event,) = [event for event in journal.read(directory / "journal.jsonl") if event["event"] == "end"]
    end: dict[str, Any] = event["result"]
    same = ("status", "exit_code", "reason")
    assert {key: end[key] for key in same} == {key: ended.result[key] for key in same}
    assert ended.exit_code == end["exit_code"]
    return end


@SIGNALS
@pytest.mark.parametrize(
    ("owner", "name", "when"), [(artifacts.RunDirectory, "write_text", "result.json"), (run.Run, "record", "end")]
)
def test_a_signal_at_the_end_comes_too_late(
    mljobs: MLJobs,
    csv: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: int,
    owner: Any,
    name: str,
    when: str,
) -> None:
    """The job has its end already, and keeps it."""
    signal_once(monkeypatch, owner, name, number, when)
    ended = mljobs("train", "random-forest", csv, *FAST)
    assert check_agreement(ended)["exit_code"] == 0 != code


@SIGNALS
def test_a_signal_while_it_is_noted_changes_nothing(
    mljobs: MLJobs, csv: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    """A second one, after the first has ended the work, is taken and forgotten."""
    signal_once(monkeypatch, run.Run, "write_text", number, "report.html")
    signal_once(monkeypatch, artifacts.RunDirectory, "write_text", number, "result.json")
    ended = mljobs("train", "random-forest", csv, *FAST)
    end = check_agreement(ended)
    assert (end["status"], end["exit_code"]) == ("killed", code)


@SIGNALS
def test_a_signal_before_the_work_ends_it_before_it_begins(
    mljobs: MLJobs, csv: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    """The folder that is there already gets its result."""
    real = artifacts.RunDirectory.create

    def create(*arguments: Any) -> artifacts.RunDirectory:
        directory = real(*arguments)
        os.kill(os.getpid(), number)
        time.sleep(0.05)
        return directory

    monkeypatch.setattr(artifacts.RunDirectory, "create", create)
    ended = mljobs("train", "random-forest", csv)
    directory = Path(ended.result["run_directory"])
    assert (ended.exit_code, ended.result["status"]) == (code, "killed")
    assert json.loads((directory / "result.json").read_bytes()) == ended.result
    assert {each.name for each in directory.iterdir()} == {"result.json"}


def test_ctrl_c_while_python_starts_is_no_bug(tmp_path: Path) -> None:
    """Nothing has begun; the shell sees 130 as for any program."""
    program = (
        "import os, signal; from jobs import cli; cli.cli = lambda **_: os.kill(os.getpid(), signal.SIGINT); cli.main()"
    )
    process = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False, timeout=60)
    assert process.returncode == -signal.SIGINT


def python(program: str, *before: str) -> int:
    """Run a program and return how it ended."""
    return subprocess.run([*before, sys.executable, "-c", program], check=False, timeout=60).returncode


def test_a_signal_that_python_drops_comes_again() -> None:
    """An exception in a destructor is only printed; the job is stopped all the same, a second later."""
    program = """if True:
        import os, signal, sys, time
        from jobs import errors, signals

        class Dropping:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.01)

        with signals.watched() as stop:
            try:
                with stop.interrupts():
                    Dropping()
                    time.sleep(30)
            except errors.TerminatedError as error:
                sys.exit(error.exit_code)
    """
    assert python(program) == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_after_the_end_does_not_change_the_exit_code(number: int) -> None:
    """While Python shuts down, which takes a moment with large libraries, the job has its end."""
    program = f"""if True:
        import os, sys
        from jobs import cli, signals

        def job(**_):
            with signals.watched():
                pass
            os.kill(os.getpid(), {int(number)})
            sys.exit(3)

        cli.cli = job
        cli.main()
    """
    assert python(program) == 3


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_first_process_of_a_container_listens_while_python_starts(number: int, code: int) -> None:
    """The kernel spares it from signals that it does not handle: `docker stop` would wait for nothing."""
    if subprocess.run(["unshare", "--pid", "--fork", "true"], check=False, capture_output=True).returncode:
        pytest.skip("only root can start a first process")
    program = (
        f"import os, time; from jobs import cli; "
        f"cli.cli = lambda **_: (os.kill(os.getpid(), {int(number)}), time.sleep(5)); cli.main()"
    )
    assert python(program, "unshare", "--pid", "--fork") == code


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of `DISK` bytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", folder], check=False)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_the_reason_and_the_end_is_on_it(mljobs: MLJobs, csv: Path, small_disk: Path) -> None:
    """The model does not fit; what was not finished is removed, so that the end does."""
    ended = mljobs("train", "random-forest", csv, "--param", "n_estimators=1000", "--runs-dir", small_disk)
    assert (ended.exit_code, ended.result["status"]) == (73, "failed")
    assert "/model can't be written: No space left on device" in ended.result["reason"]
    check_agreement(ended)


@SIGNALS
def test_a_signal_waits_for_the_end_of_what_must_be_whole(number: signal.Signals, code: int) -> None:
    """An event goes to the journal and to MLflow, or to neither."""
    done = []

    @signals.whole
    def work() -> None:
        os.kill(os.getpid(), number)
        time.sleep(0.1)
        done.append("work")

    def job() -> None:
        with signals.watched() as stop, stop.interrupts():
            work()
            time.sleep(5)

    with pytest.raises(StopError) as stopped:
        job()
    assert (done, stopped.value.exit_code) == (["work"], code)


def check_full(ended: Ended) -> None:
    """Assert that a full disk is the end of a job, on stdout at least."""
    assert (ended.exit_code, ended.result["exit_code"], ended.result["status"]) == (73, 73, "failed")
    assert "No space left on device" in ended.result["reason"]


def test_a_disk_too_full_for_a_run_directory_has_none_afterwards(mljobs: MLJobs, csv: Path, small_disk: Path) -> None:
    """Each start would leave a part of one else, and the disk would be fuller still."""
    (small_disk / "others").write_bytes(bytes(DISK - 32 * 1024))
    check_full(mljobs("train", "random-forest", csv, *FAST, "--runs-dir", small_disk))
    assert {each.name for each in small_disk.iterdir()} == {".locks", "others"}


def test_a_disk_too_full_for_the_first_event_gets_the_result(mljobs: MLJobs, csv: Path, small_disk: Path) -> None:
    """The journal stays empty rather than begin in the middle; the reserve takes the result."""
    (small_disk / "others").write_bytes(bytes(DISK - 64 * 1024))
    ended = mljobs("train", "random-forest", csv, *FAST, "--runs-dir", small_disk)
    check_full(ended)
    run = history.open_run(Path(ended.result["run_directory"]))
    assert run
    assert asdict(run.result) == ended.result


def test_a_disk_that_fills_up_after_the_end_does_not_change_it(
    mljobs: MLJobs, csv: Path, monkeypatch: pytest.MonkeyPatch, small_disk: Path, tmp_path: Path
) -> None:
    """What can't be noted then is said, and done again by `mljobs sync`."""
    real = run.Run._take

    def fill(self: run.Run, published: Any) -> None:
        with suppress(OSError), (small_disk / "others").open("wb", buffering=0) as file:
            while file.write(bytes(512)):
                pass
        real(self, published)

    monkeypatch.setattr(run.Run, "_take", fill)
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    ended = mljobs("train", "random-forest", csv, *FAST, "--runs-dir", small_disk, **store)
    assert "No space left on device" in ended.stderr
    directory = Path(ended.result["run_directory"])
    (end,) = [event["result"] for event in journal.read(directory / journal.NAME) if event["event"] == "end"]
    on_disk = json.loads((directory / "result.json").read_bytes())
    assert {("finished", 0)} == {(each["status"], each["exit_code"]) for each in (ended.result, on_disk, end)}
    assert ended.exit_code == 0


def test_what_is_amiss_with_other_runs_does_not_change_an_end(
    mljobs: MLJobs, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has its end by then; the exit code is that."""

    def settle(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(history, "settle", settle)
    ended = mljobs("train", "random-forest", csv, "--param", "n_estimators=2")
    assert (ended.exit_code, ended.result["status"]) == (0, "finished")
    assert "earlier runs are left as they are: PermissionError" in ended.stderr


def test_a_lost_run_is_queued_if_its_last_attempt_was_to_be_published(tmp_path: Path) -> None:
    """MLflow has it as one that goes on, whatever its first attempt wanted."""
    directory = tmp_path / "20260101T000000.000Z-n-000000"
    directory.mkdir()
    result = Result("train", "n", "p", tracking="off", data={"path": "n.csv"})
    with closing(journal.begin(directory / journal.NAME, run="r", key="k", result=asdict(result))) as record:
        record.append("resume", attempt=2, tracking="queued", file=record.inode)
    history.settle(tmp_path, Console())
    found = history.open_run(directory)
    assert found
    assert found.end
    assert (found.result.tracking, found.result.attempts) == ("queued", 2)


def test_an_end_is_found_behind_what_came_after_it(mljobs: MLJobs, csv: Path) -> None:
    """What became of the model is told after the end of its run, and may be long."""
    run = Path(mljobs("train", "random-forest", csv, *FAST).result["run_directory"])
    with closing(Journal(run / "journal.jsonl")) as record:
        record.append("promotion", promotion={"status": "promoted", "reason": "x" * 100_000})
        record.append("published", run_id="1", tracking_uri="http://127.0.0.1:9")
    found = history.open_run(run)
    assert found
    assert (found.result.status, found.result.promotion["status"], found.result.run_id) == ("finished", "promoted", "1")
