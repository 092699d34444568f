"""One run from its first event to its end: directory, journal, publishing, timing."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs import checkpoint, history, journal, promotion, resources, signals, tracking
from jobs.artifacts import UNDECIDED, Artifact, RunDirectory
from jobs.checkpoint import Checkpoint
from jobs.config import JobConfig
from jobs.console import Console
from jobs.errors import ConfigError, ExitCode, FitError, JobError, OutputError
from jobs.journal import Event, Journal
from jobs.once import Turn
from jobs.promotion import Decision
from jobs.promotion.conclude import conclude, is_waiting
from jobs.provenance import is_lost_with_container
from jobs.result import Result
from jobs.signals import Stop
from jobs.tracking.answers import describe
from jobs.tracking.publisher import Published, Publisher

_LEAST_SECONDS = 2.0
"""In which a server that has just taken the run should move two aliases."""

_MOST_DEATHS = 5
"""Attempts that may die at the same place, before a job says so instead of dying there again."""


class Run:
    """What a job writes to while it works; every event goes to the journal first, then to MLflow.

    Parameters
    ----------
    config : the job's settings.
    directory : where its results go.
    turn : the run key, and the journal of the run if it is resumed.
    result : what it says at the end; filled in as facts become known.
    console : where a person reads along.
    """

    def __init__(
        self, config: JobConfig, directory: RunDirectory, turn: Turn, result: Result, console: Console
    ) -> None:
        self.config = config
        self.directory = directory
        self.result = result
        self.console = console
        self.checkpoint = Checkpoint(directory.path / checkpoint.FOLDER, console.warning)
        self.settings: dict[str, Any] = {}
        self.environment: dict[str, str] = {}
        self.notes: list[str] = []
        self.held = ExitStack()
        """What is let go when the run has its end, here and in MLflow."""
        result.run_directory = str(directory.path)
        self._key = turn.key
        self.digests = turn.digests
        self.patience = turn.patience
        self._started = time.monotonic()
        self._uri = tracking.configured_uri() if config.tracking != "off" else None
        self._journal = turn.interrupted
        self._publisher: Publisher | None = None
        self._points: set[tuple[str, int, float]] = set()
        self._models: list[Event] = []
        self._has_ended = False
        self._deaths = 0
        if self._journal:
            # At once: however soon it is stopped, its end is that of this attempt, not a second one of the last.
            self._resume(self._journal)

    def begin(self, pipeline: str) -> None:
        """Write the first event and start publishing; raise TrackingError if a server is required and not there."""
        if self._uri is None and (self.config.tracking == "required" or self.config.promote):
            option = "--promote" if self.config.promote else "--tracking required"
            raise ConfigError(f"{option} needs a server: set MLFLOW_TRACKING_URI")
        self._open(pipeline)
        if self._deaths >= _MOST_DEATHS:
            raise FitError(
                f"the last {self._deaths} attempts died at the same place without a word, as those do that the system is "
                "out of memory for; give the job more memory, or start anew with --force"
            )
        if self._publisher and self.config.tracking == "required":
            self._publisher.require()

    @signals.whole
    def _open(self, pipeline: str) -> None:
        """Write the first event and start publishing; a signal in between would leave a journal without it."""
        self.result.tracking = "queued" if self._uri else "off"
        self._journal = self._journal or self._start(pipeline)
        self._journal.beat()
        tracking.configure()
        if self._uri:
            events = journal.read(self._journal.path)
            self._publisher = Publisher(self._uri, self.directory.path, self.patience, events)

    def _start(self, pipeline: str) -> Journal:
        """Return the journal of a new run, with the event that it exists; raise OutputError, and there is none."""
        path = self.directory.path / journal.NAME
        facts = {"run": path.parent.name, "experiment": self.config.experiment or pipeline, "key": self._key}
        try:
            return journal.begin(path, **facts, config=self.config.to_json(), result=asdict(self.result))
        except OSError as error:
            raise OutputError(f"{path} can't be written: {error.strerror}") from error

    def _resume(self, record: Journal) -> None:
        """Write the event that the run goes on, and remember what of it is known already."""
        earlier = list(journal.read(record.path))
        self.result.attempts = 2 + sum(event["event"] == "resume" for event in earlier)
        self.result.tracking = "queued" if self._uri else "off"
        self._models = [event for event in earlier if event["event"] == "model"]
        points = [event for event in earlier if event["event"] == "metrics"]
        self._points = {(name, each["step"], value) for each in points for name, value in each["metrics"].items()}
        state = self.checkpoint.state()
        self._deaths = history.deaths_at(state, earlier)
        self.record(
            "resume", attempt=self.result.attempts, tracking=self.result.tracking, file=record.inode, state=state
        )
        self.console.info(f"resuming {self.directory.path.name}", attempt=self.result.attempts)

    @signals.whole
    def record(self, event: str, **fields: Any) -> None:
        """Write one event to the journal, then pass it on; a signal in between would leave MLflow without it."""
        if self._journal is None:
            return
        try:
            written = self._journal.append(event, **fields)
        except OSError as error:
            raise OutputError(f"{self.directory.path}/journal.jsonl can't be written: {error.strerror}") from error
        if self._publisher:
            self._publisher.put(written)

    def record_metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Record points of curves, or results; those that an interrupted attempt has recorded are not repeated."""
        points = {name: value for name, value in metrics.items() if (name, step, value) not in self._points}
        if points:
            self.record("metrics", step=step, metrics=points)

    def keep(self, artifact: Artifact) -> None:
        """Record a finished file of the run directory."""
        self.record("artifact", path=artifact.path, sha256=artifact.sha256, size=artifact.size)

    def write_model(self, fill: Callable[[Path], object]) -> Artifact:
        """Write the model, or leave that of an interrupted attempt if it is whole: MLflow may have it already."""
        name = "model"
        if self._models and (self.directory.path / name).is_dir():
            kept = self.directory.measure(name)
            if kept.sha256 == self._models[-1]["sha256"]:
                return kept
        return self.directory.write(name, fill)

    def write_text(self, name: str, text: str) -> None:
        """Write and record a file of the run directory."""
        self.keep(self.directory.write_text(name, text))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step of the job, which may have several parts."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.result.seconds[name] = round(self.result.seconds.get(name, 0.0) + time.monotonic() - start, 3)

    def on_progress(self, unit: str, done: int, total: int, **metrics: float) -> None:
        """Take a fit's progress: to the console, and its metrics as points of curves."""
        self.console.progress(unit, done, total, **metrics)
        # A validation loss may overflow; that is for the fit to judge, and no point of a curve.
        self.record_metrics(done, {f"epoch/{name}": value for name, value in metrics.items() if math.isfinite(value)})

    def warn(self, note: str) -> None:
        """Say something that a person should know, here and in the report."""
        self.console.warning(note)
        self.notes.append(note)

    def accept(self) -> None:
        """Note that the result passed."""
        self.result.status, self.result.exit_code = "finished", ExitCode.OK

    def reject(self, reason: str) -> None:
        """Note that the result is one, but not good enough."""
        self.result.status, self.result.exit_code, self.result.reason = "rejected", ExitCode.REJECTED, reason
        self.console.warning(f"rejected: {reason}")

    def decide(self, decision: Decision) -> None:
        """Take what becomes of the model as a challenger; it is carried out when all of the run is in MLflow."""
        self.result.promotion = decision.to_json()
        self.record("promotion", promotion=self.result.promotion)
        self.record("tags", tags=promotion.tags(self.result.promotion))
        self.record_metrics(0, promotion.points(self.result.promotion))

    def end(self, stop: Stop) -> None:
        """Leave `result.json`, write the last event, and wait for what is not published yet."""
        self.directory.clean()
        if self.result.status not in {"finished", "rejected"}:
            self.result.promotion = None
            self.directory.remove(UNDECIDED)
        self.result.peak_memory_bytes = resources.peak_memory()
        self.result.seconds["total"] = round(time.monotonic() - self._started, 3)
        self._write_result()
        # Whatever happens while the rest is sent, the end is on the disk.
        self._record_end()
        if self.result.status in {"finished", "rejected"} or self.result.exit_code == ExitCode.OUTPUT:
            # Of no use any more, or what has filled the disk.
            self.checkpoint.clear()
        if self._publisher:
            with self.step("publish"):
                self._take(self._publisher.finish(stop, at_once=self.result.status == "killed"))
            self.result.seconds["total"] = round(time.monotonic() - self._started, 3)
        self._write_result()
        self.directory.clean()
        if self._journal:
            # Its lock kept `mljobs sync` away until here.
            self._journal.close()
        self.held.close()
        self._say_where()

    def _write_result(self) -> None:
        """Write `result.json`; if that is refused, the result says so instead."""
        try:
            self.directory.write_text("result.json", self.result.to_json() + "\n")
        except OutputError as error:
            self.fail(error)

    def _record_end(self) -> None:
        """Write the last event; what the disk refuses is sent at least, so that MLflow shows no run that goes on."""
        try:
            self.record("tags", tags=self.result.tags())
            self.record("end", result=asdict(self.result))
            self._has_ended = True
        except OutputError as error:
            self.fail(error)
            if self._publisher:
                self._publisher.put({"event": "end", "time": journal.now(), "result": asdict(self.result)})

    def fail(self, error: JobError) -> None:
        """Note a failure; the first one is the reason, and none changes an end that is recorded."""
        self.console.error(str(error))
        if not self._has_ended and (self.result.status not in {"failed", "killed"} or self.result.reason is None):
            self.result.status, self.result.exit_code, self.result.reason = "failed", error.exit_code, str(error)

    def _take(self, published: Published) -> None:
        """Note whether the run is in MLflow."""
        if published.run_id is None:
            server, folder = tracking.without_password(str(self._uri)), self.directory.path.parent
            self.console.warning(
                f"not published to {server}: {published.reason}; the next start does it, or mljobs sync {folder}"
            )
            if published.unanswered:
                self._record_late("unanswered", requests=published.unanswered)
            return
        if not self._conclude(published.run_id):
            return
        self.result.tracking, self.result.run_id = "published", published.run_id
        server = tracking.without_password(str(self._uri))
        self._record_late("published", run_id=published.run_id, tracking_uri=server)

    def _conclude(self, run_id: str) -> bool:
        """Carry out what was decided of the model; return False if the server did not let us."""
        decided = self.result.promotion
        if decided is None or not is_waiting(decided):
            return True
        if decided["verdict"] == "undecided":
            self.console.warning(
                f"not decided yet; the next start does it, or mljobs sync {self.directory.path.parent}"
            )
            return False
        try:
            with self.patience.waiting():
                client = tracking.hurried(str(self._uri), max(_LEAST_SECONDS, self.patience.left))
                self.result.promotion = conclude(client, self.directory.path, run_id, decided, self.console)
        except Exception as error:  # noqa: BLE001 - whatever the client raises, the next start or sync does it again
            self.console.warning(f"who is champion is not decided yet: {describe(error)}")
            return False
        self._record_late("promotion", promotion=self.result.promotion)
        return True

    def _record_late(self, event: str, **fields: Any) -> None:
        """Write an event after the last one."""
        try:
            self.record(event, **fields)
        except OutputError as error:
            self.fail(error)

    def _say_where(self) -> None:
        """Tell where the results are, and what becomes of them."""
        if self.result.status == "killed" and self._key and self._journal:
            self.console.info(f"stopped in {self.directory.path}; the next start goes on there")
        else:
            self.console.info(f"results are in {self.directory.path}")
        if self.config.tracking == "auto" and tracking.configured_uri() is None:
            self.console.info("not in MLflow: MLFLOW_TRACKING_URI is not set")
        if is_lost_with_container(self.directory.path):
            self.console.warning(
                f"{self.directory.path.parent} is inside the container and lost with it; to keep it: mkdir -p runs && "
                f'docker run --user "$(id -u):$(id -g)" -v "$PWD/runs:{self.directory.path.parent}" ...'
            )
