"""What journals and `result.json` say, read line by line, without the code of the jobs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Event = dict[str, Any]

_AFTER_THE_END = {"unanswered", "promotion"}
_COMMIT = "mlflow.source.git.commit"


@dataclass
class Attempt:
    """One start's part of a run.

    Parameters
    ----------
    number : 1 for the first.
    began : Unix time in milliseconds.
    by : number of the start, None if it died before it could say.
    end : what its last event says; None if it has none.
    """

    number: int
    began: int
    by: int | None = None
    end: dict[str, Any] | None = None


@dataclass
class Run:
    """One run directory.

    Parameters
    ----------
    strange : what can't be in a journal where one process at a time writes.
    """

    folder: Path
    events: list[Event]
    attempts: list[Attempt] = field(default_factory=list)
    published: Event | None = None
    strange: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called in MLflow's tag `mljobs.run`."""
        return self.folder.name

    @property
    def job(self) -> str:
        """The name of its job."""
        return str(self.events[0]["result"]["name"])

    @property
    def end(self) -> Event | None:
        """Return its last event `end`, None if it goes on."""
        ends = [event for event in self.events if event["event"] in {"start", "resume", "end"}]
        return ends[-1] if ends[-1]["event"] == "end" else None

    @property
    def has_result(self) -> bool:
        """Whether there is a model, good or bad."""
        return self.end is not None and self.end["result"]["status"] in {"finished", "rejected"}

    @property
    def promotion(self) -> dict[str, Any] | None:
        """Return what became of its model as a challenger: what its end says, or what was decided since."""
        if self.end is None:
            return None
        since = self.events[self.events.index(self.end) + 1 :]
        decided: dict[str, Any] | None = self.end["result"]["promotion"]
        for event in since:
            decided = event["promotion"] if event["event"] == "promotion" else decided
        return decided

    def of_kind(self, kind: str) -> list[Event]:
        """Return its events of one kind."""
        return [event for event in self.events if event["event"] == kind]

    def points(self) -> set[tuple[str, int, float]]:
        """Return the points of its curves and its results: metric, step, value."""
        return {(n, each["step"], value) for each in self.of_kind("metrics") for n, value in each["metrics"].items()}

    def result(self) -> dict[str, Any]:
        """Return its `result.json`."""
        return dict(json.loads((self.folder / "result.json").read_text()))


def runs(folder: Path) -> Iterator[Run]:
    """Yield the runs of a folder that have begun."""
    for path in sorted(folder.glob("*/journal.jsonl")):
        events = [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        if events:
            yield _read(Run(path.parent, events))


def _read(run: Run) -> Run:
    """Divide a run's journal into attempts."""
    if run.events[0]["event"] != "start":
        run.strange.append(f"its first event is `{run.events[0]['event']}`")
        run.attempts.append(Attempt(1, run.events[0]["time"]))
    for event in run.events:
        _take(run, event)
    return run


def buried(folder: Path, start: int) -> str | None:
    """Return the name of the run that a start is at, if somebody has declared that lost."""
    attempts = ((attempt, run.name) for run in runs(folder) for attempt in run.attempts if attempt.by == start)
    return next((name for attempt, name in attempts if attempt.end and attempt.end["exit_code"] is None), None)


def _take(run: Run, event: Event) -> None:
    """Take one event."""
    kind = event["event"]
    if kind in {"start", "resume"}:
        run.attempts.append(Attempt(len(run.attempts) + 1, event["time"]))
        run.published = None
        if kind == "start" and event is not run.events[0]:
            run.strange.append("it began twice")
    elif kind == "published":
        run.published = event
        if run.attempts[-1].end is None:
            run.strange.append("it was published without an end")
    elif kind in _AFTER_THE_END and not run.published:
        pass  # notes about requests to MLflow, and what sync has decided
    elif run.attempts[-1].end is not None:
        run.strange.append(f"attempt {run.attempts[-1].number} wrote `{kind}` after its end")
    elif kind == "end":
        run.attempts[-1].end = event["result"]
    elif kind == "tags" and event["tags"].get(_COMMIT, "").startswith("start "):
        run.attempts[-1].by = int(event["tags"][_COMMIT].split()[1])
