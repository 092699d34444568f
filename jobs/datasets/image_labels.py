"""The labels of an NPZ: numbers, truth values, text or one-hot, as one array of classes; and its groups, as text."""

from pathlib import Path

import numpy as np

from jobs.errors import DataError

TOO_LARGE = 2.0**63


def read_labels(path: Path, labels: np.ndarray) -> np.ndarray:
    """Return labels as int64, bool or fixed-width str, shape (N,), in memory.

    Parameters
    ----------
    path : for messages.
    labels : shape (N,) or (N, 1), or one-hot, shape (N, n_classes): there the position of the 1 becomes the label.

    Raises
    ------
    DataError
        For other shapes, fractions, missing labels, and dtypes that are no labels.
    """
    if labels.dtype.kind not in "buifSU":
        raise DataError(f"{path}: labels are {labels.dtype}; expected integers, bools or text")
    if labels.ndim == 2 and labels.shape[1] == 1:  # noqa: PLR2004
        labels = labels[:, 0]
    if labels.ndim == 2:  # noqa: PLR2004
        return _from_one_hot(path, labels)
    if labels.ndim != 1:
        raise DataError(f"{path}: labels have shape {labels.shape}; expected (N,), (N, 1) or one-hot (N, n_classes)")
    return _from_values(path, labels)


def _from_one_hot(path: Path, labels: np.ndarray) -> np.ndarray:
    """Return the position of the only 1 of each row."""
    if labels.dtype.kind in "SU" or labels.shape[1] == 0:
        raise DataError(f"{path}: labels have shape {labels.shape} of {labels.dtype}; expected one label an image")
    fits = ((labels != 0).sum(axis=1) == 1) & ((labels == 1).sum(axis=1) == 1)
    if not fits.all():
        row = int(np.argmin(fits))
        raise DataError(
            f"{path}: labels have shape {labels.shape}, but row {row} (counted from 0) is not one-hot: "
            "expected a single 1 among zeros"
        )
    return np.asarray(labels.argmax(axis=1), dtype=np.int64)


def _from_values(path: Path, labels: np.ndarray) -> np.ndarray:
    """Return one label a row as one of the three dtypes."""
    kind = labels.dtype.kind
    if kind == "b":
        return np.array(labels, dtype=np.bool_)
    if kind == "U":
        return np.array(labels, dtype=labels.dtype.newbyteorder("="))
    if kind == "S":
        return _decode(f"{path}: labels", labels)
    if kind == "f":
        _check_integral(path, labels)
    if kind in "uf" and len(labels) and float(np.abs(labels).max()) >= TOO_LARGE:
        raise DataError(f"{path}: label {labels[np.abs(labels).argmax()]} is too large; expected 64-bit integers")
    return labels.astype(np.int64)


def _decode(where: str, labels: np.ndarray) -> np.ndarray:
    """Return bytes as text."""
    try:
        text: np.ndarray = np.strings.decode(np.array(labels), "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} are bytes that are no UTF-8 text ({error.reason})") from None
    return text


def _check_integral(path: Path, labels: np.ndarray) -> None:
    """Raise DataError for missing labels and fractions."""
    with np.errstate(invalid="ignore"):
        fits = np.isfinite(labels) & (labels == np.trunc(labels))
    if not fits.all():
        row = int(np.argmin(fits))
        raise DataError(
            f"{path}: label {labels[row]} in row {row} (counted from 0) is no class; expected integers, bools or text"
        )


def read_groups(path: Path, name: str, groups: np.ndarray, n_images: int) -> np.ndarray:
    """Return the groups that images belong to as text, `7` for 7 and for 7.0; shape (N,), object.

    Parameters
    ----------
    path : for messages.
    name : of the array.
    groups : integers, integral floats, bools or text, shape (N,).
    n_images : N.

    Raises
    ------
    DataError
        For other shapes, other dtypes, fractions, and missing values: NaN, infinity and empty text.
    """
    where = f"{path}: values of the split key {name!r}"
    if groups.dtype.kind not in "buifSU":
        raise DataError(f"{where} are {groups.dtype}; expected integers, bools or text")
    if groups.shape != (n_images,):
        raise DataError(f"{where} have shape {groups.shape}; expected one value an image, ({n_images},)")
    fits = np.ones(n_images, np.bool_)
    if groups.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            fits = np.isfinite(groups) & (groups == np.trunc(groups))
    elif groups.dtype.kind in "SU":
        groups = _decode(where, groups) if groups.dtype.kind == "S" else groups
        fits = np.strings.str_len(groups) > 0
    if not fits.all():
        row = int(np.argmin(fits))
        raise DataError(
            f"{where}: found {groups[row].item()!r} in row {row} (counted from 0); expected an integer, a bool or text "
            "for each image"
        )
    values, positions = np.unique(groups, return_inverse=True)
    texts = [str(int(each)) if groups.dtype.kind == "f" else str(each) for each in values.tolist()]
    return np.array(texts, dtype=object)[positions]
