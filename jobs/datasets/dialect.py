"""How a CSV is written: separator, decimal sign and column names, found in its first megabyte."""

import csv
import difflib
import io
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NoReturn

from jobs.datasets.source import open_text, unpacked_size
from jobs.errors import DataError

SEPARATORS = (",", ";", "\t")

HEAD = 1 << 20
"""Characters that are looked at, unless they hold less than two lines."""
LONGEST_HEAD = 64 << 20

END = "\0"
"""Stands behind the head where it matters how that ends; no text that is read holds it."""

DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
DECIMAL_POINT = re.compile(r"\s*[+-]?\d*\.\d+([eE][+-]?\d+)?\s*")
THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2},\d{3}\s*")
NUMBER = re.compile(r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*")


@dataclass(frozen=True)
class Dialect:
    """How to read one CSV file.

    Parameters
    ----------
    separator : `,`, `;` or a tab.
    decimal : `.` or `,`.
    names : the columns in file order; those without a name get pandas' `Unnamed: 0`, by position.
    n_rows : data rows, estimated from the file's size and its beginning.
    unnamed : the names among `names` that the file does not have.
    trailing : the last of `names` if there is nothing but a separator at the end of each line, as far as was seen.
    """

    separator: str
    decimal: str
    names: tuple[str, ...]
    n_rows: int
    unnamed: tuple[str, ...] = ()
    trailing: str | None = None


def read_dialect(path: Path, target: str, expected: Collection[str] = ()) -> Dialect:
    """Find the dialect of a CSV file that should have a column `target`.

    Parameters
    ----------
    expected : further columns that tell its separator from others.

    Raises
    ------
    DataError
        For a file without data rows, duplicate column names, no column `target`, a first row longer than the header,
        and what `open_text` refuses.
    """
    with _fields_of_any_length():
        head, heads = _read_head(path)
        try:
            return _find(path, frozenset({target, *expected}), target, head, heads)
        except csv.Error as error:
            raise DataError(f"{path}: the first lines are no CSV ({error})") from None


@contextmanager
def _fields_of_any_length() -> Iterator[None]:
    """Lift the csv module's limit of 131,072 characters a field: a whole header is one under a wrong separator."""
    before = csv.field_size_limit(LONGEST_HEAD * 2)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _find(path: Path, expected: frozenset[str], target: str, head: str, heads: float) -> Dialect:
    """Return the dialect that the beginning of a file, `heads` times as long, is written in; raise DataError, csv.Error."""
    separator, header = _separator(head, expected, target)
    if (place := _open_quote(head, separator)) is not None:
        where = f"data row {place}" if place else "header"
        raise DataError(f"{path}, {where}: a quote is opened and never closed; close or double it")
    first = next(_records(head, separator, start=1), None)
    if not header:
        raise DataError(f"{path} holds nothing but blank lines; expected a line of column names, then data rows")
    names = tuple(each.strip() or f"Unnamed: {position}" for position, each in enumerate(header))
    _check_names(path, names, target)
    if first is None:
        raise DataError(f"{path} has a header with {len(names)} columns, but no data row below it")
    if len(first) > len(names):
        message = (
            f"{path}, data row 1: expected {len(names)} fields as in the header, found {len(first)}; "
            f"name the further column, or quote values that contain {separator!r}"
        )
        raise DataError(message)
    unnamed = tuple(name for name, given in zip(names, header, strict=True) if not given.strip())
    # Records, not lines: texts may have line ends inside.
    n_rows = max(0, round(sum(1 for _ in _records(head, separator)) * heads) - 1)
    trailing = names[-1] if _ends_with_separator(head, separator, header) else None
    unnamed = tuple(name for name in unnamed if name != trailing)
    return Dialect(separator, _decimal(head, separator), names, n_rows, unnamed, trailing)


def _ends_with_separator(head: str, separator: str, header: list[str]) -> bool:
    """Tell whether the last column has neither a name nor a value."""
    width = len(header)
    return not header[-1].strip() and all(
        len(record) < width or not record[-1].strip() for record in _cells(head, separator)
    )


def _read_head(path: Path) -> tuple[str, float]:
    """Return the beginning of the text, and how many times as long the whole may be."""
    with open_text(path) as text:
        head = text.read(HEAD)
        while _is_short(head) and len(head) < LONGEST_HEAD and (more := text.read(max(HEAD, len(head)))):
            head += more
        size = len(head.encode())
        return head, unpacked_size(path, size, text.raw_file.tell()) / max(1, size)


def _is_short(head: str) -> bool:
    """Tell whether the header and the first data row may not be in it as a whole."""
    return _count_lines(head) < 3 or any(_open_quote(head, each) is not None for each in SEPARATORS)  # noqa: PLR2004


def _open_quote(head: str, separator: str) -> int | None:
    """Return in which of the first records a quote is still open at the end: 0 is the header, 1 the first data row."""
    lines = chain(io.StringIO(head, newline=""), [END])
    records = filter(is_record, csv.reader(lines, delimiter=separator, skipinitialspace=True))
    for position, record in enumerate(islice(records, 2)):
        if record != [END] and record[-1].endswith(END):
            return position
    return None


def _count_lines(text: str) -> int:
    """Count line ends, Unix, Windows or old Macintosh."""
    return text.count("\n") or text.count("\r")


def _records(text: str, separator: str, start: int = 0) -> Iterator[list[str]]:
    """Yield records from the one at `start` on."""
    lines = io.StringIO(text, newline="")
    yield from islice(filter(is_record, csv.reader(lines, delimiter=separator, skipinitialspace=True)), start, None)


def is_record(fields: list[str]) -> bool:
    """Tell whether the fields of a line are a record: pandas skips lines of nothing but blanks."""
    return len(fields) > 1 or bool("".join(fields).strip())


def _separator(head: str, expected: frozenset[str], target: str) -> tuple[str, list[str]]:
    """Return the separator that yields all expected columns, else the target, else the most; and the header under it."""
    headers = {each: next(_records(head, each), []) for each in SEPARATORS}

    def fit(separator: str) -> tuple[bool, bool, int]:
        names = {each.strip() for each in headers[separator]}
        return expected <= names, target in names, len(headers[separator])

    best = max(SEPARATORS, key=fit)
    return best, headers[best]


def _decimal(head: str, separator: str) -> str:
    """Return the decimal sign: in files with semicolons a comma, unless more numbers have a point.

    Tabs come from people with either sign: there it is a comma only if more numbers have one, and 1,234 doesn't tell.
    """
    if separator == ",":
        return "."
    cells = [cell for record in _cells(head, separator) for cell in record]
    commas = [cell for cell in cells if DECIMAL_COMMA.fullmatch(cell)]
    points = sum(1 for cell in cells if DECIMAL_POINT.fullmatch(cell))
    if separator == "\t":
        return "," if sum(1 for cell in commas if not THOUSANDS.fullmatch(cell)) > points else "."
    return "." if points > len(commas) else ","


def _cells(head: str, separator: str) -> Iterator[list[str]]:
    """Yield the data records; what is broken ends it, the full read will tell."""
    try:
        yield from _records(head, separator, start=1)
    except csv.Error:
        return


def _check_names(path: Path, names: Sequence[str], target: str) -> None:
    """Raise DataError for duplicates, and if the target is not among the names."""
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"{path} has several columns called {', '.join(map(repr, twice))}; give each its own name")
    if target in names:
        return
    if len(names) == 1 and re.search(r"[^\w.-]", names[0]):
        raise DataError(
            f"{path} has a single column, {names[0][:80]!r}; if it should be more, the separator is unknown: expected "
            f"a comma, a semicolon or a tab (and a column {target!r})"
        )
    _refuse_unknown(path, names, target, "--target", "labels")


def check_split_key(path: Path, names: Sequence[str], split_key: str) -> None:
    """Raise DataError if there is no column to split by."""
    if split_key not in names:
        _refuse_unknown(path, names, split_key, "--split-key", "groups")


def _refuse_unknown(path: Path, names: Sequence[str], name: str, option: str, content: str) -> NoReturn:
    """Raise DataError for a column that is not there, naming those that may be meant."""
    near = difflib.get_close_matches(name.lower(), [each.lower() for each in names], n=3)
    meant = [each for each in names if each.lower() in near]
    if meant:
        hint = f"did you mean {' or '.join(map(repr, meant))}? Name it with {option}"
    elif all(NUMBER.fullmatch(each) for each in names):
        hint = f"its first line holds only numbers ({', '.join(names[:5])}): add a line of column names"
    else:
        rest = f" and {len(names) - 10} more" if len(names) > 10 else ""  # noqa: PLR2004
        hint = f"it has {', '.join(map(repr, names[:10]))}{rest}; name the column of {content} with {option}"
    raise DataError(f"{path} has no column {name!r}; {hint}")
