"""What the first accepted run's data looked like, which later data are held against."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jobs.datasets import Schema
from jobs.errors import DataError

__all__ = ["check"]

MOST_NAMED = 10
"""Names of columns or classes in one message."""

LONGEST = 60
"""Signs of one of these names."""

KINDS = {"table": "a table", "images": "images", "numeric": "numbers", "text": "text"}
"""The words of a schema as a person says them."""


def check(path: Path, schema: Schema, expected: Schema) -> None:
    """Raise DataError if data break the contract.

    Parameters
    ----------
    path : the data file, for the message.
    schema : of the data.
    expected : of the data of the contract. The order of columns and the name of the target are free, and not every class
        need occur; neither columns, their kinds, image shape and dtype may differ, nor classes be new.

    Raises
    ------
    DataError
        When something does; the sentence names all that is of that sort, what was expected, what was found.
    """
    if schema["kind"] != expected["kind"]:
        _refuse(path, "", KINDS[expected["kind"]], KINDS[schema["kind"]])
    if schema["kind"] == "images":
        _check_images(path, schema, expected)
    else:
        _check_columns(path, schema["columns"], expected["columns"])
    _check_classes(path, schema["classes"], expected["classes"])


def _check_columns(path: Path, columns: dict[str, str], expected: dict[str, str]) -> None:
    """Raise DataError for other columns, or for others than numbers or text in them."""
    missing = [name for name in expected if name not in columns]
    extra = [name for name in columns if name not in expected]
    if missing or extra:
        found = "; ".join(
            f"{word}: {_some(names)}" for word, names in (("missing", missing), ("extra", extra)) if names
        )
        _refuse(path, "", f"the {len(expected)} features of the contract", found)
    changed = [name for name, kind in expected.items() if columns[name] != kind]
    if changed:
        kind = expected[changed[0]]
        alike = [name for name in changed if expected[name] == kind]
        _refuse(path, f", column{'s' if alike[1:] else ''} {_some(alike)}", KINDS[kind], KINDS[columns[changed[0]]])


def _check_images(path: Path, schema: Schema, expected: Schema) -> None:
    """Raise DataError for images of another size, number of channels, or dtype."""
    if list(schema["shape"]) != list(expected["shape"]):
        shapes = [" x ".join(map(str, each["shape"])) for each in (expected, schema)]
        _refuse(path, ", images", f"height x width x channels {shapes[0]}", shapes[1])
    if schema["dtype"] != expected["dtype"]:
        _refuse(path, ", images", f"pixels of dtype {expected['dtype']}", schema["dtype"])


def _check_classes(path: Path, classes: Iterable[Any], expected: Iterable[Any]) -> None:
    """Raise DataError for labels that the contract does not have; 1, True and '1' are different ones."""
    known = [(type(label), label) for label in expected]
    new = [label for label in classes if (type(label), label) not in set(known)]
    if new:
        _refuse(path, ", labels", f"none but {_some(label for _, label in known)}", _some(new))


def _refuse(path: Path, where: str, expected: str, found: str) -> None:
    """Raise DataError with the two ways out."""
    raise DataError(
        f"{path}{where}: expected {expected}, found {found}; these data break the contract of the first accepted run: "
        "correct the file, name another model with --model-name, or make this the new contract with --new-contract"
    )


def _some(names: Iterable[Any]) -> str:
    """Return the first names as a person would type them, and how many more there are."""
    every = list(names)
    shown = [each if len(each) <= LONGEST else f"{each[:LONGEST]}..." for each in map(repr, every[:MOST_NAMED])]
    return ", ".join(shown) + (f" and {len(every) - MOST_NAMED} more" if len(every) > MOST_NAMED else "")
