"""Curves as inline SVG whose colours are the page's.

Only fixed texts and numbers are drawn; names that come from the data stand in the page around the plot, where they
are escaped, wrapped and found by a text search. matplotlib's object API only, so no global figure or window.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

SERIES = 6
"""Lines that colours and dashes can tell apart."""

DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (1.5, 1.5), (7, 1.5, 1.5, 1.5), (3, 1.5), (9, 2))
"""Each line's dash pattern: colour is never the only difference."""

# matplotlib wants real colours: these stand for the page's until the SVG is written.
_INK, _GRID = "#000001", "#000002"
_STAND_INS = {_INK: "currentColor", _GRID: "var(--line)"} | {f"#00010{k}": f"var(--c{k})" for k in range(SERIES)}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GRID,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.6,
}


@dataclass(frozen=True, eq=False)
class Line:
    """One line: `x`, `y` float of shape (n_points,), NaN leaves a gap; `series` < SERIES chooses colour and dashes.

    With `steps` each value holds back to the place before, as precision does over recall.
    """

    x: np.ndarray
    y: np.ndarray
    series: int
    steps: bool = False


def unit_square(name: str, alt: str, labels: tuple[str, str], lines: Sequence[Line], *, chance: bool) -> Markup:
    """Return a plot of rates against rates, with the diagonal of chance if wanted; `labels` are those of x and y."""

    def draw(axes: Axes) -> None:
        if chance:
            axes.plot([0, 1], [0, 1], color=_GRID, linewidth=1.2)
        for line in reversed(lines):
            axes.plot(line.x, line.y, drawstyle="steps-pre" if line.steps else "default", **_look(line))
        axes.set_position((0.14, 0.13, 0.84, 0.85))
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=labels[0], ylabel=labels[1], aspect="equal")

    return _svg(name, alt, (3.6, 3.56), draw)


def per_epoch(name: str, alt: str, lines: Sequence[Line]) -> Markup:
    """Return a plot over the epochs."""

    def draw(axes: Axes) -> None:
        for line in reversed(lines):
            axes.plot(line.x, line.y, marker="o" if len(line.x) < 30 else "", markersize=3, **_look(line))  # noqa: PLR2004
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.yaxis.set_major_formatter("{x:.6g}")
        axes.set_xlabel("epoch")

    return _svg(name, alt, (3.6, 2.6), draw, layout="constrained")


def histogram(name: str, alt: str, edges: np.ndarray, before: np.ndarray, now: np.ndarray) -> Markup:
    """Return a plot of the shares of two samples between edges, the first as a ground, the second as a line.

    Parameters
    ----------
    edges : finite, rising, shape (n_bins + 1,).
    before, now : shares, shape (n_bins,).
    """

    def draw(axes: Axes) -> None:
        axes.stairs(before, edges, fill=True, color="#000100", alpha=0.35, linewidth=0)
        axes.stairs(before, edges, color="#000100", linewidth=0.8)
        axes.stairs(now, edges, color="#000101", linewidth=1.6, linestyle=(0, DASHES[1]))
        axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.08 * max(before.max(), now.max())))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter("{x:.6g}")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))

    return _svg(name, alt, (3.6, 2.0), draw, layout="constrained")


def _look(line: Line) -> dict[str, Any]:
    """Return colour and dashes as keywords of `plot`."""
    dashes = DASHES[line.series]
    return {"color": f"#00010{line.series}", "linestyle": (0, dashes) if dashes else "-"}


def _svg(
    name: str,
    alt: str,
    size: tuple[float, float],
    draw: Callable[[Axes], None],
    layout: Literal["constrained"] | None = None,
) -> Markup:
    """Return what `draw(axes)` draws as an SVG element that a page can hold; equal input gives equal bytes."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**_STYLE, "svg.hashsalt": name})
        figure = Figure(figsize=size, layout=layout)
        draw(figure.add_subplot())
        text = io.StringIO()
        nothing = dict.fromkeys(["Date", "Creator", "Format", "Type"])
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    return _inline(text.getvalue(), alt)


def _one_decimal(number: re.Match[str]) -> str:
    """Return a coordinate to a tenth of a point."""
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _inline(svg: str, alt: str) -> Markup:
    """Return the drawing without what a page does not need (prolog, fonts, unused ids, digits), in its colours."""
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0]
    body = svg[svg.index("</defs>") + len("</defs>") : svg.rindex("</svg>")]
    body = re.sub(r"font-size: [\d.]+px; font-family: [^;\"]*;?|stroke-linejoin: \w+;? ?", "", body)
    body = re.sub(r'<g id="[^"]*"', "<g", body).replace("xlink:href", "href")
    body = re.sub(r"<[^>]+>", lambda tag: re.sub(r"-?\d+\.\d{2,}", _one_decimal, tag[0]), body)
    body = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", body)
    body = re.sub(r"\s*\n\s*", " ", body).replace("> <", "><")
    for stand_in, colour in _STAND_INS.items():
        body = body.replace(stand_in, colour)
    title = escape(alt)
    return Markup(  # noqa: S704  # the drawing is ours, the text is escaped
        f'<svg role="img" aria-label="{title}" viewBox="0 0 {width} {height}"><title>{title}</title>{body}</svg>'
    )
