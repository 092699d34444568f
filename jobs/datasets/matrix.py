"""Rows of numbers that are collected one block after the other."""

import mmap

import numpy as np

MORE = 1.05
"""Times as many rows as are needed have room: memory that is never written to is never taken."""


class Matrix:
    """A matrix that grows at its end without being copied.

    Its memory comes page by page, as it is written. NumPy's own would be filled with zeros where it grows, or be of huge
    pages, which the system has to clear first: either costs more than a twentieth of the time in which a table is read.

    Parameters
    ----------
    n_columns : of all rows.
    n_expected : rows for which there is room at first.

    Raises
    ------
    MemoryError
        When the system has no room for so many, here or in `add`.
    """

    def __init__(self, n_columns: int, n_expected: int) -> None:
        self.n_rows = 0
        self._n_columns = n_columns
        self._memory = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._make_room(n_expected)

    @property
    def rows(self) -> np.ndarray:
        """All rows; shape (n_rows, n_columns), float32. They keep the matrix from growing as long as they are referred to."""
        count = self.n_rows * self._n_columns
        return np.frombuffer(self._memory, np.float32, count).reshape(self.n_rows, self._n_columns)

    def add(self, n_rows: int) -> np.ndarray:
        """Return room for more rows, to be filled; shape (n_rows, n_columns), float32."""
        self.n_rows += n_rows
        if self._size(self.n_rows) > len(self._memory):
            self._make_room(self.n_rows)
        return self.rows[self.n_rows - n_rows :]

    def _make_room(self, n_rows: int) -> None:
        """Make room for some more than `n_rows`; what is there moves by its pages, not by its bytes."""
        try:
            self._memory.resize(max(mmap.PAGESIZE, self._size(int(n_rows * MORE))))
        except OSError:
            raise MemoryError(f"no room for {n_rows:,} rows of {self._n_columns:,} numbers") from None

    def _size(self, n_rows: int) -> int:
        """Return the bytes of some rows."""
        return n_rows * self._n_columns * np.dtype(np.float32).itemsize
