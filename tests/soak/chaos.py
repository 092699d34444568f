"""What happens in the world: jobs begin and are killed, data files change, the server comes and goes. By chance."""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from soak import files, journals, starts
from soak.server import TrackingServer
from soak.starts import Start

_AT_ONCE = 5
"""Processes of mljobs at a time."""

_TICK = 0.05
_SECONDS_BETWEEN_STARTS = (0.0, 3.0)
_SECONDS_BETWEEN_CHANGES = (2.0, 20.0)
_SECONDS_OF_A_SERVER = {"up": (4.0, 25.0), "down": (1.0, 12.0), "frozen": (1.0, 12.0)}
_SECONDS_TO_A_SIGNAL = (0.05, 12.0)
_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_SHARE_KILLED = 0.6
_MOMENTS = (None, None, "start", "resume", "dataset", "artifact", "model", "end", "published")
"""Events after which a signal is sent at once, None for any moment."""

_SHARE_OF_SYNC = 0.15
_SHARE_OF_ROLLBACKS = 0.1
_SHARE_OF_RETRIES = 0.4
"""Starts that are those of a process that was killed, once more, as a scheduler does it."""

_PATIENCE = 600.0
"""Seconds for which the last processes are waited for."""

_JOBS = (
    (("tiny.csv",), {0}),
    (("small.csv",), {0}),
    (("middle.csv",), {0}),
    (("large.csv", "--param", "n_estimators=300"), {0}),
    (("moving.csv",), {0, 66}),
    (("broken.csv",), {65}),
    (("small.csv", "--name", "gated", "--min", "accuracy=0.9999"), {3}),
    # Two files, and so two keys, under one name.
    (("tiny.csv", "--name", "shared"), {0}),
    (("middle.csv", "--name", "shared"), {0}),
)
_CHALLENGERS = (
    (("middle.csv", "--name", "weak", "--param", "n_estimators=1", "--promote-if", "always"), {0}),
    (("middle.csv", "--name", "strong", "--param", "n_estimators=60"), {0}),
    (("moving.csv", "--name", "moved", "--param", "n_estimators=20", "--promote-if", "not-worse"), {0, 66}),
    (("middle.csv", "--name", "wanted", "--param", "max_depth=6", "--require-improvement"), {0, 3}),
    (("small.csv", "--name", "missed", "--min", "accuracy=0.9999"), {3}),
)
"""Jobs whose models all want to be champion of the same."""

_MODEL = "raced"
_SHARE_OF_CHALLENGERS = 0.45
_OPTIONS = (
    *[((), set())] * 4,
    (("--force",), set()),
    (("--if-locked", "skip"), {0}),
    (("--if-locked", "wait"), set()),
    (("--tracking", "required"), {69}),
    (("--tracking", "off"), set()),
    (("--max-age", "60s"), set()),
)
_SEEDS = ((), (), ("--random-state", "1"), ("--random-state", "2"))
_LOCKED = 75
_SENSELESS = 78
_CODES_OF_ROLLBACK = {0, 66, 69, _SENSELESS}
"""Also: there is nothing to roll back to, the server is away, champion and previous are the same."""


@dataclass(frozen=True)
class Fate:
    """A signal that a process will get: at some time, or when the journal of its job has come to some event."""

    begun: Start
    number: signal.Signals
    at: float
    moment: str | None

    def has_come(self, at: float, runs: Path) -> bool:
        """Tell whether it is to be sent now."""
        if self.moment is None:
            return at >= self.at
        journal = max(runs.glob(f"*Z-{self.begun.name}-??????/journal.jsonl"), default=None)
        if journal is None or journal.stat().st_mtime * 1000 < self.begun.started:
            return False
        return f'"event": "{self.moment}"' in journal.read_text().rpartition("\n{")[2]


class Chaos:
    """Everything that is going on.

    Parameters
    ----------
    folder : of runs, data files, logs.
    seed : of whatever is left to chance; when a process gets how far, is not.
    """

    def __init__(self, folder: Path, server: TrackingServer, seed: int) -> None:
        self._folder = folder
        self._server = server
        self._random = Random(seed)
        self._began = time.monotonic()
        self._due: list[Fate] = []
        self._log = (folder / "log").open("w", buffering=1)
        self.starts: list[Start] = []

    def rage(self, seconds: float) -> None:
        """Let things happen for some time."""
        next_start = next_change = next_state = 0.0
        while (at := time.monotonic() - self._began) < seconds:
            self._send_what_is_due(at)
            if at >= next_start and len(self._living()) < _AT_ONCE:
                self._start(at)
                next_start = at + self._random.uniform(*_SECONDS_BETWEEN_STARTS)
            if at >= next_change:
                self._say(files.change(self._folder, self._random))
                next_change = at + self._random.uniform(*_SECONDS_BETWEEN_CHANGES)
            if at >= next_state:
                self._change_server()
                next_state = at + self._random.uniform(*_SECONDS_OF_A_SERVER[self._server.state])
            time.sleep(_TICK)

    def calm_down(self) -> None:
        """Have the server up, let all processes end, and publish what is left; leave nothing running."""
        self._server.settle()
        deadline = time.monotonic() + _PATIENCE
        for each in self._living():
            each.process.wait(timeout=deadline - time.monotonic())
        self.sync({0}).process.wait(timeout=_PATIENCE)

    def close(self) -> None:
        """End the processes that are left, if something went wrong here."""
        for each in self._living():
            each.process.kill()
            each.process.wait()
        self._log.close()

    def sync(self, codes: set[int]) -> Start:
        """Start `mljobs sync`."""
        return self._begin("sync", ("sync",), codes)

    def _roll_back(self) -> Start:
        """Start `mljobs rollback`."""
        return self._begin("rollback", ("rollback", _MODEL), _CODES_OF_ROLLBACK)

    def _living(self) -> list[Start]:
        """Return the processes that have not ended."""
        return [each for each in self.starts if each.exit_code is None]

    def _start(self, at: float) -> None:
        """Start something, and decide on its fate."""
        killed = [each for each in self.starts[-_AT_ONCE * 2 :] if each.exit_code not in {None, *each.codes}]
        if self._random.random() < _SHARE_OF_SYNC:
            begun = self.sync({0, 69})
        elif self._random.random() < _SHARE_OF_ROLLBACKS:
            begun = self._roll_back()
        elif killed and self._random.random() < _SHARE_OF_RETRIES:
            before = self._random.choice(killed)
            begun = self._begin(before.name, before.arguments, before.codes)
        else:
            begun = self._begin(*self._any_job())
        while self._random.random() < _SHARE_KILLED:
            at += self._random.uniform(*_SECONDS_TO_A_SIGNAL)
            moment = self._random.choice(_MOMENTS)
            self._due.append(Fate(begun, self._random.choice(_SIGNALS), at, moment))

    def _any_job(self) -> tuple[str, tuple[str, ...], set[int]]:
        """Return a job's name, what it is started with, and the codes with which it may end."""
        if self._random.random() < _SHARE_OF_CHALLENGERS:
            return self._any_challenger()
        arguments, codes = self._random.choice(_JOBS)
        options, more = self._random.choice(_OPTIONS)
        command = ("train", "random-forest", *arguments, *options, *self._random.choice(_SEEDS))
        return _name(arguments), command, {*codes, *more, _LOCKED}

    def _any_challenger(self) -> tuple[str, tuple[str, ...], set[int]]:
        """Return the same of a job that promotes: one seed, else a comparison is not fair; without a server it is senseless."""
        arguments, codes = self._random.choice(_CHALLENGERS)
        options, more = self._random.choice(_OPTIONS)
        promote = ("--promote", "--split", "stable", "--model-name", _MODEL)
        off = {_SENSELESS} if "off" in options else set()
        return (
            _name(arguments),
            ("train", "random-forest", *arguments, *promote, *options),
            {*codes, *more, *off, _LOCKED},
        )

    def _begin(self, name: str, arguments: Sequence[str], codes: set[int] | frozenset[int]) -> Start:
        """Start one process."""
        number = len(self.starts)
        begun = starts.start(number, name, arguments, frozenset(codes), self._folder, self._server.uri)
        self.starts.append(begun)
        self._say(f"start {number}, process {begun.process.pid}: {' '.join(arguments)}")
        return begun

    def _send_what_is_due(self, at: float) -> None:
        """Send the signals whose time has come."""
        self._due = [each for each in self._due if each.begun.exit_code is None]
        for fate in [each for each in self._due if each.has_come(at, self._folder / "runs")]:
            self._due.remove(fate)
            self._say(f"{fate.number.name} to start {fate.begun.number} ({fate.moment or 'by chance'})")
            if fate.number == signal.SIGKILL:
                fate.begun.buried = journals.buried(self._folder / "runs", fate.begun.number)
            fate.begun.send(fate.number)

    def _change_server(self) -> None:
        """Do something to the server."""
        ways = {
            "up": (self._server.stop, self._server.kill, self._server.freeze, self._server.freeze),
            "down": (self._server.start,),
            "frozen": (self._server.thaw, self._server.thaw, self._server.kill),
        }
        before = self._server.state
        self._random.choice(ways[before])()
        self._say(f"server {before}, now {self._server.state}")

    def _say(self, what: str) -> None:
        """Keep a record for whoever looks for the cause of a finding."""
        self._log.write(f"{starts.now()} {what}\n")


def _name(arguments: tuple[str, ...]) -> str:
    """Return the name of the job that is started with these."""
    if "--name" in arguments:
        return arguments[arguments.index("--name") + 1]
    return f"random-forest-{Path(arguments[0]).stem}"
