"""A CSV as a `Dataset`: numbers as float32, text as str, read in blocks."""

import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

from jobs import resources
from jobs.datasets import Dataset, Schema, dialect, sha256_of
from jobs.datasets.columns import Columns, Kind, TextColumn, by_dtype, kinds_of
from jobs.datasets.csv_file import CsvFile
from jobs.datasets.labels import NUMBER, check_classes, known_label, refuse_unknown, type_labels, with_points
from jobs.datasets.source import check_input
from jobs.errors import DataError

CONSTANT_BYTES = 64 << 20
"""What a job takes beside its data after they are read; see `_check_memory`."""

MOST_ODD = 5
"""Columns of text that are named because most of their values are numbers."""

SAMPLE_CELLS = 100_000
MOST_SAMPLE_ROWS = 1_000
"""Rows from which text columns and the need of memory are foreseen, at most and in wide tables."""


def read_csv(path: Path, *, target: str, schema: Schema | None, split_key: str | None = None) -> Dataset:
    """Read and check a table.

    Separators `,` `;` and tab, decimal commas, UTF-8 with or without a byte order mark and gzip are recognised.
    Missing values are empty fields, `?` and what pandas takes for missing (NA, NaN, null, None, ...).

    Parameters
    ----------
    path : a CSV file with a header.
    target : name of the column of labels.
    schema : that of the training data if these rows are for an evaluation: the same columns (in any order) of the same
        kinds and no other labels are expected then, but neither a minimum of rows nor of classes.
    split_key : name of the column that says which rows belong together; it is no feature. With a schema that has one the
        file need not, and `groups` are None unless each row has a value there.

    Returns
    -------
    Dataset
        `X`: DataFrame; float32 columns for numbers and truth values, `str` columns for text, NaN for missing. Equal to
        `pandas.read_csv` cast to float32 if the file holds numbers only. `y`: int64, bool or fixed-width str.
        `groups`: as they stand in the file, so that `007` is not `7` (but blanks before a value are none of it).

    Raises
    ------
    DataError
        When the file breaks the contract; the message says where, what was expected and what was found.
    NoInputError
        When the file is missing or unreadable.
    FitError
        When it can't fit the memory that is available.
    """
    check_input(path)
    file = _open(path, target, split_key, schema)
    names = _feature_names(file, schema)
    text = _sample(file, names, schema)
    columns, labels, groups = _read(file, names, text, fixed=schema is not None)
    if not columns.n_rows:
        raise DataError(f"{path} has a header with {len(file.dialect.names)} columns, but no data row below it")
    codes = _label_codes(file, labels)
    training = schema is None
    if schema is None:
        y, classes = _learn_labels(file, codes, list(labels.texts))
        _check_features(path, columns)
        schema = _schema(file, columns, classes)
    else:
        y, classes = _match_labels(file, codes, list(labels.texts), schema)
    notes = (*_notes(file), *(_odd_texts(file, columns) if training else ()))
    found = _groups(file, groups, is_required=training)
    return Dataset(path, sha256_of(path), columns.to_frame(), y, classes, schema, notes, found)


def _open(path: Path, target: str, split_key: str | None, schema: Schema | None) -> CsvFile:
    """Return the file with its dialect; raise DataError if it has not the columns that are not features."""
    if schema is not None:
        return CsvFile(path, dialect.read_dialect(path, target, schema["columns"]), target, schema.get("split_key"))
    found = dialect.read_dialect(path, target)
    if split_key is not None:
        dialect.check_split_key(path, found.names, split_key)
    return CsvFile(path, found, target, split_key)


def _feature_names(file: CsvFile, schema: Schema | None) -> list[str]:
    """Return the features in the order of the result; raise DataError if they are not those expected."""
    if schema is None:
        if not file.features:
            others = " and ".join(map(repr, filter(None, (file.target, file.split_key))))
            raise DataError(f"{file.path} has no column but {others}; expected at least one feature beside")
        return file.features
    expected = list(schema["columns"])
    missing = [name for name in expected if name not in file.features]
    extra = [name for name in file.features if name not in expected]
    if missing or extra:
        found = "; ".join(
            f"{word} {', '.join(map(repr, names))}"
            for word, names in (("missing:", missing), ("extra:", extra))
            if names
        )
        raise DataError(f"{file.path} must have the columns that the model was trained on; {found}")
    return expected


def _sample(file: CsvFile, names: list[str], schema: Schema | None) -> list[str]:
    """Return the text columns, as far as the first rows show them; raise FitError if all rows can't fit."""
    known = [name for name, kind in schema["columns"].items() if kind == "text"] if schema else []
    n_rows = max(1, min(MOST_SAMPLE_ROWS, SAMPLE_CELLS // len(file.dialect.names)))
    sample = file.head(dict.fromkeys(known, Kind.TEXT), n_rows)
    if sample is None:
        return known
    text = [name for name, kind in zip(names, kinds_of(by_dtype(sample, names)), strict=True) if kind is Kind.TEXT]
    grouped = [str(file.split_key)] if file.has_groups else []
    _check_memory(file, sample[text + grouped], len(names) - len(text), training=schema is None)
    return known or ([] if schema else text)


def _check_memory(file: CsvFile, text: pd.DataFrame, n_numeric: int, *, training: bool) -> None:
    """Raise FitError if the rows can't fit the memory that is available.

    A number takes 4 bytes; a text a code (4), a pointer (8), and its string if it is not one of few categories. Data for
    training are there twice while they are split, and again while the forest's input is made of them. The parser, the
    report and MLflow's client come on top.
    """
    bytes_per_row = 4.0 * n_numeric
    for name in text:
        values = text[name].dropna()
        distinct = values.unique()
        strings = sum(map(sys.getsizeof, distinct)) / len(text) if len(distinct) > 0.5 * len(values) else 0
        bytes_per_row += 12 + strings
    rows, features = file.dialect.n_rows, len(file.features)
    need = round(rows * bytes_per_row * (2 if training else 1)) + CONSTANT_BYTES
    need += file.parsing_bytes
    what = f"{file.path} ({rows:,} rows of {features:,} features)"
    resources.require_memory(need, what, "give the job more memory or the file fewer rows")


def _read(file: CsvFile, names: list[str], text: list[str], *, fixed: bool) -> tuple[Columns, TextColumn, TextColumn]:
    """Read all blocks, features, labels and groups; a second time if a column's kind was only seen late."""
    kinds = dict.fromkeys(text, Kind.TEXT)
    while True:
        columns = Columns(file.path, names, text=text, fixed=fixed, n_expected=file.dialect.n_rows)
        labels, groups = TextColumn(), TextColumn()
        with closing(file.blocks(kinds)) as blocks:
            for block in blocks:
                columns.add(block)
                labels.add(block[file.target])
                if file.has_groups:
                    groups.add(block[str(file.split_key)])
        if not columns.stale:
            return columns, labels, groups
        kinds = columns.kinds
        text = [name for name in names if kinds[name] is Kind.TEXT]


def _label_codes(file: CsvFile, labels: TextColumn) -> np.ndarray:
    """Return the codes of the labels; raise DataError if some are missing."""
    _check_complete(f"{file.path}, column {file.target!r}", labels.codes, "label", "--target")
    return labels.codes


def _groups(file: CsvFile, groups: TextColumn, *, is_required: bool) -> np.ndarray | None:
    """Return what the split key says of each row; raise DataError if that is required and some values are missing."""
    if not file.has_groups or (not is_required and (groups.codes < 0).any()):
        return None
    _check_complete(f"{file.path}, column {file.split_key!r}", groups.codes, "value", "--split-key")
    return groups.to_numpy()


def _check_complete(where: str, codes: np.ndarray, what: str, option: str) -> None:
    """Raise DataError if some rows have no value."""
    missing = np.flatnonzero(codes < 0)
    if len(missing) == len(codes):
        raise DataError(f"{where}: all {len(missing)} {what}s are missing; is this the right column? See {option}")
    if len(missing):
        rows = ", ".join(str(each + 1) for each in missing[:5]) + (", ..." if len(missing) > 5 else "")  # noqa: PLR2004
        raise DataError(
            f"{where}: {len(missing)} of {len(codes)} {what}s are missing (data rows {rows}); expected a {what} in "
            "each row, so fill them in or leave the rows out (empty, ?, NA, None, null and the like count as missing)"
        )


def _learn_labels(file: CsvFile, codes: np.ndarray, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of training data and their classes."""
    where = f"{file.path}, column {file.target!r}"
    counts = np.bincount(codes, minlength=len(texts))
    pointed = [with_points(text, file.dialect.decimal) for text in texts]
    labels = type_labels(where, pointed if all(map(NUMBER.fullmatch, pointed)) else texts, counts)
    classes, positions = np.unique(labels, return_inverse=True)
    totals = np.bincount(positions, weights=counts).astype(np.int64)
    check_classes(where, classes, totals)
    return labels[codes], classes


def _match_labels(file: CsvFile, codes: np.ndarray, texts: list[str], schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of evaluation data and the model's classes."""
    known = schema["classes"]
    found = [known_label(text, known, file.dialect.decimal) for text in texts]
    if None in found:
        code = found.index(None)
        refuse_unknown(f"{file.path}, data row {np.argmax(codes == code) + 1}", texts[code], known)
    classes = np.array(known)
    return np.array(found, dtype=classes.dtype)[codes], classes


def _check_features(path: Path, columns: Columns) -> None:
    """Raise DataError for columns without any value, and if no feature varies."""
    empty = [name for name in columns.names if columns.is_missing(name)]
    if empty:
        raise DataError(
            f"{path}: nothing but missing values in {len(empty)} of {len(columns.names)} features "
            f"({', '.join(map(repr, empty[:10]))}); fill or remove them"
        )
    if columns.are_constant():
        raise DataError(f"{path}: all {len(columns.names)} features are constant; expected one at least that varies")


def _schema(file: CsvFile, columns: Columns, classes: np.ndarray) -> Schema:
    """Return what later data must look like."""
    kinds = {name: "text" if name in columns.text else "numeric" for name in columns.names}
    key = {} if file.split_key is None else {"split_key": file.split_key}
    return {"kind": "table", "columns": kinds, "target": file.target, "classes": classes.tolist(), **key}


def _notes(file: CsvFile) -> tuple[str, ...]:
    """Return what a reader of the report should know about the columns."""
    unnamed = tuple(
        f"A column without a name is a feature called {name!r}; if it only counts the rows, remove it from the file."
        for name in file.dialect.unnamed
    )
    trailing = ("Each line ends with a separator; what is behind it is empty and no feature.",)
    return unnamed + (trailing if file.dialect.trailing else ())


def _odd_texts(file: CsvFile, columns: Columns) -> list[str]:
    """Return a note on each column that is text for the sake of few values; only the first are shown."""

    def numeric(text: str) -> bool:
        return bool(NUMBER.fullmatch(with_points(text, file.dialect.decimal)))

    def likely(text: str) -> bool:
        return bool(dialect.NUMBER.fullmatch(text))

    found = {name: column.first_odd(numeric, likely) for name, column in columns.text.items()}
    notes = [
        f"Column {name!r} is taken as text because of {odd[1][:40]!r} in data row {odd[0] + 1}, but most of its values "
        f"look like numbers; correct what does not, or leave it empty (the decimal sign here is {file.dialect.decimal!r})."
        for name, odd in found.items()
        if odd is not None
    ]
    more = len(notes) - MOST_ODD
    return notes[:MOST_ODD] + ([f"So are {more} more columns of mostly numbers."] if more > 0 else [])
