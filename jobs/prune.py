"""Removing old run directories, but none that anybody may still need."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

from jobs import checkpoint, history, journal
from jobs.artifacts import AGAIN, job_of
from jobs.console import Console
from jobs.errors import ConfigError, NoInputError, OutputError
from jobs.history import PastRun
from jobs.journal import Journal
from jobs.tracking.models import Registry

_ASIDE = ".pruned-"
"""Before the name of a run directory that is being removed: it is none any more."""

_DAY = 86_400
_MEGABYTE = 1_000_000


def prune(
    runs_dir: Path, console: Console, *, keep: int | None, older_than: float | None, dry_run: bool = False
) -> None:
    """Remove the run directories that are beyond the newest ones of their job, and old enough.

    Never removed are runs that go on, whose end is not known, or that the next start of their job would resume; those
    that wait to be published; the last finished run of each job, which later starts are held against; and those whose
    model is behind an alias in the registry.

    Parameters
    ----------
    keep : how many of the newest runs of each job stay; None if their number does not matter.
    older_than : seconds since its end from which on a run may go; None if its age does not matter.
    dry_run : only say what would be removed.

    Raises
    ------
    ConfigError, NoInputError
        Neither number nor age is given; no such folder.
    TrackingError
        A run was published, but the server does not answer whether its model is behind an alias.
    OutputError
        A directory can't be removed.
    """
    if keep is None and older_than is None:
        raise ConfigError("give --keep, --older-than, or both: runs that are beyond both are removed")
    if not runs_dir.is_dir():
        raise NoInputError(f"{runs_dir} is no folder of runs")
    _clean(runs_dir)
    registry = Registry()
    removed = 0
    for run in _old(runs_dir, console, keep or 0, older_than or 0):
        if run.published and (reason := registry.need_of(run.published["run_id"])):
            console.info(f"kept {run.path.name}: {reason}")
            continue
        size = _size(run.path) if dry_run else _remove(run)
        if size is None:
            console.info(f"kept {run.path.name}: somebody else is at it")
            continue
        removed += size
        console.info(f"{'would remove' if dry_run else 'removed'} {run.path.name}")
    console.info(f"{'would free' if dry_run else 'freed'} {removed / _MEGABYTE:,.1f} MB")


def _clean(runs_dir: Path) -> None:
    """Remove what was left by processes that were killed: half removed runs, and what was trained again for a day at least."""
    yesterday = time.time() - _DAY
    again = (each for each in runs_dir.glob(f"{AGAIN}*") if each.stat().st_mtime < yesterday)
    for left in (*runs_dir.glob(f"{_ASIDE}*"), *again):
        shutil.rmtree(left, ignore_errors=True)


def _old(runs_dir: Path, console: Console, keep: int, older_than: float) -> Iterator[PastRun]:
    """Yield the runs that may go as far as can be seen from here, the newest first."""
    seen: Counter[str | None] = Counter()
    finished = set()
    for run in history.runs(runs_dir, console):
        job = job_of(run.path.name)
        seen[job] += 1
        is_last = run.is_accepted_or_rejected and job not in finished
        if run.is_accepted_or_rejected:
            finished.add(job)
        waits = run.is_unpublished and run.result.tracking == "queued"
        has_state = run.can_go_on and (run.path / checkpoint.FOLDER).is_dir()
        if seen[job] <= keep or is_last or waits or has_state or run.end is None or run.is_running():
            continue
        if time.time() - run.end["time"] / 1000 >= older_than:
            yield run


def _size(path: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def _remove(run: PastRun) -> int | None:
    """Remove one run directory, so that a half of it is never taken for a run.

    Returns
    -------
    int or None
        Bytes of its files; None if somebody has changed it, or just does.
    """
    aside = run.path.with_name(_ASIDE + run.path.name)
    record = run.path / journal.NAME
    try:
        # Locked, so that no job resumes it just now.
        with closing(Journal(record)) if record.exists() else nullcontext():
            if history.open_run(run.path) != run:
                return None
            run.path.rename(aside)
        size = _size(aside)
        shutil.rmtree(aside)
    except (BlockingIOError, FileNotFoundError):  # a start, a sync or another prune has been faster
        return None
    except OSError as error:
        raise OutputError(f"{run.path} can't be removed: {error.strerror or error}") from error
    return size
