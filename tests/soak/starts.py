"""Processes of mljobs: what was started, what was done to it, and how it ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import ROOT


@dataclass
class Start:
    """One process, observed from outside.

    Parameters
    ----------
    number : counted from 0; the journal has it as the commit of whichever attempt the process made.
    name : of the job, or `sync`, or `rollback`.
    codes : with which it may end if nobody stops it.
    folder : of its stdout and stderr.
    signals : what was sent to it and when, Unix time in milliseconds.
    buried : name of the run that it was at, if that had the end of a lost one before it was killed.
    """

    number: int
    name: str
    arguments: Sequence[str]
    codes: frozenset[int]
    folder: Path
    process: "subprocess.Popen[bytes]"
    started: int
    signals: list[tuple[signal.Signals, int]] = field(default_factory=list)
    buried: str | None = None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None as long as it lives."""
        return self.process.poll()

    @property
    def is_job(self) -> bool:
        """Whether it is to say its result on stdout."""
        return self.arguments[0] == "train"

    @property
    def stderr(self) -> Path:
        """The file of what it said."""
        return self.folder / f"{self.number:04d}.err"

    @property
    def killed(self) -> int | None:
        """When SIGKILL was sent, None if that is not how it ended."""
        return self.signals[-1][1] if self.exit_code == -signal.SIGKILL and self.signals else None

    @property
    def result(self) -> dict[str, Any] | None:
        """What it said on stdout, None if it did not come to that."""
        text = (self.folder / f"{self.number:04d}.out").read_text()
        return json.loads(text) if text.endswith("\n") else None

    @property
    def is_explained(self) -> bool:
        """Whether it may end as it did, for all that was done to it."""
        sent = {number for number, _ in self.signals}
        stopped = {code for number in sent for code in (-number, 128 + number) if code != 128 + signal.SIGKILL}
        # Ctrl-C while Python itself starts, before there is any code of ours.
        too_early = signal.SIGINT in sent and self.stderr.read_text().startswith("Fatal Python error: init_import_site")
        return self.exit_code in self.codes | stopped or (self.exit_code == 1 and too_early)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self.exit_code is None:
            self.signals.append((number, now()))
            self.process.send_signal(number)

    def __str__(self) -> str:
        sent = "+".join(number.name for number, _ in self.signals) or "no signal"
        return f"start {self.number} ({' '.join(self.arguments)}; {sent}; exit code {self.exit_code})"


def start(number: int, name: str, arguments: Sequence[str], codes: frozenset[int], folder: Path, uri: str) -> Start:
    """Start mljobs in the world of `folder`, with a server at `uri`."""
    logs = folder / "logs"
    settings = {"MLJOBS_RUNS_DIR": str(folder / "runs"), "MLJOBS_COMMIT": f"start {number}", "PYTHONPATH": str(ROOT)}
    others = {key: value for key, value in os.environ.items() if not key.startswith(("MLJOBS_", "MLFLOW_"))}
    started = now()
    with (logs / f"{number:04d}.out").open("wb") as stdout, (logs / f"{number:04d}.err").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs", *arguments],
            env={**others, **settings, "MLFLOW_TRACKING_URI": uri},
            cwd=folder,
            stdout=stdout,
            stderr=stderr,
        )
    return Start(number, name, arguments, codes, logs, process, started)


def now() -> int:
    """Return Unix time in milliseconds, as the journal counts it."""
    return time.time_ns() // 1_000_000
