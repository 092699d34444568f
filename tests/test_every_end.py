"""Whatever ends a job, and whenever: what is left of it tells one end, the true one, at the latest after the next start.

The jobs are processes of their own, ended by real signals at chosen steps of their way; see `job_that_dies.py`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
from harness import ROOT, Ended, Server

from jobs import history, journal
from jobs.console import Console
from jobs.journal import Journal
from jobs.result import Result

PROGRAM = ROOT / "tests" / "job_that_dies.py"
CSV = "numbers.csv"
TRAIN = ("train", "random-forest", f"../{CSV}", "--param", "n_estimators=4")
DRIVERS = 2
"""Programs that start jobs, side by side."""


@dataclass
class Driver:
    """A process of `job_that_dies.py`: a job of it starts in no time."""

    process: "subprocess.Popen[str]"

    def ask(self, **request: Any) -> None:
        """Start a job."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, int]:
        """Return the next answer: the job's `pid`, then its `exit_code`."""
        assert self.process.stdout
        answer: dict[str, int] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def driver() -> Iterator[Driver]:
    """Start a driver; it is ready at its first answer."""
    with subprocess.Popen(
        [sys.executable, PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        yield Driver(process)


@pytest.fixture(scope="session")
def drivers() -> Iterator[list[Driver]]:
    """Start all drivers at once: what they import takes seconds."""
    with ExitStack() as stack:
        started = [stack.enter_context(driver()) for _ in range(DRIVERS)]
        for each in started:
            each.answer()
        yield started


class Place:
    """A folder with runs in it, and jobs that go there."""

    def __init__(self, driver: Driver, folder: Path, *, uri: str | None = None, runs_dir: Path | None = None) -> None:
        """Make the folder; runs go below it unless another place is given."""
        self.driver = driver
        self.folder = folder
        self.uri = uri
        self.runs_dir = runs_dir or folder / "runs"
        folder.mkdir()

    @property
    def runs(self) -> list[Path]:
        """Return the run directories, the oldest first."""
        return sorted(each for each in self.runs_dir.iterdir() if each.name[0] != ".") if self.runs_dir.exists() else []

    @property
    def steps(self) -> list[str]:
        """Return the steps to which the last job came."""
        return (self.folder / "steps").read_text().splitlines()

    def start(self, *arguments: str, end: str = "", at: int | str | None = None) -> int:
        """Start a job and return its process's number."""
        env = {"MLJOBS_RUNS_DIR": str(self.runs_dir), **({"MLFLOW_TRACKING_URI": self.uri} if self.uri else {})}
        self.driver.ask(arguments=arguments, folder=str(self.folder), env=env, end=end, at=at)
        return self.driver.answer()["pid"]

    def end(self) -> Ended:
        """Wait for the end of the job that was started."""
        code = self.driver.answer()["exit_code"]
        return Ended(code, *((self.folder / name).read_text() for name in ("stdout", "stderr")))

    def __call__(self, *arguments: str, end: str = "", at: int | str | None = None) -> Ended:
        """Start a job and wait for its end."""
        self.start(*arguments, end=end, at=at)
        return self.end()


def settle(runs_dir: Path, *, copies: bool = False) -> None:
    """Do what `sync` and the end of each start do."""
    with Path(os.devnull).open("w") as nowhere:
        history.settle(runs_dir, Console(nowhere), copies=copies)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame) -> Path:
    """Return a folder with 100 rows to train on; runs have folders of their own below it."""
    folder = tmp_path_factory.mktemp("ends")
    frame.head(100).to_csv(folder / CSV, index=False)
    return folder


@dataclass
class Undisturbed:
    """What a job leaves that nobody ends: the steps on its way, its run directory, and what its model says."""

    steps: list[str]
    directory: Path
    probabilities: list[Any]


@pytest.fixture(scope="module")
def undisturbed(drivers: list[Driver], data: Path) -> Undisturbed:
    """Let a job come to its own end."""
    place = Place(drivers[0], data / "undisturbed")
    assert place(*TRAIN).exit_code == 0
    (directory,) = place.runs
    return Undisturbed(place.steps, directory, probabilities(directory, data))


def probabilities(directory: Path, data: Path) -> list[Any]:
    """Return what a run's model says of all rows."""
    import skops.io

    from jobs.pipelines.random_forest.saving import TRUSTED_TYPES

    model = skops.io.load(directory / "model" / "model.skops", trusted=list(TRUSTED_TYPES))
    answers: list[Any] = model.predict_proba(pd.read_csv(data / CSV).drop(columns="target")).tolist()
    return answers


def events(directory: Path) -> list[journal.Event]:
    """Return a run's journal, empty if it has none."""
    path = directory / journal.NAME
    return list(journal.read(path)) if path.exists() else []


def check_one_end(directory: Path) -> dict[str, Any] | None:
    """Assert that all in a run directory tells one end; return it, None if no run began there."""
    run = history.open_run(directory)
    if run is None:
        return None
    assert run.end, f"{directory.name} has no end"
    result: dict[str, Any] = json.loads((directory / "result.json").read_bytes())
    publishing_took = {"seconds": {}} if run.published else {}
    assert {**asdict(run.result), **publishing_took} == {**result, **publishing_took}
    left = {each.name for each in directory.iterdir()}
    assert not left & {".unfinished", ".reserve", "heartbeat"}
    if result["status"] in {"finished", "rejected"}:
        assert "checkpoint" not in left
    return result


def check_same(directory: Path, expected: Undisturbed, data: Path) -> None:
    """Assert that a run came to what it would have come to undisturbed."""
    for name in ("metrics.json", "model/requirements.txt"):
        assert (expected.directory / name).read_bytes() == (directory / name).read_bytes()
    assert expected.probabilities == probabilities(directory, data)
    recorded = [event for event in events(directory) if event["event"] == "metrics"]
    points = Counter((name, event["step"]) for event in recorded for name in event["metrics"])
    assert [point for point, times in points.items() if times > 1] == []
    assert {each.name for each in expected.directory.iterdir()} == {each.name for each in directory.iterdir()}


# SIGKILL at every step


def test_a_job_changes_the_disk_in_steps_that_are_seen(undisturbed: Undisturbed) -> None:
    """The following tests kill jobs where they should: at each kind of step, and many of them."""
    kinds = Counter(step.partition(" ")[0] for step in undisturbed.steps)
    assert set(kinds) == {"append", "fsync", "mkdir", "open", "remove", "rename", "rmdir"}
    assert len(undisturbed.steps) > 90


def check_death(place: Place, at: int, expected: Undisturbed, data: Path) -> None:
    """Kill a job at one step, then assert that whatever comes next brings its run to a true end."""
    died = place(*TRAIN, end="SIGKILL", at=at)
    assert (-signal.SIGKILL, at + 1) == (died.exit_code, len(place.steps))
    before = place.runs
    began = [each for each in before if events(each)]
    had_ended = any(event["event"] == "end" for each in began for event in events(each))
    check_copy(place)
    again = place(*TRAIN)
    assert again.exit_code == 0, again.stderr
    assert again.result["status"] == ("skipped" if had_ended else "finished")
    directory = Path(again.result["run_directory"])
    assert (began or [directory]) == [directory]
    assert check_one_end(directory)
    check_same(directory, expected, data)
    for husk in set(before) - {directory}:
        assert events(husk) == []
        os.utime(husk, (0, 0))
    settle(place.runs_dir)
    assert [directory] == place.runs


def check_copy(place: Place) -> None:
    """Assert that a copied run without an end is left alone, and closed where its process is surely dead."""
    copied = place.folder / "copied"
    if not place.runs:
        return
    shutil.copytree(place.runs_dir, copied)
    lost = {run.path: run for run in history.runs(copied, Console()) if run.end is None}
    settle(copied)
    for path, run in lost.items():
        assert history.open_run(path) == run
        last = max(event["time"] for event in events(path))
    settle(copied, copies=True)
    for path in lost:
        result = check_one_end(path)
        assert result
        assert (result["status"], result["exit_code"]) == ("failed", None)
        assert result["reason"].startswith("lost: ")
        assert events(path)[-1]["time"] == last


@pytest.mark.parametrize("share", range(4))
def test_a_job_that_is_killed_at_any_step_is_finished_by_the_next_start(
    drivers: list[Driver], data: Path, undisturbed: Undisturbed, tmp_path: Path, share: int
) -> None:
    """Same run directory, same model, nothing twice, nothing left over; a copy is not mistaken for the run."""
    (tmp_path / CSV).symlink_to(data / CSV)
    points = range(share, len(undisturbed.steps), 4)

    def kill(driver: Driver, points: range) -> None:
        for at in points:
            check_death(Place(driver, tmp_path / str(at)), at, undisturbed, data)

    with ThreadPoolExecutor() as pool:
        list(pool.map(kill, drivers, [points[each::DRIVERS] for each in range(DRIVERS)]))


def test_a_job_that_is_killed_again_and_again_comes_to_the_same_end(
    drivers: list[Driver], data: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Each start dies a few steps after the one before it; the run is one, and counts its starts."""
    (tmp_path / CSV).symlink_to(data / CSV)
    place = Place(drivers[0], tmp_path / "again")
    deaths = 0
    for at in range(20, len(undisturbed.steps), 5):
        if place(*TRAIN, end="SIGKILL", at=at).exit_code == 0:
            break
        deaths += 1
    ended = place(*TRAIN)
    (directory,) = place.runs
    assert check_one_end(directory)
    check_same(directory, undisturbed, data)
    assert deaths > 10
    attempts = 1 + sum(event["event"] == "resume" for event in events(directory))
    assert (0, attempts) == (ended.exit_code, json.loads((directory / "result.json").read_bytes())["attempts"])


@pytest.mark.parametrize("first", ["SIGKILL", "SIGTERM"])
def test_a_resumed_run_that_is_stopped_before_it_begins_can_still_go_on(
    drivers: list[Driver], data: Path, undisturbed: Undisturbed, tmp_path: Path, first: str
) -> None:
    """Its end is that of the signal, and it counts what it took."""
    (tmp_path / CSV).symlink_to(data / CSV)
    place = Place(drivers[0], tmp_path / "resumed")
    place(*TRAIN, end=first, at="rename checkpoint/.unfinished/trees-from-2")
    stopped = place(*TRAIN, end="SIGTERM", at="open .reserve")
    (directory,) = place.runs
    assert stopped.exit_code == 143
    assert check_one_end(directory) == stopped.result
    assert stopped.result["status"] == "killed"
    without_server = place(*TRAIN, "--tracking", "required")
    assert check_one_end(directory) == without_server.result
    assert (without_server.exit_code, without_server.result["status"]) == (78, "failed")
    again = place(*TRAIN)
    assert (again.result["status"], check_one_end(directory)) == ("finished", again.result)
    assert again.result["attempts"] == 1 + sum(event["event"] == "resume" for event in events(directory))
    check_same(directory, undisturbed, data)


# SIGKILL at every step of a challenger

WEAK = ("train", "random-forest", f"../{CSV}", "--promote", "--split", "stable", "--param", "max_depth=1")
CHALLENGE = (*TRAIN, "--promote", "--split", "stable")


@dataclass
class Champion:
    """An embedded store with a weak champion in it, and what a better challenger comes to that nobody ends.

    Parameters
    ----------
    folder : with the data file, and the store as it is before there is a challenger.
    steps : on the challenger's way.
    promotion : what it says of it.
    """

    folder: Path
    steps: list[str]
    promotion: dict[str, Any]

    def challenged_in(self, driver: Driver, name: str) -> Place:
        """Return a new place with a store of its own."""
        shutil.copy(self.folder / "mlflow.db", self.folder / f"{name}.db")
        return Place(driver, self.folder / name, uri=f"sqlite:///{self.folder / name}.db")


@pytest.fixture(scope="module")
def champion(drivers: list[Driver], frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Champion:
    """Train a weak champion, and once what takes its place."""
    folder = tmp_path_factory.mktemp("challenged")
    frame.assign(target=frame.target > 0).to_csv(folder / CSV, index=False)
    weak = Place(drivers[0], folder / "weak", uri=f"sqlite:///{folder / 'mlflow.db'}")
    trained = weak(*WEAK, "--param", "n_estimators=1")
    assert trained.exit_code == 0, trained.stderr
    assert trained.result["promotion"]["status"] == "promoted"
    found = Champion(folder, [], {})
    strong = found.challenged_in(drivers[0], "undisturbed")
    promotion = strong(*CHALLENGE).result["promotion"]
    assert (promotion["status"], promotion["version"], promotion["champion"]) == ("promoted", "2", "1")
    return Champion(folder, strong.steps, promotion)


def check_challenger_dies(place: Place, at: int, expected: dict[str, Any], after: tuple[str, ...]) -> None:
    """Kill a challenger at one step, then assert that it takes the champion's place, once, with the next start at latest.

    Parameters
    ----------
    expected : what became of it where nobody killed it.
    after : what is started before the same start again.
    """
    died = place(*CHALLENGE, end="SIGKILL", at=at)
    assert (-signal.SIGKILL, at + 1) == (died.exit_code, len(place.steps))
    if after:
        assert place(*after).exit_code == 0
    again = place(*CHALLENGE)
    assert again.exit_code == 0, again.stderr
    directory = Path(again.result["run_directory"])
    assert [each for each in place.runs if events(each)] == [directory]
    result = check_one_end(directory)
    assert result
    assert (result["status"], result["tracking"], result["promotion"]) == ("finished", "published", expected)
    assert again.result["promotion"] == expected
    decided = [event["promotion"]["status"] for event in events(directory) if event["event"] == "promotion"]
    assert decided.count("promoted") == 1
    check_promoted(Server(str(place.uri)), directory, result)


def check_promoted(server: Server, directory: Path, result: dict[str, Any]) -> None:
    """Assert that MLflow has a run and its version once, as champion in the place of version 1."""
    (run,) = in_mlflow(server, directory)
    assert (run.info.run_id, run.info.status) == (result["run_id"], "FINISHED")
    told = {name: run.data.tags[f"mljobs.{name}"] for name in ("promotion", "promotion_reason", "champion")}
    assert told == {"promotion": "promoted", "promotion_reason": result["promotion"]["reason"], "champion": "1"}
    assert run.data.metrics["champion/gain"] == result["promotion"]["comparison"]["gain"]
    versions = {str(each.version): each.run_id for each in server.client.search_model_versions()}
    assert (sorted(versions), versions["2"]) == (["1", "2"], run.info.run_id)
    aliases = server.client.get_registered_model("random-forest").aliases
    assert {alias: str(version) for alias, version in aliases.items()} == {"champion": "2", "previous": "1"}


def steps_of_a_challenger(steps: list[str]) -> list[int]:
    """Return the numbers of the steps that tell or do something, and of some others."""
    told = {number for number, step in enumerate(steps) if step.startswith(("append", "call"))}
    return sorted(told | set(Random(1).sample(range(len(steps)), 15)))  # noqa: S311 - no secret


def test_a_challenger_that_is_killed_at_any_step_is_promoted_once(drivers: list[Driver], champion: Champion) -> None:
    """By the same start again, every other time after a sync, in the place of the one that it was held against."""
    assert [step.partition(" ")[0] for step in champion.steps].count("call") == 5
    points = steps_of_a_challenger(champion.steps)
    assert len(points) > 35

    def kill(driver: Driver, points: list[int]) -> None:
        for number, at in enumerate(points):
            after = ("sync", "runs") if number % 2 else ()
            check_challenger_dies(champion.challenged_in(driver, str(at)), at, champion.promotion, after)

    with ThreadPoolExecutor() as pool:
        list(pool.map(kill, drivers, [points[each::DRIVERS] for each in range(DRIVERS)]))


def test_a_champion_that_is_displaced_before_it_could_say_that_it_is_one(
    drivers: list[Driver], champion: Champion
) -> None:
    """It was killed when its aliases had moved; the next start is of another job, and promoted in its place."""
    place = champion.challenged_in(drivers[0], "displaced")
    moved = len(champion.steps) - champion.steps[::-1].index("append promotion") - 1
    assert place(*CHALLENGE, end="SIGKILL", at=moved).exit_code == -signal.SIGKILL
    third = place(*CHALLENGE, "--name", "third", "--param", "max_features=1", "--promote-if", "always")
    assert (third.result["promotion"]["status"], third.result["promotion"]["champion"]) == ("promoted", "2")
    assert place("sync", "runs").exit_code == 0
    result = check_one_end(place.runs[0])
    assert result
    assert (result["promotion"]["status"], result["promotion"]["version"]) == ("promoted", "2")


def third_is_champion(place: Place) -> None:
    """Let another job's challenger be promoted, whatever it is held against."""
    third = place(*CHALLENGE, "--name", "third", "--param", "max_features=1", "--promote-if", "always")
    assert third.result["promotion"]["status"] == "promoted", third.stderr


def test_a_challenger_that_is_rejected_when_it_is_resumed_has_no_version(
    drivers: list[Driver], champion: Champion
) -> None:
    """It was accepted when it was killed; in the meantime somebody better became champion."""
    place = champion.challenged_in(drivers[0], "rejected later")
    required = (*CHALLENGE, "--require-improvement")
    place(*required, end="SIGKILL", at=champion.steps.index("append model") + 2)
    assert place("sync", "runs").exit_code == 0
    third_is_champion(place)
    again = place(*required)
    assert (again.exit_code, again.result["attempts"], again.result["status"]) == (3, 2, "rejected"), again.stderr
    client = Server(str(place.uri)).client
    assert client.search_model_versions(f"run_id = '{again.result['run_id']}'") == []


def test_a_challenger_that_is_decided_about_anew_shows_the_numbers_of_that(
    drivers: list[Driver], champion: Champion
) -> None:
    """It was stopped after its decision, resumed in an outage, and decided about late, against another champion."""
    place = champion.challenged_in(drivers[0], "decided anew")
    place(*CHALLENGE, end="SIGTERM", at="rename .unfinished/report.html")
    third_is_champion(place)
    store, place.uri = place.uri, "http://127.0.0.1:9"
    assert place(*CHALLENGE).result["promotion"]["verdict"] == "undecided"
    place.uri = store
    assert place("sync", "runs").exit_code == 0
    result = check_one_end(place.runs[0])
    assert result
    assert (result["attempts"], result["promotion"]["champion"]) == (2, "2")
    (run,) = in_mlflow(Server(str(place.uri)), place.runs[0])
    assert run.data.metrics["champion/gain"] == result["promotion"]["comparison"]["gain"]


def test_the_start_that_carries_a_decision_out_says_so(drivers: list[Driver], champion: Champion) -> None:
    """It is skipped, and stands for the run, whose `result.json` says what it says."""
    place = champion.challenged_in(drivers[0], "carried out")
    place(*CHALLENGE, end="SIGKILL", at="call set_registered_model_alias")
    again = place(*CHALLENGE)
    result = check_one_end(place.runs[0])
    assert result
    assert ("skipped", "promoted") == (again.result["status"], result["promotion"]["status"])
    assert result["promotion"] == again.result["promotion"]


@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL"])
def test_a_challenger_that_is_stopped_waits_for_no_decision(
    drivers: list[Driver], champion: Champion, end: str
) -> None:
    """It had decided, and has no model now: MLflow does not show it as one that is still to be promoted."""
    place = champion.challenged_in(drivers[0], f"stopped by {end}")
    place(*CHALLENGE, end=end, at="rename .unfinished/report.html")
    assert place("sync", "runs").exit_code == 0
    result = check_one_end(place.runs[0])
    assert result
    assert result["promotion"] is None
    (run,) = in_mlflow(Server(str(place.uri)), place.runs[0])
    assert run.data.tags.get("mljobs.promotion") not in {"queued", "promoted"}


# A live run


def wait_until_halted(pid: int) -> bool:
    """Wait until a process has stopped (True) or ended (False)."""
    for _ in range(6000):
        state = _state_of(pid)
        if state in {"T", "X", "Z"}:
            return state == "T"
        time.sleep(0.005)
    raise AssertionError(f"process {pid} neither stops nor ends")


def _state_of(pid: int) -> str:
    """Return a process's state in one letter, X if there is none (any more)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def content(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {str(each): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_a_live_run_is_never_declared_dead(drivers: list[Driver], data: Path, tmp_path: Path) -> None:
    """At each step of its way, from before its first event until after its last, it is left alone."""
    (tmp_path / CSV).symlink_to(data / CSV)
    place = Place(drivers[0], tmp_path / "live")
    pid = place.start(*TRAIN, end="SIGSTOP", at="")
    halts = 0
    while wait_until_halted(pid):
        before = content(place.runs_dir)
        settle(place.runs_dir, copies=True)
        assert content(place.runs_dir) == before
        halts += 1
        os.kill(pid, signal.SIGCONT)
    ended = place.end()
    assert (0, "finished") == (ended.exit_code, ended.result["status"])
    assert halts == len(place.steps) > 90


@pytest.mark.parametrize("at", ["open .reserve", "append start", "rename checkpoint"])
def test_another_start_leaves_a_live_run_alone(drivers: list[Driver], data: Path, tmp_path: Path, at: str) -> None:
    """One of the same job says that it is taken, one of another job trains; the first one's end is its own."""
    (tmp_path / CSV).symlink_to(data / CSV)
    place = Place(drivers[0], tmp_path / "live")
    pid = place.start(*TRAIN, end="SIGSTOP", at=at)
    assert wait_until_halted(pid)
    before = content(place.runs[0])
    other = Place(drivers[1], tmp_path / "other", runs_dir=place.runs_dir)
    same_job, another_job = other(*TRAIN), other(*TRAIN, "--name", "another")
    assert (75, 0) == (same_job.exit_code, another_job.exit_code)
    assert content(place.runs[0]) == before
    while wait_until_halted(pid):
        os.kill(pid, signal.SIGCONT)
    assert place.end().exit_code == 0
    assert {check_one_end(each)["status"] for each in place.runs} == {"finished"}  # type: ignore[index]


# A journal that is torn


def small_journal(directory: Path) -> bytes:
    """Write the journal of a run that was stopped, resumed, finished and published; return its bytes."""
    result = Result("train", "n", "p", data={"path": "n.csv"})
    directory.mkdir(parents=True)
    with closing(Journal(directory / journal.NAME)) as record:
        begun = {"file": record.inode}
        record.append("start", run=directory.name, experiment="e", key="k", result=asdict(result), **begun)
        record.append("metrics", step=1, metrics={"a": 0.5})
        record.append("end", result={**asdict(result), "status": "killed", "exit_code": 143, "reason": "é"})
        record.append("resume", attempt=2, **begun)
        record.append("end", result={**asdict(result), "status": "finished", "exit_code": 0})
        record.append("published", run_id="1", tracking_uri="http://server")
    return (directory / journal.NAME).read_bytes()


@pytest.mark.parametrize("has_result", [False, True])
def test_a_journal_that_is_torn_at_any_byte_never_tells_a_wrong_end(tmp_path: Path, *, has_result: bool) -> None:
    """What was whole counts, and what has no end gets the one of a lost run."""
    directory = tmp_path / "20260101T000000.000Z-n-000000"
    whole = small_journal(directory)
    for length in range(len(whole) + 1):
        (directory / journal.NAME).write_bytes(whole[:length])
        (directory / "result.json").unlink(missing_ok=True)
        if has_result:
            history.write_result(directory)
        lines = whole[:length].count(b"\n")
        expected = [None, None, None, "killed", None, "finished", "finished"][lines]
        run = history.open_run(directory)
        assert (run is None) == (lines == 0)
        assert (run.end["result"]["status"] if run and run.end else None) == expected
        settle(tmp_path)
        if lines:
            result = check_one_end(directory)
            assert result
            assert result["status"] == expected or (expected is None and result["exit_code"] is None)
            assert result["run_id"] == ("1" if lines == 6 else None)
            assert events(directory)[:lines] == [json.loads(line) for line in whole[:length].split(b"\n")[:lines]]


# Every other way to end, and what MLflow says of it


@dataclass(frozen=True)
class Case:
    """One end at one moment, and what is left of it after a sync.

    Parameters
    ----------
    end, at : see `job_that_dies.Request`.
    exit_code : of the process.
    status, code : in `result.json`.
    mlflow : status there, None if the run does not come to that.
    resumes : whether the next start goes on with the run.
    """

    end: str
    at: str
    exit_code: int
    status: str
    code: int | None
    mlflow: str | None
    resumes: bool = False


BEFORE, BEGINNING = "open .reserve", "append start"
FIT, ARTIFACTS = "rename checkpoint/.unfinished/trees-from-2", "rename .unfinished/report.html"
LAST, PUBLISHING, PUBLISHED = "append end", "rmdir checkpoint", "append published"
SIGNALS = (("SIGTERM", 143), ("SIGTERM SIGTERM", 143), ("SIGINT", 130))

CASES = [
    *(Case("SIGKILL", at, -9, "", None, None) for at in (BEFORE, BEGINNING)),
    *(Case("SIGKILL", at, -9, "failed", None, "FAILED", resumes=True) for at in (FIT, ARTIFACTS, LAST)),
    *(Case("SIGKILL", at, -9, "finished", 0, "FINISHED") for at in (PUBLISHING, PUBLISHED)),
    *(Case(end, BEFORE, code, "killed", code, None) for end, code in SIGNALS),
    *(
        Case(end, at, code, "killed", code, "KILLED", resumes=True)
        for end, code in SIGNALS
        for at in (BEGINNING, FIT, ARTIFACTS)
    ),
    *(Case(end, at, 0, "finished", 0, "FINISHED") for end, _ in SIGNALS for at in (LAST, PUBLISHING)),
    *(
        Case(f"raise {error}", at, code, "failed", code, "FAILED")
        for error, code in (
            ("RuntimeError('a bug')", 1),
            ("SystemExit(0)", 1),
            ("SystemExit(3)", 1),
            ("KeyboardInterrupt()", 1),
            ("MemoryError()", 70),
        )
        for at in (FIT, ARTIFACTS)
    ),
    Case("", "", 0, "finished", 0, "FINISHED"),
]


def running(server: Server) -> list[str]:
    """Return the runs that MLflow believes to go on."""
    client = server.client
    experiments = [each.experiment_id for each in client.search_experiments()]
    found = [run for state in ("RUNNING", "SCHEDULED") for run in
             client.search_runs(experiments, f"attributes.status = '{state}'")]  # fmt: skip
    return [run.data.tags["mljobs.run"] for run in found]


def in_mlflow(server: Server, directory: Path) -> list[Any]:
    """Return MLflow's runs of a run directory."""
    client = server.client
    experiments = [each.experiment_id for each in client.search_experiments()]
    return list(client.search_runs(experiments, f"tags.`mljobs.run` = '{directory.name}'"))


@pytest.mark.server
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.end or 'end'} at {case.at or 'its own'}")
def test_exit_code_result_journal_and_mlflow_agree(
    drivers: list[Driver], data: Path, tmp_path: Path, server: Server, case: Case
) -> None:
    """After a sync at the latest; no run is left RUNNING, and one that was interrupted goes on."""
    (tmp_path / CSV).symlink_to(data / CSV)
    place = Place(drivers[0], tmp_path / "case", uri=server.uri)
    train = (*TRAIN, "--experiment", f"{case.end} {case.at}")  # what MLflow has of another case is none of this one
    ended = place(*train, end=case.end, at=case.at or None)
    assert ended.exit_code == case.exit_code, ended.stderr
    synced = place("sync", str(place.runs_dir))
    assert synced.exit_code == 0, synced.stderr
    (directory,) = place.runs
    result = check_one_end(directory)
    if result is None:
        assert case.status == ""
    else:
        assert (result["status"], result["exit_code"]) == (case.status, case.code)
    if ended.stdout:
        assert {key: ended.result[key] for key in ("status", "reason")} == {
            key: result[key] for key in ("status", "reason")  # type: ignore[index]
        }  # fmt: skip
    assert running(server) == []
    found = in_mlflow(server, directory)
    assert [run.info.status for run in found] == ([case.mlflow] if case.mlflow else [])
    if case.mlflow:
        assert found[0].data.tags["mljobs.exit_code"] == str(case.code)
        assert found[0].info.end_time == events(directory)[-2]["time"]
    if case.resumes:
        check_resumed(place, train, directory, server, found)


def check_resumed(place: Place, train: tuple[str, ...], directory: Path, server: Server, found: list[Any]) -> None:
    """Assert that the next start finishes a run, in MLflow too."""
    again = place(*train)
    assert (0, str(directory)) == (again.exit_code, again.result["run_directory"]), again.stderr
    assert again.result["attempts"] == 2
    result = check_one_end(directory)
    assert result
    assert (result["status"], result["tracking"]) == ("finished", "published")
    (run,) = in_mlflow(server, directory)
    assert (run.info.status, run.info.run_id) == ("FINISHED", found[0].info.run_id)
    assert running(server) == []
