"""A data file as bytes or text: what the disk, gzip or the encoding refuse becomes one sentence."""

import gzip
import io
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from jobs.datasets import sha256_of
from jobs.errors import DataError, NoInputError

GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"

FOREIGN = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x89PNG": "a PNG image",
    b"\x93NUMPY": "a NumPy array",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"SQLite": "a SQLite database",
    b"%PDF": "a PDF document",
}
"""How files begin that are often taken for CSV."""


def check_input(path: Path) -> int:
    """Return the size in bytes of a regular, readable file.

    Raises
    ------
    NoInputError
        When it is missing, not a regular file, or unreadable.
    DataError
        When it is empty.
    """
    with _os_refusals(path):
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError
        if not stat.S_ISREG(status.st_mode):
            message = f"{path} is not a regular file; it is read more than once, so write it to disk first"
            raise NoInputError(message)
        path.open("rb").close()
    if status.st_size == 0:
        message = f"{path} is empty (0 bytes); was it written to the end?"
        raise DataError(message)
    return status.st_size


def digest(path: Path) -> str:
    """Return the hex sha256 of the bytes of a data file; raise as `check_input`."""
    check_input(path)
    with _os_refusals(path):
        return sha256_of(path)


@contextmanager
def _os_refusals(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into NoInputError."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        message = f"{path} does not exist; check the path, and in a container the volume"
        raise NoInputError(message) from None
    except IsADirectoryError:
        message = f"{path} is a directory; give the data file itself"
        raise NoInputError(message) from None
    except PermissionError:
        message = f"{path} may not be read by this user; check its permissions (the images run as a non-root user)"
        raise NoInputError(message) from None
    except OSError as error:
        message = f"{path} can't be read: {error.strerror or error}"
        raise NoInputError(message) from None


class CheckedText(io.TextIOWrapper):
    """UTF-8 text without a byte order mark; a NUL in it raises DataError."""

    def __init__(self, path: Path, raw: BinaryIO) -> None:
        super().__init__(_unpacked(path, raw), encoding="utf-8", newline="")
        self.path = path
        self.raw_file = raw

    def read(self, size: int | None = -1, /) -> str:
        """Return the next `size` characters."""
        text = super().read(size)
        if "\0" in text:
            raise DataError(f"{self.path} contains NUL bytes: {not_text(self.path)}")
        return text


def _unpacked(path: Path, raw: BinaryIO) -> Any:
    """Return the bytes of a plain or gzip file behind its byte order mark."""
    buffer: Any = io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 17) if _is_gzip(path, raw) else raw
    if buffer.peek(3).startswith(BOM):
        buffer.read(len(BOM))
    return buffer


def _is_gzip(path: Path, raw: BinaryIO) -> bool:
    """Tell by its first bytes; a file that is only called .gz raises DataError."""
    start = raw.peek(2)[:2]  # type: ignore[attr-defined]
    if start != GZIP and path.suffix.lower() == ".gz":
        message = f"{path} is called .gz, but is no gzip file (it starts with {start!r}); compress or rename it"
        raise DataError(message)
    return bool(start == GZIP)


@contextmanager
def open_text(path: Path) -> Iterator[CheckedText]:
    """Open a plain or gzip file as text; what breaks while it is read becomes DataError.

    Raises
    ------
    DataError
        For a broken gzip stream, bytes that are not UTF-8, and NULs.
    NoInputError
        When the disk fails.
    """
    with _refusals(path), path.open("rb") as raw, CheckedText(path, raw) as text:
        yield text


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a plain or gzip file as the unpacked bytes behind its byte order mark; raise as `open_text`, but check no text."""
    with _refusals(path), path.open("rb") as raw, _unpacked(path, raw) as file:
        yield file


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turn what breaks while a file is read into DataError and NoInputError."""
    with _os_refusals(path):
        try:
            yield
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            message = f"{path} is a broken gzip file ({error}); was it copied to the end? Compress it again"
            raise DataError(message) from None
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise DataError(f"{path} is not UTF-8 text (byte 0x{byte:02x}): {not_text(path)}") from None


def not_text(path: Path) -> str:
    """Return what a file that is no UTF-8 text may be, and what to do about it."""
    with path.open("rb") as file:
        start = file.read(8)
    for magic, name in FOREIGN.items():
        if start.startswith(magic):
            return f"it looks like {name}; export it as CSV in UTF-8"
    line = None if start.startswith(GZIP) else _first_bad_line(path)
    return f"{f'line {line} is the first; ' if line else ''}save it as CSV in UTF-8"


def _first_bad_line(path: Path) -> int | None:
    """Return the number of the first line that is not UTF-8 or has a NUL."""
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(1 << 20), b""), 1):
            try:
                if "\0" in line.decode():
                    return number
            except UnicodeDecodeError:
                return number
    return None


def unpacked_size(path: Path, head: int, consumed: int) -> int:
    """Return the bytes that a plain or gzip file unpacks to.

    A gzip file ends with its unpacked size modulo 4 GiB; which multiple to add is told by the ratio of its beginning.

    Parameters
    ----------
    head : bytes that came out of the beginning.
    consumed : bytes of the file that went in for them.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(2) != GZIP:
            return size
        file.seek(-4, io.SEEK_END)
        rest = int.from_bytes(file.read(4), "little")
    guess = size * head // max(1, consumed)
    return rest + max(0, round((guess - rest) / 2**32)) * 2**32
