"""Rows of numbers that are collected one block after the other."""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

MORE = 1.05
"""Times as many rows as are needed have room: memory that is never written to is never taken."""


class Matrix:
    """A matrix that grows at its end, without being copied where the system can move its pages (Linux).

    Its memory comes as it is written, by small pages unless the system gives huge ones to all. NumPy's own would be filled
    with zeros where it grows, or be of huge pages that the system has to clear first: either costs more than a twentieth of
    the time in which a table is read.

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
        with self._refusal(n_expected):
            self._memory = _map(self._size(int(n_expected * MORE)))

    @property
    def rows(self) -> np.ndarray:
        """All rows; shape (n_rows, n_columns), float32. They keep the matrix from growing as long as they are referred to."""
        count = self.n_rows * self._n_columns
        return np.frombuffer(self._memory, np.float32, count).reshape(self.n_rows, self._n_columns)

    def add(self, n_rows: int) -> np.ndarray:
        """Return room for more rows, to be filled; shape (n_rows, n_columns), float32."""
        self.n_rows += n_rows
        if self._size(self.n_rows) > len(self._memory):
            with self._refusal(self.n_rows):
                self._memory = _resized(self._memory, self._size(int(self.n_rows * MORE)))
        return self.rows[self.n_rows - n_rows :]

    def _size(self, n_rows: int) -> int:
        """Return the bytes of some rows."""
        return n_rows * self._n_columns * np.dtype(np.float32).itemsize

    @contextmanager
    def _refusal(self, n_rows: int) -> Iterator[None]:
        """Turn the system's refusal into a MemoryError."""
        try:
            yield
        except OSError:
            raise MemoryError(f"no room for {n_rows:,} rows of {self._n_columns:,} numbers") from None


def _map(size: int) -> mmap.mmap:
    """Return memory of its own; no mapping is empty."""
    return mmap.mmap(-1, max(mmap.PAGESIZE, size), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _resized(memory: mmap.mmap, size: int) -> mmap.mmap:
    """Return a larger one with the same content."""
    try:
        memory.resize(size)
    except SystemError:  # what Python raises where the system has no mremap, as on macOS
        larger = _map(size)
        larger[: len(memory)] = memoryview(memory)
        return larger
    return memory
