"""What data looked like is kept with a model, and data that break that contract are refused with a sentence."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs import contract
from jobs.contract.columns import Categories, Column, Numbers
from jobs.contract.drift import Drift
from jobs.contract.profile import LEAST_ROWS, MOST_CELLS, MOST_ROWS, NAME, Profile
from jobs.datasets import Dataset
from jobs.datasets.columns import TEXT_DTYPE
from jobs.datasets.images import ImageRows
from jobs.errors import DataError

TABLE = {"kind": "table", "columns": {"age": "numeric", "city": "text"}, "target": "y", "classes": [0, 1]}
IMAGES = {"kind": "images", "shape": [8, 8, 3], "dtype": "uint8", "pixel_range": [0, 255], "classes": ["a", "b"]}


def table(columns: dict[str, Any], y: Any = None) -> Dataset:
    """Return a table: lists of text and numbers become what the reader makes of them."""
    frame = pd.DataFrame(
        {
            name: pd.Series(values, dtype=TEXT_DTYPE)
            if any(isinstance(each, str) for each in values)
            else np.asarray(values, dtype=np.float32)
            for name, values in columns.items()
        }
    )
    labels = np.arange(len(frame)) % 2 if y is None else np.asarray(y)
    kinds = {name: "text" if frame[name].dtype == TEXT_DTYPE else "numeric" for name in frame}
    classes = np.unique(labels)
    schema = {"kind": "table", "columns": kinds, "target": "y", "classes": classes.tolist()}
    return Dataset(Path("t.csv"), "0", frame, labels, classes, schema)


def images(pixels: np.ndarray) -> Dataset:
    """Return a set of images, labelled 0 and 1 in turn."""
    X = ImageRows(pixels)
    schema = {"kind": "images", "shape": list(X.shape[1:]), "dtype": str(X.dtype), "classes": [0, 1]}
    return Dataset(Path("i.npz"), "0", X, np.arange(len(X)) % 2, np.arange(2), schema)


def profile(dataset: Dataset) -> Profile:
    """Look at a data set."""
    return Profile.from_dataset(dataset, random_state=0)


def facts(column: Column) -> list[Any]:
    """Return all that a column holds."""
    if isinstance(column, Numbers):
        return [column.sample.tolist(), column.missing, repr(column.low), repr(column.high)]
    return [column.digests.tolist(), column.counts.tolist(), column.missing, column.names]


@pytest.mark.parametrize(
    ("schema", "expected", "sentence"),
    [
        (
            {**TABLE, "columns": {"age": "numeric", "town": "text"}},
            TABLE,
            r"x\.csv: expected the 2 features of the contract, found missing: 'city'; extra: 'town'; these data break the",
        ),
        (
            {**TABLE, "columns": {"age": "numeric", "town": "text"}},
            TABLE,
            r"contract of the first accepted run: correct the file, name another model with --model-name, or make this the new contract with --new-contract$",
        ),
        ({**TABLE, "columns": {"age": "numeric"}}, TABLE, "found missing: 'city'; these"),
        (
            {**TABLE, "columns": {"age": "text", "city": "text"}},
            TABLE,
            r"x\.csv, column 'age': expected numbers, found text; ",
        ),
        (
            {**TABLE, "columns": {"age": "text", "b": "text"}},
            {**TABLE, "columns": {"age": "numeric", "b": "numeric"}},
            "columns 'age', 'b': expected numbers, found text; ",
        ),
        (
            {**TABLE, "columns": {"age": "numeric", "city": "numeric"}},
            TABLE,
            "column 'city': expected text, found numbers; ",
        ),
        ({**TABLE, "classes": [0, 1, 2]}, TABLE, r"x\.csv, labels: expected none but 0, 1, found 2; "),
        ({**TABLE, "classes": [False, True]}, TABLE, "labels: expected none but 0, 1, found False, True; "),
        ({**TABLE, "classes": ["0", "1"]}, TABLE, "labels: expected none but 0, 1, found '0', '1'; "),
        (TABLE, IMAGES, r"x\.csv: expected images, found a table; "),
        (
            {**IMAGES, "shape": [8, 8, 1]},
            IMAGES,
            "images: expected height x width x channels 8 x 8 x 3, found 8 x 8 x 1",
        ),
        ({**IMAGES, "dtype": "float32"}, IMAGES, "images: expected pixels of dtype uint8, found float32; "),
        ({**IMAGES, "classes": ["a", "c"]}, IMAGES, "labels: expected none but 'a', 'b', found 'c'; "),
    ],
)
def test_what_breaks_the_contract_is_named(schema: dict[str, Any], expected: dict[str, Any], sentence: str) -> None:
    """The message has the column, what was expected, what was found, and the ways out."""
    with pytest.raises(DataError, match=sentence):
        contract.check(Path("x.csv"), schema, expected)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (TABLE, TABLE),
        (IMAGES, IMAGES),
        ({**TABLE, "columns": {"city": "text", "age": "numeric"}, "target": "label"}, TABLE),
        (TABLE, {**TABLE, "classes": [0, 1, 2]}),
        ({**IMAGES, "pixel_range": [0, 200], "shape": (8, 8, 3)}, IMAGES),
    ],
)
def test_what_may_change(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    """Order of columns, name of the target, range of values, and a class that does not occur."""
    contract.check(Path("x.csv"), schema, expected)


def test_messages_are_not_endless() -> None:
    """Of a thousand columns ten are named, and of a long name its beginning."""
    columns = {f"{k} {'x' * 5000}": "numeric" for k in range(1000)}
    with pytest.raises(DataError) as error:
        contract.check(Path("x.csv"), TABLE, {**TABLE, "columns": columns})
    assert "and 990 more" in str(error.value)
    assert len(str(error.value)) < 1500


def test_a_table_is_profiled_column_by_column() -> None:
    """Numbers are sorted, categories counted, gaps counted apart, labels are a column of their own."""
    found = profile(table({"n": [3, 1, np.nan, 2], "t": ["b", None, "b", "a"]}, y=["u", "u", "v", "u"]))
    numbers, categories = found.columns["n"], found.columns["t"]
    assert isinstance(numbers, Numbers)
    assert isinstance(categories, Categories)
    assert ([1, 2, 3], 1, 1.0, 3.0) == (numbers.sample.tolist(), numbers.missing, numbers.low, numbers.high)
    assert {"b": 2, "a": 1} == named(categories)
    assert 1 == categories.missing
    assert {"u": 3, "v": 1} == named(found.labels)
    assert (4, 4, 4, 4) == (found.n_rows, found.n_sampled, numbers.n_rows, categories.n_rows)


def named(column: Categories) -> dict[str, int]:
    """Return the counts by name."""
    digests = np.array(list(column.names), dtype=np.uint64)
    return dict(zip(column.names.values(), column.counts_of(digests).tolist(), strict=True))


def test_images_are_profiled_by_channel() -> None:
    """Mean and standard deviation of each image's pixels, as NumPy has them; a single channel has no number."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 6, 5, 3), dtype=np.uint8)
    found = profile(images(pixels)).columns
    assert 6 == len(found)
    for k in range(3):
        for name, expected in (("mean", pixels.mean(axis=(1, 2))), ("standard deviation", pixels.std(axis=(1, 2)))):
            column = found[f"{name} of an image's pixels, channel {k + 1} of 3"]
            assert isinstance(column, Numbers)
            assert pytest.approx(np.sort(expected[:, k]), rel=1e-6) == column.sample
    assert ["mean of an image's pixels", "standard deviation of an image's pixels"] == list(
        profile(images(pixels[..., 0])).columns
    )


@pytest.mark.parametrize(
    "data",
    [
        table({"n": [3, 1, np.nan, 2], "t": ["b", None, "\ud800 <script>", "a" * 10_000], "empty": [np.nan] * 4}),
        table({"n": np.arange(500.0)}, y=[f"class {k % 40}" for k in range(500)]),
        images(np.random.default_rng(0).normal(size=(30, 4, 4)).astype(np.float32)),
    ],
    ids=["table", "numbers", "images"],
)
def test_what_is_saved_is_read_again(data: Dataset, tmp_path: Path) -> None:
    """A file without pickle holds the whole profile, and no drift lies between the two."""
    written = profile(data)
    written.save(tmp_path)
    read = Profile.load(tmp_path)
    assert read is not None
    assert (written.n_rows, written.n_sampled, dict(written.schema)) == (read.n_rows, read.n_sampled, read.schema)
    assert list(written.columns) == list(read.columns)
    for one, other in zip(
        [*written.columns.values(), written.labels], [*read.columns.values(), read.labels], strict=True
    ):
        assert facts(one) == facts(other)
    assert {0.0} == {column.psi for column in Drift.between(read, written, alpha=0.05).columns}
    np.load(tmp_path / NAME, allow_pickle=False)["card"]


def test_an_older_model_has_no_profile(tmp_path: Path) -> None:
    """No file, or one in another format, is none."""
    assert Profile.load(tmp_path) is None
    np.savez(tmp_path / NAME, card=np.frombuffer(json.dumps({"format": 99}).encode(), dtype=np.uint8))
    assert Profile.load(tmp_path) is None


@pytest.mark.parametrize("damage", ["cut", "text", "other arrays", "no object"])
def test_a_damaged_profile_is_named(damage: str, tmp_path: Path) -> None:
    """What can't be read is DataError with the path, never a traceback."""
    path = tmp_path / NAME
    profile(table({"n": np.arange(300.0)})).save(tmp_path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "text":
        path.write_text("no archive")
    elif damage == "other arrays":
        np.savez(path, other=np.arange(3))
    else:
        np.savez(path, card=np.frombuffer(b"[1, 2]", dtype=np.uint8))
    with pytest.raises(DataError, match=r"mljobs-profile\.npz is no profile of data"):
        Profile.load(tmp_path)


def test_no_row_can_be_put_together_again(tmp_path: Path) -> None:
    """The order of the rows does not change the file."""
    rows = {"n": np.random.default_rng(0).normal(size=300), "t": [f"w{k % 70}" for k in range(300)]}
    data = table(rows)
    for name, order in (("a", np.arange(300)), ("b", np.random.default_rng(1).permutation(300))):
        (tmp_path / name).mkdir()
        profile(data.take(order)).save(tmp_path / name)
    one, other = (np.load(tmp_path / name / NAME) for name in ("a", "b"))
    for key in one.files:
        assert one[key].tolist() == other[key].tolist()


@pytest.mark.parametrize(("n_rows", "n_columns"), [(30_000, 3), (3_000, 1_000), (300, 20_000)])
def test_large_data_are_sampled(n_rows: int, n_columns: int, tmp_path: Path) -> None:
    """The file stays below some MB; range is of all rows, the rest of a sample, of all columns the same rows."""
    data = table({f"c{k}": [] for k in range(n_columns)})
    matrix = np.zeros((n_rows, n_columns), np.float32)
    matrix[:, :] = np.arange(n_rows)[:, np.newaxis]
    frame = pd.DataFrame(matrix, columns=data.X.columns, copy=False)
    found = profile(Dataset(data.path, "0", frame, np.arange(n_rows) % 2, np.arange(2), data.schema))
    column = found.columns["c0"]
    assert isinstance(column, Numbers)
    expected = min(n_rows, MOST_ROWS, max(LEAST_ROWS, MOST_CELLS // n_columns))
    assert (expected, expected) == (found.n_sampled, len(column.sample))
    assert (0, n_rows - 1) == (column.low, column.high)
    assert facts(column) == facts(found.columns[f"c{n_columns - 1}"])
    found.save(tmp_path)
    assert (tmp_path / NAME).stat().st_size < 20_000_000


def test_free_text_is_kept_as_digests(tmp_path: Path) -> None:
    """Only the most frequent texts are in the file, cut if they are long."""
    texts = ["often " + "x" * 1000] * 50 + [f"secret {k:04d}" for k in range(500)]
    profile(table({"t": texts})).save(tmp_path)
    card = np.load(tmp_path / NAME)["card"].tobytes().decode()
    assert 29 == card.count("secret")
    assert "x" * 193 in card
    assert "x" * 201 not in card


HOSTILE = st.one_of(
    st.lists(st.floats(width=32), min_size=5, max_size=5),
    st.lists(
        st.sampled_from([0.0, -0.0, 1.0, 3.4e38, -3.4e38, 1e-45, np.inf, -np.inf, np.nan]), min_size=5, max_size=5
    ),
    st.lists(st.sampled_from(["", "a", "b", "<b>", "\n", "\ud800", "長い名前", "x" * 3000]), min_size=5, max_size=5),
    st.just([np.nan] * 5),
    st.just([7.0] * 5),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(HOSTILE, min_size=1, max_size=4), st.integers(1, 400), st.integers(1, 400), st.integers(0, 99))
def test_no_data_are_too_strange(values: list[list[Any]], n_before: int, n_now: int, seed: int) -> None:
    """Any values in any number of rows give p-values and finite indices, and JSON takes them."""
    rng = np.random.default_rng(seed)
    columns = {f"{k} <b>\n": each for k, each in enumerate(values)}
    before, now = (
        profile(table({name: [each[i] for i in rng.integers(0, 5, n)] for name, each in columns.items()}))
        for n in (n_before, n_now)
    )
    drift = Drift.between(before, now, alpha=0.05)
    for column in drift.columns:
        assert 0 <= column.p_value <= 1
        assert column.p_value <= column.adjusted <= 1
        assert 0 <= column.psi < 100
    json.dumps(drift.to_json(None), allow_nan=False)


def test_nothing_heavy_is_imported_with_the_package() -> None:
    """SciPy and pandas come when data are looked at."""
    code = "import sys, jobs.contract.drift; sys.exit(any(m in sys.modules for m in ('scipy', 'sklearn', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
