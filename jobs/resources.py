"""The CPU and the memory that this container really has, not those of the machine below it."""

import ctypes
import resource
from collections.abc import Iterator
from pathlib import Path

from jobs.errors import FitError

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")
_KIBIBYTE = 1024

NO_LIMIT = 2**60
"""Limits from here on are the kernel's ways to say "none" (cgroup v1 writes 9223372036854771712)."""


def cpu_count() -> int:
    """Count the CPUs that a cgroup quota, the affinity mask and LOKY_MAX_CPU_COUNT leave to this process."""
    import joblib

    return int(joblib.cpu_count())


def limit_threads(threads: int) -> None:
    """Set the BLAS and OpenMP thread pools of the libraries that are loaded by now."""
    import threadpoolctl

    threadpoolctl.threadpool_limits(limits=threads)


def trim_memory() -> None:
    """Give memory that is free inside malloc back to the system, where malloc can (glibc).

    It keeps for each thread what that has freed: after growing a forest that is as much as the forest itself.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def memory_limit(cgroups: Path = CGROUPS, proc: Path = PROC) -> int | None:
    """Return the least memory limit of this process's control groups in bytes; None if there is none.

    Parameters
    ----------
    cgroups, proc : where the control groups and the process file system are mounted.
    """
    return min((limit for limit, _ in _groups(cgroups, proc)), default=None)


def available_memory(cgroups: Path = CGROUPS, proc: Path = PROC) -> int:
    """Return the bytes that can still be allocated before a control group or the machine runs out.

    Page cache that the kernel gives back under pressure counts as available. Swap does not.

    Parameters
    ----------
    cgroups, proc : where the control groups and the process file system are mounted.
    """
    free = [max(0, limit - used) for limit, used in _groups(cgroups, proc)]
    return min([*free, _machine_memory(proc)])


def peak_memory() -> int:
    """Return the most memory that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBIBYTE


def require_memory(need: int, what: str, advice: str) -> None:
    """Raise FitError if `need` bytes, which are for `what`, are more than what is available."""
    available = available_memory()
    if need > available:
        raise FitError(f"{what} needs about {_size(need)} of memory, but {_size(available)} is available; {advice}")


def _size(n_bytes: int) -> str:
    """Return a size as people read it."""
    return f"{n_bytes / 2**30:,.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:,.0f} MiB"


def _groups(cgroups: Path, proc: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and usage (bytes, without reclaimable page cache) of each limited group above this process."""
    for root, path in _own_groups(cgroups, proc):
        for folder in _up(root, path):
            if root == cgroups:
                limit, used = _number(folder / "memory.max"), _number(folder / "memory.current")
                prefix = ""
            else:
                limit, used = _number(folder / "memory.limit_in_bytes"), _number(folder / "memory.usage_in_bytes")
                prefix = "total_"
            if limit is not None and limit < NO_LIMIT:
                cache = sum(_field(folder / "memory.stat", f"{prefix}{each}active_file") for each in ("", "in"))
                yield limit, max(0, (used or 0) - cache)


def _own_groups(cgroups: Path, proc: Path) -> Iterator[tuple[Path, str]]:
    """Yield (root, path below it) of the groups that account this process's memory.

    A line of `/proc/self/cgroup` is `0::/path` (v2) or `4:memory:/path` (v1).
    """
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield cgroups, path
        elif "memory" in controllers.split(","):
            yield cgroups / "memory", path


def _up(root: Path, path: str) -> list[Path]:
    """Return the folders from `root / path` up to `root`; those that a container can't see do no harm."""
    inside = Path(path.strip("/"))
    return [root / each for each in (inside, *inside.parents)] if ".." not in inside.parts else [root]


def _machine_memory(proc: Path) -> int:
    """Return MemAvailable of `/proc/meminfo` in bytes; `NO_LIMIT` where there is none."""
    for line in _lines(proc / "meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return NO_LIMIT


def _field(path: Path, name: str) -> int:
    """Return one number of a `name value` file; 0 if it isn't there."""
    return next((int(line.split()[1]) for line in _lines(path) if line.startswith(f"{name} ")), 0)


def _number(path: Path) -> int | None:
    """Return the number that a file holds; None for "max", and if it isn't there."""
    text = next(iter(_lines(path)), "")
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    """Return the lines of a small file; none if it can't be read."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
