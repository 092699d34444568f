"""Data files of several sizes, some of which change between starts, or break."""

from pathlib import Path
from random import Random

import numpy as np

SIZES = {"tiny": 40, "small": 300, "middle": 3_000, "large": 12_000}
"""Rows of each file."""

_BROKEN = ("a,b\n1,2\n", "", "x0,target\n1,one\nlots,two\n\x00", "target\n1\n")
_VERSIONS = 3


def write(folder: Path) -> None:
    """Write all files."""
    for name, n_rows in SIZES.items():
        _put(folder / f"{name}.csv", _table(n_rows, 0))
    _put(folder / "moving.csv", _table(SIZES["small"], 0))
    _put(folder / "broken.csv", _BROKEN[0])


def change(folder: Path, random: Random) -> str:
    """Give one of the files that change other content, one that it had before at times; return what was done."""
    if random.random() < 0.3:
        number = random.randrange(len(_BROKEN))
        _put(folder / "broken.csv", _BROKEN[number])
        return f"broken.csv: {number}"
    version = random.randrange(_VERSIONS)
    _put(folder / "moving.csv", _table(SIZES["small"], version))
    return f"moving.csv: {version}"


def _put(path: Path, text: str) -> None:
    """Write a file aside and rename it: a job reads the one or the other."""
    aside = path.with_suffix(".aside")
    aside.write_text(text)
    aside.replace(path)


def _table(n_rows: int, version: int) -> str:
    """Return a CSV of numbers that can be learnt, but not wholly."""
    random = np.random.default_rng([n_rows, version])
    X = random.normal(size=(n_rows, 5)).round(4)
    target = np.digitize(X[:, 0] + X[:, 1] + random.normal(scale=0.5, size=n_rows), [-0.5, 0.7])
    lines = (",".join(map(str, [*row, label])) for row, label in zip(X.tolist(), target.tolist(), strict=True))
    return "x0,x1,x2,x3,x4,target\n" + "\n".join(lines) + "\n"
