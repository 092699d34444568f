"""A CSV file in pieces of whole lines, each of which pandas can parse alone."""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from jobs.datasets.dialect import is_record

LONGEST_LINE = 16 << 20
"""Bytes in which a line must end where a piece begins or ends."""


class Piece:
    """Some lines below a header, as a file that pandas takes for one of text: it need not be decoded and encoded again.

    Parameters
    ----------
    above : the header, if it is not among the lines.
    lines : bytes of UTF-8 that come one after the other; the first of them are a line.
    is_whole : whether the last line ends.
    """

    def __init__(self, above: bytes, *lines: bytes, is_whole: bool) -> None:
        self._parts = lines
        self._is_whole = is_whole
        self._left = iter((above, *lines) if above else lines)

    def is_text(self) -> bool:
        """Tell whether these are whole lines of UTF-8 without a NUL."""
        if not self._is_whole or any(b"\0" in part for part in self._parts):
            return False
        if all(part.isascii() for part in self._parts):
            return True
        try:
            b"".join(self._parts).decode()
        except UnicodeDecodeError:
            return False
        return True

    def has_blanks(self) -> bool:
        """Tell whether there is a blank."""
        return any(b" " in part for part in self._parts)

    def count_fields(self, separator: str) -> int:
        """Count the fields of the first row; raise csv.Error."""
        first = self._parts[0]
        text = first if first.strip() and b'"' not in first else b"".join(self._parts)
        records = csv.reader((line.decode() for line in io.BytesIO(text)), delimiter=separator, skipinitialspace=True)
        return next((len(each) for each in records if is_record(each)), 0)

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002 - pandas takes more than it asked for
        """Return the next part; nothing at the end."""
        return next(self._left, b"")

    def __iter__(self) -> Iterator[bytes]:
        """Say that this is a file."""
        return self._left


def pieces(file: BinaryIO, header: bytes, size: int) -> Iterator[Piece]:
    """Yield pieces of about `size` bytes; the first has the file's own header, the others `header`.

    The last one is not whole if a line is too long to be cut behind it.
    """
    above = b""
    while first := file.readline(LONGEST_LINE):
        lines = first, file.read(size), file.readline(LONGEST_LINE)
        is_whole = max(map(len, lines[::2])) < LONGEST_LINE
        yield Piece(above, *lines, is_whole=is_whole)
        if not is_whole:
            return
        above = header
