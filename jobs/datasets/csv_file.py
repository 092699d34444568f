"""A CSV file in blocks of rows, parsed by pandas."""

import re
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from jobs.datasets.columns import Kind, dtypes
from jobs.datasets.dialect import Dialect
from jobs.datasets.source import open_text
from jobs.errors import DataError


@dataclass(frozen=True)
class CsvFile:
    """A CSV file of a known dialect.

    Parameters
    ----------
    path : of the file.
    dialect : how it is written.
    target : name of the column of labels.
    split_key : name of a column that is no feature, if the file has it; or None.
    """

    path: Path
    dialect: Dialect
    target: str
    split_key: str | None = None

    @property
    def features(self) -> list[str]:
        """All columns but the target, the split key, and what is but a separator at the end of each line."""
        return [name for name in self.dialect.names if name not in (self.target, self.split_key, self.dialect.trailing)]

    @property
    def has_groups(self) -> bool:
        """Whether there is a column of the split key."""
        return self.split_key in self.dialect.names

    def blocks(self, kinds: dict[str, Kind], n_rows: int) -> Generator[pd.DataFrame, None, None]:
        """Yield `n_rows` at a time; labels and groups as text, columns of known kinds as such."""
        with open_text(self.path) as text:
            try:
                yield from self._parse(text, kinds, n_rows)
            except pd.errors.ParserError as error:
                raise DataError(self._explain(str(error))) from None

    def _parse(self, text: Iterable[str], kinds: dict[str, Kind], n_rows: int) -> Generator[pd.DataFrame, None, None]:
        """Yield what pandas' default parser makes of the text."""
        reader = pd.read_csv(
            text,  # type: ignore[call-overload]
            sep=self.dialect.separator,
            decimal=self.dialect.decimal,
            names=list(self.dialect.names),
            header=0,
            na_values=["?"],
            # `a, b, ?` is written by many hands; without it the blank is part of the value.
            skipinitialspace=True,
            dtype=dtypes(kinds | dict.fromkeys(self._as_text, Kind.TEXT)),
            chunksize=n_rows,
            # Each block is inferred as a whole: else pandas mixes types inside a column.
            low_memory=False,
        )
        with closing(reader):
            for block in reader:
                self._check_trailing(block)
                yield block

    @property
    def _as_text(self) -> list[str]:
        """The columns that are no features; they are taken as they stand in the file."""
        return [self.target, self.split_key] if self.split_key is not None and self.has_groups else [self.target]

    def _check_trailing(self, block: pd.DataFrame) -> None:
        """Raise DataError for a value in the column that seemed to be nothing but a separator."""
        if self.dialect.trailing is None:
            return
        given = block[self.dialect.trailing].dropna()
        if len(given):
            raise DataError(
                f"{self.path}, data row {given.index[0] + 1}: expected nothing behind the last separator, found "
                f"{str(given.iloc[0])!r}; name the last column, or remove the value"
            )

    def _explain(self, message: str) -> str:
        """Return pandas' refusal as a sentence."""
        if found := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message):
            n_columns, line, n_fields = found.groups()
            return (
                f"{self.path}, line {line}: expected {n_columns} fields as in the header, found {n_fields}; "
                f"quote values that contain {self.dialect.separator!r}"
            )
        if found := re.search(r"EOF inside string starting at row (\d+)", message):
            return f"{self.path}, data row {found[1]}: a quote is opened and never closed; close or double it"
        return f"{self.path} can't be parsed as CSV: {message.strip()}"
