"""The run directory: what is in it is whole, because it is written aside and renamed."""

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jobs.datasets import sha256_of
from jobs.errors import OutputError


@dataclass(frozen=True)
class Artifact:
    """A finished file or folder of a run directory: its path in it, hex sha256 and size in bytes."""

    path: str
    sha256: str
    size: int


_NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z-(.+)-[0-9a-f]{6}")
_RESERVE = 1 << 16

UNDECIDED = "undecided"
"""Folder of a run directory with what a decision about the model waits for; gone when that is made."""

AGAIN = ".reproduce-"
"""How the name of a folder begins in which a run is trained again, aside."""


class RunDirectory:
    """The folder of one run; `scratch` in it is the place for what is not finished.

    It holds some bytes of the disk in reserve, so that the end of a run can be written on one that is full.

    Raises
    ------
    OutputError
        Wherever the folder can't be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scratch = path / ".unfinished"
        self._reserve = path / ".reserve"

    @classmethod
    def create(cls, runs_dir: Path, name: str) -> "RunDirectory":
        """Make a new one, named by time, `name` and a random end, so that names sort and never meet."""
        now = datetime.now(UTC)
        stamp = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"
        directory = cls(runs_dir.absolute() / f"{stamp}-{name}-{secrets.token_hex(3)}")
        try:
            directory.open()
        except OutputError:
            shutil.rmtree(directory.path, ignore_errors=True)
            raise
        return directory

    def open(self) -> None:
        """Make the folder, if it is not there, ready for a job."""
        try:
            self.clean()
            self.scratch.mkdir(parents=True)
            _write_through(self._reserve, bytes(_RESERVE))
            _sync_one(self.path.parent)
        except OSError as error:
            raise OutputError(cannot_write(self.path, error)) from error

    def write_text(self, name: str, text: str) -> Artifact:
        """Write one file so that it is there whole or not at all."""
        return self.write(name, lambda path: _write_through(path, text.encode("utf-8", "backslashreplace")))

    def write(self, name: str, fill: Callable[[Path], object]) -> Artifact:
        """Let `fill` make a file or folder aside, then put it in place under `name`."""
        try:
            self.scratch.mkdir(exist_ok=True)
            put(self.path / name, fill, self.scratch)
        except OSError as error:
            raise OutputError(cannot_write(self.path / name, error)) from error
        return self.measure(name)

    def measure(self, name: str) -> Artifact:
        """Return the file or folder called `name` as it is; raise OSError if it can't be read."""
        return Artifact(name, *_measure(self.path / name))

    def remove(self, name: str) -> None:
        """Remove a file or folder, as far as the disk allows."""
        with suppress(OSError):
            _remove(self.path / name)

    def clean(self) -> None:
        """Remove what was not finished, and give the reserve back, as far as the disk allows."""
        with suppress(OSError):
            self._reserve.unlink(missing_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)


def job_of(directory: str) -> str | None:
    """Return the name of the job that a run directory's name holds; None if it is no run directory's."""
    found = _NAME.fullmatch(directory)
    return found[1] if found else None


def inside(directory: Path, name: str) -> Path:
    """Return the path of what a journal calls `name`; raise FileNotFoundError if that is outside of its run directory."""
    path = directory / name
    if not path.resolve().is_relative_to(directory.resolve()):
        raise FileNotFoundError(f"{name} is not in {directory}, and never sent")
    return path


def put(path: Path, fill: Callable[[Path], object], scratch: Path) -> None:
    """Let `fill` make a file or folder in `scratch`, and put it in the place of `path`: it is there whole or not at all.

    Raises
    ------
    OSError
        If the disk refuses; what was at `path` is then still there, unless that is a folder.
    """
    aside = scratch / path.name
    _remove(aside)
    fill(aside)
    _sync(aside)
    if path.is_dir():
        _remove(path)
    aside.replace(path)
    _sync_one(path.parent)


def _remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> str:
    """Return the sentence for an OutputError."""
    return f"{path} can't be written: {error.strerror or error}; make room or rights there, or choose another folder with --runs-dir"


def _write_through(path: Path, content: bytes) -> None:
    """Write a file and wait for the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _files(path: Path) -> list[Path]:
    """Return the files below `path`, or `path` itself, sorted."""
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def _sync(path: Path) -> None:
    """Wait until `path`, and all files and folders below it, are on the disk."""
    for each in (path, *path.rglob("*")):
        _sync_one(each)


def _sync_one(path: Path) -> None:
    """Wait until one file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _measure(path: Path) -> tuple[str, int]:
    """Return sha256 and size; of a folder, those of the list of its files' names and digests, and of them all."""
    if path.is_file():
        return sha256_of(path), path.stat().st_size
    lines = "".join(f"{sha256_of(each)}  {each.relative_to(path)}\n" for each in _files(path))
    return hashlib.sha256(lines.encode()).hexdigest(), sum(each.stat().st_size for each in _files(path))
