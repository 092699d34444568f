"""A minute of what `make soak` does for ten."""

import subprocess
import sys

import pytest
from harness import ROOT


@pytest.mark.server
def test_nothing_is_lost_or_doubled_whatever_is_killed() -> None:
    """Every run that began is in MLflow, wholly and once, with the status of its process."""
    command = [sys.executable, "-m", "soak", "--seconds", "60", "--seed", "1"]
    ended = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
