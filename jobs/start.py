"""One start of a job: its turn, its run if there is something to do, and what earlier ones have left."""

import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from jobs import history, once, signals, tracking
from jobs.artifacts import RunDirectory
from jobs.config import JobConfig
from jobs.console import Console
from jobs.errors import ExitCode, FitError, JobError, StopError
from jobs.once import Turn
from jobs.result import Result
from jobs.run import Run
from jobs.signals import Stop
from jobs.sync import publish_queued
from jobs.tracking import Patience


def carry_out(
    config: JobConfig, job: str, work: Callable[[JobConfig, Run], None], console: Console, *, repeat: bool = False
) -> Result:
    """Do `work` as one run and return its end, whatever that is; no exception leaves this function.

    Parameters
    ----------
    repeat : do it whatever was done before, and whatever others do.
    """
    data = {"path": str(config.data)}
    result = Result(job=job, name=config.job_name(job), pipeline=config.pipeline or None, data=data)
    run: Run | None = None
    turn = Turn()
    with signals.watched() as stop, ExitStack() as held:
        try:
            if config.tracking != "off":
                tracking.configured_uri()  # one that can be none ends the job before anything is made
            if not repeat:
                with stop.interrupts():
                    turn = once.take_turn(config, result.name, held, console)
            if turn.standing:
                result = turn.standing
            else:
                run = Run(config, _directory(config, turn, result.name), turn, result, console)
                with stop.interrupts():
                    config.check()
                    work(config, run)
        except BaseException as error:  # noqa: BLE001 - the end must be true whatever it is, SystemExit too
            _note_failure(result, error, console)
        if run:
            run.end(stop)
        if run or turn.standing:
            _settle(config, result, stop, turn.patience, console)
    return result


def _directory(config: JobConfig, turn: Turn, name: str) -> RunDirectory:
    """Return the directory of the run: that of the interrupted one, or a new one."""
    if turn.interrupted is None:
        return RunDirectory.create(config.runs_dir, name)
    directory = RunDirectory(turn.interrupted.path.parent)
    directory.open()
    return directory


def _settle(config: JobConfig, result: Result, stop: Stop, patience: Patience, console: Console) -> None:
    """Bring earlier runs to their end, here and in MLflow, as far as that costs this one little.

    This one has its end, on the disk and in MLflow: whatever is amiss with others does not change that.
    """
    if stop.wanted:
        return
    standing = result.run_directory if result.status == "skipped" else None
    try:
        history.settle(config.runs_dir, console)
        if config.tracking != "off" and (standing or result.tracking == "published"):
            publish_queued(config.runs_dir, console, stop, patience, also=Path(standing) if standing else None)
        if standing and (run := history.open_run(Path(standing))):
            result.tracking, result.run_id = run.result.tracking, run.result.run_id
            result.promotion = run.result.promotion
            once.hold_to_improvement(config, result)
    except Exception as error:  # noqa: BLE001 - the next start, which looks again, may still find a bug in this
        console.warning(f"earlier runs are left as they are: {error!r}")


def _note_failure(result: Result, error: BaseException, console: Console) -> None:
    """Turn an exception into an end."""
    result.status = "killed" if isinstance(error, StopError) else "failed"
    if isinstance(error, MemoryError):
        error = FitError(
            f"out of memory: {error or 'the system gives no more'}; give the job more memory or fewer rows"
        )
    if isinstance(error, (JobError, StopError)):
        result.exit_code, result.reason = error.exit_code, str(error)
        console.error(str(error))
    else:
        result.exit_code, result.reason = ExitCode.INTERNAL, f"a bug: {type(error).__name__}: {error}"
        console.error(result.reason + "\n" + "".join(traceback.format_exception(error)).rstrip())
