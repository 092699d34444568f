"""What the tests share: the command line as a user calls it, and a real MLflow server."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from harness import Ended, MLJobs, Server, free_port, start_server, wait_for
from proxy import Proxy


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own settings out of the tests."""
    for name in list(os.environ):
        if name.startswith(("MLJOBS_", "MLFLOW_")):
            monkeypatch.delenv(name)


@pytest.fixture
def mljobs(tmp_path: Path) -> MLJobs:
    """Call the command line in this process; runs go to `tmp_path / "runs"`."""

    def call(*arguments: object, **env: str) -> Ended:
        ended = CliRunner().invoke(
            _cli(), [str(each) for each in arguments], env={"MLJOBS_RUNS_DIR": str(tmp_path / "runs"), **env}
        )
        if ended.exception and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    return call


def _cli() -> Any:
    """Import the command line only when a test calls it."""
    from jobs.cli import cli

    return cli


@pytest.fixture
def mljobs_process(tmp_path: Path) -> MLJobs:
    """Call the command line in a process of its own, as a scheduler does."""

    def call(*arguments: object, **env: str) -> Ended:
        ended = subprocess.run(
            [sys.executable, "-m", "jobs", *map(str, arguments)],
            env={**os.environ, "MLJOBS_RUNS_DIR": str(tmp_path / "runs"), **env},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return call


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    """Return 300 rows of numbers that can be learnt, but not wholly; no gaps."""
    random = np.random.default_rng(7)
    columns = {f"x{i}": random.normal(size=300) for i in range(4)}
    noise = random.normal(scale=0.5, size=300)
    return pd.DataFrame({**columns, "target": np.digitize(columns["x0"] + columns["x1"] + noise, [-0.5, 0.7])})


@pytest.fixture
def csv(tmp_path: Path, frame: pd.DataFrame) -> Path:
    """Return `frame` as a file."""
    path = tmp_path / "numbers.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a real server with a database and proxied artifacts."""
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    process = start_server(folder, port)
    uri = f"http://127.0.0.1:{port}"
    try:
        wait_for(uri, process, folder / "log")
        yield Server(uri)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """Stand before the real server."""
    with Proxy(server.uri) as standing:
        yield standing
