"""Fill the templates."""

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import jinja2

from jobs.report import drifting, promoting, view
from jobs.report import markdown as md

if TYPE_CHECKING:
    from jobs.contract.drift import Drift
    from jobs.evaluation import Evaluation
    from jobs.report import Report

MATRIX_IN_TEXT = 12
"""More classes than this make a matrix too wide for plain text."""


def html(report: "Report") -> str:
    """Return the page."""
    from jobs.report import figures, plots

    return _render(
        "report.html.jinja",
        report,
        heat=_heat(report.evaluation) if len(report.evaluation.classes) <= view.MOST_CLASSES else None,
        ranking=figures.ranking(report.evaluation),
        learning=figures.learning(report.learning_curves or {}),
        drifting=figures.drift(report.drift) if report.drift else [],
        dashes=plots.DASHES,
    )


def markdown(report: "Report") -> str:
    """Return the Markdown."""
    matrix = _matrix(report.evaluation) if len(report.evaluation.classes) <= MATRIX_IN_TEXT else None
    series = view.series(report.learning_curves) if report.learning_curves else None
    return _render("report.md.jinja", report, matrix=matrix, series=series)


def _render(template: str, report: "Report", **more: Any) -> str:
    """Return a template filled with what both readers are told and `more`."""
    evaluation = report.evaluation
    return (
        _environment(template)
        .get_template(template)
        .render(
            report=report,
            evaluation=evaluation,
            headline=view.headline(report),
            verdict=view.verdict(evaluation),
            holdout=_holdout(report),
            metrics=view.metrics(evaluation),
            gates=view.gates(report),
            classes=view.classes(evaluation),
            many=len(evaluation.classes) > view.MOST_CLASSES,
            confused=view.confused(evaluation),
            importances=view.importances(report.importances) if report.importances else None,
            notes=[*evaluation.notes, *report.notes],
            promotion=_promotion(report),
            duplicates=promoting.duplicates(report.duplicates, evaluation.n_samples),
            drift=_drift(report.drift) if report.drift else None,
            **more,
        )
    )


def _holdout(report: "Report") -> str:
    """Return what the holdout is worth; what it can show stands beside the comparison if there is one."""
    sentence = view.holdout(report.evaluation.n_samples)
    return sentence if report.comparison else f"{sentence} {promoting.detectable(report)}"


def _promotion(report: "Report") -> dict[str, Any] | None:
    """Return the texts of the decision and of the comparison, None if there is neither."""
    if not (report.decision or report.comparison):
        return None
    return {
        "headline": promoting.headline(report.decision) if report.decision else None,
        "sentences": promoting.sentences(report),
        "table": promoting.table(report),
    }


def _drift(drift: "Drift") -> dict[str, Any]:
    """Return the texts of drifting data."""
    return {
        "short": drifting.short(drift),
        "sentence": drifting.sentence(drift),
        "table": drifting.table(drift),
        "rest": drifting.rest(drift),
    }


@cache
def _environment(template: str) -> jinja2.Environment:
    """Return the environment of a template; whatever it prints is escaped for its reader."""
    is_html = template == "report.html.jinja"
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jobs.report", "."),
        autoescape=jinja2.select_autoescape(["html.jinja"]),
        finalize=None if is_html else md.escape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"name": view.name, "table": md.table, "percent": view.percent}
    environment.globals["meaning_of_drift"] = drifting.MEANING
    return environment


def _matrix(evaluation: "Evaluation") -> view.Table:
    """Return the confusion matrix as a table."""
    labels = [view.name(label) for label in evaluation.classes.tolist()]
    rows = [(label, *map(str, counts)) for label, counts in zip(labels, evaluation.confusion.tolist(), strict=True)]
    return view.Table(("True ↓ predicted →", *labels), rows)


def _heat(evaluation: "Evaluation") -> list[tuple[str, list[tuple[int, str]]]]:
    """Return for each true class its name, and for each predicted one the count and the shade.

    A shade is a letter, `r`ight or `w`rong, and a level from 0 to 10: the share of the row, its root where wrong, so that
    a few mistakes are seen.
    """
    rows = []
    for i, (label, counts) in enumerate(zip(evaluation.classes.tolist(), evaluation.confusion.tolist(), strict=True)):
        total = sum(counts) or 1
        shades = [
            f"r{math.ceil(10 * count / total)}" if i == j else f"w{math.ceil(10 * math.sqrt(count / total))}"
            for j, count in enumerate(counts)
        ]
        rows.append((view.name(label), list(zip(counts, shades, strict=True))))
    return rows
