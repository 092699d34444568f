"""What grows in `scaling.py`: one size at a time, and what each sweep may take."""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import product

from cases import Case

FEATURES = 20
ROWS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
TREES = (30, 100, 300, 1_000, 3_000)
COLUMNS = (10, 30, 90, 270)
IMAGES = (1_000, 3_000, 10_000, 30_000, 100_000)
SIDES = (32, 48, 64, 96)

Point = tuple[float, Case]
"""A size, and what is run of it."""


@dataclass(frozen=True)
class Sweep:
    """Cases that differ in one size.

    Parameters
    ----------
    axis : what the size counts, in the plural.
    fixed : what stays, for the title.
    points : from the smallest to the largest.
    with_data : whether the data grow, so that memory is looked at against them.
    """

    axis: str
    fixed: str
    points: tuple[Point, ...]
    with_data: bool = True

    @property
    def title(self) -> str:
        """What tables and plot call it."""
        return f"{self.axis} ({self.fixed})"


def engines() -> tuple[str, ...]:
    """Return the engines that can grow a forest here, the fastest last."""
    return ("sklearn", "intelex") if find_spec("sklearnex") else ("sklearn",)


def sweeps(*, quick: bool) -> list[Sweep]:
    """Return all of them; a forest's rows once for each engine, the rest by the fastest."""
    growing = [*map(_rows, engines()), _columns(engines()[-1]), _trees(engines()[-1]), _images(), _pixels()]
    return [replace(each, points=each.points[:3]) for each in growing] if quick else growing


def _rows(engine: str) -> Sweep:
    """Return the sweep over rows of a table."""
    points = tuple((rows, _forest(rows, FEATURES, 5, engine)) for rows in ROWS)
    return Sweep("rows", f"{FEATURES} features, 5 trees, {engine}", points)


def _columns(engine: str) -> Sweep:
    """Return the sweep over features of a table."""
    points = tuple((columns, _forest(10_000, columns, 50, engine)) for columns in COLUMNS)
    return Sweep("features", f"10,000 rows, 50 trees, {engine}", points)


def _trees(engine: str) -> Sweep:
    """Return the sweep over trees, of one file."""
    points = tuple((trees, _forest(2_000, FEATURES, trees, engine)) for trees in TREES)
    return Sweep("trees", f"2,000 rows, {FEATURES} features, {engine}", points, with_data=False)


def _images() -> Sweep:
    """Return the sweep over images."""
    points = tuple((n, Case("cnn", n, params={"epochs": 1})) for n in IMAGES)
    return Sweep("images", "32 x 32, 1 epoch", points)


def _pixels() -> Sweep:
    """Return the sweep over the pixels of an image."""
    points = tuple((side**2, Case("cnn", 4_000, params={"epochs": 1}, side=side)) for side in SIDES)
    return Sweep("pixels", "4,000 images, 1 epoch", points)


def _forest(rows: int, columns: int, trees: int, engine: str) -> Case:
    """Return a forest's case."""
    return Case("random-forest", rows, columns, {"n_estimators": trees, "engine": engine})


def cores(*, quick: bool) -> list[Case]:
    """Return what is run on one core and on two."""
    forests = [_forest(5_000 if quick else 100_000, FEATURES, 50, engine) for engine in engines()]
    return [*forests, Case("cnn", 1_000 if quick else 10_000, params={"epochs": 1})]


def crossing(*, quick: bool) -> list[tuple[Case, ...]]:
    """Return a case for each engine and for `auto`, of files that grow: `auto` is to take the faster."""
    rows, columns = ((1_000, 5_000), (10,)) if quick else ((1_000, 5_000, 20_000, 80_000), (10, 50))
    return [
        tuple(_forest(n, width, 100, engine) for engine in (*engines(), "auto")) for width, n in product(columns, rows)
    ]
