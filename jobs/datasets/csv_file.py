"""A CSV file in blocks of rows, parsed by pandas."""

import csv
import re
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jobs import resources
from jobs.datasets.ahead import ahead
from jobs.datasets.columns import Kind, dtypes
from jobs.datasets.dialect import Dialect
from jobs.datasets.pieces import Piece, pieces
from jobs.datasets.source import open_bytes, open_text
from jobs.errors import DataError

BLOCK_CELLS = 500_000
"""Cells that are parsed at a time where rows have to be counted: about 20 MB."""

LEAST_BLOCK_ROWS = 1_000
"""Rows that are parsed at a time in wide tables, where each block costs some microseconds a column."""

PIECE_BYTES = 6 << 20
"""Bytes that a thread parses at a time: each piece costs some milliseconds, and meets the values of a text anew."""

COLUMN_BYTES = 10_000
"""Bytes of each column, likewise: in wide tables more of them, where each piece costs some microseconds a column."""

MOST_BYTES = 24 << 20
"""Bytes that a thread parses at a time, at most: several pieces are in memory at once, as text and as numbers."""

MOST_THREADS = 4
"""Threads that parse: more would wait for the one that takes what they made."""

KEPT_BYTES = 31 << 20
"""Size of the largest block that malloc keeps from one piece for the next: glibc's own limit, but for a megabyte."""


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

    def head(self, kinds: dict[str, Kind], n_rows: int) -> pd.DataFrame | None:
        """Return the first rows as `blocks` would; None if there are none."""
        with closing(self._in_rows(kinds, n_rows)) as blocks:
            return next(blocks, None)

    def blocks(self, kinds: dict[str, Kind]) -> Generator[pd.DataFrame, None, None]:
        """Yield some rows at a time; labels and groups as text, columns of known kinds as such.

        Threads parse pieces of the file that are cut at line ends. A piece that ends inside quotes, or is broken, stops
        that: from there on the file is parsed row by row, which tells what is wrong, and in which line.
        """
        done = 0
        with closing(self._in_pieces(kinds)) as blocks:
            for block in blocks:
                # A first piece without a row may be without the header too.
                if block is None or not (done or len(block)):
                    break
                block.index = pd.RangeIndex(done, done + len(block))
                self._check_trailing(block)
                done += len(block)
                yield block
            else:
                return
        yield from self._from_row(done, kinds)

    @property
    def parsing_bytes(self) -> int:
        """About how much memory `blocks` takes at once: pieces as text and as columns, and one that was handed out."""
        return 2 * (_threads() + 1) * min(self._piece_bytes, self.path.stat().st_size)

    @property
    def _piece_bytes(self) -> int:
        """How many bytes are parsed at a time."""
        return min(MOST_BYTES, max(PIECE_BYTES, COLUMN_BYTES * len(self.dialect.names)))

    def _in_pieces(self, kinds: dict[str, Kind]) -> Generator[pd.DataFrame | None, None, None]:
        """Yield the rows of each piece; None for one that can't be parsed alone."""

        def parse(piece: Piece) -> pd.DataFrame | None:
            return self._parse_piece(piece, kinds)

        size = self._piece_bytes
        header = self.dialect.separator.join(map(str, range(len(self.dialect.names)))).encode() + b"\n"
        threads = _threads()
        # To give back what a piece took and to ask for it again costs a tenth of the time. The C library (glibc) does so
        # only beyond the largest block that was ever freed: mallopt(3), M_MMAP_THRESHOLD.
        np.empty(KEPT_BYTES, np.uint8)
        with open_bytes(self.path) as file, closing(ahead(parse, pieces(file, header, size), threads)) as blocks:
            yield from blocks
        resources.trim_memory()

    def _parse_piece(self, piece: Piece, kinds: dict[str, Kind]) -> pd.DataFrame | None:
        """Return the rows of a piece; None if it can't be parsed alone."""
        try:
            # Fields beyond those of the header in the first row would be taken for the names of rows.
            if not piece.is_text() or piece.count_fields(self.dialect.separator) > len(self.dialect.names):
                return None
            # Only where there are blanks: looking for them takes the parser a tenth of its time.
            block = pd.read_csv(piece, skipinitialspace=piece.has_blanks(), **self._options(kinds))  # type: ignore[call-overload]
            return self._named(block)
        except (csv.Error, pd.errors.ParserError, pd.errors.EmptyDataError):
            return None

    def _from_row(self, first: int, kinds: dict[str, Kind]) -> Generator[pd.DataFrame, None, None]:
        """Yield the rows from the one at `first` on."""
        n_rows = max(LEAST_BLOCK_ROWS, BLOCK_CELLS // len(self.dialect.names))
        for block in self._in_rows(kinds, n_rows):
            if block.index[-1] >= first:
                yield block.iloc[max(0, first - block.index[0]) :]

    def _in_rows(self, kinds: dict[str, Kind], n_rows: int) -> Generator[pd.DataFrame, None, None]:
        """Yield `n_rows` at a time; raise DataError with the line of what can't be parsed."""
        with open_text(self.path) as text:
            try:
                # `a, b, ?` is written by many hands; without it the blank is part of the value.
                with pd.read_csv(text, skipinitialspace=True, chunksize=n_rows, **self._options(kinds)) as reader:
                    for block in map(self._named, reader):
                        self._check_trailing(block)
                        yield block
            except pd.errors.ParserError as error:
                raise DataError(self._explain(str(error))) from None

    def _options(self, kinds: dict[str, Kind]) -> dict[str, Any]:
        """Return what pandas' default parser is told; columns go by position: names cost a millisecond a piece."""
        told = dtypes(kinds | dict.fromkeys(self._as_text, Kind.TEXT))
        return {
            "sep": self.dialect.separator,
            "decimal": self.dialect.decimal,
            "names": range(len(self.dialect.names)),
            "header": 0,
            "na_values": ["?"],
            "dtype": {position: told[name] for position, name in enumerate(self.dialect.names) if name in told},
            # Each block is inferred as a whole: else pandas mixes types inside a column.
            "low_memory": False,
        }

    @property
    def _as_text(self) -> list[str]:
        """The columns that are no features; they are taken as they stand in the file."""
        return [self.target, self.split_key] if self.split_key is not None and self.has_groups else [self.target]

    def _named(self, block: pd.DataFrame) -> pd.DataFrame:
        """Give the columns of a block their names."""
        block.columns = self._names
        return block

    @cached_property
    def _names(self) -> pd.Index:
        """The names as an index that is made once for all blocks."""
        return pd.Index(self.dialect.names, dtype=object)

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


def _threads() -> int:
    """Return how many threads parse."""
    return min(MOST_THREADS, resources.cpu_count())
