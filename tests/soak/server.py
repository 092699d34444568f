"""A real MLflow server that goes up and down: always the same port, database and artifacts."""

import os
import signal
import subprocess
from pathlib import Path

from harness import free_port, start_server, wait_for

_PATIENCE = 60
"""Seconds for which a server that is asked to stop may take its time."""


class TrackingServer:
    """The server's process, which may be up, frozen or down."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = f"http://127.0.0.1:{self._port}"
        self.state = "down"

    def start(self) -> None:
        """Start it; it answers some seconds later."""
        self._wait()
        self._process = start_server(self._folder, self._port)
        self.state = "up"

    def stop(self) -> None:
        """Ask it to stop."""
        self._signal(signal.SIGTERM)
        self.state = "down"

    def kill(self) -> None:
        """Kill it, whatever it is doing."""
        self._signal(signal.SIGKILL)
        self.state = "down"

    def freeze(self) -> None:
        """Let it hang: it takes connections, and does not answer."""
        self._signal(signal.SIGSTOP)
        self.state = "frozen"

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self.state = "up"

    def settle(self) -> None:
        """Have it up, and wait until it answers."""
        if self.state == "frozen":
            self.thaw()
        if self._process is None or self.state == "down" or self._process.poll() is not None:
            self.start()
        assert self._process
        wait_for(self.uri, self._process, self._folder / "log")

    def close(self) -> None:
        """End it for good."""
        self.kill()
        self._wait()

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and its workers, unless they have ended."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _wait(self) -> None:
        """Wait for the end of the process before."""
        if self._process:
            try:
                self._process.wait(timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
                self._process.wait()
