"""The columns of a table, collected block by block without mixing types."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jobs.datasets.matrix import Matrix
from jobs.errors import DataError

TEXT_DTYPE = pd.StringDtype("python", na_value=np.nan)
"""pandas' `str`, with Python strings inside whether or not pyarrow is installed; NaN is missing."""

EXACT = 2**53
"""Integers up to here are the same in int64 and in float64."""


class Kind(IntEnum):
    """What the values of a column are so far."""

    MISSING = 0
    BOOL = 1
    INT = 2
    WIDE = 3
    """Integers beyond `EXACT`: rounded to float32 at once they may differ from those rounded to float64 before."""
    FLOAT = 4
    TEXT = 5


def join(one: Kind, other: Kind) -> Kind:
    """Return the kind that a column of both has when it is read at once."""
    low, high = sorted((one, other))
    if low == high or (low is Kind.MISSING and high is not Kind.WIDE):
        return high
    if low is Kind.BOOL or high is Kind.TEXT:
        return Kind.TEXT
    return Kind.WIDE if (low, high) == (Kind.INT, Kind.WIDE) else Kind.FLOAT


Groups = list[tuple[str, np.ndarray, np.ndarray]]
"""NumPy's letter of a kind of dtype, which columns (positions) have it, and their values (n_positions, n_rows)."""


def by_dtype(block: pd.DataFrame, names: Sequence[str]) -> Groups:
    """Return columns of a block in few arrays, fractions as float32: what is done for each of thousands takes long."""
    found = {name: column.to_numpy() for name, column in block.items()}
    arrays = [found[name] for name in names]
    codes = np.array([each.dtype.kind for each in arrays])
    groups = []
    with np.errstate(over="ignore"):
        for code in map(str, np.unique(codes)):
            positions = np.flatnonzero(codes == code)
            values = np.array([arrays[each] for each in positions], dtype=np.float32 if code == "f" else None)
            groups.append((code, positions, values))
    return groups


def kinds_of(groups: Groups) -> list[Kind]:
    """Return the kind of each column of a block as pandas inferred it."""
    kinds = np.empty(sum(len(positions) for _, positions, _ in groups), dtype=object)
    for code, positions, values in groups:
        if code == "b":
            kinds[positions] = Kind.BOOL
        elif code == "f":
            kinds[positions] = np.where(np.isnan(values).all(axis=1), Kind.MISSING, Kind.FLOAT)
        elif code in "iu":
            wide = (values > EXACT).any(axis=1) | (values < -EXACT).any(axis=1)
            kinds[positions] = np.where(wide, Kind.WIDE, Kind.INT)
        else:
            kinds[positions] = [_kind_of_objects(column) for column in values]
    return [Kind(each) for each in kinds]


def _kind_of_objects(column: np.ndarray) -> Kind:
    """Return the kind of what has no dtype of its own: text, booleans with gaps, integers that no 64 bits hold."""
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    return {"boolean": Kind.BOOL, "integer": Kind.FLOAT, "empty": Kind.MISSING}.get(inferred, Kind.TEXT)


class TextColumn:
    """A column of text as codes into its distinct values."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}
        self._codes: list[np.ndarray] = []

    def add(self, block: pd.Series) -> None:
        """Append a block of str and NaN."""
        codes, uniques = pd.factorize(block.to_numpy(dtype=object))
        own = [self.texts.setdefault(each, len(self.texts)) for each in uniques]
        self._codes.append(np.array([*own, -1], dtype=np.int32)[codes])

    def first_odd(self, numeric: Callable[[str], bool], likely: Callable[[str], bool]) -> tuple[int, str] | None:
        """Return position and text of the first value that is not `numeric`, if most of the values are `likely` to be."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts)).tolist()
        allowed = sum(counts) / 2
        for text, count in zip(self.texts, counts, strict=True):
            allowed -= 0 if likely(text) else count
            if allowed <= 0:
                return None
        # Codes are given in the order of the rows.
        odd = next(((code, text) for text, code in self.texts.items() if not numeric(text)), None)
        return odd and (int(np.argmax(self.codes == odd[0])), odd[1])

    @property
    def codes(self) -> np.ndarray:
        """Position of each row's text in `texts`, -1 for missing; shape (n,), int32."""
        self._codes = [np.concatenate(self._codes)]
        return self._codes[0]

    def to_series(self) -> pd.Series:
        """Return the texts; equal ones share their memory."""
        return pd.Series(self.to_numpy(), dtype=TEXT_DTYPE)

    def to_numpy(self) -> np.ndarray:
        """Return the texts likewise, and NaN for missing; shape (n,), object."""
        rows: np.ndarray = np.array([*self.texts, np.nan], dtype=object)[self.codes]
        return rows


class Columns:
    """The feature columns of one pass over a file.

    Parameters
    ----------
    path : for error messages.
    names : the columns in the order of the result.
    text : those that are read as text from the start.
    fixed : all others must be numbers; else a column that turns out to be text makes the pass `stale`.
    n_expected : rows, about.
    """

    def __init__(self, path: Path, names: Iterable[str], *, text: Iterable[str], fixed: bool, n_expected: int) -> None:
        self.path, self.names, self.fixed = path, list(names), fixed
        self.kinds = dict.fromkeys(self.names, Kind.MISSING) | dict.fromkeys(text, Kind.TEXT)
        self.text = {name: TextColumn() for name in self.names if self.kinds[name] is Kind.TEXT}
        self.numeric = [name for name in self.names if name not in self.text]
        self._matrix = Matrix(len(self.numeric), n_expected)
        self.n_rows = 0
        self.stale = False
        """What was kept is of the wrong kind: only `kinds` is still being learnt, for a second pass."""

    @property
    def matrix(self) -> np.ndarray:
        """The numbers, a column for each of `numeric`; shape (n_rows, n_numeric), float32. To be had when all rows are there."""
        return self._matrix.rows

    def add(self, block: pd.DataFrame) -> None:
        """Take over a block; raise DataError for text in a numeric column, infinite and too large values."""
        groups = by_dtype(block, self.numeric)
        self._learn(block, groups)
        if not self.stale:
            self._keep(block, groups)
        self.n_rows += len(block)

    def to_frame(self) -> pd.DataFrame:
        """Return all columns; a table of numbers shares the matrix, so that scikit-learn need not copy it."""
        if not self.text:
            return pd.DataFrame(self.matrix, columns=pd.Index(self.numeric), copy=False)
        numbers = dict(zip(self.numeric, self.matrix.T, strict=True))
        columns = {n: self.text[n].to_series() if n in self.text else pd.Series(numbers[n]) for n in self.names}
        return pd.DataFrame(columns, copy=False)

    def is_missing(self, name: str) -> bool:
        """Tell whether a column holds no value at all."""
        return not self.text[name].texts if name in self.text else self.kinds[name] is Kind.MISSING

    def are_constant(self) -> bool:
        """Tell whether each column has the same value in all rows."""
        texts = (column.codes for column in self.text.values())
        return all((values == values[0]).all() for values in (*texts, *self.matrix.T))

    def _learn(self, block: pd.DataFrame, groups: Groups) -> None:
        """Join the block's kinds to those known."""
        for name, found in zip(self.numeric, kinds_of(groups), strict=True):
            known = self.kinds[name]
            if known is found:
                continue
            joined = self.kinds[name] = join(known, found)
            if joined is Kind.TEXT and self.fixed:
                self._refuse_text(block[name], known)
            self.stale |= joined is Kind.TEXT or (joined is Kind.FLOAT and Kind.WIDE in (known, found))

    def _refuse_text(self, column: pd.Series, known: Kind) -> None:
        """Raise DataError for the first value that is no number."""
        values = column.astype(object)
        fits = (
            values.astype(str).str.lower().isin(("true", "false"))
            if known is Kind.BOOL
            else pd.to_numeric(values, errors="coerce").notna()
        )
        position = int(np.argmax((column.notna() & ~fits).to_numpy()))
        wanted = "true or false as before" if known is Kind.BOOL else "a number"
        raise DataError(
            f"{self.path}, column {column.name!r}, data row {self.n_rows + position + 1}: expected {wanted}, found "
            f"{str(column.iloc[position])!r}; the model was trained on numbers there (a missing value is left empty)"
        )

    def _keep(self, block: pd.DataFrame, groups: Groups) -> None:
        """Append the block's values."""
        for name, column in self.text.items():
            column.add(block[name])
        rows = self._matrix.add(len(block))
        with np.errstate(over="ignore"):
            for code, positions, values in groups:
                rows[:, positions] = (values.astype(np.float64) if code == "O" else values).T
        infinite = np.isinf(rows)
        if infinite.any():
            row, position = np.argwhere(infinite)[0]
            self._refuse_infinite(row, self.numeric[position], block)

    def _refuse_infinite(self, row: int, name: str, block: pd.DataFrame) -> None:
        """Raise DataError for a value that float32 does not hold."""
        value = float(block[name].iloc[row])
        found = f"{value:g}" + ("" if np.isinf(value) else ", beyond the range of 32-bit floats")
        raise DataError(
            f"{self.path}, column {name!r}, data row {self.n_rows + row + 1}: expected a number of at most 3.4e38, "
            f"found {found}; leave the value empty if it is not known"
        )


def dtypes(kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """Return what pandas has to be told so that a block can't be read as another kind."""
    told = {Kind.TEXT: object, Kind.FLOAT: np.float64}
    return {name: told[kind] for name, kind in kinds.items() if kind in told}
