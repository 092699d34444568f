"""Arrays of an NPZ, mapped from disk: nothing is unpickled, and no declared size is believed unchecked."""

import math
import mmap
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from jobs.datasets.source import check_input
from jobs.errors import DataError, FitError, NoInputError, OutputError

BLOCK = 1 << 20
LARGE = 256 << 20
MOST_RATIO = 500
"""Compression of a large member that no honest images reach (deflate itself ends at 1,032)."""

LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Beginning of a zip member: signature, length of its name and of its extra field; then both, then the data."""

REQUIRED = ("images", "labels")
"""The arrays that each NPZ has."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1

BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    struct.error,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)
"""What zipfile raises for files that are no whole zip."""


@dataclass(frozen=True)
class _Header:
    """What the beginning of an `.npy` member says."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    size: int


class Npz:
    """An open NPZ; use it as `with open_npz(path) as npz`.

    Parameters
    ----------
    path : for messages.
    archive : the open zip.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self.archive = archive

    @property
    def names(self) -> list[str]:
        """The names of all arrays."""
        return [each.removesuffix(".npy") for each in self.archive.namelist()]

    def array(self, name: str, scratch: Path) -> np.ndarray:
        """Return an array as a read-only map of the file itself, or of an unlinked copy if it is compressed.

        Parameters
        ----------
        name : of the array.
        scratch : folder in which a compressed array is unpacked.

        Raises
        ------
        DataError
            When it is absent, broken, holds objects, or its sizes do not agree.
        FitError
            When its unpacked size is more than what is free in `scratch`.
        OutputError
            When `scratch` can't be written.
        """
        member = self._member(name)
        header = self._header(name, member)
        stored = member.compress_type == zipfile.ZIP_STORED
        memory, start = self._map_in_place(name, member) if stored else self._unpack(name, member, scratch)
        order: Any = "F" if header.fortran_order else "C"
        with _whole(self.path):
            return np.ndarray(header.shape, header.dtype, memory, start + header.size, order=order)

    def _member(self, name: str) -> zipfile.ZipInfo:
        """Return the zip member of an array, if it can be read and its sizes may be true."""
        try:
            member = self.archive.getinfo(f"{name}.npy")
        except KeyError:
            names = ", ".join(map(repr, self.names[:10])) or "nothing"
            expected = "'images' and 'labels'" if name in REQUIRED else "it as named by --split-key"
            raise DataError(f"{self.path} has no array {name!r}; expected {expected}, found {names}") from None
        if member.flag_bits & ENCRYPTED:
            raise DataError(f"{self.path}: {name!r} is encrypted; save it with numpy.savez, without a password")
        if member.compress_type not in METHODS:
            raise DataError(
                f"{self.path}: {name!r} has compression method {member.compress_type}; expected 0 (stored) or 8 "
                "(deflate), as numpy.savez and numpy.savez_compressed write"
            )
        end = member.header_offset + LOCAL_HEADER.size + member.compress_size
        if member.header_offset < 0 or end > self.archive.start_dir:
            raise DataError(self._outside(name, member))
        if member.file_size > max(LARGE, MOST_RATIO * member.compress_size):
            raise DataError(
                f"{self.path}: {name!r} declares {member.file_size:,} bytes in {member.compress_size:,}; "
                f"expected a compression of at most {MOST_RATIO} to 1"
            )
        return member

    def _outside(self, name: str, member: zipfile.ZipInfo) -> str:
        """Return the sentence on a member that can't be where the zip says."""
        return f"{self.path}: {name!r} declares {member.compress_size:,} bytes that are not in the file; copy it again"

    def _header(self, name: str, member: zipfile.ZipInfo) -> _Header:
        """Read what an array declares; raise DataError for objects and for a size other than the member's."""
        with _whole(self.path), self.archive.open(member) as file:
            shape, fortran_order, dtype = _read_header(file)
            size = file.tell()
        if dtype.hasobject:
            raise DataError(
                f"{self.path}: {name!r} holds Python objects, which are never unpickled; "
                f"save it as numbers or text, for example {name}.astype(str)"
            )
        declared = size + math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or dtype.itemsize == 0 or declared != member.file_size:
            raise DataError(
                f"{self.path}: {name!r} declares shape {shape} of {dtype}, {declared:,} bytes with its header, "
                f"but has {member.file_size:,}; save it again"
            )
        return _Header(shape, fortran_order, dtype, size)

    def _map_in_place(self, name: str, member: zipfile.ZipInfo) -> tuple[mmap.mmap, int]:
        """Return the mapped NPZ and where the bytes of a stored member begin in it."""
        with self.path.open("rb") as file, _whole(self.path):
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            end_of_header = member.header_offset + LOCAL_HEADER.size
            signature, *lengths = LOCAL_HEADER.unpack(memory[member.header_offset : end_of_header])
            start = end_of_header + sum(lengths)
            inside = member.compress_size == member.file_size and start + member.file_size <= self.archive.start_dir
            if signature != b"PK\x03\x04" or not inside:
                raise DataError(self._outside(name, member))
            if _checksum(file, start, member.file_size) != member.CRC:
                raise DataError(f"{self.path}: {name!r} is damaged (its checksum differs); copy the file again")
        return memory, start

    def _unpack(self, name: str, member: zipfile.ZipInfo, scratch: Path) -> tuple[mmap.mmap, int]:
        """Return a compressed member, unpacked into a file without a name, which ends with the map."""
        try:
            free = shutil.disk_usage(scratch).free
            if member.file_size > free:
                raise FitError(
                    f"{self.path}: {name!r} unpacks to {member.file_size:,} bytes, but {free:,} are free in {scratch}; "
                    "make room, or save it uncompressed with numpy.savez"
                )
            with tempfile.TemporaryFile(dir=scratch) as file:
                with _whole(self.path), self.archive.open(member) as packed:
                    while block := packed.read(BLOCK):
                        file.write(block)
                file.flush()
                if file.tell() != member.file_size:
                    raise DataError(f"{self.path}: {name!r} ends after {file.tell():,} of {member.file_size:,} bytes")
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), 0
        except OSError as error:
            raise OutputError(f"{scratch} can't take the unpacked {name!r}: {error.strerror or error}") from None


@contextmanager
def open_npz(path: Path) -> Iterator[Npz]:
    """Open an NPZ.

    Raises
    ------
    DataError
        When it is no zip, or a broken one.
    NoInputError
        When it is missing or unreadable.
    """
    check_input(path)
    try:
        with _whole(path):
            archive = zipfile.ZipFile(path)
    except OSError as error:
        raise NoInputError(f"{path} can't be read: {error.strerror or error}") from None
    with archive:
        yield Npz(path, archive)


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Turn what a broken zip raises into DataError."""
    try:
        yield
    except BROKEN as error:
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{path} is no whole NPZ ({reason}); expected a file of numpy.savez, copied to its end"
        ) from None


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an `.npy`; raise ValueError if it is none."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"format {version} of .npy is for records, not for arrays of numbers")
    return readers[version](file)


def _checksum(file: IO[bytes], start: int, size: int) -> int:
    """Return the CRC-32 of a part of a file; not of its map, whose pages would count as this process's memory."""
    crc = 0
    file.seek(start)
    for position in range(0, size, BLOCK):
        crc = zlib.crc32(file.read(min(BLOCK, size - position)), crc)
    return crc


def release(array: np.ndarray) -> None:
    """Let the system count the pages of a map no longer as this process's memory; they stay in its cache of the file.

    Parameters
    ----------
    array : of `Npz.array`, or a view of it; nothing happens to others.
    """
    if (memory := _map_below(array)) is not None:
        memory.madvise(mmap.MADV_DONTNEED)


def prefetch(array: np.ndarray, rows: np.ndarray) -> None:
    """Have the system read rows that lie apart into its cache of the file, all at once and nothing else.

    By itself it reads 128 KiB for each that it has not, one after the other: 750 us an image of 3 KiB, against 19 to 52.

    Parameters
    ----------
    array : of `Npz.array`, or a view of it; nothing happens to others, nor to one whose rows are not whole in the file.
    rows : shape (n,), int64.
    """
    memory = _map_below(array)
    if memory is None or not array.flags.c_contiguous:
        return
    first = array.ctypes.data - np.frombuffer(memory, np.uint8).ctypes.data
    size = array.nbytes // len(array)
    for start in (first + rows * size).tolist():
        page = start - start % mmap.PAGESIZE
        memory.madvise(mmap.MADV_WILLNEED, page, start + size - page)


def _map_below(array: np.ndarray) -> mmap.mmap | None:
    """Return the map that an array is a view of, if it is one."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return owner if isinstance(owner, mmap.mmap) else None
