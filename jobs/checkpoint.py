"""The state of a fit that is under way, from which a job that was killed goes on."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from jobs.artifacts import put

T = TypeVar("T")

FOLDER = "checkpoint"
"""Of a run directory."""


class Checkpoint:
    """A folder of files that are there whole or not at all.

    What can't be written or read costs the work that it would have saved, and a warning, never the job.

    Parameters
    ----------
    folder : where the files are; made when the first is written.
    warn : takes a sentence for a person.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self._scratch = folder / ".unfinished"
        self._warn = warn
        self._has_warned = False

    def write(self, name: str, fill: Callable[[Path], object]) -> None:
        """Let `fill` write the file called `name`; one that is there already stays until the new one is whole."""
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
            put(self.folder / name, fill, self._scratch)
        except OSError as error:
            shutil.rmtree(self._scratch, ignore_errors=True)
            if not self._has_warned:
                self._warn(
                    f"{self.folder / name} can't be written: {error.strerror}; if killed, the job goes further back"
                )
            self._has_warned = True

    def read(self, name: str, load: Callable[[Path], T]) -> T | None:
        """Return what `load` makes of the file called `name`; None if it is not there or broken."""
        path = self.folder / name
        if not path.is_file():
            return None
        try:
            return load(path)
        except Exception as error:  # noqa: BLE001 - whatever a broken file makes a library raise
            self._warn(f"{path} can't be read ({type(error).__name__}: {error}); what it held is done again")
            return None

    def state(self) -> str:
        """Return what tells the state of the fit from any other; no more than that."""
        files = sorted(each for each in self.folder.glob("*") if each.is_file())
        return " ".join(f"{each.name}:{each.stat().st_mtime_ns}" for each in files)

    def clear(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)
