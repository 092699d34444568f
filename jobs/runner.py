"""The sequence: what a training job and an evaluation job do, whatever the kind of model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs import keys, pipelines, promotion, provenance, resources, summary
from jobs.config import JobConfig
from jobs.console import Console
from jobs.contract.drift import Drift
from jobs.contract.profile import Profile
from jobs.datasets import Dataset, Schema
from jobs.datasets.fingerprints import Fingerprints, are_among
from jobs.datasets.sides import Sides
from jobs.datasets.source import check_input, digest
from jobs.errors import ExitCode, NoInputError
from jobs.evaluation import Evaluation
from jobs.evaluation.duplicates import Duplicates
from jobs.params import parse_params
from jobs.pipelines import Fitted, Model, Pipeline, SavedModel
from jobs.promotion import Decision
from jobs.promotion.challenge import Challenge, most_frequent
from jobs.promotion.opponent import Entrant
from jobs.report import Report
from jobs.result import Result
from jobs.run import Run
from jobs.start import carry_out
from jobs.tracking import models


@dataclass(frozen=True, eq=False)
class Tested:
    """What a model gave on the holdout: its evaluation, its labels (n_samples,), and what rows that are known do to it."""

    evaluation: Evaluation
    y_pred: np.ndarray
    duplicates: Duplicates


def train(config: JobConfig, console: Console) -> Result:
    """Train and evaluate one pipeline on one data file, unless that is done or under way; go on if it was interrupted."""
    return carry_out(config, "train", _train, console)


def evaluate(config: JobConfig, console: Console) -> Result:
    """Evaluate a finished model on new labelled data."""
    return carry_out(config, "evaluate", _evaluate, console, repeat=True)


def _train(config: JobConfig, run: Run) -> None:
    """Go from data file to model and report."""
    pipeline = pipelines.find(config.pipeline)
    params = parse_params(config.pipeline, pipeline.Params, config.params)
    model_format = pipelines.model_format(config.pipeline, pipeline, config.model_format)
    threads = _begin(run, config.pipeline, pipeline, {**vars(params), "model_format": model_format})
    sides, profile = _read_sides(config, run, pipeline)
    challenge, drift = _challenge(config, run, sides, profile) if config.promote else (None, None)
    with run.step("fit"):
        fitted = pipeline.fit(
            sides.training,
            sides.holdout,
            params,
            random_state=config.random_state,
            threads=threads,
            on_progress=run.on_progress,
            checkpoint=run.checkpoint,
        )
    _note_facts(run, fitted.facts)
    tested = _test(run, fitted.model, sides.holdout, sides.training.y, sides.duplicates())
    _hold_to_gates(run, tested.evaluation, drift)
    decision = _decide(run, challenge, tested.y_pred) if challenge else None
    with run.step("save"):
        save = pipelines.saver(
            config.pipeline, pipeline, fitted.model, sides.training, model_format, fingerprints=sides.trained_on
        )

        def fill(folder: Path) -> None:
            save(folder)
            profile.save(folder)

        model = run.write_model(fill)
    _report(run, tested, fitted, decision, drift)
    run.record(
        "model",
        path=model.path,
        sha256=model.sha256,
        size=model.size,
        **summary.registration(config, run.result, tested.evaluation),
    )


def _evaluate(config: JobConfig, run: Run) -> None:
    """Go from model and data file to report."""
    saved = pipelines.open_model(models.folder(str(config.model), run.directory.scratch))
    run.result.pipeline = saved.pipeline_name
    _begin(run, saved.pipeline_name, saved.pipeline, {})
    with run.step("load"):
        model = saved.load(trust_pickle=config.trust_pickle)
    with run.step("read"):
        holdout = _read(run, saved.pipeline, config.data, saved.schema)
        run.result.data = summary.data_facts(holdout)
    tested = _test(run, model, holdout, saved.y_train, _known(run, saved, holdout))
    _hold_to_gates(run, tested.evaluation)
    _report(run, tested)


def _known(run: Run, saved: SavedModel, holdout: Dataset) -> np.ndarray:
    """Tell of each row whether its features are those of a row that the model was trained on, shape (n_samples,), bool."""
    _warn_if_trained_on(run, holdout, saved.data_sha256)
    seen, asked = saved.fingerprints(), Fingerprints.of(holdout)
    if seen is None:  # a model of an older version
        return np.zeros(len(holdout), dtype=np.bool_)
    if asked.key is not None and asked.key == seen.key and (n_known := np.count_nonzero(asked.are_in(seen))):
        run.warn(f"{n_known:,} of the {len(holdout):,} rows are of a {asked.key!r} that the model was trained on")
    return are_among(asked.rows, seen.rows)


def _begin(run: Run, name: str, pipeline: Pipeline, params: Mapping[str, Any]) -> int:
    """Start the record of the run, import the libraries, and return the number of threads they were given."""
    run.begin(name)
    for path in filter(None, (run.config.data, run.config.eval_data)):
        check_input(path)
    with run.step("import"):
        threads = resources.cpu_count()
        pipeline.prepare(threads)
        resources.limit_threads(threads)
    run.result.threads = threads
    run.settings = {**summary.settings(run.config), **params}
    run.environment = provenance.environment(threads, resources.memory_limit()) | {"code": keys.code(pipeline)}
    run.record("params", params=run.settings)
    run.record("tags", tags=summary.tags(run.result, run.environment, run.config))
    return threads


def _read_sides(config: JobConfig, run: Run, pipeline: Pipeline) -> tuple[Sides, Profile]:
    """Return what is trained on and what is held out, a part of the data file or a file of its own, and the file's profile."""
    holdout = None
    with run.step("read"):
        dataset = _read(run, pipeline, config.data, None)
        run.result.data = summary.data_facts(dataset)
        if config.eval_data:
            holdout = _read(run, pipeline, config.eval_data, dataset.schema)
            run.result.eval_data = summary.data_facts(holdout)
            _warn_if_trained_on(run, holdout, dataset.sha256)
    with run.step("split"):
        profile = Profile.from_dataset(dataset, random_state=config.random_state)
        sides = Sides.of_two(dataset, holdout) if holdout else Sides.of_one(dataset, config)
    return sides, profile


def _challenge(config: JobConfig, run: Run, sides: Sides, profile: Profile) -> tuple[Challenge, Drift | None]:
    """Meet the champion, before work is spent on a model that can't be held against it."""
    entrant = Entrant(
        model=config.model_name or config.pipeline,
        pipeline=config.pipeline,
        path=config.data,
        profile=profile,
        holdout=sides.holdout,
        held_out=sides.held_out,
        trained_on=sides.trained_on,
        majority=most_frequent(sides.training.y),
    )
    if config.split == "random" and config.eval_data is None:
        run.warn(
            "--split random holds out other rows when the data change: use --split stable, or no champion can be compared"
        )
    challenge = Challenge(config, entrant, run.directory, run.patience, run.console)
    with run.step("champion"):
        drift = challenge.meet()
    if drift:
        for alarm in drift.alarms:
            run.console.warning(summary.alarm(alarm))
    return challenge, drift


def _warn_if_trained_on(run: Run, holdout: Dataset, sha256: str) -> None:
    """Say so if the rows of an evaluation are those of the training file."""
    if holdout.sha256 == sha256:
        run.warn(f"{holdout.path} is the file that the model was trained on: this is no test of it")


def _read(run: Run, pipeline: Pipeline, path: Path, schema: Schema | None) -> Dataset:
    """Read one data file and record it; with a schema it is for evaluation."""
    target = schema.get("target", "") if schema else run.config.target
    before = run.digests.get(path) or digest(path)
    key = None if schema else run.config.split_key
    dataset = pipeline.read(path, target=target, schema=schema, scratch=run.directory.scratch, split_key=key)
    if dataset.sha256 != before:
        raise NoInputError(
            f"{path} was changed since the job began; write data aside, and rename them when they are whole"
        )
    context = "training" if schema is None else "evaluation"
    run.record("dataset", **summary.dataset(dataset, context))
    run.record("tags", tags={f"mljobs.{context}_sha256": dataset.sha256})
    run.console.info(f"read {path}", rows=len(dataset), classes=len(dataset.classes))
    run.notes.extend(dataset.notes)
    if schema is None and "target" in dataset.schema:
        run.settings["target"] = dataset.schema["target"]
        run.record("params", params={"target": target})
    return dataset


def _note_facts(run: Run, facts: Mapping[str, str]) -> None:
    """Note, here and in MLflow, what the pipeline says of how it was fitted."""
    run.result.fit = dict(facts)
    run.record("tags", tags={f"mljobs.{name}": value for name, value in facts.items()})


def _test(run: Run, model: Model, holdout: Dataset, y_train: np.ndarray, is_known: np.ndarray) -> Tested:
    """Predict the holdout and evaluate; `is_known` tells which of its rows the model was trained on too."""
    with run.step("predict"):
        y_proba = model.predict_proba(holdout.X)
    with run.step("evaluate"):
        evaluation = Evaluation.from_predictions(
            holdout.y, y_proba, model.classes_, y_train=y_train, random_state=run.config.random_state
        )
        y_pred = model.classes_[np.argmax(y_proba, axis=1)]
        duplicates = Duplicates.from_predictions(holdout.y, y_pred, is_known)
    run.result.metrics = {name: metric.value for name, metric in evaluation.metrics.items()}
    run.record_metrics(0, summary.metric_points(evaluation, duplicates))
    run.console.info(summary.headline(evaluation, run.result.job))
    return Tested(evaluation, y_pred, duplicates)


def _hold_to_gates(run: Run, evaluation: Evaluation, drift: Drift | None = None) -> None:
    """Accept the result, or reject it."""
    missed = [summary.shortfall(gate) for gate in summary.gates(run.config, evaluation) if not gate.passed]
    if too_far := promotion.drift_shortfall(run.config, drift):
        missed.append(too_far)
    if missed:
        run.reject("; ".join(missed))
    else:
        run.accept()


def _decide(run: Run, challenge: Challenge, y_pred: np.ndarray) -> Decision:
    """Decide whether the model is to be champion; reject it if that was required."""
    with run.step("champion"):
        # Until the aliases have moved: nobody else's decision comes in between.
        run.held.enter_context(challenge.lock())
        decision = challenge.decide(y_pred, run.result.reason or "")
        if decision.verdict == "undecided":
            challenge.leave(y_pred)
    run.decide(decision)
    said = f"{'not promoted' if decision.verdict == 'keep' else 'not decided yet'}: {decision.reason}"
    if run.result.status == "rejected" or decision.verdict == "promote":
        return decision
    if decision.verdict == "keep" and run.config.require_improvement:
        run.reject(said)
    else:
        run.console.info(said)
    return decision


def _report(
    run: Run, tested: Tested, fitted: Fitted | None = None, decision: Decision | None = None, drift: Drift | None = None
) -> None:
    """Write the report for its three readers, and what MLflow shows of it on top of the run's page."""
    evaluation = tested.evaluation
    with run.step("report"):
        report = Report(
            title=f"{run.result.pipeline}: {run.result.job} on {run.config.data.name}",
            status="finished" if run.result.exit_code == ExitCode.OK else "rejected",
            reason=run.result.reason,
            evaluation=evaluation,
            gates=summary.gates(run.config, evaluation),
            sections=summary.sections(run.result, run.settings, run.environment),
            importances=fitted.importances if fitted else None,
            learning_curves=fitted.learning_curves if fitted else None,
            notes=tuple(run.notes),
            duplicates=tested.duplicates,
            comparison=decision.comparison if decision else None,
            decision=summary.decision(run.config, decision) if decision else None,
            drift=drift,
        )
        run.write_text("report.html", report.html())
        run.write_text("report.md", report.markdown())
        run.write_text("metrics.json", report.json())
    run.record("tags", tags={"mlflow.note.content": summary.description(evaluation, run.result, decision)})
