"""What a run says of itself: the same facts for MLflow's pages and for the report's tables."""

import json
from collections.abc import Mapping
from typing import Any

from jobs import promotion
from jobs.config import JobConfig
from jobs.contract.columns import cut
from jobs.contract.drift import ColumnDrift
from jobs.datasets import Dataset
from jobs.errors import ExitCode
from jobs.evaluation import Evaluation, Metric
from jobs.evaluation.duplicates import Duplicates
from jobs.report import Decision, Gate
from jobs.result import Result


def settings(config: JobConfig) -> dict[str, Any]:
    """Return the settings that decide the result."""
    facts: dict[str, Any] = {"random_state": config.random_state}
    if config.model is not None:
        return {"model": config.model}
    if config.eval_data is None:
        key = {} if config.split_key is None else {"split_key": config.split_key}
        return facts | {"test_size": config.test_size, "split": config.split} | key
    return facts | {"eval_data": config.eval_data.name}


def tags(result: Result, environment: Mapping[str, str], config: JobConfig) -> dict[str, str]:
    """Return the tags that a run has from its start; those named `mlflow.` are shown by MLflow's pages."""
    return {
        "mlflow.user": environment["user"],
        "mlflow.source.name": f"mljobs {result.job} {result.pipeline}",
        "mlflow.source.type": "JOB",
        "mlflow.source.git.commit": environment["commit"],
        "mljobs.job": result.job,
        "mljobs.pipeline": str(result.pipeline),
        "mljobs.version": environment["mljobs"],
        "mljobs.image": environment["image"],
        "mljobs.python": environment["python"],
        "mljobs.threads": environment["threads"],
        "mljobs.packages": environment["packages"],
        "mljobs.code": environment["code"],
        "mljobs.config": json.dumps(config.to_json()),
    }


def data_facts(dataset: Dataset) -> dict[str, Any]:
    """Return a data file as `result.json` names it."""
    return {"path": str(dataset.path), "sha256": dataset.sha256, "rows": len(dataset)}


def dataset(found: Dataset, context: str) -> dict[str, Any]:
    """Return a data file as the journal's `dataset` event; `context` is `training` or `evaluation`."""
    return {
        "name": found.path.name,
        "sha256": found.sha256,
        "source": str(found.path.absolute()),
        "context": context,
        "schema": dict(found.schema),
        "rows": len(found),
    }


def gates(config: JobConfig, evaluation: Evaluation) -> list[Gate]:
    """Return the gates as they went; a metric that can't be had does not pass."""
    found = []
    for metric, least in config.minimums.items():
        value = evaluation.metrics[metric].value
        found.append(Gate(metric, least, value, value is not None and value >= least))
    return found


def shortfall(gate: Gate) -> str:
    """Return why a gate was not passed."""
    if gate.value is None:
        return f"{gate.metric} can't be had from these rows, but the gate asks for {gate.least}"
    return f"{gate.metric} {gate.value} is under the gate {gate.least}"


def registration(config: JobConfig, result: Result, evaluation: Evaluation) -> dict[str, Any]:
    """Return how the model is to be registered: under which name (None if it was not accepted), described how."""
    accepted = result.exit_code == ExitCode.OK
    return {
        "name": (config.model_name or result.pipeline) if accepted else None,
        "description": headline(evaluation, result.job),
        "tags": {"accuracy": number(evaluation.metrics["accuracy"].value), "data_sha256": result.data["sha256"]},
    }


def decision(config: JobConfig, made: promotion.Decision) -> Decision:
    """Return a decision as the report tells it."""
    champion = None if made.champion is None else f"version {made.champion}"
    return Decision(made.model, made.verdict, champion, promotion.rule(config, made.champion), made.reason)


def alarm(column: ColumnDrift) -> str:
    """Return a drift in one sentence."""
    return f"{cut(column.name)!r} has drifted from the contract: PSI {column.psi:.4f}, p = {column.adjusted:.2g} ({column.test})"


def metric_points(evaluation: Evaluation, duplicates: Duplicates) -> dict[str, float]:
    """Return the metrics of an evaluation with their intervals and baselines, without those that can't be had.

    MLflow's page of charts shows the groups before a slash by the alphabet: `epoch`, a fit's curves, comes first.
    """
    metrics = evaluation.metrics.items()
    points = {
        **{name: metric.value for name, metric in metrics},
        **{f"majority_class/{name}": value for name, value in evaluation.baseline.items()},
        **{f"interval/{name}_low": metric.low for name, metric in metrics},
        **{f"interval/{name}_high": metric.high for name, metric in metrics},
    }
    if duplicates.n_rows:
        others = duplicates.accuracy.value if duplicates.accuracy else None
        points |= {"duplicates/rows": float(duplicates.n_rows), "duplicates/accuracy_without": others}
    return {name: value for name, value in points.items() if value is not None}


def headline(evaluation: Evaluation, job: str) -> str:
    """Return the result in one sentence."""
    rows = f"{evaluation.n_samples:,} {'held-out rows' if job == 'train' else 'rows'}"
    accuracy = evaluation.metrics["accuracy"]
    return (
        f"Accuracy {number(accuracy.value)} (95 % interval {interval(accuracy)}) on {rows}; "
        f"always naming the most frequent class gives {number(evaluation.baseline['accuracy'])}."
    )


def description(evaluation: Evaluation, result: Result, made: promotion.Decision | None) -> str:
    """Return the Markdown that MLflow shows on top of a run's page."""
    rows = [
        f"| {name} | {number(metric.value)} | {interval(metric)} | {number(evaluation.baseline[name])} |"
        for name, metric in evaluation.metrics.items()
    ]
    table = ["| metric | value | 95 % interval | baseline |", "|---|---:|---|---:|", *rows]
    parts = [
        headline(evaluation, result.job),
        f"**Rejected**: {result.reason}" if result.reason else "",
        promotion.sentence(made.to_json()) if made and made.verdict != "undecided" and not result.reason else "",
        "\n".join(table),
    ]
    return "\n\n".join(part for part in parts if part)


def number(value: float | None) -> str:
    """Return a metric at four digits, or a dash."""
    return "-" if value is None else f"{value:.4f}"


def interval(metric: Metric) -> str:
    """Return `low to high`, or a dash."""
    return "-" if metric.low is None else f"{number(metric.low)} to {number(metric.high)}"


def sections(
    result: Result, parameters: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Return the tables of facts at the end of a report."""
    data = {f"{name}": f"{value:,}" if name == "rows" else str(value) for name, value in result.data.items()}
    if result.eval_data:
        data |= {f"evaluation {name}": str(value) for name, value in result.eval_data.items()}
    fit = {f"fit: {name.replace('_', ' ')}": value for name, value in result.fit.items()}
    return {
        "Data": data,
        "Settings": {name: str(value) for name, value in parameters.items()} | fit,
        "Environment": dict(environment),
        "Time": {step: f"{seconds:.2f} s" for step, seconds in result.seconds.items()},
    }
