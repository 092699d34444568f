"""Fingerprints of rows and groups: what is equal is equal for ever, what differs differs."""

import struct
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from jobs.datasets import Dataset, fingerprints, images, table
from jobs.datasets.columns import TEXT_DTYPE
from jobs.datasets.fingerprints import GROUPS, ROWS, Fingerprints, are_among, of_rows
from jobs.datasets.images import ImageRows
from jobs.errors import DataError

GOLDEN_TABLE = [10940707918083319793, 9241151415242084275, 12908088384302549069, 1408456563783047727]
GOLDEN_IMAGES = [1895739535268165437, 10258052728576962605, 1705811013493692999, 17442351787919404123]
GOLDEN_GROUPS = [3541700092423402011, 18003999122025641857, 343890548397433439, 3541700092423402011]
"""What must stay as it is for ever."""

COLOURS = ["red", "green", "", "grün"]


def dataset(X: Any, groups: Iterable[str] | None = None) -> Dataset:
    """Return rows with labels that don't matter."""
    y = np.zeros(len(X), np.int64)
    named = None if groups is None else np.array(list(groups), dtype=object)
    return Dataset(Path("some"), "", X, y, y[:1], {} if groups is None else {"split_key": "who"}, groups=named)


def text(values: Iterable[Any]) -> pd.Series:
    """Return a column of text as the reader makes it; None is missing."""
    return pd.Series(np.array([np.nan if each is None else each for each in values], dtype=object), dtype=TEXT_DTYPE)


def mixed() -> pd.DataFrame:
    """Return a table with numbers, text and gaps."""
    numbers = np.array([1.5, -0.0, np.nan, 16777216], dtype=np.float32)
    return pd.DataFrame({"b": numbers, "text": text(["red", None, "grün", "red"]), "a": numbers[::-1].copy()})


# The definition


def test_rows_of_a_table_have_these_fingerprints() -> None:
    """An upgrade of any library must not move a row: the numbers stand here, and the definition in a few lines."""

    def expected(a: bytes, b: bytes, word: str | None) -> int:
        cell = bytes(8) if word is None else blake2b(word.encode(), digest_size=8, person=b"mljobs text").digest()
        return int.from_bytes(blake2b(a + b + cell, digest_size=8, person=b"mljobs row").digest(), "little")

    nan = bytes.fromhex("0000c07f")
    found = of_rows(dataset(mixed())).tolist()

    assert found == [
        expected(struct.pack("<f", 16777216), struct.pack("<f", 1.5), "red"),
        expected(nan, bytes(4), None),
        expected(bytes(4), nan, "grün"),
        expected(struct.pack("<f", 1.5), struct.pack("<f", 16777216), "red"),
    ]
    assert GOLDEN_TABLE == found


def test_images_have_these_fingerprints() -> None:
    """The same for images: as bytes where they fit, else as float32, else as int64."""

    def expected(content: bytes) -> int:
        return int.from_bytes(blake2b(content, digest_size=8, person=b"mljobs row").digest(), "little")

    array = np.array([[[[0], [255]]], [[[256], [-1]]], [[[2**24], [0]]], [[[2**24 + 1], [0]]]])
    found = of_rows(dataset(ImageRows(array))).tolist()

    assert found == [
        expected(b"\x00\xff"),
        expected(struct.pack("<ff", 256, -1)),
        expected(struct.pack("<ff", 2**24, 0)),
        expected(struct.pack("<qq", 2**24 + 1, 0)),
    ]
    assert GOLDEN_IMAGES == found


def test_groups_have_these_fingerprints() -> None:
    """The same for groups, of which the features are no part."""
    found = Fingerprints.of(dataset(mixed(), ["7", "007", "Zoë", "7"])).units.tolist()
    expected = [
        int.from_bytes(blake2b(each.encode(), digest_size=8, person=b"mljobs group").digest(), "little")
        for each in ("7", "007", "Zoë", "7")
    ]

    assert expected == found
    assert GOLDEN_GROUPS == found


# What is equal


CELLS = npst.arrays(
    np.float32, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.floats(-2, 2, width=16) | st.just(np.nan)
)


@settings(deadline=None)
@given(CELLS, st.data())
def test_order_does_not_matter(cells: np.ndarray, data: st.DataObject) -> None:
    """Neither that of rows, nor of columns, nor of a text's first appearance; nor how many rows are hashed at a time."""
    X = pd.DataFrame(cells, columns=[f"x{i}" for i in range(cells.shape[1])])
    X["word"] = text(data.draw(st.lists(st.sampled_from([*COLOURS, None]), min_size=len(X), max_size=len(X))))
    before = of_rows(dataset(X))
    rows, columns = (data.draw(st.permutations(range(n))) for n in X.shape)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "_BATCH_BYTES", data.draw(st.integers(1, 200)))
        after = of_rows(dataset(X.iloc[rows, columns]))

    assert before[rows].tolist() == after.tolist()
    assert np.uint64 == after.dtype


@settings(deadline=None)
@given(CELLS)
def test_rows_have_one_fingerprint_exactly_if_they_are_equal(cells: np.ndarray) -> None:
    """Where missing equals missing, and -0.0 is 0.0."""
    found = of_rows(dataset(pd.DataFrame(cells)))
    plain = [tuple(None if np.isnan(each) else each + 0 for each in row) for row in cells.tolist()]

    assert [[one == other for one in plain] for other in plain] == (found[:, np.newaxis] == found).tolist()


def test_zeros_and_nans_of_any_bits_are_one() -> None:
    """The sign of zero, and the sign and payload of NaN, are nothing that a person has meant."""
    bits = np.array([0x00000000, 0x80000000, 0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FFFFFFF], dtype=np.uint32)
    numbers = bits.view(np.float32)
    zero, minus, *nans = of_rows(dataset(pd.DataFrame({"x": numbers}))).tolist()
    as_pixels = of_rows(dataset(ImageRows(numbers[:2].reshape(2, 1, 1)))).tolist()
    among_fractions = np.array([[0.5, 0.0], [0.5, -0.0]], dtype=np.float32).reshape(2, 1, 2)

    assert zero == minus
    assert 1 == len(set(nans))
    assert zero not in nans
    assert 1 == len(set(as_pixels))
    assert 1 == len(set(of_rows(dataset(ImageRows(among_fractions))).tolist()))


def test_text_is_what_it_says() -> None:
    """Missing is no empty text, `007` is not `7`, and blanks count; how pandas keeps the text does not."""
    words = text([None, "", "7", "007", " 7", "7.0", "nan", "7"])
    found = of_rows(dataset(pd.DataFrame({"x": words})))
    other = of_rows(dataset(pd.DataFrame({"x": words.astype(object)})))
    category = of_rows(dataset(pd.DataFrame({"x": words.astype("category")})))

    assert 7 == len(set(found.tolist()))
    assert found[2] == found[7]
    assert found.tolist() == other.tolist() == category.tolist()


def test_numbers_are_those_of_the_model(tmp_path: Path) -> None:
    """`1`, `1.0`, `true` and `1e0` are one number, in whatever column, dialect or file."""
    found = []
    for one, zero in (("1", "0"), ("1.0", "0.00"), ("true", "false"), ("1e0", "-0")):
        path = tmp_path / "data.csv"
        path.write_text("a;target\n" + f"{one};x\n{zero};y\n" * 6)
        found.append(of_rows(table.read_csv(path, target="target", schema=None)).tolist())

    assert 2 == len(set(found[0]))
    assert [found[0]] * 4 == found


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", ">u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">f8"])
def test_pixels_count_by_value(dtype: str) -> None:
    """The same images saved as another type are the same images."""
    pixels = np.random.default_rng(0).integers(0, 2, (5, 3, 4, 1))
    expected = of_rows(dataset(ImageRows(pixels.astype(np.uint8))))

    assert expected.tolist() == of_rows(dataset(ImageRows(pixels.astype(dtype)))).tolist()
    assert expected.tolist() == of_rows(dataset(ImageRows(np.asfortranarray(pixels.astype(dtype))[..., 0]))).tolist()


@pytest.mark.parametrize("dtype", ["i4", "f4", "f8"])
def test_larger_pixels_count_by_value_too(dtype: str) -> None:
    """Beyond a byte, and below zero."""
    pixels = np.array([[[300, -4]], [[2**24, 7]]])

    assert of_rows(dataset(ImageRows(pixels))).tolist() == of_rows(dataset(ImageRows(pixels.astype(dtype)))).tolist()


def test_images_differ_by_one_pixel() -> None:
    """At any place, also where one integer is beyond what float32 holds."""
    for large in (0, 300, 2**24):
        pixels = np.full((5, 2, 2), large)
        for image in range(4):
            pixels[image + 1].flat[image] += 1
        assert 5 == len(set(of_rows(dataset(ImageRows(pixels))).tolist()))


def test_taken_images_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """In any order and however many are read at a time."""
    X = ImageRows(np.random.default_rng(1).random((20, 3, 3), dtype=np.float32))
    rows = np.random.default_rng(2).permutation(20)
    before = of_rows(dataset(X))
    monkeypatch.setattr(fingerprints, "_BATCH_BYTES", 100)

    assert before[rows].tolist() == of_rows(dataset(X.take(rows))).tolist()


def test_the_label_is_no_part_of_a_row(tmp_path: Path) -> None:
    """A corrected label must not move a row to the other side."""
    found = []
    for labels in ("xy", "yx"):
        lines = [f"{i},{labels[i % 2]}" for i in range(12)]
        (tmp_path / "data.csv").write_text("a,target\n" + "\n".join(lines))
        found.append(of_rows(table.read_csv(tmp_path / "data.csv", target="target", schema=None)).tolist())

    assert found[0] == found[1]


def test_wide_tables() -> None:
    """Thousands of columns, some of text between them."""
    numbers = pd.DataFrame(np.random.default_rng(0).random((4, 3_000), dtype=np.float32))
    numbers.columns = [f"x{i}" for i in range(3_000)]
    words = pd.DataFrame({f"t{i}": text(["a", "b", "a", "c"]) for i in range(50)})
    X = pd.concat([numbers, words], axis=1)
    X.iloc[3] = X.iloc[0]
    found = of_rows(dataset(X)).tolist()

    assert found == of_rows(dataset(X.iloc[:, ::-1])).tolist()
    assert [True, 3] == [found[0] == found[3], len(set(found))]


def test_columns_of_one_kind_only() -> None:
    """A table may have no numbers, or no text."""
    assert 2 == len(set(of_rows(dataset(pd.DataFrame({"x": text(["a", "b", "a"])}))).tolist()))
    assert 2 == len(set(of_rows(dataset(pd.DataFrame({"x": np.float32([1, 2, 1])}))).tolist()))


def test_groups_of_a_csv_and_of_an_npz_are_the_same(tmp_path: Path) -> None:
    """7 as a number, 7.0 and the text `7` name one group; `007` is another."""
    (tmp_path / "data.csv").write_text("who,a,target\n" + "7,1,x\n007,2,y\n" * 6)
    expected = Fingerprints.of(
        table.read_csv(tmp_path / "data.csv", target="target", schema=None, split_key="who")
    ).units
    pixels, labels = np.arange(12 * 4, dtype=np.uint8).reshape(12, 2, 2), np.arange(12) % 2
    for values in (["7", "007"] * 6, [b"7", b"007"] * 6, [7, 8] * 6, [7.0, 8.0] * 6):
        np.savez(tmp_path / "data.npz", images=pixels, labels=labels, who=np.array(values))
        found = images.read_npz(tmp_path / "data.npz", schema=None, scratch=tmp_path, split_key="who")
        assert expected[::2].tolist() == Fingerprints.of(found).units[::2].tolist()
        assert isinstance(values[0], str | bytes) == (expected[1] == Fingerprints.of(found).units[1])


def test_half_of_a_surrogate_pair_names_a_group_too() -> None:
    """NumPy saves such text; UTF-8 has no bytes for it."""
    assert 2 == len(set(Fingerprints.of(dataset(mixed(), ["\ud800", "a", "a", "\ud800"])).units.tolist()))


# All of a dataset, and what a model keeps of it


def test_units_are_groups_or_rows() -> None:
    """And rows are known beside the groups."""
    plain, grouped = Fingerprints.of(dataset(mixed())), Fingerprints.of(dataset(mixed(), "aabb"))

    assert plain.rows.tolist() == plain.units.tolist() == grouped.rows.tolist() == of_rows(dataset(mixed())).tolist()
    assert grouped.units.tolist() == Fingerprints.of(dataset(mixed(), "aabb")).units.tolist()
    assert grouped.units[[3, 0]].tolist() == grouped.take(np.array([3, 0])).units.tolist()
    assert grouped.rows[[3, 0]].tolist() == grouped.take(np.array([3, 0])).rows.tolist()
    assert [None, "who"] == [plain.key, grouped.key]


def test_known_are_groups_of_the_same_key_or_equal_rows() -> None:
    """Groups of different keys have nothing to do with each other."""
    known = Fingerprints(np.array([1, 2], np.uint64), np.array([10, 20], np.uint64), "who")
    rows, groups = np.array([2, 3], np.uint64), np.array([30, 10], np.uint64)

    assert [False, True] == Fingerprints(rows, groups, "who").are_in(known).tolist()
    assert [True, False] == Fingerprints(rows, groups, "when").are_in(known).tolist()
    assert [True, False] == Fingerprints(rows).are_in(known).tolist()


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5)), st.lists(st.integers(0, 5)))
def test_known_is_what_is_there(some: list[int], others: list[int]) -> None:
    """Once, several times or not at all, on either side; the largest numbers are no others."""
    largest = 2**64 - 1
    found = are_among(np.array([*some, largest], np.uint64), np.array([*others, largest], np.uint64))

    assert [each in {*others, largest} for each in [*some, largest]] == found.tolist()
    assert are_among(np.array(some, np.uint64), np.empty(0, np.uint64)).tolist() == [False] * len(some)


@pytest.mark.parametrize("groups", [None, "abab"])
def test_a_model_keeps_them_without_their_order(tmp_path: Path, groups: str | None) -> None:
    """Sorted, each once, in a file that holds no pickle."""
    given_ = Fingerprints.of(dataset(pd.concat([mixed()] * 2), groups and groups * 2))
    given_.save(tmp_path)
    found = Fingerprints.load(tmp_path, given_.key)

    assert found is not None
    assert sorted(set(given_.rows.tolist())) == found.rows.tolist()
    assert sorted(set(given_.units.tolist())) == found.units.tolist()
    assert [given_.key, np.uint64] == [found.key, found.rows.dtype]
    assert {ROWS} | ({GROUPS} if groups else set()) == {each.name for each in tmp_path.iterdir()}
    assert np.load(tmp_path / ROWS, allow_pickle=False).tolist() == found.rows.tolist()


def test_an_older_model_has_none(tmp_path: Path) -> None:
    """That is no error."""
    assert Fingerprints.load(tmp_path, None) is None


def npy(shape: str, body: bytes) -> bytes:
    """Return an `.npy` that declares a shape."""
    header = f"{{'descr': '<u8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        np.array([1, 2]),
        np.array([[1, 2]], np.uint64),
        np.array([2, 1], np.uint64),
        np.array([1, 1], np.uint64),
        np.array([1.0, 2.0]),
        np.array([1, 2], ">u8"),
        np.array(3, np.uint64),
        np.array([None, {}]),
        npy("(1000000000000,)", bytes(16)),
        npy("(-2,)", bytes(16)),
    ],
    ids=str,
)
def test_broken_fingerprints_are_refused(tmp_path: Path, content: Any) -> None:
    """With a sentence; nothing is unpickled, and no declared size is believed."""
    if isinstance(content, bytes):
        (tmp_path / ROWS).write_bytes(content)
    else:
        np.save(tmp_path / ROWS, content, allow_pickle=True)

    with pytest.raises(DataError, match=ROWS):
        Fingerprints.load(tmp_path, None)


def test_groups_that_are_gone_are_refused(tmp_path: Path) -> None:
    """A model that was split by a key has both files."""
    Fingerprints.of(dataset(mixed())).save(tmp_path)

    with pytest.raises(DataError, match=GROUPS):
        Fingerprints.load(tmp_path, "who")
