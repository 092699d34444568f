"""Programs in fresh processes: what each of them took, and a tracking server for them."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PATIENCE = 120.0
"""Seconds until a server must answer."""


@dataclass(frozen=True)
class Taken:
    """What one process took.

    Parameters
    ----------
    wall, cpu : seconds from start to end, and of user and system time.
    peak : most memory that it held, bytes.
    output : the JSON on its last line of stdout, {} if there is none.
    """

    wall: float
    cpu: float
    peak: int
    output: dict[str, Any]


def run(
    arguments: Sequence[object], env: Mapping[str, str] | None = None, python: Path | str = sys.executable
) -> Taken:
    """Run `python` with `arguments` to its end; raise RuntimeError with its stderr if that is not exit code 0."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        start = time.monotonic()
        process = subprocess.Popen(
            [python, *map(str, arguments)], env={**os.environ, **(env or {})}, stdout=stdout, stderr=stderr
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{arguments} ended with {process.returncode}:\n{_text(stderr)}")
        lines = _text(stdout).splitlines()
    output = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    return Taken(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, output)


@contextmanager
def on_cores(n_cores: int) -> Iterator[None]:
    """Give the processes that are started inside of it only some of the cores (Linux)."""
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(all_of_them)[:n_cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


def _text(file: Any) -> str:
    """Return all that was written to a file."""
    file.seek(0)
    return str(file.read().decode())


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Start a tracking server with a database and proxied artifacts on a free port; yield its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--serve-artifacts"]
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, *store, "--artifacts-destination", str(folder / "artifacts")],
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        _wait_for(uri)
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _wait_for(uri: str) -> None:
    """Wait until the server answers a real call."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(f"{uri}/api/2.0/mlflow/experiments/search?max_results=1", timeout=5)  # noqa: S310
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
