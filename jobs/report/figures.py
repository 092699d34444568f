"""Which curves a report draws, and how they are named beside the drawing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from jobs.contract.columns import Numbers
from jobs.contract.drift import ColumnDrift, Drift
from jobs.evaluation import Curve, Evaluation
from jobs.report import drifting, plots
from jobs.report.view import name, number

WORST = 3
"""Curves drawn beside the mean where all would be a tangle."""

MOST_DRIFTING = 12
"""Columns that are drawn, those with the largest index."""

BINS = 24
TAIL = 0.01
"""Share of the values at either end that is drawn as if it were nearer, so that a far one does not flatten the rest."""


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption; `legend` has series, name and figure of each line.

    Of a few values `shares` take the place of the drawing.
    """

    caption: str
    svg: Markup
    legend: list[tuple[int, str, str]]
    shares: Sequence[drifting.Share] = ()


def ranking(evaluation: Evaluation) -> list[Figure]:
    """Return the ROC and the precision-recall curves; none if the holdout has one class only."""
    if not evaluation.roc:
        return []
    against = f", class {name(evaluation.roc[0].label)}" if len(evaluation.classes) == 2 else ""  # noqa: PLR2004
    roc = _figure(
        f"ROC{against}",
        ("false positive rate", "true positive rate"),
        evaluation.roc,
        "area under the curve",
        steps=False,
    )
    precision_recall = _figure(
        f"Precision and recall{against}",
        ("recall", "precision"),
        evaluation.precision_recall,
        "average precision",
        steps=True,
    )
    return [roc, precision_recall]


def _figure(caption: str, axes: tuple[str, str], curves: Sequence[Curve], area: str, *, steps: bool) -> Figure:
    """Return one figure of a curve per class, or of their mean and the worst; without `steps` it is a ROC."""
    drawn = [(name(curve.label), curve, steps) for curve in curves]
    if len(curves) > plots.SERIES:
        worst = sorted(curves, key=lambda curve: curve.area)[:WORST]
        mean = (f"mean of {len(curves)} classes", _mean(curves, steps=steps), False)
        drawn = [mean, *((f"worst: {name(curve.label)}", curve, steps) for curve in worst)]
    legend = [(k, text, f"{area} {number(curve.area)}") for k, (text, curve, _) in enumerate(drawn)]
    lines = [plots.Line(curve.x, curve.y, k, steps=stepped) for k, (_, curve, stepped) in enumerate(drawn)]
    alt = f"{caption}: " + "; ".join(f"{text}, {figure}" for _, text, figure in legend)
    return Figure(caption, plots.unit_square(axes[0], alt, axes, lines, chance=not steps), legend)


def _mean(curves: Sequence[Curve], *, steps: bool) -> Curve:
    """Return the curve of the mean height at each of 101 places; its area is the mean of the areas."""
    x = np.linspace(0, 1, 101)
    heights = [c.y[np.searchsorted(c.x, x)] if steps else np.interp(x, c.x, c.y) for c in curves]
    return Curve("", float(np.mean([curve.area for curve in curves])), x, np.mean(heights, axis=0))


def learning(curves: Mapping[str, Sequence[float]]) -> list[Figure]:
    """Return one figure per quantity, the holdout's (`val_`) beside the training rows'."""
    quantities = dict.fromkeys(key.removeprefix("val_") for key in curves)
    return [_learning(k, quantity, curves) for k, quantity in enumerate(quantities)]


def _learning(k: int, quantity: str, curves: Mapping[str, Sequence[float]]) -> Figure:
    """Return the figure of one quantity."""
    sources = {"training rows": curves.get(quantity), "holdout": curves.get(f"val_{quantity}")}
    drawn = {source: y for source, y in sources.items() if y}
    series = {"training rows": 0, "holdout": 1}
    legend = [(series[source], source, f"{number(y[0])} to {number(y[-1])}") for source, y in drawn.items()]
    alt = f"{name(quantity)} per epoch: " + "; ".join(f"{text}, {figure}" for _, text, figure in legend)
    lines = [plots.Line(np.arange(1, len(y) + 1), _finite(y), series[source]) for source, y in drawn.items()]
    return Figure(name(quantity), plots.per_epoch(f"epochs{k}", alt, lines), legend)


def _finite(values: Sequence[float]) -> np.ndarray:
    """Return an array in which what can't be drawn is NaN."""
    return np.array([value if math.isfinite(value) else math.nan for value in values], dtype=np.float64)


def drift(found: Drift) -> list[Figure]:
    """Return one figure for each of the columns that differ most."""
    figures = (_drift(k, column) for k, column in enumerate(found.alarms[:MOST_DRIFTING]))
    return [figure for figure in figures if figure]


def _drift(k: int, column: ColumnDrift) -> Figure | None:
    """Return the figure of one column then and now; None if it has nothing that can be drawn."""
    caption, before, now = name(column.name), column.before, column.now
    series = [(0, "before", before), (1, "now", now)]
    if drifting.has_few_values(column) or not (isinstance(before, Numbers) and isinstance(now, Numbers)):
        legend = [(which, text, f"{each.n_rows:,} rows") for which, text, each in series]
        return Figure(caption, Markup(), legend, drifting.shares(before, now))
    edges = _histogram_edges(before, now)
    if edges is None:
        return None
    heights = [_heights(each, edges) for each in (before, now)]
    legend = [(which, text, drifting.middle(each)) for which, text, each in series if isinstance(each, Numbers)]
    alt = f"{caption}, shares of the values: " + "; ".join(f"{text}, {figure}" for _, text, figure in legend)
    return Figure(caption, plots.histogram(f"drift{k}", alt, edges, *heights), legend)


def _histogram_edges(before: Numbers, now: Numbers) -> np.ndarray | None:
    """Return where bars begin and end, from the lowest to the highest percent of the values; None without finite ones."""
    values = np.concatenate([before.sample, now.sample]).astype(np.float64)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    low, high = np.quantile(finite, [TAIL, 1 - TAIL])
    if np.all(finite == np.trunc(finite)) and high - low < 2**31:
        # As many whole numbers in each bar.
        width = math.ceil((high - low + 1) / BINS)
        return np.arange(math.floor(low), math.ceil(high) + width + 1, width) - 0.5
    edges = np.linspace(low, high, BINS + 1)
    if np.all(np.diff(edges) > 0):
        return edges
    margin = max(abs(low), 1.0) / 2
    return np.linspace(low - margin, high + margin, BINS + 1)


def _heights(column: Numbers, edges: np.ndarray) -> np.ndarray:
    """Return the share of all sampled rows in each bar."""
    values = np.clip(column.sample.astype(np.float64), edges[0], edges[-1])
    return np.histogram(values, edges)[0] / max(1, column.n_rows)
