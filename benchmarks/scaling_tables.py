"""What was measured of growing jobs, as Markdown tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import exponents
import numpy as np
from cases import Case
from measuring import Taken
from tables import MIB, accuracy, table

STEPS = ("import", "read", "split", "fit", "predict", "evaluate", "champion", "save", "report", "publish")

NOT_OURS = ("import", "fit", "predict")
"""Steps that are nothing but the libraries' code, which the rule is not about."""

RESOLUTION = 0.001
"""Seconds to which a job's result gives its steps."""


@dataclass(frozen=True)
class Grown:
    """A sweep that was measured; one size, case and tuple of rounds for each point."""

    axis: str
    title: str
    with_data: bool
    sizes: tuple[float, ...]
    cases: tuple[Case, ...]
    taken: tuple[tuple[Taken, ...], ...]

    def step(self, name: str) -> list[float]:
        """Return the seconds of a step at each size: the least of the rounds, the last round's for the champion."""
        seconds = [[max(each.output["seconds"][name], RESOLUTION) for each in rounds] for rounds in self.taken]
        return [each[-1] if name == "champion" else min(each) for each in seconds]

    def least(self, value: Callable[[Taken], float]) -> list[float]:
        """Return the least of a value over the rounds, at each size."""
        return [min(map(value, rounds)) for rounds in self.taken]


@dataclass(frozen=True)
class Cores:
    """A case that ran on one core and on two, in turns."""

    case: Case
    rounds: tuple[tuple[Taken, Taken], ...]

    def efficiency(self, value: Callable[[Taken], float]) -> float:
        """Return T1 / (2 T2), the median of the rounds: 1 if two cores halve the time, 0.5 if they do nothing."""
        return median(value(one) / (2 * value(two)) for one, two in self.rounds)


@dataclass(frozen=True)
class Crossing:
    """One file's case for each engine, and what it took."""

    cases: tuple[Case, ...]
    taken: tuple[Taken, ...]


@dataclass(frozen=True)
class Scaling:
    """All that was measured."""

    grown: Sequence[Grown]
    cores: Sequence[Cores]
    crossings: Sequence[Crossing]


def seconds_of(step: str) -> Callable[[Taken], float]:
    """Return what takes a step's seconds from a job."""
    return lambda taken: float(taken.output["seconds"][step])


def render(scaling: Scaling) -> str:
    """Return all tables."""
    titled = [(f"Time against {each.title}", _grown(each)) for each in scaling.grown]
    titled += [
        ("Peak memory against data", _memory([each for each in scaling.grown if each.with_data])),
        ("One core and two", _cores(scaling.cores)),
        ("Engines of the forest (100 trees)", _crossings(scaling.crossings)),
    ]
    return "\n".join(f"### {title}\n\n{rows}" for title, rows in titled if rows)


def _grown(grown: Grown) -> str:
    """Return a row for each step, and for all of the process."""
    rows = [(name, grown.step(name)) for name in STEPS]
    whole = [
        ("**job**, wall", grown.least(lambda taken: taken.wall)),
        ("**job**, CPU", grown.least(lambda taken: taken.cpu)),
    ]
    fit = grown.step("fit")
    body = [
        (
            name,
            *(f"{value:.2f}" for value in values),
            str(exponents.exponent(grown.sizes, values)),
            str(exponents.upper(grown.sizes, values)),
            "" if name in NOT_OURS or "job" in name else exponents.verdict(grown.sizes, values, fit),
        )
        for name, values in [*rows, *whole]
    ]
    sizes = (f"{size:,.0f}" for size in grown.sizes)
    return table(("seconds", *sizes, "exponent", "of the 3 largest", "ours: faster than the fit"), body)


def _memory(grown: Sequence[Grown]) -> str:
    """Return a row for each sweep in which the data grow."""
    body = []
    for each in grown:
        data = [case.array_bytes for case in each.cases]
        peaks = each.least(lambda taken: taken.peak)
        slope, base = np.polyfit(data, peaks, 1)
        exponent = exponents.exponent(data, peaks)
        body.append(
            (
                each.title,
                *(f"{values[0] / MIB:,.0f} to {values[-1] / MIB:,.0f}" for values in (data, peaks)),
                f"{base / MIB:,.0f}",
                f"{slope:.2f}",
                str(exponent),
            )
        )
    header = ("sweep", "array MiB", "peak MiB", "without data MiB", "bytes of peak a byte of array", "exponent")
    return table(header, body)


def _cores(cores: Sequence[Cores]) -> str:
    """Return a row for each case: seconds on one core / on two, efficiency in brackets."""

    def cell(each: Cores, value: Callable[[Taken], float]) -> str:
        one, two = (median(value(pair[side]) for pair in each.rounds) for side in (0, 1))
        return f"{one:.1f} / {two:.1f} ({each.efficiency(value):.2f})"

    body = [
        (
            each.case.name,
            *(cell(each, seconds_of(step)) for step in ("read", "fit", "predict")),
            cell(each, lambda taken: taken.wall),
        )
        for each in cores
    ]
    return table(("seconds on 1 core / on 2 (T1 / 2 T2)", "read", "fit", "predict", "whole job"), body)


def _crossings(crossings: Sequence[Crossing]) -> str:
    """Return a row for each file: seconds of the fit, and of the whole process, by engine, and what `auto` took."""
    body = [
        (
            f"{each.cases[0].n_samples:,} x {each.cases[0].n_features}",
            *(f"{seconds_of('fit')(taken):.2f}" for taken in each.taken),
            *(f"{taken.wall:.1f}" for taken in each.taken),
            *(f"{accuracy(taken):.4f}" for taken in each.taken),
            each.taken[-1].output["fit"]["engine"],
        )
        for each in crossings
    ]
    engines = [str(case.params["engine"]) for case in crossings[0].cases] if crossings else []
    header = [f"{what}, {engine}" for what in ("fit s", "job s", "accuracy") for engine in engines]
    return table(("rows x features", *header, "`auto` took"), body)
