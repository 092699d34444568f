"""How time grows with size: exponents with their errors, and whether one grows faster than another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

UPPER = 3
"""Points that the rule looks at, the largest: below them what is constant hides what grows."""

SHORT = 0.05
"""Seconds under which a step at the largest size is not judged: the clock and the disk are all that is seen."""

TOLERANCE = 0.1
"""Difference of exponents that is not called faster."""


@dataclass(frozen=True)
class Exponent:
    """Of time ~ size ** value, with its standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        """As tables have it."""
        return f"{self.value:.2f} ± {self.error:.2f}"


def exponent(sizes: Sequence[float], values: Sequence[float]) -> Exponent:
    """Return the slope of log value against log size by least squares; both must be above 0."""
    line = stats.linregress(np.log(sizes), np.log(values))
    # Equal values are on the line, which linregress does not say.
    return Exponent(float(line.slope), float(np.nan_to_num(line.stderr)))


def upper(sizes: Sequence[float], values: Sequence[float]) -> Exponent:
    """Return the exponent over the largest sizes."""
    return exponent(sizes[-UPPER:], values[-UPPER:])


def above(one: Exponent, other: Exponent) -> bool:
    """Tell whether one is the larger by more than both errors and the tolerance."""
    return one.value - other.value > max(TOLERANCE, float(np.hypot(one.error, other.error)))


def verdict(sizes: Sequence[float], step: Sequence[float], fit: Sequence[float]) -> str:
    """Return whether a step grows faster than the fit; if it does, whether it also does than the size."""
    if step[-1] < SHORT:
        return f"under {SHORT * 1000:.0f} ms"
    mine = upper(sizes, step)
    if not above(mine, upper(sizes, fit)):
        return "no"
    return "**yes**" if above(mine, Exponent(1.0, 0.0)) else "yes, but not than the data"
