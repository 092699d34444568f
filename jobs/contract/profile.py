"""What data look like, column by column, small enough to be kept with a model."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np

from jobs.contract.columns import Categories, Column, Numbers
from jobs.datasets import Dataset, Schema
from jobs.errors import DataError

NAME = "mljobs-profile.npz"

FORMAT = 1
"""Of the file; one that is written otherwise counts as none."""

MOST_ROWS = 10_000
LEAST_ROWS = 200
MOST_CELLS = 1_000_000
"""Rows that are sampled: so many, fewer of wide tables (4 MB of numbers), but so many at least."""

MOST_BYTES = 256 << 20
"""Pixels that are read for the statistics of images, about."""

BLOCK_CELLS = 4_000_000
"""Numbers of a table that are scanned at a time (16 MB)."""

PIXELS_AT_ONCE = 1_000_000
"""Pixels of which the statistics are made at a time (8 MB)."""

LABELS = "class"
"""What the column of labels is called where the data have no name for it."""


@dataclass(frozen=True, eq=False)
class Profile:
    """The looks of one data set.

    All columns are those of the same sampled rows, so that tests of different columns have the same power. Each column
    is sorted for itself: no row can be put together again.

    Parameters
    ----------
    schema : of the data.
    n_rows : rows in all.
    n_sampled : rows that were looked at.
    columns : name to column. Of images: mean and standard deviation of each channel's pixels, one value an image.
    labels : the labels of the sampled rows.
    """

    schema: Schema
    n_rows: int
    n_sampled: int
    columns: Mapping[str, Column]
    labels: Categories

    @classmethod
    def from_dataset(cls, dataset: Dataset, *, random_state: int) -> Self:
        """Look at a data set, training and holdout alike; `random_state` chooses the sampled rows."""
        is_table = dataset.schema["kind"] == "table"
        n = len(dataset)
        n_sampled = min(n, _most_rows_of_table(dataset.X) if is_table else _most_images(dataset.X))
        rows = np.sort(np.random.default_rng(random_state).choice(n, n_sampled, replace=False, shuffle=False))
        columns = _of_table(dataset.X, rows) if is_table else _of_images(dataset.X.take(rows))
        return cls(dataset.schema, n, n_sampled, dict(columns), Categories.from_values(dataset.y[rows]))

    @property
    def target(self) -> str:
        """The name of the column of labels."""
        return str(self.schema.get("target", LABELS))

    def save(self, folder: Path) -> None:
        """Write `NAME` into a folder."""
        every = [*self.columns.values(), self.labels]
        card = {
            "format": FORMAT,
            "schema": dict(self.schema),
            "n_rows": self.n_rows,
            "n_sampled": self.n_sampled,
            "names": list(self.columns),
            "columns": [_card(column) for column in every],
        }
        numbers = [column.sample for column in every if isinstance(column, Numbers)]
        categories = [column for column in every if isinstance(column, Categories)]
        np.savez(
            folder / NAME,
            card=np.frombuffer(json.dumps(card).encode(), dtype=np.uint8),
            values=np.concatenate([np.empty(0, np.float32), *numbers]),
            digests=np.concatenate([column.digests for column in categories]),
            counts=np.concatenate([column.counts for column in categories]),
        )

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read what `save` wrote, None if it is not there (or of another version); raise DataError if it is damaged."""
        path = folder / NAME
        if not path.is_file():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                card = json.loads(arrays["card"].tobytes())
                if card["format"] != FORMAT:
                    return None
                *columns, labels = _columns(card["columns"], arrays["values"], arrays["digests"], arrays["counts"])
            named = dict(zip(card["names"], columns, strict=True))
            return cls(card["schema"], card["n_rows"], card["n_sampled"], named, cast("Categories", labels))
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is no profile of data: {error!r}; was it copied to the end?") from error


def _most_rows_of_table(X: Any) -> int:
    """Return how many rows of a table are sampled."""
    return int(min(MOST_ROWS, max(LEAST_ROWS, MOST_CELLS // X.shape[1])))


def _most_images(X: Any) -> int:
    """Return how many images are sampled."""
    _, *shape = X.shape
    return int(min(MOST_ROWS, max(LEAST_ROWS, MOST_BYTES // (int(np.prod(shape)) * X.dtype.itemsize))))


def _of_table(X: Any, rows: np.ndarray) -> Iterator[tuple[str, Column]]:
    """Yield the columns of a DataFrame."""
    is_number = np.array([dtype.kind == "f" for dtype in X.dtypes])
    lows, highs = _ranges(X.loc[:, is_number] if not is_number.all() else X)
    sample = X.take(rows)
    position = 0
    for name, number in zip(X.columns, is_number, strict=True):
        values = sample[name].to_numpy()
        if number:
            yield name, Numbers.from_values(values, float(lows[position]), float(highs[position]))
            position += 1
        else:
            yield name, Categories.from_values(values)


def _ranges(X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest value of each column, NaN if there is none; shape (n_columns,)."""
    lows = np.full(X.shape[1], np.nan, dtype=np.float32)
    highs = lows.copy()
    step = max(1, BLOCK_CELLS // max(1, X.shape[1]))
    for start in range(0, len(X), step):
        block = X.iloc[start : start + step].to_numpy()
        lows = np.fmin(lows, np.fmin.reduce(block, axis=0))
        highs = np.fmax(highs, np.fmax.reduce(block, axis=0))
    return lows, highs


def _of_images(X: Any) -> Iterator[tuple[str, Numbers]]:
    """Yield the mean and the standard deviation of each channel's pixels, a value an image."""
    n, height, width, channels = X.shape
    step = max(1, PIXELS_AT_ONCE // (height * width * channels))
    found = np.concatenate([_statistics(X.batch(start, start + step)) for start in range(0, n, step)], axis=1)
    for statistic, of_channels in zip(("mean", "standard deviation"), found, strict=True):
        for channel, values in enumerate(of_channels.T, start=1):
            where = f", channel {channel} of {channels}" if channels > 1 else ""
            low, high = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
            yield f"{statistic} of an image's pixels{where}", Numbers.from_values(values, low, high)


def _statistics(images: np.ndarray) -> np.ndarray:
    """Return mean and standard deviation, shape (2, n, channels), float64, of images (n, height, width, channels)."""
    n, _, _, channels = images.shape
    found = np.empty((2, n, channels))
    for channel in range(channels):
        # NumPy takes ten times as long for the mean over the middle axes.
        pixels = images[..., channel].reshape(n, -1).astype(np.float64)
        found[0, :, channel] = pixels.mean(axis=1)
        pixels -= found[0, :, channel, np.newaxis]
        found[1, :, channel] = np.sqrt(np.einsum("ij,ij->i", pixels, pixels) / pixels.shape[1])
    return found


def _card(column: Column) -> dict[str, Any]:
    """Return what of a column is no array."""
    if isinstance(column, Numbers):
        ends = [None if np.isnan(end) else end for end in (column.low, column.high)]
        return {"values": len(column.sample), "missing": column.missing, "range": ends}
    return {"distinct": len(column.digests), "missing": column.missing, "names": list(column.names.items())}


def _columns(
    cards: list[dict[str, Any]], values: np.ndarray, digests: np.ndarray, counts: np.ndarray
) -> Iterator[Column]:
    """Yield the columns that were written."""
    at_value = at_digest = 0
    for card in cards:
        if "values" in card:
            low, high = (np.nan if end is None else end for end in card["range"])
            end = at_value + card["values"]
            yield Numbers(values[at_value:end], card["missing"], low, high)
            at_value = end
        else:
            end = at_digest + card["distinct"]
            yield Categories(digests[at_digest:end], counts[at_digest:end], card["missing"], dict(card["names"]))
            at_digest = end
