"""What was measured of growing jobs, as one plot."""

from collections.abc import Sequence
from pathlib import Path

import exponents
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from scaling_tables import STEPS, Cores, Grown, Scaling, seconds_of
from tables import MIB

COLUMNS = 4
COLOURS = dict(zip(STEPS, mpl.colormaps["tab10"].colors, strict=True))
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "svg.fonttype": "none",  # text stays text: a tenth of the size
    "svg.hashsalt": "scaling",  # the same figures, the same file
}


def draw(scaling: Scaling, path: Path) -> None:
    """Write the plot, a panel for each sweep, one for memory and one for cores."""
    with mpl.rc_context(STYLE):
        panels = len(scaling.grown) + 2
        figure = Figure(figsize=(3 * COLUMNS, 2.8 * -(-panels // COLUMNS)), layout="constrained")
        axes = figure.subplots(-(-panels // COLUMNS), COLUMNS).flat
        for axis, grown in zip(axes, scaling.grown, strict=False):
            _steps(axis, grown)
        _memory(axes[panels - 2], [each for each in scaling.grown if each.with_data])
        _cores(axes[panels - 1], scaling.cores)
        for axis in axes[panels:]:
            axis.set_axis_off()
        lines = [mpl.lines.Line2D([], [], color=colour, marker=".", label=step) for step, colour in COLOURS.items()]
        lines.append(mpl.lines.Line2D([], [], color="grey", linestyle=":", label="proportional"))
        figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), frameon=False)
        figure.savefig(path, metadata={"Date": None})


def _steps(axis: Axes, grown: Grown) -> None:
    """Draw the seconds of each step against the size, with the fit's exponent; dotted, what is proportional."""
    for step in STEPS:
        axis.plot(grown.sizes, grown.step(step), color=COLOURS[step], marker=".", linewidth=2 if step == "fit" else 1)
    fit = grown.step("fit")
    axis.plot(grown.sizes, fit[-1] * np.array(grown.sizes) / grown.sizes[-1], color="grey", linestyle=":")
    axis.set(xscale="log", yscale="log", xlabel=grown.axis, ylabel="seconds", ylim=(0.005, None))
    axis.set_xticks(grown.sizes, map(_tick, grown.sizes))
    axis.minorticks_off()
    axis.set_title(
        grown.title.replace(" (", "\n(") + f"\nexponent of the fit {exponents.upper(grown.sizes, fit).value:.2f}"
    )


def _tick(size: float) -> str:
    """Return a size as short as it can be said."""
    return f"{size:,.0f}" if size % 1000 else EngFormatter(sep="")(size)


def _memory(axis: Axes, sweeps: Sequence[Grown]) -> None:
    """Draw peak memory against the array in the file."""
    for number, each in enumerate(sweeps):
        data = [case.array_bytes / MIB for case in each.cases]
        peaks = [peak / MIB for peak in each.least(lambda taken: taken.peak)]
        axis.plot(data, peaks, marker=".", color=f"C{number}", label=each.title)
    limits = np.array([1, max([1, *(case.array_bytes / MIB for each in sweeps for case in each.cases)])])
    axis.plot(limits, limits, color="grey", linestyle=":", label="the data themselves")
    axis.set(xscale="log", yscale="log", xlabel="array MiB", ylabel="peak MiB", title="peak memory")
    axis.legend(fontsize=5, frameon=False, loc="center left")


def _cores(axis: Axes, cores: Sequence[Cores]) -> None:
    """Draw what the second core is worth, for the fit and for all."""
    places = np.arange(len(cores))
    fits, jobs = ([each.efficiency(value) for each in cores] for value in (seconds_of("fit"), lambda taken: taken.wall))
    axis.barh(places - 0.2, fits, 0.4, color=COLOURS["fit"])
    axis.barh(places + 0.2, jobs, 0.4, color="lightgrey")
    axis.set_yticks(places, [each.case.name.replace(", ", "\n") for each in cores], size=6)
    axis.axvline(1, color="grey", linestyle=":")
    axis.set(xlabel="T1 / 2 T2", title="2 cores: fit (coloured), whole job (grey)")
