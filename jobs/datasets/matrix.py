"""Rows of numbers that are collected one block after the other."""

import mmap

import numpy as np

MORE = 1.05
"""Times as many rows as are expected have room at once: memory that is never written to is never taken."""


class Matrix:
    """A matrix that grows at its end without ever being copied.

    Its memory comes page by page, as it is written. NumPy's own would be filled with zeros first where it grows, or be
    of huge pages, which the system has to clear: either takes a twentieth of the time in which a table is read.

    Parameters
    ----------
    n_columns : of all rows.
    n_expected : rows for which there is room at first.
    """

    def __init__(self, n_columns: int, n_expected: int) -> None:
        self.n_rows = 0
        self._n_columns = n_columns
        self._memory = mmap.mmap(-1, self._size(n_expected), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    @property
    def rows(self) -> np.ndarray:
        """All rows; shape (n_rows, n_columns), float32. None must be left of these when rows are added."""
        count = self.n_rows * self._n_columns
        return np.frombuffer(self._memory, np.float32, count).reshape(self.n_rows, self._n_columns)

    def add(self, n_rows: int) -> np.ndarray:
        """Return room for more rows, to be filled; shape (n_rows, n_columns), float32."""
        self.n_rows += n_rows
        if self._size(self.n_rows, more=1) > len(self._memory):
            self._memory.resize(self._size(self.n_rows))
        return self.rows[self.n_rows - n_rows :]

    def _size(self, n_rows: int, more: float = MORE) -> int:
        """Return the bytes of some rows; at least the one that a mapping must have."""
        return max(1, int(n_rows * more) * self._n_columns * np.dtype(np.float32).itemsize)
