"""Any result can be had again: check what it was made of, train again aside, and compare."""

import json
import platform
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jobs import history, journal, keys, pipelines, provenance, resources, signals
from jobs.artifacts import AGAIN, cannot_write
from jobs.checkpoint import Checkpoint
from jobs.config import JobConfig
from jobs.console import Console, columns
from jobs.datasets.sides import Sides
from jobs.datasets.source import digest
from jobs.errors import ConfigError, MismatchError, NoInputError, OutputError, TrackingError
from jobs.evaluation import Evaluation
from jobs.params import parse_params
from jobs.tracking import configured_uri, connect, models
from jobs.tracking.answers import DOES_NOT_EXIST, describe, status_of

_DIGITS = 12
"""Of a digest that a person is shown."""

_LONG = 40


class Fact(NamedTuple):
    """Something that was so then, and is so now."""

    name: str
    then: str
    now: str

    @property
    def is_same(self) -> bool:
        """Whether nothing has changed."""
        return self.then == self.now


@dataclass(frozen=True)
class Recorded:
    """What is known of a run: its settings, tags and metrics, and what `models.folder` calls its model."""

    config: JobConfig
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    model: str


@dataclass(frozen=True)
class Request:
    """What is to be had again.

    Parameters
    ----------
    run : a run directory, or MLflow's id of a run.
    data, eval_data : where the data files are now, if not where they were.
    trust_pickle : load a model that is a joblib pickle.
    """

    run: str
    data: Path | None = None
    eval_data: Path | None = None
    trust_pickle: bool = False


@dataclass(frozen=True)
class Reproduction:
    """What came of it.

    Parameters
    ----------
    table : what it was made of and what it gave, then and now, for a person.
    difference : one sentence; empty if the result is the same to the last bit.
    """

    table: str
    difference: str

    def require_same(self) -> None:
        """Raise MismatchError unless the result is the same."""
        if self.difference:
            raise MismatchError(self.difference)


def reproduce(request: Request, runs_dir: Path, console: Console) -> Reproduction:
    """Train the model of a run again, in a folder of `runs_dir` that goes with the end of the work, and compare.

    Raises
    ------
    NoInputError, ConfigError, TrackingError
        There is no such run, it has no result, or not all that is needed is here.
    """
    is_here = Path(request.run).is_dir()
    recorded = _from_directory(Path(request.run)) if is_here else _from_mlflow(request.run)
    then = recorded.config
    config = replace(then, data=request.data or then.data, eval_data=request.eval_data or then.eval_data)
    inputs = list(_inputs(config, recorded))
    if not all(fact.is_same for fact in inputs if fact.name.endswith("data")):
        return Reproduction(
            _table(inputs),
            _sentence(
                inputs, "nothing was trained, since other data give another result; --data names a copy of what it was"
            ),
        )
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix=AGAIN, dir=runs_dir) as scratch,
            signals.watched() as stop,
            stop.interrupts(),
        ):
            results = list(_results(config, recorded, Path(scratch), console, trust_pickle=request.trust_pickle))
    except OSError as error:
        raise OutputError(cannot_write(runs_dir, error)) from error
    is_same = all(fact.is_same for fact in results)
    return Reproduction(_table(inputs + results), "" if is_same else _sentence(inputs, "the result is another"))


def _table(facts: list[Fact]) -> str:
    """Return facts as lines in columns."""
    return columns([("", "then", "now", "same"), *map(_row, facts)])


def _from_directory(directory: Path) -> Recorded:
    """Return what a run directory says; raise NoInputError or ConfigError."""
    run = history.open_run(directory)
    if run is None:
        raise NoInputError(f"{directory} has no trained model that could be had again")
    tags: dict[str, str] = {}
    for event in journal.read(directory / journal.NAME):
        tags |= event["tags"] if event["event"] == "tags" else {}
    metrics = {name: value for name, value in run.result.metrics.items() if value is not None}
    return _recorded(str(directory), tags, metrics, str(directory))


def _from_mlflow(run_id: str) -> Recorded:
    """Return what MLflow says of a run; raise NoInputError, ConfigError or TrackingError."""
    uri = configured_uri()
    if uri is None:
        raise NoInputError(f"{run_id} is no run directory; for a run in MLflow set MLFLOW_TRACKING_URI")
    try:
        found = connect(uri).get_run(run_id)
    except Exception as error:
        kind = NoInputError if status_of(error) in DOES_NOT_EXIST else TrackingError
        raise kind(f"{run_id} is no run directory, and as a run in MLflow: {describe(error)}") from error
    metrics = {name: value for name, value in found.data.metrics.items() if "/" not in name}
    return _recorded(f"run {run_id}", found.data.tags, metrics, f"runs:/{run_id}/model")


def _recorded(name: str, tags: Mapping[str, str], metrics: Mapping[str, float], model: str) -> Recorded:
    """Return the record of a run; raise ConfigError if it is of a version that kept too little."""
    if tags.get("mljobs.job") != "train" or tags.get("mljobs.status") not in {"finished", "rejected"}:
        raise NoInputError(f"{name} has no trained model that could be had again")
    try:
        config = JobConfig.from_json(json.loads(tags["mljobs.config"]))
    except (KeyError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{name} does not say by which settings it was made (its tag mljobs.config): {error!r}"
        ) from None
    return Recorded(config, tags, metrics, model)


def _inputs(config: JobConfig, recorded: Recorded) -> Iterator[Fact]:
    """Yield what decides the result, in the order in which it is to be looked at."""
    tags = recorded.tags
    yield Fact("data", tags["mljobs.training_sha256"], digest(config.data))
    if config.eval_data:
        yield Fact("evaluation data", tags["mljobs.evaluation_sha256"], digest(config.eval_data))
    yield Fact("code", tags["mljobs.code"], keys.code(pipelines.find(config.pipeline)))
    yield Fact("commit", tags["mlflow.source.git.commit"], provenance.commit() or "unknown")
    yield Fact("image", tags["mljobs.image"], provenance.image())
    yield Fact("python", tags["mljobs.python"], platform.python_version())
    then, now = (
        dict(_split(each) for each in text.split(", ")) for text in (tags["mljobs.packages"], provenance.packages())
    )
    yield from (Fact(name, then.get(name, "none"), now.get(name, "none")) for name in dict.fromkeys([*then, *now]))
    yield Fact("threads", tags["mljobs.threads"], str(resources.cpu_count()))
    yield Fact("random_state", str(recorded.config.random_state), str(config.random_state))


def _split(package: str) -> tuple[str, str]:
    """Return name and version."""
    name, _, version = package.partition(" ")
    return name, version


def _results(
    config: JobConfig, recorded: Recorded, scratch: Path, console: Console, *, trust_pickle: bool
) -> Iterator[Fact]:
    """Train again with as many threads as then, and yield metrics and predictions of both."""
    threads = int(recorded.tags["mljobs.threads"])
    pipeline = pipelines.find(config.pipeline)
    pipeline.prepare(threads)
    resources.limit_threads(threads)
    before = pipelines.open_model(models.folder(recorded.model, scratch)).load(trust_pickle=trust_pickle)
    sides = _read(config, pipeline, scratch)
    again = pipeline.fit(
        sides.training,
        sides.holdout,
        parse_params(config.pipeline, pipeline.Params, config.params),
        random_state=config.random_state,
        threads=threads,
        on_progress=console.progress,
        checkpoint=Checkpoint(scratch / "checkpoint", console.warning),
    ).model
    holdout = sides.holdout
    then, now = before.predict_proba(holdout.X), again.predict_proba(holdout.X)
    evaluation = Evaluation.from_predictions(
        holdout.y, now, again.classes_, y_train=sides.training.y, random_state=config.random_state
    )
    for name, metric in evaluation.metrics.items():
        yield Fact(name, _number(recorded.metrics.get(name)), _number(metric.value))
    yield from _differences(then, now)


def _read(config: JobConfig, pipeline: pipelines.Pipeline, scratch: Path) -> Sides:
    """Read and split the data as the run did."""
    dataset = pipeline.read(config.data, target=config.target, schema=None, scratch=scratch, split_key=config.split_key)
    if config.eval_data is None:
        return Sides.of_one(dataset, config)
    target = dataset.schema.get("target", "")
    return Sides.of_two(dataset, pipeline.read(config.eval_data, target=target, schema=dataset.schema, scratch=scratch))


def _differences(then: np.ndarray, now: np.ndarray) -> Iterator[Fact]:
    """Yield in how many rows the predictions differ, probabilities of shape (n_samples, n_classes) given."""
    if then.shape != now.shape:
        yield Fact("predictions", f"of shape {then.shape}", f"of shape {now.shape}")
        return
    n_labels = np.count_nonzero(then.argmax(axis=1) != now.argmax(axis=1))
    n_rows = np.count_nonzero((then != now).any(axis=1))
    largest = float(np.abs(then.astype(np.float64) - now).max())
    same = f"{len(then):,} rows"
    yield Fact("predicted labels", same, f"{n_labels:,} of them differ" if n_labels else same)
    yield Fact("probabilities", same, f"{n_rows:,} of them differ, by {largest:.2g} at most" if n_rows else same)


def _number(value: float | None) -> str:
    """Return a metric to its last bit."""
    return "-" if value is None else repr(float(value))


def _row(fact: Fact) -> tuple[str, ...]:
    """Return a fact as a row of the table."""
    then, now = (each[:_DIGITS] if len(each) >= _LONG else each for each in fact[1:])
    return fact.name, then, now, "yes" if fact.is_same else "NO"


def _sentence(inputs: list[Fact], end: str) -> str:
    """Return which input differs first."""
    changed = [fact for fact in inputs if not fact.is_same]
    if not changed:
        return f"{end}, though nothing is known to differ of what it was made of"
    _, then, now, _ = _row(changed[0])
    more = f" (and {len(changed) - 1} more)" if changed[1:] else ""
    return f"the first that differs is {changed[0].name}: {then} then, {now} now{more}; {end}"
