"""Tables: any honest CSV is read exactly, any other is refused with a sentence that says where and why."""

import csv
import gzip
import io
import json
import mmap
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs import resources
from jobs.datasets import Dataset, columns, csv_file, csv_writer, table
from jobs.datasets.columns import TEXT_DTYPE, Kind, join
from jobs.datasets.csv_writer import write_csv
from jobs.datasets.dialect import read_dialect
from jobs.datasets.matrix import Matrix
from jobs.datasets.source import unpacked_size
from jobs.errors import DataError, FitError, NoInputError

LABELS = [0, 1] * 6


def save(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    """Write a file."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(line: str, n: int = 12) -> str:
    """Return `n` data rows; in `line`, `#` is the row's number from 1 and `@` its label."""
    return "".join(line.replace("#", str(i + 1)).replace("@", str(LABELS[i % 12])) + "\n" for i in range(n))


def read(path: Path, *, target: str = "target", schema: Any = None, key: str | None = None) -> Dataset:
    """Read a table."""
    return table.read_csv(path, target=target, schema=schema, split_key=key)


def refused(path: Path, *, target: str = "target", schema: Any = None) -> str:
    """Return the sentence of the DataError."""
    with pytest.raises(DataError) as caught:
        table.read_csv(path, target=target, schema=schema)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


# What is read


def test_numbers_are_those_of_pandas(tmp_path: Path) -> None:
    """A numeric CSV gives what `pd.read_csv` gives, cast to float32; columns and rows in the same order."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.standard_normal((500, 4)) * 10.0 ** random.integers(-30, 30, (500, 4)))
    frame.columns = list("dbca")
    frame.insert(2, "target", random.integers(0, 3, 500))
    frame["i"] = random.integers(-(2**62), 2**62, 500)
    path = tmp_path / "data.csv"
    frame.to_csv(path, index=False)

    data = read(path)
    naive = pd.read_csv(path)

    pd.testing.assert_frame_equal(naive.drop(columns="target").astype(np.float32), data.X)
    assert naive["target"].tolist() == data.y.tolist()
    assert np.int64 == data.y.dtype
    assert [0, 1, 2] == data.classes.tolist()
    assert data.X.to_numpy().flags.c_contiguous


def test_kinds_of_columns(tmp_path: Path) -> None:
    """Numbers and truth values are float32, text is str, gaps are NaN; the schema can be kept as JSON."""
    data = read(save(tmp_path, "a,b,c,target,d\n" + rows("#.5,x#,True,@,?") + "?,NA,,1,7\n"))

    assert ["float32", "str", "float32", "float32"] == [str(each) for each in data.X.dtypes]
    assert [12.5, "x12", 1.0] == data.X.iloc[11, :3].tolist()
    assert data.X.iloc[12, :3].isna().all()
    assert [7.0] == data.X["d"].dropna().tolist()
    assert json.loads(json.dumps(data.schema)) == data.schema
    assert {"a": "numeric", "b": "text", "c": "numeric", "d": "numeric"} == data.schema["columns"]


@pytest.mark.parametrize(
    ("labels", "expected", "dtype"),
    [
        (["3", "-1"], [3, -1], "int64"),
        (["1.0", "2"], [1, 2], "int64"),
        (["1e3", "0"], [1000, 0], "int64"),
        (["True", "false"], [True, False], "bool"),
        (["yes", "no"], ["yes", "no"], "<U3"),
        (["1", "b"], ["1", "b"], "<U1"),
        (["0.50", "1.5"], ["0.5", "1.5"], "<U3"),
        (["99999999999999999999", "1.5"], ["1e+20", "1.5"], "<U5"),
    ],
)
def test_labels_of_any_type(tmp_path: Path, labels: list[str], expected: list[Any], dtype: str) -> None:
    """Labels are integers, truth values or text, whichever all of them are."""
    data = read(save(tmp_path, "a,target\n" + "".join(f"{i},{labels[i % 2]}\n" for i in range(12))))

    assert expected == data.y[:2].tolist()
    assert dtype == data.y.dtype
    assert sorted(expected) == data.classes.tolist()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_dialects(tmp_path: Path, separator: str, bom: bytes, pack: Any, end: str) -> None:
    """The separator, a byte order mark, gzip and line ends are recognised; separators inside quotes don't count."""
    lines = ['"a,b;c\td"|target|s', *(f'{i}.25|{i % 2}|"x,;{i}"' for i in range(12))]
    text = end.join(lines).replace("|", separator)
    data = read(save(tmp_path, pack(bom + text.encode()), "data.csv.gz" if pack is gzip.compress else "data.csv"))

    assert ["a,b;c\td", "s"] == list(data.X.columns)
    assert [i + 0.25 for i in range(12)] == data.X.iloc[:, 0].tolist()
    assert "x,;3" == data.X.iloc[3, 1]


def test_decimal_commas(tmp_path: Path) -> None:
    """In a file with semicolons `1,5` is a number, also as a label; with points it stays as it is."""
    commas = read(save(tmp_path, "a;b;target\n" + rows("#,5;x;@,5")))
    points = read(save(tmp_path, "a;b;target\n" + rows("#.5;x,5;@")))

    assert [1.5, 2.5] == commas.X["a"][:2].tolist()
    assert ["0.5", "1.5"] == commas.classes.tolist()
    assert [1.5, "x,5"] == points.X.iloc[0].tolist()


def test_decimal_commas_between_tabs(tmp_path: Path) -> None:
    """They are taken only when they can't be separators of thousands."""
    commas = read(save(tmp_path, "a\tb\ttarget\n" + rows("#,5\t1,250\t@")))
    points = read(save(tmp_path, "a\tb\ttarget\n" + rows("#.5\tx,5\t@")))
    thousands = read(save(tmp_path, "a\tb\ttarget\n" + rows("#\t1,25#\t@", 9) + rows("1\t2,001\t@")))

    assert [1.5, 1.25] == commas.X.iloc[0].tolist()
    assert [1.5, "x,5"] == points.X.iloc[0].tolist()
    assert "1,251" == thousands.X["b"][0]


def test_text_among_numbers_is_noted(tmp_path: Path) -> None:
    """A slip of the finger makes a column text: who reads the report is told which and where; few are named."""
    data = read(save(tmp_path, "a,b,c,target\n" + rows("#,x#,,@") + "12a,3,z,1\n,4,7,1\n"))
    names = [f"n{i}" for i in range(8)]
    many = read(save(tmp_path, ",".join(names) + ",target\n" + rows("#," * 8 + "@") + "x," * 8 + "1\n"))
    again = read(save(tmp_path, "a,b,c,target\n" + "1,2,3,1\n" * 3 + "x,2,3,1\n"), schema=data.schema)

    assert len(data.notes) == 1
    assert "Column 'a' is taken as text because of '12a' in data row 13" in data.notes[0]
    assert len(many.notes) == 6
    assert "3 more columns" in many.notes[5]
    assert () == again.notes


def test_a_quoted_decimal_comma_is_noted(tmp_path: Path) -> None:
    """Between commas it is text, and so it is between semicolons where points are the rule."""
    some = read(save(tmp_path, "a,target\n" + rows("#,@") + '"1,5",1\n'))
    all_ = read(save(tmp_path, "a,target\n" + rows('"#,5",@')))

    assert "because of '1,5' in data row 13" in some.notes[0]
    assert "because of '1,5' in data row 1, but most of its values look like numbers" in all_.notes[0]
    assert "the decimal sign here is '.'" in all_.notes[0]


def test_a_separator_at_the_end_of_each_line(tmp_path: Path) -> None:
    """It is no column, in training and in evaluation, and noted; a value behind it is refused."""
    data = read(save(tmp_path, "a,b,target,\n" + rows("#,x#,@,") + "1,x,0\n"))
    plain = save(tmp_path, "a,b,target\n1,x,0\n")

    assert ["a", "b"] == list(data.X.columns)
    assert ["Each line ends with a separator; what is behind it is empty and no feature."] == list(data.notes)
    assert 1 == len(read(plain, schema=data.schema))
    assert 1 == len(read(save(tmp_path, "a,b,target,\n1,x,0,\n"), schema=data.schema))


def test_a_value_behind_the_last_separator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far behind the beginning it is refused, not left out."""
    monkeypatch.setattr("jobs.datasets.dialect.HEAD", 64)
    path = save(tmp_path, "a,b,target,\n" + rows("#,x#,@,", 50) + "1,x,0,7\n")

    assert "data row 51: expected nothing behind the last separator, found '7" in refused(path)


def test_a_column_without_a_name(tmp_path: Path) -> None:
    """It is called as pandas calls it, and noted."""
    data = read(save(tmp_path, ",a,target\n" + rows("#,#,@")))

    assert ["Unnamed: 0", "a"] == list(data.X.columns)
    assert "'Unnamed: 0'" in data.notes[0]


def test_rows_can_be_taken(tmp_path: Path) -> None:
    """`take` keeps order, kinds and the layout that scikit-learn wants."""
    data = read(save(tmp_path, "a,b,target\n" + rows("#,x#,@"))).take(np.array([3, 0]))

    assert [[4.0, "x4"], [1.0, "x1"]] == data.X.to_numpy().tolist()
    assert [1, 0] == data.y.tolist()


def test_text_does_not_need_pyarrow(tmp_path: Path) -> None:
    """Text is kept as Python strings, and scikit-learn and skops take it."""
    import skops.io
    from sklearn.preprocessing import OrdinalEncoder

    X = read(save(tmp_path, "a,b,target\n" + rows("#,x#,@") + "1,,0\n")).X
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(X[["b"]])
    again = skops.io.loads(skops.io.dumps(encoder))

    assert "python" == X["b"].dtype.storage
    np.testing.assert_array_equal(encoder.transform(X[["b"]]), again.transform(X[["b"]]))
    assert [-1.0] == encoder.transform(pd.DataFrame({"b": ["new"]})).ravel().tolist()


def test_lines_and_fields_of_any_length(tmp_path: Path) -> None:
    """Thousands of columns and long texts, with line ends in them too, are read; other users of csv see no change."""
    wide = ",".join(f"column_{i}" for i in range(25_000))
    values = ",".join(["#"] * 25_000)
    long = '"' + "a, b\n" * 400_000 + '"'
    limit = csv.field_size_limit()

    assert (12, 25_000) == read(save(tmp_path, f"{wide},target\n" + rows(f"{values},@"))).X.shape
    assert 2_000_001 == len(read(save(tmp_path, f'a,b,target\n1,{long[:-1]}c",0\n' + rows("#,x#,@"))).X["b"][0])
    assert limit == csv.field_size_limit()


def test_blanks_behind_separators(tmp_path: Path) -> None:
    """`a, b, ?` is what `a,b,?` is: gaps are seen, numbers are numbers, quotes quote, labels have no blank."""
    data = read(save(tmp_path, 'a, b, "c, d", target\n' + rows('#, ?, "x, #", y@') + '13, 7, "x, 1", y1\n'))

    assert ["a", "b", "c, d"] == list(data.X.columns)
    assert ["float32", "float32", "str"] == [str(each) for each in data.X.dtypes]
    assert [7.0] == data.X["b"].dropna().tolist()
    assert "x, 1" == data.X["c, d"][0]
    assert ["y0", "y1"] == data.classes.tolist()


# Blocks


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks of a few rows, and foresee nothing from a sample."""
    monkeypatch.setattr(csv_file, "PIECE_BYTES", 30)
    monkeypatch.setattr(csv_file, "COLUMN_BYTES", 0)
    monkeypatch.setattr(table, "MOST_SAMPLE_ROWS", 1)


@pytest.mark.usefixtures("small_blocks")
def test_text_that_shows_late(tmp_path: Path) -> None:
    """A column that holds text in its last row is text in all, as it stands in the file."""
    data = read(save(tmp_path, "a,b,c,target\n" + rows("01,#,True,@") + "x,3,5,1\n"))

    assert ["01"] * 12 + ["x"] == data.X["a"].tolist()
    assert ["True"] * 12 + ["5"] == data.X["c"].tolist()
    assert 12.0 == data.X["b"][11]


@pytest.mark.usefixtures("small_blocks")
def test_kinds_that_widen(tmp_path: Path) -> None:
    """Gaps, truth values with gaps, integers and fractions go together without a second look."""
    data = read(save(tmp_path, "a,b,c,target\n" + rows(",True,#,@") + rows("3,,#.5,@")))

    assert [3.0] * 12 == data.X["a"][12:].tolist()
    assert [1.0] * 12 == data.X["b"][:12].tolist()
    assert data.X["b"][12:].isna().all()
    assert 1.5 == data.X["c"][12]


@pytest.mark.usefixtures("small_blocks")
def test_wide_integers_are_rounded_once_or_twice_as_pandas_would(tmp_path: Path) -> None:
    """In a column of fractions integers become float64 first, whichever block they are in."""
    wide = 2**60 + 2**36 + 1
    path = save(tmp_path, "a,b,target\n" + rows(f"{wide},{wide},@") + "0.5,1,0\n,2,1\n")

    naive = pd.read_csv(path).drop(columns="target").astype(np.float32)

    pd.testing.assert_frame_equal(naive, read(path).X)
    assert naive["a"][0] != naive["b"][0]


KINDS = st.sampled_from(list(Kind))


@given(KINDS, KINDS, KINDS)
def test_the_order_of_blocks_does_not_matter(one: Kind, two: Kind, three: Kind) -> None:
    """Joining kinds is idempotent and commutative, text is the top, and nothing else comes out of order."""
    assert one == join(one, one)
    assert join(one, two) == join(two, one)
    assert Kind.TEXT is join(one, Kind.TEXT)
    if Kind.WIDE not in {one, two, three}:
        assert join(join(one, two), three) == join(one, join(two, three))


MISSING = {*pd._libs.parsers.STR_NA_VALUES, "?"}
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff"), min_size=1, max_size=8).filter(
    lambda text: (
        text not in MISSING and text.strip() == text and not text.lower().startswith(("true", "false", "inf", "nan"))
    )
)
NAMES = st.lists(WORDS.filter(lambda text: "Unnamed" not in text), min_size=2, max_size=4, unique=True)
FLOATS = st.one_of(st.none(), st.floats(width=32, allow_nan=False, allow_infinity=False))


@st.composite
def honest_tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    """Draw names (the last is the target) and columns: numbers with gaps, text with gaps; labels last."""
    names = draw(NAMES)
    n_rows = draw(st.integers(12, 20))
    kinds = [draw(st.booleans()) for _ in names[1:]]
    texts = st.one_of(st.none(), WORDS.map(lambda text: f"t{text}"))
    found = [draw(st.lists(texts if text else FLOATS, min_size=n_rows, max_size=n_rows)) for text in kinds]
    for column, text in zip(found, kinds, strict=True):
        column[:2] = ["tx", "ty"] if text else [0.5, 1.5]
    return names, [*found, [i % 2 for i in range(n_rows)]]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    honest_tables(),
    st.sampled_from(",;\t"),
    st.booleans(),
    st.booleans(),
    st.sampled_from([3, 50, 5000]),
    st.booleans(),
)
def test_any_honest_table_reads_back(
    tmp_path_factory: pytest.TempPathFactory,
    honest: tuple[list[str], list[list[Any]]],
    separator: str,
    comma: bool,  # noqa: FBT001
    bom: bool,  # noqa: FBT001
    piece: int,
    packed: bool,  # noqa: FBT001
) -> None:
    """Whatever the dialect, the block size and the content: what was written is what is read."""
    names, content = honest
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=separator)
    writer.writerow(names)
    for row in zip(*content, strict=True):
        cells = ["" if each is None else repr(each) if isinstance(each, float) else str(each) for each in row]
        if comma and separator == ";":
            cells = [c.replace(".", ",") if isinstance(r, float) else c for c, r in zip(cells, row, strict=True)]
        writer.writerow(cells)
    text = stream.getvalue().encode("utf-8-sig" if bom else "utf-8")
    path = save(tmp_path_factory.mktemp("any"), gzip.compress(text) if packed else text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "PIECE_BYTES", piece)
        patch.setattr(csv_file, "COLUMN_BYTES", 0)
        data = read(path, target=names[-1])

    assert names[:-1] == list(data.X.columns)
    assert content[-1] == data.y.tolist()
    for name, expected in zip(names, content[:-1], strict=False):
        found = data.X[name]
        assert expected == [None if pd.isna(each) else each for each in found]
        assert ("str" if isinstance(expected[0], str) else "float32") == found.dtype


# Evaluation data


@pytest.fixture
def schema(tmp_path: Path) -> Any:
    """Return the schema of a training table: numbers `a`, text `b`, labels 0 and 1."""
    return read(save(tmp_path, "a,b,target\n" + rows("#,x#,@"), "train.csv")).schema


def test_evaluation_data_is_read_in_the_order_of_the_model(tmp_path: Path, schema: Any) -> None:
    """Columns may be in another order; one row of one class is enough; new categories and number-like text are fine."""
    data = read(save(tmp_path, "target,b,a\n1.0,07,3\n"), schema=schema)

    assert [[3.0, "07"]] == data.X.to_numpy().tolist()
    assert [1] == data.y.tolist()
    assert [0, 1] == data.classes.tolist()
    assert schema == data.schema


def test_evaluation_data_may_be_empty_columns(tmp_path: Path, schema: Any) -> None:
    """Columns of missing values keep their kinds."""
    data = read(save(tmp_path, "a,b,target\n,,1\n,,0\n"), schema=schema)

    assert ["float32", "str"] == [str(each) for each in data.X.dtypes]


@pytest.mark.parametrize(
    ("labels", "text", "expected"),
    [
        (["yes", "no"], "no", "no"),
        (["01", "x"], "01", "01"),
        (["0.5", "1.5"], "0.50", "0.5"),
        (["True", "False"], "TRUE", True),
        (["7", "8"], "8.0", 8),
    ],
)
def test_evaluation_labels_mean_what_they_meant(tmp_path: Path, labels: list[str], text: str, expected: Any) -> None:
    """A label is matched in the type of the training data, and the schema may have been JSON in between."""
    train = read(save(tmp_path, "a,target\n" + "".join(f"{i},{labels[i % 2]}\n" for i in range(12))))
    data = read(save(tmp_path, f"a,target\n1,{text}\n"), schema=json.loads(json.dumps(train.schema)))

    assert [expected] == data.y.tolist()
    assert train.y.dtype == data.y.dtype


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a,target\n1,0\n", "must have the columns that the model was trained on; missing: 'b'"),
        ("a,b,c,target\n1,x,2,0\n", "extra: 'c'"),
        ("a,b,target\n1,x,0\nlow,x,0\n", "column 'a', data row 2: expected a number, found 'low'"),
        ("a,b,target\n1,x,0\n1,x,2\n", "data row 2: label '2' is not one the model was trained on; it knows 0, 1"),
        ("a,b,target\n1,x,\n1,x,2\n", "1 of 2 labels are missing (data rows 1)"),
        ("a,b,target\n", "no data row"),
        ("a,b,target\n-inf,x,1\n", "column 'a', data row 1"),
    ],
)
def test_evaluation_data_that_does_not_fit(tmp_path: Path, schema: Any, content: str, sentence: str) -> None:
    """Other columns, other kinds and other labels are refused by name, row and value."""
    assert sentence in refused(save(tmp_path, content), schema=schema)


@pytest.mark.usefixtures("small_blocks")
def test_text_in_a_late_block_of_evaluation_data(tmp_path: Path, schema: Any) -> None:
    """The row is counted over all blocks; a column must not mix truth values and numbers."""
    late = refused(save(tmp_path, "a,b,target\n" + rows("#,x,@") + "low,x,1\n"), schema=schema)
    mixed = refused(save(tmp_path, "a,b,target\n" + rows("True,x,@") + "3,x,1\n"), schema=schema)

    assert "data row 13: expected a number, found 'low'" in late
    assert "column 'a', data row 13" in mixed


# What is refused


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty (0 bytes)"),
        ("\n\n", "nothing but blank lines"),
        ("a,target\n", "has a header with 2 columns, but no data row"),
        ("a,target\n\n\n", "no data row"),
        ("a,target\n \n", "no data row"),
        ("a,target\n \n" + rows("x,#,@"), "data row 1: expected 2 fields as in the header, found 3"),
        ("a,Target\n" + rows("#,@"), "has no column 'target'; did you mean 'Target'? Name it with --target"),
        ("a,label\n" + rows("#,@"), "has no column 'target'; it has 'a', 'label'; name the column of labels"),
        ("a|b|target\n" + rows("#|2|@"), "single column, 'a|b|target'; if it should be more, the separator is unknown"),
        (rows("#,@"), "its first line holds only numbers (1, 0): add a line of column names"),
        ("a,target\n" + rows("#,"), "all 12 labels are missing; is this the right column?"),
        ("a,target\n" + rows("#,@") + "1,\n1,?\n1,NA\n", "3 of 15 labels are missing (data rows 13, 14, 15)"),
        ("a,target\n" + rows("#,@") + "1,\n" * 9, "9 of 21 labels are missing (data rows 13, 14, 15, 16, 17, ...)"),
        ("a,target\n" + rows("#,7"), "one class only, 7"),
        ("a,target\n" + rows("#,@") + "1,5\n", "1 of 3 classes with a single row (5)"),
        ("a,target\n" + rows("#,#"), "12 of 12 classes with a single row (1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more)"),
        ("a,target\n" + rows("#,#", 30), "it looks continuous"),
        ("a,target\n" + rows("#,#.5"), "looks continuous: 12 different numbers such as 1.5"),
        ("a,target\n" + rows("#,inf"), "has infinite labels"),
        ("a,target\n" + rows("#,@") + "1,2,3\n", "line 14: expected 2 fields as in the header, found 3"),
        ("a,target\n" + rows("#,@,3"), "data row 1: expected 2 fields as in the header, found 3"),
        ("a,target\n1,0,5\n" + rows("#,@"), "data row 1: expected 2 fields as in the header, found 3"),
        ("a,target\n" + rows("#,@") + '"1,0\n' + rows("#,@"), "data row 13: a quote is opened and never closed"),
        ("a,b,target\n" + rows(",?,@"), "nothing but missing values in 2 of 2 features ('a', 'b')"),
        ("a,b,a,target\n" + rows("#,1,2,@"), "has several columns called 'a'; give each its own name"),
        ("a,target,target\n" + rows("#,@,@"), "has several columns called 'target'"),
        ("a,b,target\n" + rows("1,x,@"), "all 2 features are constant"),
        ("target\n" + rows("@"), "has no column but 'target'; expected at least one feature"),
        ("a,target\n" + rows("#,@", 3), "has 3 rows in all; expected at least 10"),
        (
            "a,target\n" + rows("#,@") + "inf,1\n",
            "column 'a', data row 13: expected a number of at most 3.4e38, found inf",
        ),
        ("a,target\n" + rows("#,@") + "-1e39,1\n", "found -1e+39, beyond the range of 32-bit floats"),
        (b"a,target\n\xff,1\n", "is not UTF-8 text (byte 0xff): line 2 is the first"),
        ("a,target\n1,0\n\0,1\n", "contains NUL bytes: line 3 is the first"),
        ("a,target\n1,0\n".encode("utf-16"), "UTF-16 text; export it as CSV in UTF-8"),
        (b"PK\x03\x04\x14\0\0\0", "looks like a ZIP archive or an Excel workbook; export it as CSV"),
        (pickle.dumps(list(range(99))), "is not UTF-8 text"),
        ('"' + "x" * 200_000, "header: a quote is opened and never closed"),
        ('a,"target\n' + rows("#,@"), "header: a quote is opened and never closed"),
        ('a,target\n"1,0\n' + rows("#,@"), "data row 1: a quote is opened and never closed"),
    ],
)
def test_what_breaks_the_contract(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    """Each breach has its sentence: the file, the place, what was expected, what was found, what to do."""
    assert sentence in refused(save(tmp_path, content))


def test_nul_and_bad_bytes_far_behind_the_beginning(tmp_path: Path) -> None:
    """What the first megabyte doesn't show is found when it is read, inside pandas."""
    body = b"a,target\n" + b"1,0\n2,1\n" * 200_000

    assert "NUL bytes: line 400002" in refused(save(tmp_path, body + b"\0,1\n"))
    assert "byte 0xe9): line 400002" in refused(save(tmp_path, body + b"\xe9,1\n"))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda _: b"a,target\n1,0\n", "is called .gz, but is no gzip file"),
        (lambda packed: packed[:-20], "is a broken gzip file"),
        (lambda packed: packed[:-8] + bytes(4) + packed[-4:], "is a broken gzip file (CRC check failed"),
        (lambda packed: packed[:12] + b"\xff" * 99 + packed[111:], "is a broken gzip file"),
    ],
)
def test_broken_gzip(tmp_path: Path, damage: Any, sentence: str) -> None:
    """A file that is no gzip, is cut, has another checksum or rubbish inside is refused."""
    packed = gzip.compress(("a,target\n" + rows("#,@") * 3_000).encode())

    assert sentence in refused(save(tmp_path, damage(packed), "data.csv.gz"))


def test_missing_input(tmp_path: Path) -> None:
    """A missing file and a directory are no input, and say so."""
    with pytest.raises(NoInputError, match="does not exist"):
        read(tmp_path / "none.csv")
    with pytest.raises(NoInputError, match="is a directory"):
        read(tmp_path)
    with pytest.raises(NoInputError, match="does not exist"):
        read(save(tmp_path, "x") / "below")
    with pytest.raises(NoInputError, match="is not a regular file"):
        read(Path("/dev/null"))


@pytest.mark.parametrize(
    ("refusal", "sentence"), [(PermissionError, "may not be read by this user"), (OSError("worn out"), "worn out")]
)
def test_unreadable_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Any, sentence: str) -> None:
    """What the system does not let us read is no input; root may read all, so the refusal is played."""

    def refuse(*_: Any) -> None:
        raise refusal

    path = save(tmp_path, "a,target\n")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(NoInputError, match=sentence):
        read(path)


# Groups


def test_groups_are_no_feature(tmp_path: Path) -> None:
    """The column of the split key is text as it stands in the file, whatever it looks like; rows can be taken."""
    data = read(
        save(tmp_path, "a,who,target\n" + '1,007,0\n2,7,1\n3,7.0,0\n4,2026-01-05,1\n5,"x, y",0\n' * 3), key="who"
    )

    assert ["a"] == list(data.X.columns) == list(data.schema["columns"])
    assert "who" == data.schema["split_key"]
    assert data.groups is not None
    assert ["007", "7", "7.0", "2026-01-05", "x, y"] == data.groups[:5].tolist()
    assert (15,) == data.groups.shape
    assert ["2026-01-05", "007"] == data.take(np.array([3, 0])).groups.tolist()  # type: ignore[union-attr]
    assert json.loads(json.dumps(data.schema)) == data.schema


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_groups_in_any_dialect(tmp_path: Path, separator: str, pack: Any) -> None:
    """Decimal commas are numbers among the features, but not in the split key."""
    decimal = "." if separator == "," else ","
    text = "a|who|target\n" + rows(f'#{decimal}5|"1{decimal}50"|@')
    path = save(tmp_path, pack(text.replace("|", separator).encode()), "d.csv.gz" if pack is gzip.compress else "d.csv")
    data = read(path, key="who")

    assert [1.5, 2.5] == data.X["a"][:2].tolist()
    assert {f"1{decimal}50"} == set(data.groups)  # type: ignore[arg-type]


def test_groups_of_a_table_whose_kinds_are_seen_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of the rows also when the file is read in blocks, and twice."""
    monkeypatch.setattr(csv_file, "COLUMN_BYTES", 0)
    monkeypatch.setattr(csv_file, "PIECE_BYTES", 25)
    monkeypatch.setattr(table, "SAMPLE_CELLS", 2)
    data = read(save(tmp_path, "a,who,target\n" + rows("#,g#,@") + "x,g13,1\n"), key="who")

    assert "str" == str(data.X["a"].dtype)
    assert [f"g{i}" for i in range(1, 14)] == data.groups.tolist()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a,Who,target\n" + rows("#,1,@"), "has no column 'who'; did you mean 'Who'? Name it with --split-key"),
        ("a,b,target\n" + rows("#,1,@"), "it has 'a', 'b', 'target'; name the column of groups with --split-key"),
        (
            "a,who,target\n" + rows("#,1,@") + "1,,0\n1,NA,1\n",
            "column 'who': 2 of 14 values are missing (data rows 13, 14)",
        ),
        ("a,who,target\n" + rows("#,,@"), "all 12 values are missing; is this the right column? See --split-key"),
        ("who,target\n" + rows("#,@"), "has no column but 'target' and 'who'; expected at least one feature"),
    ],
)
def test_groups_that_are_not_there(tmp_path: Path, content: str, sentence: str) -> None:
    """A key that rows are to be split by is in each of them."""
    path = save(tmp_path, content)

    with pytest.raises(DataError) as caught:
        read(path, key="who")
    assert sentence in str(caught.value)


def test_later_data_may_have_groups_or_not(tmp_path: Path) -> None:
    """The model has no use for the column; whole, it tells whether the groups are known."""
    schema = json.loads(json.dumps(read(save(tmp_path, "a,who,target\n" + rows("#,g#,@")), key="who").schema))
    without = read(save(tmp_path, "a,target\n1,0\n"), schema=schema)
    whole = read(save(tmp_path, "who,target,a\n07,0,1\n"), schema=schema)
    gaps = read(save(tmp_path, "a,who,target\n1,x,0\n2,,1\n"), schema=schema)

    assert [None, ["07"], None] == [without.groups, whole.groups.tolist(), gaps.groups]  # type: ignore[union-attr]
    assert [["a"]] * 3 == [list(each.X.columns) for each in (without, whole, gaps)]
    assert "extra: 'x'" in refused(save(tmp_path, "a,x,target\n1,2,0\n"), schema=schema)


# What is written


NASTY = [
    " ",
    " x",
    "x ",
    "\n",
    "\r",
    "\r\nx",
    "x\ny,z",
    '"',
    '""',
    "'",
    ",",
    ";",
    "\t",
    "a,b;c\td",
    "\\",
    '\\"',
    "\ufeff",
]
LIKE_OTHERS = ["1", "01", "1,5", "1e5", "-0", "inf", "True", " NA", "NA ", "target", "#", "...", "Unnamed: 0"]
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = (st.sampled_from(NASTY + LIKE_OTHERS) | st.text(CHARACTERS, max_size=8)).filter(
    lambda text: text not in MISSING
)
ANY_NAMES = st.lists(TEXTS.map(str.strip).filter(bool), min_size=2, max_size=5, unique=True)
NUMBERS = st.floats(width=32, allow_infinity=False) | st.sampled_from([-0.0, 1e-45, 3.4028234663852886e38, 0.1, np.nan])
CLASSES = (
    st.just([False, True])
    | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=4, unique=True)
    | st.lists(TEXTS, min_size=2, max_size=4, unique=True)
)


@st.composite
def tables(draw: st.DrawFn) -> Dataset:
    """Draw rows as they can be read: any names, any texts but those for missing, any numbers of 32 bits, any labels."""
    *names, target = draw(ANY_NAMES)
    n = draw(st.integers(1, 6))
    kinds = {name: draw(st.sampled_from(["numeric", "text"])) for name in names}
    series = {}
    for name, kind in kinds.items():
        values = draw(st.lists(NUMBERS if kind == "numeric" else TEXTS | st.just(np.nan), min_size=n, max_size=n))
        of_text = kind == "text"
        series[name] = pd.Series(
            np.array(values, object if of_text else np.float32), dtype=TEXT_DTYPE if of_text else None
        )
    classes = np.unique(np.array(draw(CLASSES)))
    y = classes[draw(st.lists(st.integers(0, len(classes) - 1), min_size=n, max_size=n))]
    schema = {"kind": "table", "columns": kinds, "target": target, "classes": classes.tolist()}
    return Dataset(Path("some"), "", pd.DataFrame(series), y, classes, schema)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, data: Dataset) -> None:
    """To the last bit, whatever stands in names, texts and labels."""
    path = tmp_path_factory.mktemp("written") / "rows.csv"
    write_csv(data, path)
    found = read(path, target=data.schema["target"], schema=json.loads(json.dumps(data.schema)))

    pd.testing.assert_frame_equal(data.X, found.X, check_exact=True)
    for name, kind in data.schema["columns"].items():
        if kind == "numeric":
            assert (
                np.signbit(data.X[name])
                .where(data.X[name].notna())
                .equals(np.signbit(found.X[name]).where(found.X[name].notna()))
            )
    assert data.y.tolist() == found.y.tolist()
    assert data.y.dtype.kind == found.y.dtype.kind
    assert data.classes.tolist() == found.classes.tolist()


def test_numbers_of_any_bits_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of all magnitudes, in several blocks; those that lie between two of nine digits too."""
    monkeypatch.setattr(csv_writer, "BLOCK_CELLS", 50_000)
    bits = np.random.default_rng(0).integers(0, 2**32, (100_000, 2), dtype=np.uint32)
    numbers = bits.view(np.float32)
    numbers[~np.isfinite(numbers)] = 1
    y = np.arange(len(numbers)) % 2
    schema = {"kind": "table", "columns": {"a": "numeric", "b": "numeric"}, "target": "target", "classes": [0, 1]}
    data = Dataset(tmp_path, "", pd.DataFrame(numbers, columns=["a", "b"]), y, np.array([0, 1]), schema)
    write_csv(data, tmp_path / "rows.csv")

    found = read(tmp_path / "rows.csv", schema=schema)

    np.testing.assert_array_equal(numbers.view(np.uint32), found.X.to_numpy().view(np.uint32))


def test_names_that_look_like_a_header_of_their_own(tmp_path: Path) -> None:
    """Another separator would find the target too, and more columns."""
    names = ["a", "x;target;y;z;;;w", "b\ttarget\t\t\t\tc"]
    data = Dataset(
        tmp_path,
        "",
        pd.DataFrame(np.ones((2, 3), np.float32), columns=names),
        np.array([0, 1]),
        np.array([0, 1]),
        {"kind": "table", "columns": dict.fromkeys(names, "numeric"), "target": "target", "classes": [0, 1]},
    )
    write_csv(data, tmp_path / "rows.csv")

    assert names == list(read(tmp_path / "rows.csv", schema=data.schema).X.columns)


def test_groups_are_not_written(tmp_path: Path) -> None:
    """What is read back has the features and the labels only."""
    data = read(save(tmp_path, "a,who,target\n" + rows("#,g#,@")), key="who").take(np.array([3, 1]))
    write_csv(data, tmp_path / "rows.csv")
    found = read(tmp_path / "rows.csv", schema=data.schema)

    assert [4, 2] == found.X["a"].tolist()
    assert found.groups is None
    assert data.schema == found.schema


# Memory


def test_a_table_that_can_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before it is read, with both numbers; text counts for more."""
    path = save(tmp_path, "a,b,target\n" + rows("#,text,@", 120))
    pieces = 2 * 3 * path.stat().st_size  # as text and as columns: of two threads, and what they made before
    need = table.CONSTANT_BYTES + 2 * 120 * 16 + pieces
    monkeypatch.setattr(resources, "cpu_count", lambda: 2)
    monkeypatch.setattr(resources, "available_memory", lambda: need - 100)

    with pytest.raises(FitError, match=r"\(120 rows of 2 features\) needs about 64 MiB of memory, but 64 MiB is"):
        read(path)
    monkeypatch.setattr(resources, "available_memory", lambda: need + 100)

    assert 120 == len(read(path))


class WithoutMremap(mmap.mmap):
    """Memory where the system has no `mremap`, as on macOS: CPython's `mmap.resize` raises SystemError there."""

    def resize(self, newsize: int) -> None:
        """Refuse, in CPython's words."""
        raise SystemError(f"mmap: resizing not available--no mremap() ({newsize})")


@pytest.mark.parametrize("memory", [mmap.mmap, WithoutMremap])
def test_more_rows_than_the_beginning_lets_expect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: type[mmap.mmap]
) -> None:
    """Lines that get shorter are more than were foreseen; all are there, as pandas reads them."""
    monkeypatch.setattr(csv_file, "PIECE_BYTES", 1 << 18)
    monkeypatch.setattr(csv_file, "COLUMN_BYTES", 0)
    monkeypatch.setattr("jobs.datasets.matrix.mmap.mmap", memory)
    early = rows("0.12345678901234567890,1234567.875,@", 40_000)
    path = save(tmp_path, "a,b,target\n" + early + rows("#,-#,@", 400_000))
    expected = pd.read_csv(path)

    data = read(path)

    assert read_dialect(path, "target").n_rows < 0.6 * len(expected)
    assert np.array_equal(expected[["a", "b"]].to_numpy(np.float32), data.X.to_numpy())
    assert np.array_equal(expected["target"].to_numpy(), data.y)


def test_the_matrix_takes_what_is_written() -> None:
    """Room for rows that do not come costs no memory."""
    before = int(Path("/proc/self/statm").read_text().split()[1])
    matrix = Matrix(1_000, n_expected=100_000)
    matrix.add(3)[:] = 1

    assert (3, 1_000) == matrix.rows.shape
    assert int(Path("/proc/self/statm").read_text().split()[1]) - before < 1_000


def test_a_matrix_that_no_memory_holds() -> None:
    """It is refused as what numpy can't allocate is, so that the job ends as one that does not fit."""
    with pytest.raises(MemoryError, match="no room for 1,000,000,000,000 rows of 1,000 numbers"):
        Matrix(1_000, n_expected=10**12)


def test_the_size_of_a_gzip_file_is_foreseen(tmp_path: Path) -> None:
    """The estimate of rows is within a few percent, packed or not."""
    text = ("a,target\n" + rows("#,@") * 20_000).encode()
    plain, packed = save(tmp_path, text), save(tmp_path, gzip.compress(text), "data.csv.gz")

    assert pytest.approx(240_000, rel=0.05) == read_dialect(plain, "target").n_rows
    assert pytest.approx(240_000, rel=0.05) == read_dialect(packed, "target").n_rows
    assert len(text) == unpacked_size(packed, 1, 1)


def test_sizes_beyond_4_gib_are_told_by_the_ratio(tmp_path: Path) -> None:
    """A gzip file keeps its size modulo 4 GiB; the beginning says how often to add it."""
    path = save(tmp_path, b"\x1f\x8b" + bytes(98) + (5).to_bytes(4, "little"), "big.csv.gz")

    assert 2 * 2**32 + 5 == unpacked_size(path, head=2**31, consumed=26)


def test_a_block_of_nothing_but_gaps_is_missing() -> None:
    """Objects without any value have no kind yet."""
    assert [Kind.MISSING] == columns.kinds_of([("O", np.array([0]), np.array([[None, None]]))])
