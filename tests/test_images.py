"""Images: any honest NPZ is read without loading it, any other is refused before it can do harm."""

import io
import json
import os
import shutil
import struct
import zipfile
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from jobs.datasets import Dataset, images, npz
from jobs.datasets.images import ImageRows
from jobs.errors import ConfigError, DataError, FitError, NoInputError, OutputError

LABELS = np.arange(12) % 2


def pixels(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    """Return images that differ."""
    return np.random.default_rng(0).integers(0, 2 if dtype is np.bool_ else 100, size=shape).astype(dtype)


IMAGES = pixels(12, 4, 5, 3)


def save(folder: Path, *, compressed: bool = False, **arrays: Any) -> Path:
    """Write an NPZ."""
    path = folder / "data.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


def read(path: Path, schema: Any = None) -> Dataset:
    """Read an NPZ with a scratch folder beside it; nothing must be left there."""
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    try:
        return images.read_npz(path, schema=schema, scratch=scratch)
    finally:
        assert [] == list(scratch.iterdir())


def refused(path: Path, schema: Any = None) -> str:
    """Return the sentence of the DataError."""
    with pytest.raises(DataError) as caught:
        read(path, schema)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def npy(array: np.ndarray) -> bytes:
    """Return an array as `.npy`."""
    content = io.BytesIO()
    np.lib.format.write_array(content, array)
    return content.getvalue()


def header(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    """Return the beginning of an `.npy`."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": descr, "fortran_order": False, "shape": shape})
    return content.getvalue()


def save_raw(folder: Path, method: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    """Write a zip of any bytes as `.npy` members."""
    path = folder / "data.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def patch_directory(path: Path, offset: int, value: bytes, member: int = 0) -> Path:
    """Overwrite bytes in the central directory's entry of a member."""
    content = bytearray(path.read_bytes())
    start = -1
    for _ in range(member + 1):
        start = content.index(b"PK\x01\x02", start + 1)
    content[start + offset : start + offset + len(value)] = value
    path.write_bytes(content)
    return path


# What is read


@st.composite
def honest_images(draw: st.DrawFn) -> np.ndarray:
    """Draw images of any dtype, size, channels and order."""
    dtype = draw(
        st.one_of(npst.boolean_dtypes(), npst.integer_dtypes(), npst.unsigned_integer_dtypes(), npst.floating_dtypes())
    )
    channels = draw(st.sampled_from([(), (1,), (3,), (4,)]))
    shape = (draw(st.integers(10, 14)), draw(st.integers(1, 5)), draw(st.integers(1, 5)), *channels)
    elements = (
        npst.from_dtype(np.dtype(np.float16), allow_nan=False, allow_infinity=False) if dtype.kind == "f" else None
    )
    array = draw(npst.arrays(dtype, shape, elements=elements))
    array[0].flat[0], array[1].flat[0] = 0, 1
    return np.asfortranarray(array) if draw(st.booleans()) else array


@settings(deadline=None, max_examples=80)
@given(honest_images(), st.booleans(), st.data())
def test_any_honest_images_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    honest: np.ndarray,
    compressed: bool,  # noqa: FBT001
    data: st.DataObject,
) -> None:
    """Whatever dtype, shape and memory order: batches are the pixels that were saved, also of rows taken twice."""
    labels = np.arange(len(honest)) % 2
    found = read(save(tmp_path_factory.mktemp("any"), images=honest, labels=labels, compressed=compressed))
    expected = honest if honest.ndim == 4 else honest[..., np.newaxis]
    rows = np.array(data.draw(st.lists(st.integers(0, len(honest) - 1), max_size=6)), dtype=np.int64)

    batch = found.X.batch(0, len(honest))
    taken = found.take(rows).take(np.arange(len(rows))[::-1])

    np.testing.assert_array_equal(expected, batch)
    np.testing.assert_array_equal(expected[rows[::-1]], taken.X.batch(0, 100))
    assert labels[rows[::-1]].tolist() == taken.y.tolist()
    assert expected.shape == found.X.shape
    assert (len(rows), *expected.shape[1:]) == taken.X.shape
    assert found.X.dtype == batch.dtype
    assert batch.flags.c_contiguous
    assert batch.dtype.isnative
    assert [batch.min(), batch.max()] == found.schema["pixel_range"]
    assert json.loads(json.dumps(found.schema)) == found.schema


@pytest.mark.parametrize(
    ("stored", "read_as"),
    [("?", "uint8"), ("u1", "uint8"), (">u2", "uint16"), ("f2", "float16"), ("f4", "float32"), ("f8", "float32")],
)
def test_dtypes_of_batches(tmp_path: Path, stored: str, read_as: str) -> None:
    """Pixels keep their type, but for bool and for floats wider than a network takes."""
    data = read(save(tmp_path, images=(IMAGES % 2).astype(stored), labels=LABELS))

    assert read_as == data.X.dtype
    assert read_as == data.X.batch(0, 1).dtype
    assert read_as == data.schema["dtype"]


@pytest.mark.parametrize("compressed", [False, True])
def test_pixels_stay_on_disk(tmp_path: Path, compressed: bool) -> None:  # noqa: FBT001
    """The array is a map of a file that nobody can write to, or that has no name any more."""
    data = read(save(tmp_path, images=IMAGES, labels=LABELS, compressed=compressed))
    base = data.X._array
    while isinstance(base, np.ndarray):
        base = base.base

    assert not data.X._array.flags.writeable
    assert "mmap" == type(getattr(base, "obj", base)).__name__


def test_taking_reads_nothing() -> None:
    """Only `batch` touches pixels."""
    array = np.zeros((5, 2, 2, 1))
    taken = ImageRows(array).take(np.array([4, 1])).take(np.array([1]))

    assert array is taken._array
    assert [1] == taken._rows.tolist()
    assert (1, 2, 2, 1) == taken.shape


@pytest.mark.parametrize(
    ("labels", "expected", "dtype"),
    [
        (LABELS - 5, [-5, -4], "int64"),
        (LABELS.astype(np.uint64), [0, 1], "int64"),
        (LABELS.astype(np.float32), [0, 1], "int64"),
        (LABELS.astype(bool), [False, True], "bool"),
        (np.array(["cat", "dog"])[LABELS], ["cat", "dog"], "<U3"),
        (np.array(["cat", "dög"]).astype(">U5")[LABELS], ["cat", "dög"], "<U5"),
        (np.strings.encode(np.array(["cat", "dög"]), "utf-8")[LABELS], ["cat", "dög"], "<U3"),
        (LABELS[:, np.newaxis], [0, 1], "int64"),
        (np.eye(3)[LABELS + 1], [1, 2], "int64"),
        (np.eye(2, dtype=bool)[LABELS], [0, 1], "int64"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_labels_of_any_kind(
    tmp_path: Path,
    labels: np.ndarray,
    expected: list[Any],
    dtype: str,
    compressed: bool,  # noqa: FBT001
) -> None:
    """Numbers, truth values, text and one-hot rows become one label an image, and the same again for evaluation."""
    data = read(save(tmp_path, images=IMAGES, labels=labels, compressed=compressed))
    again = read(save(tmp_path, images=IMAGES[:1], labels=labels[:1]), json.loads(json.dumps(data.schema)))

    assert expected == data.y[:2].tolist()
    assert expected == data.classes.tolist()
    assert dtype == data.y.dtype
    assert expected[:1] == again.y.tolist()
    assert expected == again.classes.tolist()


# Evaluation data


@pytest.fixture
def schema(tmp_path: Path) -> Any:
    """Return the schema of training images, 4 by 5 pixels, labels 0 and 1."""
    return read(save(tmp_path, images=IMAGES, labels=LABELS)).schema


def test_evaluation_data_may_be_few_and_alike(tmp_path: Path, schema: Any) -> None:
    """One image of one class, all pixels the same, can be evaluated on."""
    data = read(save(tmp_path, images=np.full((1, 4, 5, 3), 9, dtype=np.uint8), labels=[1]), schema)

    assert [1] == data.y.tolist()
    assert [0, 1] == data.classes.tolist()
    assert schema == data.schema
    assert () == data.notes


def test_pixels_in_another_range_are_noted(tmp_path: Path, schema: Any) -> None:
    """Pixels from 0 to 1 for a model of pixels up to 255 are worth a sentence."""
    data = read(save(tmp_path, images=IMAGES / 255, labels=LABELS), schema)

    assert "those of the training data from 0 to 99" in data.notes[0]


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"images": IMAGES[:, :3], "labels": LABELS}, "height, width, channels (3, 5, 3); expected (4, 5, 3)"),
        ({"images": IMAGES[..., :1], "labels": LABELS}, "expected (4, 5, 3)"),
        (
            {"images": IMAGES, "labels": LABELS * 7},
            "image 1 (counted from 0): label 7 is not one the model was trained on",
        ),
        (
            {"images": IMAGES, "labels": LABELS.astype(str)},
            "label '0' is not one the model was trained on; it knows 0, 1",
        ),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "expected no axis of size 0"),
        ({"images": IMAGES * np.nan, "labels": LABELS}, "image 0"),
    ],
)
def test_evaluation_data_that_does_not_fit(tmp_path: Path, schema: Any, arrays: Any, sentence: str) -> None:
    """Other sizes and other labels are refused."""
    assert sentence in refused(save(tmp_path, **arrays), schema)


# Groups


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.arange(12) - 5, ["-5", "-4"]),
        (np.arange(12).astype(">u8") + 2**63, ["9223372036854775808", "9223372036854775809"]),
        (np.arange(12.0), ["0", "1"]),
        (np.arange(12) % 2 == 0, ["True", "False"]),
        (np.array([f"0{i}" for i in range(12)]), ["00", "01"]),
        (np.array([f"ö{i}" for i in range(12)]).astype(">U9"), ["ö0", "ö1"]),
        (np.array([f"ö{i}".encode() for i in range(12)]), ["ö0", "ö1"]),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_groups_of_any_kind(tmp_path: Path, values: np.ndarray, expected: list[str], compressed: bool) -> None:  # noqa: FBT001
    """They are text; the schema remembers the name, and rows can be taken."""
    path = save(tmp_path, images=IMAGES, labels=LABELS, who=values, compressed=compressed)
    data = images.read_npz(path, schema=None, scratch=tmp_path, split_key="who")

    assert data.groups is not None
    assert expected == data.groups[:2].tolist()
    assert expected[::-1] == data.take(np.array([1, 0])).groups.tolist()  # type: ignore[union-attr]
    assert "who" == data.schema["split_key"]
    assert json.loads(json.dumps(data.schema)) == data.schema


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.arange(11), "'who' have shape (11,); expected one value an image, (12,)"),
        (np.arange(12)[:, np.newaxis], "have shape (12, 1)"),
        (np.array(5), "have shape ()"),
        (
            np.arange(12) + 0.5,
            "found 0.5 in row 0 (counted from 0); expected an integer, a bool or text for each image",
        ),
        (np.where(np.arange(12) == 3, np.nan, 1), "found nan in row 3"),
        (np.where(np.arange(12) == 3, np.inf, 1), "found inf in row 3"),
        (np.array(["a"] * 11 + [""]), "found '' in row 11"),
        (np.array([b"a"] * 11 + [b"\xff"]), "bytes that are no UTF-8 text"),
        (np.arange(12).astype("M8[s]"), "are datetime64[s]; expected integers, bools or text"),
        (np.arange(12).astype(complex), "are complex128"),
        (np.array([{}] * 12), "'who' holds Python objects, which are never unpickled"),
    ],
)
def test_groups_that_are_none(tmp_path: Path, values: np.ndarray, sentence: str) -> None:
    """Each breach has its sentence; in later data, of which none are asked for, it does not matter."""
    path = save(tmp_path, images=IMAGES, labels=LABELS, who=values)
    with pytest.raises(DataError) as caught:
        images.read_npz(path, schema=None, scratch=tmp_path, split_key="who")

    assert sentence in str(caught.value)
    later = read(path, {**read(path).schema, "split_key": "who"})
    assert later.groups is None


def test_a_split_key_that_is_not_there(tmp_path: Path) -> None:
    """Or that is something else."""
    path = save(tmp_path, images=IMAGES, labels=LABELS, Who=LABELS)
    with pytest.raises(
        DataError, match="no array 'who'; expected it as named by --split-key, found 'images', 'labels'"
    ):
        images.read_npz(path, schema=None, scratch=tmp_path, split_key="who")
    for name in ("images", "labels"):
        with pytest.raises(
            ConfigError, match=f"--split-key must be an array beside 'images' and 'labels', got '{name}'"
        ):
            images.read_npz(path, schema=None, scratch=tmp_path, split_key=name)


def test_later_data_may_have_groups_or_not(tmp_path: Path) -> None:
    """The model has no use for the array; it tells whether the groups are known."""
    path = save(tmp_path, images=IMAGES, labels=LABELS, who=LABELS)
    schema = images.read_npz(path, schema=None, scratch=tmp_path, split_key="who").schema

    assert ["0", "1"] == read(path, schema).groups[:2].tolist()  # type: ignore[index]
    assert read(save(tmp_path, images=IMAGES, labels=LABELS), schema).groups is None


# What is written


@settings(deadline=None, max_examples=60)
@given(honest_images(), st.sampled_from(["i8", "?", "U"]), st.data())
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, honest: np.ndarray, kind: str, data: st.DataObject
) -> None:
    """Pixels to the last bit, and labels of each kind, in the order of the rows."""
    folder = tmp_path_factory.mktemp("written")
    labels = (np.arange(len(honest)) % 2).astype(kind)
    rows = np.array(data.draw(st.lists(st.integers(0, len(honest) - 1), min_size=1, max_size=6)), dtype=np.int64)
    before = read(save(folder, images=honest, labels=labels)).take(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "SCAN_BYTES", data.draw(st.sampled_from([1, 100, 16 << 20])))
        images.write_npz(before, folder / "rows.npz")

    after = read(folder / "rows.npz", json.loads(json.dumps(before.schema)))

    assert before.X.dtype == after.X.dtype
    assert before.X.batch(0, 99).tobytes() == after.X.batch(0, 99).tobytes()
    assert before.X.shape == after.X.shape
    assert before.y.tolist() == after.y.tolist()
    assert before.y.dtype.kind == after.y.dtype.kind


def test_the_same_rows_make_the_same_file(tmp_path: Path) -> None:
    """It can be told from others by its digest, and NumPy reads it; groups are not in it."""
    path = save(tmp_path, images=IMAGES, labels=LABELS, who=LABELS)
    data = images.read_npz(path, schema=None, scratch=tmp_path, split_key="who")
    images.write_npz(data, tmp_path / "one.npz")
    images.write_npz(data, tmp_path / "two.npz")

    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz", allow_pickle=False) as loaded:
        assert {"images", "labels"} == set(loaded)
        np.testing.assert_array_equal(IMAGES, loaded["images"])


# What is refused

NAN = IMAGES.astype(np.float32)
NAN[7, 1, 1, 1] = np.nan
HUGE = IMAGES.astype(np.float64)
HUGE[3, 0, 0, 0] = 1e300


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"x": IMAGES, "labels": LABELS}, "no array 'images'; expected 'images' and 'labels', found 'x', 'labels'"),
        ({"images": IMAGES}, "no array 'labels'"),
        ({"images": IMAGES, "labels": LABELS[:5]}, "expected as many labels as images, found 5 and 12"),
        ({"images": IMAGES[0, 0], "labels": LABELS}, "images have shape (5, 3); expected (N, height, width)"),
        ({"images": IMAGES[..., None], "labels": LABELS}, "images have shape (12, 4, 5, 3, 1)"),
        ({"images": np.array(5), "labels": LABELS}, "images have shape ()"),
        ({"images": pixels(12, 4, 5, 2), "labels": LABELS}, "images have 2 channels"),
        ({"images": pixels(12, 3, 4, 5), "labels": LABELS}, "np.moveaxis(images, 1, -1)"),
        ({"images": IMAGES[:, :0], "labels": LABELS}, "images have shape (12, 0, 5, 3); expected no axis of size 0"),
        ({"images": NAN, "labels": LABELS}, "image 7 (counted from 0): its pixels are not all finite"),
        (
            {"images": HUGE, "labels": LABELS},
            "image 3 (counted from 0): its pixels are not all finite in 32-bit floats",
        ),
        ({"images": IMAGES * 0 + 7, "labels": LABELS}, "all pixels of all images are 7"),
        ({"images": IMAGES[:3], "labels": LABELS[:3]}, "has 3 rows in all; expected at least 10"),
        ({"images": IMAGES, "labels": LABELS * 0}, "one class only, 0"),
        ({"images": IMAGES, "labels": np.arange(12) // 11}, "1 of 2 classes with a single row (1)"),
        ({"images": IMAGES.astype(complex), "labels": LABELS}, "images are complex128"),
        ({"images": IMAGES.astype("M8[s]"), "labels": LABELS}, "images are datetime64[s]"),
        ({"images": IMAGES.astype(str), "labels": LABELS}, "images are <U"),
        ({"images": IMAGES, "labels": LABELS.astype("m8[s]")}, "labels are timedelta64[s]"),
        ({"images": IMAGES, "labels": LABELS + 0.5}, "label 0.5 in row 0 (counted from 0) is no class"),
        ({"images": IMAGES, "labels": LABELS / [1.0] * np.nan}, "label nan in row 0"),
        ({"images": IMAGES, "labels": LABELS * 1e300}, "label 1e+300 is too large"),
        ({"images": IMAGES, "labels": LABELS.astype("u8") + 2**63}, "is too large"),
        ({"images": IMAGES, "labels": np.ones((12, 2))}, "row 0 (counted from 0) is not one-hot"),
        ({"images": IMAGES, "labels": np.eye(2)[LABELS] * 2}, "is not one-hot"),
        ({"images": IMAGES, "labels": np.ones((12, 2, 2))}, "labels have shape (12, 2, 2)"),
        ({"images": IMAGES, "labels": np.array(5)}, "labels have shape ()"),
        ({"images": IMAGES, "labels": np.full((12, 2), "x")}, "expected one label an image"),
        ({"images": IMAGES, "labels": np.full(12, b"\xff")}, "no UTF-8 text"),
        ({"images": IMAGES, "labels": np.zeros(12, dtype=[("a", "i4")])}, "labels are [('a', '<i4')]"),
    ],
)
def test_what_breaks_the_contract(tmp_path: Path, arrays: Any, sentence: str) -> None:
    """Each breach has its sentence."""
    assert sentence in refused(save(tmp_path, **arrays))


class Trap:
    """Its unpickling makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Say what to do instead of unpickling."""
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize("name", ["images", "labels"])
def test_objects_are_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An array whose unpickling would run code is refused, and the code does not run."""
    monkeypatch.chdir(tmp_path)
    arrays = {"images": IMAGES, "labels": LABELS} | {name: np.array([Trap()] * 12, dtype=object)}
    path = save(tmp_path, **arrays)

    assert f"{name!r} holds Python objects, which are never unpickled" in refused(path)
    assert not Path("sprung").exists()
    with np.load(path, allow_pickle=True) as loaded:
        assert 12 == len(loaded[name])
    assert Path("sprung").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"images, labels", "is no whole NPZ (File is not a zip file)"),
        (npy(IMAGES), "is no whole NPZ"),
        (b"PK\x05\x06" + bytes(18), "no array 'images'; expected 'images' and 'labels', found nothing"),
    ],
)
def test_what_is_no_zip(tmp_path: Path, content: bytes, sentence: str) -> None:
    """Other files, a single array among them, are refused."""
    path = tmp_path / "data.npz"
    path.write_bytes(content)

    assert sentence in refused(path)


@settings(deadline=None, max_examples=80)
@given(st.data(), st.booleans())
def test_damage_is_never_read(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    compressed: bool,  # noqa: FBT001
) -> None:
    """A file that is cut or has other bytes somewhere is refused, or is read as it was."""
    path = save(tmp_path_factory.mktemp("cut"), images=IMAGES, labels=LABELS, compressed=compressed)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[position:]
    else:
        content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        found = read(path)
    except (DataError, NoInputError, FitError):
        return

    np.testing.assert_array_equal(IMAGES, found.X.batch(0, 12))
    assert LABELS.tolist() == found.y.tolist()


def test_a_changed_pixel_is_noticed(tmp_path: Path) -> None:
    """The checksum of the zip is looked at, though the pixels are mapped."""
    many = pixels(12, 40, 40, 3)
    path = save(tmp_path, images=many, labels=LABELS)
    path.write_bytes(path.read_bytes().replace(many[5].tobytes(), many[6].tobytes()))

    assert "'images' is damaged (its checksum differs)" in refused(path)


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"images": header((10**9, 10)) + bytes(10)}, "declares shape (1000000000, 10) of uint8, 10,000,000,128 bytes"),
        ({"images": header((10**30, 10**30)) + bytes(10)}, "declares shape"),
        ({"images": header((-1, -10)) + bytes(10)}, "declares shape (-1, -10)"),
        ({"images": header((10**12,), "<U0")}, "declares shape"),
        ({"images": header((10**18, 10**18, 0, 3)) + b""}, "is no whole NPZ"),
        ({"images": npy(IMAGES)[:-1]}, "but has 847; save it again"),
        ({"images": npy(IMAGES) + b"x"}, "save it again"),
        ({"images": b"\x93NUMPY\x03\0" + npy(IMAGES)[8:]}, "format (3, 0) of .npy is for records"),
        ({"images": b"hello"}, "is no whole NPZ"),
        ({"images": b""}, "is no whole NPZ"),
        ({"images": b"\x93NUMPY\x01\0\x10\0{'descr': 'zz'} "}, "is no whole NPZ"),
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_headers_that_lie(tmp_path: Path, members: dict[str, bytes], sentence: str, method: int) -> None:
    """The size that an array declares must be that of its member."""
    assert sentence in refused(save_raw(tmp_path, method, **members, labels=npy(LABELS)))


def test_a_stored_member_that_declares_10_gb(tmp_path: Path) -> None:
    """Its bytes would be beyond the file."""
    path = save_raw(tmp_path, images=header((4_000_000_000 - 128,)) + bytes(100), labels=npy(LABELS))
    patch_directory(path, 20, struct.pack("<II", 4_000_000_000, 4_000_000_000))

    assert "'images' declares 4,000,000,000 bytes that are not in the file" in refused(path)


@pytest.mark.parametrize("packed_size", [None, 3_000_000_000])
def test_a_compressed_member_that_declares_4_gb(tmp_path: Path, packed_size: int | None) -> None:
    """A compression of millions to one is refused; so is one that claims more bytes than the file has."""
    path = save_raw(tmp_path, zipfile.ZIP_DEFLATED, images=header((4_000_000_000 - 128,)), labels=npy(LABELS))
    patch_directory(path, 24, struct.pack("<I", 4_000_000_000))
    if packed_size is None:
        assert "declares 4,000,000,000 bytes in " in refused(path)
        return
    patch_directory(path, 20, struct.pack("<I", packed_size))

    assert "declares 3,000,000,000 bytes that are not in the file" in refused(path)


def test_a_compressed_member_that_ends_early(tmp_path: Path) -> None:
    """A size that its bytes don't unpack to is found when they are unpacked, and nothing is left of them."""
    path = save_raw(tmp_path, zipfile.ZIP_DEFLATED, images=header((100_000,)), labels=npy(LABELS))
    patch_directory(path, 24, struct.pack("<I", 100_128))

    assert "'images' ends after 128 of 100,128 bytes" in refused(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real zeros, packed a thousand to one, are refused from a size on that nobody keeps as black images."""
    monkeypatch.setattr(npz, "LARGE", 1 << 20)
    path = save(tmp_path, images=np.zeros((2, 1024, 1024), np.uint8), labels=LABELS, compressed=True)

    assert "expected a compression of at most 500 to 1" in refused(path)


def test_a_full_disk_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be unpacked is refused with both numbers, before it is tried."""
    path = save(tmp_path, images=IMAGES, labels=LABELS, compressed=True)
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 5, 5))

    with pytest.raises(FitError, match=r"'images' unpacks to 848 bytes, but 5 are free in"):
        read(path)


def test_a_scratch_folder_that_is_missing(tmp_path: Path) -> None:
    """Output that can't be written is told apart from bad data; an uncompressed file needs none."""
    gone = tmp_path / "gone"
    images.read_npz(save(tmp_path, images=IMAGES, labels=LABELS), schema=None, scratch=gone)
    with pytest.raises(OutputError, match="gone can't take the unpacked 'images'"):
        images.read_npz(save(tmp_path, images=IMAGES, labels=LABELS, compressed=True), schema=None, scratch=gone)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression(tmp_path: Path, method: int) -> None:
    """Only what NumPy writes is read."""
    path = save_raw(tmp_path, method, images=npy(IMAGES), labels=npy(LABELS))

    assert f"compression method {method}; expected 0 (stored) or 8 (deflate)" in refused(path)


def test_an_encrypted_member(tmp_path: Path) -> None:
    """A password is not asked for."""
    path = save_raw(tmp_path, images=npy(IMAGES), labels=npy(LABELS))

    assert "'images' is encrypted" in refused(patch_directory(path, 8, b"\x01"))


def test_missing_input(tmp_path: Path) -> None:
    """A missing file and a directory are no input."""
    with pytest.raises(NoInputError, match="does not exist"):
        read(tmp_path / "none.npz")
    with pytest.raises(NoInputError, match="is a directory"):
        images.read_npz(tmp_path, schema=None, scratch=tmp_path)
