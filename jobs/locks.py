"""Locks of the operating system: the kernel frees them with the process that holds them, however that ends."""

import errno
import fcntl
import os
import stat
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)
"""What file systems without locks answer."""

_SECONDS_BETWEEN_TRIES = 0.1


def lock(file: FileIO, *, patience: float = 0) -> bool:
    """Lock an open file until it is closed.

    Parameters
    ----------
    patience : seconds to wait for another process that holds it; `math.inf` waits for as long as it takes.

    Returns
    -------
    bool
        False if the file system knows no locks.

    Raises
    ------
    BlockingIOError
        Another process holds it.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_SECONDS_BETWEEN_TRIES)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return False
        else:
            return True


def open_shared(path: Path) -> FileIO:
    """Return an open file in a folder of locks, both made for all who may start jobs there; raise OSError."""
    folder = path.parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(stat.S_IMODE(folder.parent.stat().st_mode))
    with suppress(FileExistsError):
        path.touch(exist_ok=False)
    # Whoever starts the job as another user can lock it too; some network disks want to be written to for that.
    return FileIO(str(path), "r+" if os.access(path, os.W_OK) else "r")


def is_locked(path: str | os.PathLike[str]) -> bool:
    """Tell whether a process holds the lock of a file; none does where there are no locks, or no file (any more)."""
    try:
        with FileIO(os.fspath(path)) as file:
            # Shared: those who ask do not take each other for a holder, and need not be allowed to write.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in {*_NO_LOCKS, errno.ENOENT}:
            raise
    return False
