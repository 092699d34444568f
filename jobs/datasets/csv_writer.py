"""A table as a CSV that is read back to the last bit."""

from pathlib import Path

import numpy as np

from jobs.datasets import Dataset

BLOCK_CELLS = 500_000
"""Cells that are written at a time."""


def write_csv(dataset: Dataset, path: Path) -> None:
    """Write features and labels, with commas, so that `read_csv` with the dataset's schema gives back equal ones.

    Numbers have nine digits, which tell any two of 32 bits apart, by so much that a parser may be wrong in the last digit
    of 64 bits, as pandas' is. Text is quoted: blanks, commas and line ends at its ends and inside are part of it.
    """
    X, target = dataset.X, dataset.schema["target"]
    step = max(1, BLOCK_CELLS // (X.shape[1] + 1))
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join([*map(_quote, X.columns), _quote(target)]) + "\n")
        for start in range(0, len(X), step):
            block = X.iloc[start : start + step]
            columns = [_texts(block.iloc[:, position].to_numpy()) for position in range(X.shape[1])]
            columns.append(_texts(dataset.y[start : start + step]))
            file.writelines(map("{}\n".format, map(",".join, zip(*columns, strict=True))))


def _texts(values: np.ndarray) -> list[str]:
    """Return values as they stand in the file."""
    if values.dtype.kind == "f":
        return _numbers(values)
    if values.dtype.kind in "bi":
        return [str(each) for each in values.tolist()]
    return ["" if each != each else _quote(each) for each in values.tolist()]  # noqa: PLR0124 - NaN is missing


def _numbers(values: np.ndarray) -> list[str]:
    """Return float32 as text; missing values are empty."""
    texts = [f"{each:.9g}" for each in values.tolist()]
    for position in np.flatnonzero(np.isnan(values)):
        texts[position] = ""
    for position in np.flatnonzero((values == 0) & np.signbit(values)):
        texts[position] = "-0.0"  # As `-0` it would be an integer, which has no sign.
    return texts


def _quote(text: str) -> str:
    """Return text between quotes."""
    return '"' + text.replace('"', '""') + '"'
