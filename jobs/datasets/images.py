"""An NPZ of images and labels as a `Dataset`; the pixels stay on disk."""

import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np

from jobs.datasets import Dataset, Schema, sha256_of
from jobs.datasets.image_labels import read_groups, read_labels
from jobs.datasets.labels import check_classes, refuse_unknown
from jobs.datasets.npz import REQUIRED, Npz, open_npz, prefetch, release
from jobs.errors import ConfigError, DataError

CHANNELS = (1, 3, 4)
SCAN_BYTES = 16 << 20
RANK = 4
RELEASED_AT_ONCE = 1 / 2048
"""Share of all images that may be read before their pages are released: each time costs as much as the map is large."""
LEAST_RELEASED = 32
"""Images that are read before their pages are released, at least."""
SCATTERED = 8
"""Times as many images lie between the first and the last of those that are read: the system is not to read all of them."""


class ImageRows:
    """Images on disk, read batch by batch.

    Parameters
    ----------
    array : array-like, usually a read-only map, shape (n, height, width) or (n, height, width, channels).
    rows : which of them, in this order, shape (n_rows,), int64; all if None.
    """

    def __init__(self, array: np.ndarray, rows: np.ndarray | None = None) -> None:
        self._array = array if array.ndim == RANK else array[..., np.newaxis]
        self._rows = rows

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of images, height, width, channels."""
        height, width, channels = self._array.shape[1:]
        return len(self), height, width, channels

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of batches: that on disk, but uint8 for bool and float32 for wider floats."""
        stored = self._array.dtype
        if stored.kind == "b":
            return np.dtype(np.uint8)
        if stored.kind == "f" and stored.itemsize > np.dtype(np.float32).itemsize:
            return np.dtype(np.float32)
        return stored.newbyteorder("=")

    def __len__(self) -> int:
        """Count the images."""
        return len(self._array) if self._rows is None else len(self._rows)

    def take(self, indices: np.ndarray) -> Self:
        """Return the images at `indices`, in that order; no pixel is read."""
        rows = np.asarray(indices, dtype=np.int64)
        return type(self)(self._array, rows if self._rows is None else self._rows[rows])

    def batch(self, start: int, stop: int) -> np.ndarray:
        """Read images `start` to `stop` (excluded); contiguous, shape (n, height, width, channels)."""
        chosen = range(len(self))[start:stop]
        pixels = np.empty((len(chosen), *self.shape[1:]), dtype=self.dtype)
        step = max(LEAST_RELEASED, int(len(self._array) * RELEASED_AT_ONCE))
        for first in range(0, len(chosen), step):
            self._read(chosen[first : first + step], pixels[first : first + step])
        return pixels

    def _read(self, chosen: range, pixels: np.ndarray) -> None:
        """Read some images, and release them: for one the system maps up to 2 MB of the file around it."""
        if self._rows is None:
            stored = self._array[chosen.start : chosen.stop]
        else:
            rows = self._rows[chosen.start : chosen.stop]
            if np.ptp(rows) > SCATTERED * len(rows):
                prefetch(self._array, rows)
            stored = self._array[rows]
        with np.errstate(over="ignore"):
            pixels[...] = stored
        release(self._array)

    def blocks(self, n_bytes: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the first index and the pixels of as many images at a time as `n_bytes` hold."""
        _, *shape = self.shape
        step = max(1, n_bytes // (int(np.prod(shape)) * self.dtype.itemsize))
        for start in range(0, len(self), step):
            yield start, self.batch(start, start + step)


def read_npz(path: Path, *, schema: Schema | None, scratch: Path, split_key: str | None = None) -> Dataset:
    """Read and check images with their labels.

    Parameters
    ----------
    path : an NPZ with `images`, shape (N, height, width) or (N, height, width, channels), 1, 3 or 4 channels, any
        integer, float or bool dtype; and `labels`, shape (N,) or (N, 1): integers, integral floats, bools or text, or
        one-hot, shape (N, n_classes).
    schema : that of the training data if these images are for an evaluation: the same height, width and channels and
        no other labels are expected then, but neither a minimum of images nor of classes.
    scratch : folder in which compressed arrays are unpacked, into files without a name.
    split_key : name of an array, shape (N,), that says which images belong together: integers, integral floats, bools or
        text. With a schema that has one the file need not, and `groups` are None unless it is whole.

    Returns
    -------
    Dataset
        `X`: `ImageRows`; `y`: int64, bool or fixed-width str; `groups`: as text, `7` for 7 and for 7.0.

    Raises
    ------
    DataError
        When the file breaks the contract.
    NoInputError
        When the file is missing or unreadable.
    FitError
        When it can't be unpacked into `scratch`.
    ConfigError
        When the split key is one of the arrays that are needed anyhow.
    """
    with open_npz(path) as npz:
        images, labels = npz.array("images", scratch), npz.array("labels", scratch)
        groups = _groups(npz, scratch, len(images) if images.ndim else 0, split_key, schema)
    _check_shape(path, images)
    y = read_labels(path, labels)
    if len(images) != len(y):
        raise DataError(f"{path}: expected as many labels as images, found {len(y):,} and {len(images):,}")
    X = ImageRows(images)
    classes = _learn_classes(path, y) if schema is None else _match(path, X, y, schema)
    low, high = _pixel_range(path, X)
    if schema is None and low == high:
        raise DataError(f"{path}: all pixels of all images are {low}; expected images that differ")
    notes = () if schema is None else _notes(schema, low, high)
    own = {
        "kind": "images",
        "shape": list(X.shape[1:]),
        "dtype": str(X.dtype),
        "pixel_range": [low, high],
        "classes": classes.tolist(),
    }
    own |= {} if split_key is None else {"split_key": split_key}
    return Dataset(path, sha256_of(path), X, y.astype(classes.dtype), classes, schema or own, notes, groups)


def _groups(npz: Npz, scratch: Path, n_images: int, split_key: str | None, schema: Schema | None) -> np.ndarray | None:
    """Return what the split key says of each image; of a file for evaluation only if it says something of all."""
    if schema is not None:
        key = schema.get("split_key")
        if key is None or key not in npz.names:
            return None
        with suppress(DataError):
            return read_groups(npz.path, key, npz.array(key, scratch), n_images)
        return None
    if split_key is None:
        return None
    if split_key in REQUIRED:
        raise ConfigError(f"--split-key must be an array beside 'images' and 'labels', got {split_key!r}")
    return read_groups(npz.path, split_key, npz.array(split_key, scratch), n_images)


def write_npz(dataset: Dataset, path: Path) -> None:
    """Write images and labels, uncompressed, so that `read_npz` with the dataset's schema gives back equal ones."""
    X = dataset.X
    with zipfile.ZipFile(path, "w") as archive:
        # A member of a fixed date: the same rows make the same file.
        with archive.open(zipfile.ZipInfo("images.npy"), "w", force_zip64=True) as file:
            described = {"descr": np.lib.format.dtype_to_descr(X.dtype), "fortran_order": False, "shape": X.shape}
            np.lib.format.write_array_header_1_0(file, described)
            for _, block in X.blocks(SCAN_BYTES):
                file.write(block.tobytes())
        with archive.open(zipfile.ZipInfo("labels.npy"), "w", force_zip64=True) as file:
            np.lib.format.write_array(file, dataset.y, allow_pickle=False)


def _check_shape(path: Path, images: np.ndarray) -> None:
    """Raise DataError for arrays that are no images."""
    shape = images.shape
    if images.dtype.kind not in "buif":
        raise DataError(f"{path}: images are {images.dtype}; expected integers, floats or bools")
    if images.ndim not in (RANK - 1, RANK):
        raise DataError(
            f"{path}: images have shape {shape}; expected (N, height, width) or (N, height, width, channels)"
        )
    if images.ndim == RANK and shape[3] not in CHANNELS:
        hint = "; move the channels to the end with np.moveaxis(images, 1, -1)" if shape[1] in CHANNELS else ""
        raise DataError(f"{path}: images have {shape[3]} channels (shape {shape}); expected 1, 3 or 4{hint}")
    if 0 in shape:
        raise DataError(f"{path}: images have shape {shape}; expected no axis of size 0")


def _learn_classes(path: Path, y: np.ndarray) -> np.ndarray:
    """Return the classes of training data."""
    classes, counts = np.unique(y, return_counts=True)
    check_classes(f"{path}, labels", classes, counts)
    return classes


def _match(path: Path, X: ImageRows, y: np.ndarray, schema: Schema) -> np.ndarray:
    """Return the model's classes; raise DataError if images or labels are others than it was trained on."""
    if list(X.shape[1:]) != list(schema["shape"]):
        raise DataError(
            f"{path}: images have height, width, channels {X.shape[1:]}; expected {tuple(schema['shape'])}, "
            "which the model was trained on"
        )
    classes = np.array(schema["classes"])
    # Without a common type (text against numbers) NumPy finds none of them.
    known = np.isin(y, classes) if (y.dtype.kind == "U") == (classes.dtype.kind == "U") else np.zeros(len(y), bool)
    if not known.all():
        row = int(np.argmin(known))
        refuse_unknown(f"{path}, image {row} (counted from 0)", y[row], schema["classes"])
    return classes


def _pixel_range(path: Path, X: ImageRows) -> tuple[float, float]:
    """Return the least and the greatest pixel; raise DataError for NaN and infinity."""
    lows, highs = [], []
    for start, block in X.blocks(SCAN_BYTES):
        finite = np.isfinite(block).all(axis=(1, 2, 3))
        if not finite.all():
            image = start + int(np.argmin(finite))
            raise DataError(
                f"{path}, image {image} (counted from 0): its pixels are not all finite in 32-bit floats; "
                "replace NaN and infinity, or leave the image out"
            )
        lows.append(block.min().item())
        highs.append(block.max().item())
    return min(lows), max(highs)


def _notes(schema: Schema, low: float, high: float) -> tuple[str, ...]:
    """Return a warning if the pixels lie far outside of those that the model was trained on."""
    least, most = schema["pixel_range"]
    if max(abs(low), abs(high)) > 1 >= max(abs(least), abs(most)) or max(abs(low), abs(high)) <= 1 < abs(most):
        return (f"Pixels range from {low} to {high}, those of the training data from {least} to {most}.",)
    return ()
