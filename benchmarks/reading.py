"""Reading a table, checked and as float32, against pandas' own `read_csv`: fresh processes, in turns."""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import measuring
import results
from cases import Case
from tables import MIB, table

CASE = Case("random-forest", 1_000_000, 30, rounds=10)
UNITS = {"wall": ("wall s", 1, "{:.2f}"), "cpu": ("CPU s", 1, "{:.2f}"), "memory": ("memory MiB", MIB, "{:,.0f}")}


@dataclass(frozen=True)
class Round:
    """What both took, one after the other: seconds and bytes by the names of `UNITS`."""

    pandas: dict[str, float]
    ours: dict[str, float]


def render(*, quick: bool) -> str:
    """Return the table: medians, and median (least..greatest) of the ratios."""
    case = replace(CASE, n_samples=20_000, rounds=1) if quick else CASE
    with tempfile.TemporaryDirectory() as folder:
        path = case.write(Path(folder))
        rounds = [_round(path, ours_first=number % 2 == 1) for number in range(case.rounds)]
        size = path.stat().st_size
    print(f"all numbers: {results.keep('reading', rounds)}", file=sys.stderr)
    header = (f"{size / MIB:,.0f} MiB", "pandas", "ours", "ours / pandas")
    shape = f"{case.n_samples:,} x {case.n_features}"
    return (
        f"### Reading a table: {shape}, {case.rounds} rounds\n\n{table(header, (_row(rounds, each) for each in UNITS))}"
    )


def _round(path: Path, *, ours_first: bool) -> Round:
    """Read the file by both, in turns the one and the other first."""
    early = _taken("mljobs", path) if ours_first else None
    pandas = _taken("pandas", path)
    return Round(pandas, early or _taken("mljobs", path))


def _taken(reader: str, path: Path) -> dict[str, float]:
    """Read the file once."""
    print(f"reading by {reader}", file=sys.stderr)
    return measuring.run([Path(__file__).parent / "programs" / "read.py", reader, path]).output


def _row(rounds: Sequence[Round], name: str) -> tuple[str, ...]:
    """Return the cells of one measure."""
    title, factor, unit = UNITS[name]
    sides = (
        median(side[name] / factor for side in sides)
        for sides in zip(*((r.pandas, r.ours) for r in rounds), strict=True)
    )
    ratios = [each.ours[name] / each.pandas[name] for each in rounds]
    return (title, *map(unit.format, sides), f"{median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})")


if __name__ == "__main__":
    print(render(quick="--quick" in sys.argv))
