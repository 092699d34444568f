"""Nothing is repeated: whether a start has anything to do, and where an interrupted run goes on."""

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path

from jobs import history, journal, keys, locks
from jobs.config import JobConfig, parse_age
from jobs.console import Console
from jobs.errors import ExitCode, JobError, LockedError, OutputError
from jobs.history import PastRun
from jobs.journal import Journal
from jobs.result import Result
from jobs.tracking import Patience, finished

_PATIENCE_WITH_SYNC = 60.0
"""Seconds for which an interrupted run is waited for that `mljobs sync` is just publishing."""


@dataclass(frozen=True)
class Turn:
    """What a start is to do.

    Parameters
    ----------
    key : the run key; None if it can't be had, which the job itself will find out and say.
    digests : of the data files from which the key was made: what the job reads must be the same.
    standing : the result of the run that stands for this one; None if there is something to do.
    interrupted : journal of the run that is to be resumed, None for a new one.
    patience : what is left of the time that it waits for a server.
    """

    key: str | None = None
    digests: Mapping[Path, str] = field(default_factory=dict)
    standing: Result | None = None
    interrupted: Journal | None = None
    patience: Patience = field(default_factory=Patience)


def take_turn(config: JobConfig, name: str, held: ExitStack, console: Console) -> Turn:
    """Wait for this job's turn, and find out what there is to do.

    Parameters
    ----------
    name : of the job.
    held : keeps the job's lock.

    Raises
    ------
    LockedError
        Another run of the job is at work, and the user wants to know.
    OutputError
        The runs folder can't be written.
    """
    try:
        held.enter_context(_locked(config, name, console))
    except BlockingIOError:
        return _taken(config, name, console)
    try:
        digests = keys.digests(config)
        key = keys.run_key(config, digests)
    except JobError:
        return Turn()
    if config.force:
        return Turn(key, digests)
    since = 0.0 if config.max_age is None else time.time() - parse_age("--max-age", config.max_age)
    for run in history.runs(config.runs_dir, console, name):
        if run.is_accepted_or_rejected:
            return Turn(
                key, digests, _skipped(config, run.result, run.path.name, console) if _stands(run, key, since) else None
            )
        if run.start["key"] == key and run.can_go_on:
            return Turn(key, digests, interrupted=_journal(run, console))
    patience = Patience()
    found = finished.ask(config, key, since, console, patience)
    return Turn(key, digests, _skipped(config, *found, console) if found else None, patience=patience)


def _journal(run: PastRun, console: Console) -> Journal | None:
    """Return the journal of an interrupted run, None if it may not be written; raise LockedError if others are at it."""
    try:
        return Journal(run.path / journal.NAME, patience=_PATIENCE_WITH_SYNC)
    except BlockingIOError:
        raise LockedError(f"{run.path.name} is being published by another process; try later") from None
    except OSError as error:  # it is another user's, or just pruned
        console.warning(f"{run.path.name} can't be resumed: {error.strerror}; starting anew")
        return None


def _locked(config: JobConfig, name: str, console: Console) -> FileIO:
    """Return a file that is locked for this job; raise BlockingIOError if another has it."""
    path = config.runs_dir / ".locks" / name
    try:
        file = locks.open_shared(path)
    except OSError as error:
        raise OutputError(
            f"{path} can't be written: {error.strerror}; choose another folder with --runs-dir"
        ) from error
    try:
        if not _wait(file, config, name, console):
            console.warning(f"the disk of {config.runs_dir} knows no locks: jobs that overlap are not noticed")
    except BaseException:
        file.close()
        raise
    return file


def _wait(file: FileIO, config: JobConfig, name: str, console: Console) -> bool:
    """Lock a job's file, after the one that has it if that is wanted; return False if there are no locks."""
    try:
        return locks.lock(file)
    except BlockingIOError:
        if config.if_locked != "wait":
            raise
        console.info(f"waiting: {_holder(config, name, console)}")
        return locks.lock(file, patience=math.inf)


def _holder(config: JobConfig, name: str, console: Console) -> str:
    """Return who has the lock, as a sentence."""
    running = (run.path.name for run in history.runs(config.runs_dir, console, name) if run.is_running())
    return f"another run of job {name} is at work ({next(running, 'it just began')})"


def _taken(config: JobConfig, name: str, console: Console) -> Turn:
    """Return that there is nothing to do, because another run does it; raise LockedError if that is not wanted."""
    reason = _holder(config, name, console)
    if config.if_locked == "fail":
        raise LockedError(f"{reason}; try later, choose --if-locked skip or wait, or tell jobs apart with --name")
    console.info(f"skipped: {reason}")
    result = Result("train", name, config.pipeline, "skipped", ExitCode.OK, reason, data={"path": str(config.data)})
    return Turn(standing=result)


def _stands(run: PastRun, key: str, since: float) -> bool:
    """Tell whether an accepted or rejected run is what this start would give again."""
    young = run.end is not None and run.end["time"] / 1000 >= since
    return young and run.start["key"] == key and (run.path / "model").is_dir()


def _skipped(config: JobConfig, result: Result, run: str, console: Console) -> Result:
    """Return the result of a start for which that of another run stands; a rejected one is no better by standing."""
    rejected = f", which was rejected: {result.reason}" if result.status == "rejected" else ""
    reason = f"nothing changed since {run}{rejected}"
    console.info(f"skipped: {reason}", **{name: value for name, value in result.metrics.items() if name == "accuracy"})
    skipped = replace(result, status="skipped", reason=reason, seconds={}, peak_memory_bytes=None)
    hold_to_improvement(config, skipped)
    return skipped


def hold_to_improvement(config: JobConfig, skipped: Result) -> None:
    """Reject a start if an improvement is required, and the run that stands for it has turned out to be none."""
    promotion = skipped.promotion
    kept = promotion is not None and promotion["status"] == "kept"
    if config.require_improvement and promotion and kept and skipped.exit_code == ExitCode.OK:
        skipped.exit_code = ExitCode.REJECTED
        skipped.reason = f"{skipped.reason}, which was not promoted: {promotion['reason']}"
