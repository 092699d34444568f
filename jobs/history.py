"""The runs of a folder, as their journals tell them: which have ended, which go on, and which are of dead processes."""

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jobs import checkpoint, journal, locks
from jobs.artifacts import UNDECIDED, RunDirectory, job_of
from jobs.console import Console
from jobs.errors import ExitCode, OutputError
from jobs.journal import Event, Journal
from jobs.result import Result

UNREADABLE = (OSError, ValueError, KeyError, TypeError)
"""What reading a journal raises that is none of ours, broken, or forbidden."""

_HUSK = {".reserve", ".unfinished", journal.NAME}
_HUSK_SECONDS = 86_400
"""Age from which on a folder without a first event is nobody's: a process that makes one begins soon."""


@dataclass(frozen=True)
class PastRun:
    """What a run's journal says at one moment.

    Parameters
    ----------
    path : the run directory, absolute.
    start : its first event; without one (the job ended before it began) that is made of `result.json`.
    begun : the event by which its last attempt began.
    end : the event by which that ended, None if it has not.
    published : the event that all of it is in MLflow, or None.
    promotion : the last event that tells what became of its model as a challenger, None if that is in the `end`.
    """

    path: Path
    start: Event
    begun: Event
    end: Event | None
    published: Event | None
    promotion: Event | None = None

    @property
    def result(self) -> Result:
        """What the run said at its end, or says of itself as long as it has none."""
        if self.end is None:
            result = Result.from_journal(self.start["result"], self.path)
            tracking = self.begun.get("tracking", result.tracking)
            return replace(result, attempts=self.begun.get("attempt", 1), tracking=tracking)
        result = Result.from_journal(self.end["result"], self.path)
        if self.promotion:
            result.promotion = self.promotion["promotion"]
        return replace(result, tracking="published", run_id=self.published["run_id"]) if self.published else result

    @property
    def is_unpublished(self) -> bool:
        """Whether it has ended and is not in MLflow."""
        return self.start["event"] == "start" and self.end is not None and self.published is None

    @property
    def is_accepted_or_rejected(self) -> bool:
        """Whether there is a model, good or bad."""
        return self.end is not None and self.end["result"]["status"] in {"finished", "rejected"}

    @property
    def can_go_on(self) -> bool:
        """Whether the run was interrupted: stopped, lost, or by a server or a setting that keeps it from going on."""
        if self.end is None or self.end["result"]["status"] == "killed":
            return True
        code = self.end["result"]["exit_code"]
        has_state = (self.path / checkpoint.FOLDER).is_dir()
        return code in {None, ExitCode.TRACKING} or (has_state and code == ExitCode.CONFIG)

    def is_running(self) -> bool:
        """Tell whether a process is at it."""
        return locks.is_locked(self.path / journal.NAME)


def open_run(directory: Path) -> PastRun | None:
    """Return what a run directory's journal says; None if no run has begun there.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError
        It is no journal of ours, or can't be read.
    """
    directory = directory.absolute()
    path = directory / journal.NAME
    start = journal.first_event(path) if path.exists() else None
    if start is None:
        return _unbegun(directory / "result.json")
    found = _milestones(journal.last_events(path))
    if "end" not in found and found.keys() & {"promotion", "published"}:
        found = _milestones(journal.read(path))  # what came after the end fills the tail
    begun = found.get("begun") or _last_beginning(path)
    later = (found.get(name) for name in ("end", "published", "promotion"))
    return _checked(PastRun(directory, start, begun, *later))


def _milestones(events: Iterable[Event]) -> dict[str, Event]:
    """Return the events that tell how far the last attempt has come, by their kind, and by which it began as `begun`."""
    found: dict[str, Event] = {}
    for event in events:
        if event["event"] in {"start", "resume"}:
            found = {"begun": event}
        elif event["event"] in {"end", "published", "promotion"}:
            found[event["event"]] = event
        if event["event"] == "end":
            found.pop("promotion", None)  # the end says it, or that it is not valid any more
    return found


def _unbegun(result: Path) -> PastRun | None:
    """Return a run that ended before its first event; None if there is none, or not yet."""
    if not result.exists():
        return None
    event = {"event": "none", "key": None, "time": result.stat().st_mtime_ns // 1_000_000}
    event["result"] = json.loads(result.read_bytes())
    return _checked(PastRun(result.parent, event, event, event, None))


def _checked(run: PastRun) -> PastRun:
    """Return a run whose result is one of ours; raise TypeError or KeyError."""
    _ = run.result, run.start["key"], run.result.data["path"]
    return run


def _last_beginning(path: Path) -> Event:
    """Return the event by which a long journal's last attempt began."""
    return [event for event in journal.read(path) if event["event"] in {"start", "resume"}][-1]


def runs(runs_dir: Path, console: Console | None, name: str | None = None) -> Iterator[PastRun]:
    """Yield the runs of a folder, the newest first; only those of the job `name`, if one is given.

    Parameters
    ----------
    console : where journals that can't be read are told of; None if somebody has done so.

    Raises
    ------
    OutputError
        The folder can't be listed.
    """
    try:
        directories = sorted(runs_dir.absolute().iterdir(), reverse=True)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{runs_dir} can't be listed: {error.strerror}; choose another folder") from error
    for directory in directories:
        job = job_of(directory.name)
        if job is None or (name is not None and job != name):
            continue
        try:
            run = open_run(directory)
        except UNREADABLE as error:
            if console:
                console.warning(f"skipped: {directory}'s journal is none of mljobs, or can't be read: {error!r}")
            continue
        if run:
            yield run


def settle(runs_dir: Path, console: Console, *, copies: bool = False) -> None:
    """Bring the runs that nobody is at to a true end: those of dead processes failed, when they last gave a sign of life.

    Parameters
    ----------
    copies : also those of which this is a copy; whether their processes are alive can't be seen from here.
    """
    finished = set()
    for run in runs(runs_dir, console):
        name = job_of(run.path.name)
        if run.is_accepted_or_rejected:
            finished.add(name)
        if run.is_running():
            continue
        if name in finished:
            # No start goes back beyond a finished run.
            shutil.rmtree(run.path / checkpoint.FOLDER, ignore_errors=True)
        if run.end is None:
            _close(run.path, console, copies=copies)
        elif run.start["event"] == "start" and _is_behind(run.path):
            _catch_up(run.path, console)
    _remove_husks(runs_dir)


def _remove_husks(runs_dir: Path) -> None:
    """Remove what processes left that died before their runs began, with nothing in it."""
    for directory in runs_dir.iterdir() if runs_dir.is_dir() else ():
        if job_of(directory.name) and _is_husk(directory):
            shutil.rmtree(directory, ignore_errors=True)


def _is_husk(directory: Path) -> bool:
    """Tell whether a run directory is old and holds no event and no result."""
    try:
        old = time.time() - directory.stat().st_mtime > _HUSK_SECONDS
        empty = old and {each.name for each in directory.iterdir()} <= _HUSK
        path = directory / journal.NAME
        return empty and not locks.is_locked(path) and not (path.exists() and journal.first_event(path))
    except UNREADABLE:
        return False


def _is_behind(directory: Path) -> bool:
    """Tell whether a process died before it could write what its journal says to `result.json`, and tidy up."""
    result = directory / "result.json"
    if (directory / ".unfinished").exists():
        return True
    # Clocks of file systems are coarse: what is of the same moment may be older too.
    return not result.exists() or result.stat().st_mtime_ns <= (directory / journal.NAME).stat().st_mtime_ns


def _catch_up(directory: Path, console: Console) -> None:
    """Write `result.json` as the journal has it, unless somebody is at it."""
    try:
        with closing(Journal(directory / journal.NAME)):
            write_result(directory)
    except BlockingIOError:
        return
    except (OSError, OutputError) as error:
        console.warning(f"{directory.name}/result.json is out of date: {error}")


def _close(directory: Path, console: Console, *, copies: bool) -> None:
    """Close one run, unless its process turns out to be alive, or may be."""
    try:
        with closing(Journal(directory / journal.NAME)) as record:
            run = open_run(directory)
            if run is None or run.end:
                return
            if not (copies or record.is_original(run.begun)):
                console.warning(
                    f"{directory.name} has not ended, and is a copy: if its process is dead, mljobs sync --lost closes it"
                )
                return
            died = journal.last_sign_of_life(record.path)
            result = replace(run.result, status="failed", exit_code=None, reason=_reason(record.path))
            record.append("tags", tags=result.tags(), time=died)
            record.append("end", result=asdict(result), time=died)
            RunDirectory(directory).remove(UNDECIDED)
            write_result(directory)
    except BlockingIOError:
        return  # somebody is at it: it is alive, or being closed
    except (OSError, OutputError) as error:
        console.warning(f"{directory.name} is of a dead process, but can't be closed: {error}")
        return
    console.warning(f"{directory.name} is of a process that died without a word; closed as failed")


def _reason(path: Path) -> str:
    """Return what is known of the death of a process."""
    last: dict[str, Any] = journal.last_events(path)[-1]
    return f"lost: the process died without a word after its event `{last['event']}` (killed, out of memory, power)"


def write_result(directory: Path) -> None:
    """Write `result.json` as the journal has it; raise OutputError."""
    run = open_run(directory)
    if run and run.end:
        folder = RunDirectory(directory)
        folder.write_text("result.json", run.result.to_json() + "\n")
        folder.clean()


def deaths_at(state: str, events: Iterable[Event]) -> int:
    """Count the last attempts in a row that had their data, died without a word, and left the fit where it was."""
    deaths = 0
    attempt: Event = {"state": None}
    for event in events:
        if event["event"] == "resume":
            attempt = event
            deaths = deaths if event["state"] == state else 0
        elif event["event"] == "dataset" and event["context"] == "training" and attempt["state"] == state:
            deaths += 1
        elif event["event"] == "end" and event["result"]["exit_code"] is not None:
            deaths = 0
    return deaths
