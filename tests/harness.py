"""What the tests share: how a call of mljobs ended, and a real MLflow server."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """The one JSON line on stdout."""
        (line,) = self.stdout.splitlines()
        return json.loads(line)


MLJobs = Callable[..., Ended]


def end(process: "subprocess.Popen[str]", seconds: float = 120) -> Ended:
    """Wait for the end of a process."""
    stdout, stderr = process.communicate(timeout=seconds)
    return Ended(process.returncode, stdout, stderr)


class Processes:
    """Starts mljobs in a folder, in processes of their own; with settings by the environment."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self._env = {**os.environ, **env}

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """Start mljobs."""
        command = [sys.executable, "-m", "jobs", *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self._env, cwd=self.folder, stdout=pipe, stderr=pipe, text=True)

    def call(self, *arguments: object) -> Ended:
        """Run mljobs to its end."""
        return end(self.start(*arguments))


@dataclass(frozen=True)
class Server:
    """A real MLflow tracking server."""

    uri: str

    @property
    def client(self) -> Any:
        """Return a client of it."""
        from jobs.tracking import connect

        return connect(self.uri)


def fit(pipeline: Any, training: Any, holdout: Any, params: Any, folder: Path | None = None, **settings: Any) -> Any:
    """Fit a pipeline; what it keeps of its state goes to `folder`, or nowhere that outlives the fit."""
    from jobs.checkpoint import Checkpoint

    defaults = {"random_state": 42, "threads": 2, "on_progress": lambda *_, **__: None}
    with tempfile.TemporaryDirectory() as passing:
        checkpoint = Checkpoint(folder or Path(passing), fail)
        return pipeline.fit(training, holdout, params, checkpoint=checkpoint, **{**defaults, **settings})


def fail(message: str) -> None:
    """Take a warning that must not come."""
    raise AssertionError(message)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def start_server(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a real server, in a process group of its own, whose database, artifacts and log are in `folder`."""
    with (folder / "log").open("a") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
                *("--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
                *("--serve-artifacts", "--artifacts-destination", str(folder / "artifacts")),
            ],
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def wait_for(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers a real call."""
    import requests

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            answer = requests.get(f"{uri}/api/2.0/mlflow/experiments/search?max_results=1", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.2)
            continue
        if answer.ok:
            return
    raise AssertionError(f"the server did not come up:\n{log.read_text()}")
