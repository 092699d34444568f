"""The sequence: what a training job and an evaluation job do, whatever the kind of model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jobs import pipelines, provenance, resources, summary
from jobs.config import JobConfig
from jobs.console import Console
from jobs.datasets import Dataset, Schema, splits
from jobs.datasets.source import check_input, digest
from jobs.errors import ExitCode, NoInputError
from jobs.evaluation import Evaluation
from jobs.params import parse_params
from jobs.pipelines import Fitted, Model, Pipeline
from jobs.report import Report
from jobs.result import Result
from jobs.run import Run
from jobs.start import carry_out
from jobs.tracking import models


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
    with run.step("read"):
        training, holdout = _read_both(config, run, pipeline)
    with run.step("fit"):
        fitted = pipeline.fit(
            training,
            holdout,
            params,
            random_state=config.random_state,
            threads=threads,
            on_progress=run.on_progress,
            checkpoint=run.checkpoint,
        )
    evaluation = _test(run, fitted.model, holdout, training.y)
    with run.step("save"):
        save = pipelines.saver(config.pipeline, pipeline, fitted.model, training, model_format)
        model = run.write_model(save)
    _report(run, evaluation, fitted)
    run.record(
        "model",
        path=model.path,
        sha256=model.sha256,
        size=model.size,
        **summary.registration(config, run.result, evaluation),
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
    _warn_if_trained_on(run, holdout, saved.data_sha256)
    _report(run, _test(run, model, holdout, saved.y_train), None)


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
    run.environment = provenance.environment(threads, resources.memory_limit())
    run.record("params", params=run.settings)
    run.record("tags", tags=summary.tags(run.result, run.environment))
    return threads


def _read_both(config: JobConfig, run: Run, pipeline: Pipeline) -> tuple[Dataset, Dataset]:
    """Return what is trained on and what is held out: a part of the data file, or a file of its own."""
    dataset = _read(run, pipeline, config.data, None)
    run.result.data = summary.data_facts(dataset)
    if config.eval_data is None:
        inside, outside = splits.random_split(
            len(dataset), test_size=config.test_size, random_state=config.random_state
        )
        return dataset.take(inside), dataset.take(outside)
    holdout = _read(run, pipeline, config.eval_data, dataset.schema)
    run.result.eval_data = summary.data_facts(holdout)
    _warn_if_trained_on(run, holdout, dataset.sha256)
    return dataset, holdout


def _warn_if_trained_on(run: Run, holdout: Dataset, sha256: str) -> None:
    """Say so if the rows of an evaluation are those of the training file."""
    if holdout.sha256 == sha256:
        run.warn(f"{holdout.path} is the file that the model was trained on: this is no test of it")


def _read(run: Run, pipeline: Pipeline, path: Path, schema: Schema | None) -> Dataset:
    """Read one data file and record it; with a schema it is for evaluation."""
    target = schema.get("target", "") if schema else run.config.target
    before = run.digests.get(path) or digest(path)
    dataset = pipeline.read(path, target=target, schema=schema, scratch=run.directory.scratch)
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


def _test(run: Run, model: Model, holdout: Dataset, y_train: np.ndarray) -> Evaluation:
    """Predict the holdout, evaluate, and hold the result against the gates."""
    with run.step("predict"):
        y_proba = model.predict_proba(holdout.X)
    with run.step("evaluate"):
        evaluation = Evaluation.from_predictions(
            holdout.y, y_proba, model.classes_, y_train=y_train, random_state=run.config.random_state
        )
    run.result.metrics = {name: metric.value for name, metric in evaluation.metrics.items()}
    run.record_metrics(0, summary.metric_points(evaluation))
    run.console.info(summary.headline(evaluation, run.result.job))
    missed = [gate for gate in summary.gates(run.config, evaluation) if not gate.passed]
    if missed:
        run.reject("; ".join(map(summary.shortfall, missed)))
    else:
        run.accept()
    return evaluation


def _report(run: Run, evaluation: Evaluation, fitted: Fitted | None) -> None:
    """Write the report for its three readers, and what MLflow shows of it on top of the run's page."""
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
        )
        run.write_text("report.html", report.html())
        run.write_text("report.md", report.markdown())
        run.write_text("metrics.json", report.json())
    run.record("tags", tags={"mlflow.note.content": summary.description(evaluation, run.result)})
