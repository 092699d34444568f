"""The benchmark of images that do not fit a container's memory runs, to its table."""

import subprocess
import sys

import pytest
from docker_engine import ROOT


@pytest.mark.containers
@pytest.mark.usefixtures("images")
def test_streaming() -> None:
    """Both containers train, on a file that is too small to tell more."""
    command = [sys.executable, ROOT / "benchmarks" / "streaming.py", "--quick"]
    tables = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    (fit,) = (line.split(" | ") for line in tables.splitlines() if line.startswith("| fit |"))
    assert float(fit[1]) > 0
    assert float(fit[2]) > 0
    assert "%" in fit[3]
