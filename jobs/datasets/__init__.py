"""Data files as checked, hashed `Dataset`s."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

Schema = Mapping[str, Any]
"""What later data must look like, as JSON-able values; its content is the affair of the reader that made it."""


class Rows(Protocol):
    """The features: a `pandas.DataFrame`, or `images.ImageRows`."""

    def __len__(self) -> int:
        """Count the rows."""
        ...

    def take(self, indices: np.ndarray) -> Self:
        """Return the rows at `indices`, in that order."""
        ...


@dataclass(frozen=True)
class Dataset:
    """The rows of one data file that passed the checks.

    Parameters
    ----------
    path : the file it was read from.
    sha256 : hex digest of the file's bytes.
    X : features, `n_samples` rows. A table: DataFrame with float32 columns (numeric) and str columns (text),
        missing values are NaN. Images: `ImageRows` of shape (n_samples, height, width, channels).
    y : labels, shape (n_samples,), dtype int64, bool or fixed-width str.
    classes : the distinct labels, sorted, shape (n_classes,), same dtype as `y`.
    schema : what later data must look like.
    notes : sentences about the data that a reader of the report should know.
    groups : what the split key says of each row, shape (n_samples,), Python strings (equal ones share their memory); None
        without a key. Rows of a group stay together in a stable split.
    """

    path: Path
    sha256: str
    X: Any
    y: np.ndarray
    classes: np.ndarray
    schema: Schema
    notes: tuple[str, ...] = ()
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.y)

    def take(self, indices: np.ndarray) -> Self:
        """Return the dataset of the rows at `indices` (shape (n,), int64), in that order."""
        groups = None if self.groups is None else self.groups[indices]
        return replace(self, X=self.X.take(indices), y=self.y[indices], groups=groups)


def sha256_of(path: Path) -> str:
    """Return the hex digest of a file's bytes; they are read once as long as the file stays as it is."""
    status = path.stat()
    return _sha256_of(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(maxsize=8)
def _sha256_of(path: Path, identity: tuple[int, ...]) -> str:  # noqa: ARG001 - tells changed files apart
    """Read and digest a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
