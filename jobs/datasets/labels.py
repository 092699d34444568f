"""Labels of any type: their classes, and whether they can be learnt from."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from jobs.errors import DataError

LEAST_ROWS = 10
LEAST_IN_CLASS = 2
MOST_FLOAT_CLASSES = 20

INTEGER = re.compile(r"\s*[+-]?\d+\s*")
NUMBER = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf|infinity)\s*", re.IGNORECASE)
TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}

INT64 = np.iinfo(np.int64)


def with_points(text: str, decimal: str) -> str:
    """Return a number with a decimal point; any other text as it is."""
    pointed = text if decimal == "." else text.replace(decimal, ".")
    return pointed if NUMBER.fullmatch(pointed) else text


def type_labels(where: str, texts: Sequence[str], counts: np.ndarray) -> np.ndarray:
    """Return the labels that distinct texts mean: int64, bool or fixed-width str, shape (n_texts,).

    Parameters
    ----------
    where : file and column, for messages.
    texts : distinct texts, as they stand in the file, with decimal points.
    counts : how often each stands there, shape (n_texts,).

    Raises
    ------
    DataError
        For infinite labels, and for numbers that are no classes but a continuous quantity.
    """
    if all(text in TRUTH for text in texts):
        return np.array([TRUTH[text] for text in texts], dtype=np.bool_)
    if not all(NUMBER.fullmatch(text) for text in texts):
        return np.array(texts, dtype=np.str_)
    integers = [as_integer(text) for text in texts]
    if all(each is not None and INT64.min <= each <= INT64.max for each in integers):
        return np.array(integers, dtype=np.int64)
    return _float_classes(where, [float(text) for text in texts], counts)


def as_integer(text: str) -> int | None:
    """Return the integer that a number means, `1.0` as well as `1`; None if it has a fraction or is infinite."""
    if INTEGER.fullmatch(text):
        return int(text)
    value = float(text)
    return int(value) if value.is_integer() else None


def _float_classes(where: str, values: list[float], counts: np.ndarray) -> np.ndarray:
    """Return a few fractions as classes with a name; raise DataError for many."""
    if not np.isfinite(values).all():
        raise DataError(f"{where} has infinite labels; expected classes, so remove these rows or name the class")
    totals: dict[float, int] = {}
    for value, count in zip(values, counts, strict=True):
        totals[value] = totals.get(value, 0) + int(count)
    if len(totals) > MOST_FLOAT_CLASSES or min(totals.values()) < LEAST_IN_CLASS:
        raise DataError(
            f"{where} looks continuous: {len(totals)} different numbers such as {values[0]:g}; expected classes, "
            "so put the values into classes first (this trains classifiers, not regressions)"
        )
    return np.array([str(value) for value in values], dtype=np.str_)


def check_classes(where: str, classes: np.ndarray, counts: np.ndarray) -> None:
    """Raise DataError if labels can't be learnt from and evaluated on.

    Parameters
    ----------
    where : file and column, for messages.
    classes : distinct labels, shape (n_classes,).
    counts : how many rows each has, shape (n_classes,).
    """
    n_rows = int(counts.sum())
    if n_rows < LEAST_ROWS:
        raise DataError(f"{where} has {n_rows} rows in all; expected at least {LEAST_ROWS} to train and evaluate on")
    if len(classes) == 1:
        raise DataError(f"{where} has one class only, {show(classes[0])}; expected at least 2 to tell apart")
    few = classes[counts < LEAST_IN_CLASS]
    if len(few):
        raise DataError(
            f"{where} has {len(few)} of {len(classes)} classes with a single row ({show_some(few)}), which can't be "
            "both trained on and evaluated; add rows, merge classes, or leave them out"
            + (" (it looks continuous: this trains classifiers, not regressions)" if _continuous(few, classes) else "")
        )


def _continuous(few: np.ndarray, classes: np.ndarray) -> bool:
    """Tell whether labels look like measured numbers: mostly different ones."""
    return bool(classes.dtype.kind == "i" and len(few) > MOST_FLOAT_CLASSES and len(few) * 2 > len(classes))


def known_label(text: str, classes: Sequence[Any], decimal: str = ".") -> Any:
    """Return the class that a text in a file means, None if it is none of `classes` (as JSON gave them)."""
    number = with_points(text, decimal)
    if isinstance(classes[0], bool):
        label: Any = TRUTH.get(text)
    elif isinstance(classes[0], int):
        label = as_integer(number) if NUMBER.fullmatch(number) else None
    elif text not in classes and NUMBER.fullmatch(number):
        label = str(float(number))
    else:
        label = text
    return label if label in classes else None


def refuse_unknown(where: str, label: Any, classes: Sequence[Any]) -> None:
    """Raise DataError for a label that the model was not trained on."""
    raise DataError(
        f"{where}: label {show(label)} is not one the model was trained on; it knows "
        f"{show_some(np.array(classes))}; correct the label or leave the row out"
    )


def show(label: Any) -> str:
    """Return a label as a person would type it."""
    return repr(label.item() if isinstance(label, np.generic) else label)


def show_some(labels: np.ndarray, most: int = 10) -> str:
    """Return the first labels, and how many more there are."""
    shown = ", ".join(show(each) for each in labels[:most])
    return shown + (f" and {len(labels) - most} more" if len(labels) > most else "")
