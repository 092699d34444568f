"""A program that starts jobs, each in a process of its own that ends in a chosen way at a chosen moment.

A moment is a step by which a job changes its run directory: a file that is opened for writing, flushed to the disk,
renamed or removed, a folder that is made or removed, an event that is appended; or one by which it carries out in MLflow
what was decided of its model. The job dies before the step is done.
It is forked from this program, which has imported the libraries already; that takes seconds which a test can't spend
hundreds of times. One JSON object a line on stdin asks for a job (see `Request`), one on stdout tells how it ended.
"""

import gc
import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

_CALLS = ("set_model_version_tag", "set_registered_model_alias", "log_batch")
"""By which a decision is carried out; the publisher has a thread of its own."""


@dataclass
class Request:
    """One job.

    Parameters
    ----------
    arguments : the command line.
    env : environment variables to be added.
    folder : where stdout, stderr and the steps go that the job came to, a line each.
    end : how it ends: `SIGKILL` or another signal, several joined by a blank, or `raise` and an expression. `SIGSTOP`
        only halts it, and at each step that is chosen.
    at : the number of the step, counted from 0, or the beginning of its name; None: the job ends as it likes.
    """

    arguments: list[str]
    folder: str
    env: dict[str, str] = field(default_factory=dict)
    end: str = ""
    at: int | str | None = None


class Steps:
    """Counts the steps of this process, writes them down, and ends it at the one that was chosen."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._log = os.open(Path(request.folder) / "steps", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._runs = os.path.abspath(request.env["MLJOBS_RUNS_DIR"])  # noqa: PTH100 - no more objects in a hook
        self._count = 0
        self._is_over = False

    def watch(self) -> None:
        """Have all that changes the disk counted from now on."""
        from jobs import journal

        append, fsync = journal.Journal.append, os.fsync

        def appending(self_: journal.Journal, event: str, **fields: Any) -> journal.Event:
            self.take(f"append {event}")
            return append(self_, event, **fields)

        def flushing(file: int) -> None:
            self.take_path("fsync", Path(f"/proc/self/fd/{file}").readlink())
            fsync(file)

        journal.Journal.append = appending  # type: ignore[method-assign]
        os.fsync = flushing
        for name in _CALLS:
            self._watch_call(name)
        sys.addaudithook(self._hear)

    def _watch_call(self, name: str) -> None:
        """Have the calls of a method of MLflow's client counted that the job waits for."""
        from mlflow import MlflowClient

        call = getattr(MlflowClient, name)

        def calling(client: MlflowClient, *arguments: Any, **named: Any) -> Any:
            if threading.current_thread().name in {"MainThread", "within"}:
                self._count_step(f"call {name}")
            return call(client, *arguments, **named)

        setattr(MlflowClient, name, calling)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take what Python tells of the calls of the system, those that change the disk."""
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        if event in {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}:
            self.take_path(event.removeprefix("os."), arguments[0])

    def take_path(self, kind: str, path: object) -> None:
        """Count a step if it is one in the folder of runs."""
        if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(self._runs + os.sep):
            inside = os.fspath(path)[len(self._runs) + 1 :]
            self.take(f"{kind} {inside.partition('/')[2] or inside}")

    def take(self, name: str) -> None:
        """Count a step if it is one of the job's own thread."""
        if threading.current_thread() is threading.main_thread():
            self._count_step(name)

    def _count_step(self, name: str) -> None:
        """Count a step, and end the process at the chosen one."""
        if self._is_over:
            return
        os.write(self._log, f"{name}\n".encode())
        at = self._request.at
        chosen = name.startswith(at) if isinstance(at, str) else self._count == at
        self._count += 1
        if chosen:
            self._is_over = self._request.end != "SIGSTOP"
            self._end()

    def _end(self) -> None:
        """End the process, or try to."""
        kind, _, what = self._request.end.partition(" ")
        if kind == "raise":
            raise eval(what)  # noqa: S307 - from our own tests
        for name in self._request.end.split():
            os.kill(os.getpid(), getattr(signal, name))
            time.sleep(0.01)


def prepare() -> None:
    """Import what a job imports, without starting a thread."""
    from jobs import tracking

    tracking.configure()
    import mlflow.pyfunc
    import mlflow.sklearn
    import mlflow.store.model_registry.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tracking
    import mlflow.utils.requirements_utils
    import sklearn.compose
    import sklearn.ensemble  # noqa: F401
    import skops.io  # noqa: F401
    import sqlalchemy.orm

    from jobs import sync  # noqa: F401
    from jobs.datasets import table  # noqa: F401
    from jobs.report import figures, page  # noqa: F401

    sqlalchemy.orm.configure_mappers()
    # All packages are looked through once in a process.
    mlflow.utils.requirements_utils._init_modules_to_packages_map()
    gc.freeze()


def job(request: Request) -> NoReturn:
    """Become the job: from here on this process is one that a scheduler would have started."""
    from jobs import cli

    folder = Path(request.folder)
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(request.env)
    os.chdir(folder)
    sys.argv = ["mljobs", *request.arguments]
    Steps(request).watch()
    cli.main()
    raise AssertionError("the command line exits")


def answer(**facts: int) -> None:
    """Write a line to whoever started this program."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Start a job for each line of stdin."""
    prepare()
    answer()
    for line in sys.stdin:
        request = Request(**json.loads(line))
        child = os.fork()
        if child == 0:
            job(request)
        answer(pid=child)
        answer(exit_code=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
