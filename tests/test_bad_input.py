"""Bad input, from the command line: its own exit code, one sentence, a `result.json`, and nothing that looks finished."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from harness import Ended, MLJobs

ROWS = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0) % 7, "target": np.arange(20) % 2})


def text_of(frame: pd.DataFrame) -> str:
    """Return a frame as CSV."""
    return frame.to_csv(index=False)


def with_target(values: object) -> str:
    """Return the rows as CSV with other labels."""
    return text_of(ROWS.assign(target=values))


CSV: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty"),
    "header only": ("a,b,target\n", "no data row"),
    "binary": (bytes(range(256)) * 8, "text"),
    "no target": (text_of(ROWS.drop(columns="target")), "'target'"),
    "target all missing": (with_target(np.nan), "'target'"),
    "some targets missing": (with_target([np.nan, *([0, 1] * 9), 1]), "'target'"),
    "one class": (with_target(1), "class"),
    "a class with one row": (with_target([2, *([0, 1] * 9), 1]), "class"),
    "too many fields": (text_of(ROWS) + "1,2,0,9\n", "expected 3 fields"),
    "every row too long": ("a,b,target\n" + "1,2,0,9\n" * 20, "expected 3 fields"),
    "missing column": (text_of(ROWS.assign(b=np.nan)), "'b'"),
    "duplicate names": (text_of(ROWS).replace("a,b,", "a,a,", 1), "'a'"),
    "constant": (text_of(ROWS.assign(a=1.0, b=2.0)), "constant"),
    "three rows": (text_of(ROWS[:3]), "3 rows"),
    "continuous target": (with_target(np.linspace(0, 1, 20)), "continuous"),
    "infinite": (text_of(ROWS.assign(a=[np.inf, *range(19)])), "'a'"),
}


def npz(**arrays: np.ndarray) -> bytes:
    """Return arrays as an NPZ file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def declared(shape: tuple[int, ...], *, honest_zip: bool) -> bytes:
    """Return an NPZ whose images declare `shape` and hold a few bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(16))
        labels = io.BytesIO()
        np.save(labels, LABELS)
        archive.writestr("labels.npy", labels.getvalue())
        if not honest_zip:
            archive.getinfo("images.npy").file_size = 10 * 10**9
    return file.getvalue()


IMAGES = np.random.default_rng(1).integers(0, 255, (20, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(20) % 2
NAN = np.where(np.arange(20)[:, None, None, None] == 4, np.nan, IMAGES / 255)

NPZ: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "binary": (bytes(range(256)), "NPZ"),
    "truncated": (npz(images=IMAGES, labels=LABELS)[:-300], "NPZ"),
    "no images": (npz(labels=LABELS), "'images'"),
    "no labels": (npz(images=IMAGES), "'labels'"),
    "lengths": (npz(images=IMAGES, labels=LABELS[:-1]), "19"),
    "objects": (npz(images=IMAGES, labels=np.array([object()] * 20)), "object"),
    "rank": (npz(images=IMAGES[:, 0, 0], labels=LABELS), "images"),
    "channels": (npz(images=IMAGES[..., :2], labels=LABELS), "channel"),
    "nan": (npz(images=NAN, labels=LABELS), "image 4"),
    "zero-size": (npz(images=IMAGES[:, :0], labels=LABELS), "images"),
    "constant": (npz(images=IMAGES * 0, labels=LABELS), "images that differ"),
    "three": (npz(images=IMAGES[:3], labels=LABELS[:3]), "3 rows"),
    "one class": (npz(images=IMAGES, labels=LABELS * 0), "class"),
    "a class with one image": (npz(images=IMAGES, labels=np.r_[7, LABELS[1:]]), "class"),
    "declares 10 GB": (declared((10_000, 1000, 1000, 1), honest_zip=True), "declares"),
    "zip declares 10 GB": (declared((10_000, 1000, 1000, 1), honest_zip=False), "declares"),
}


def check_end(ended: Ended, exit_code: int, part: str, path: Path) -> None:
    """Assert that a job ended as bad input must."""
    result = ended.result
    assert (ended.exit_code, result["exit_code"], result["status"]) == (exit_code, exit_code, "failed")
    assert part in result["reason"]
    assert path.name in result["reason"]
    assert "\n" not in result["reason"]
    assert "Traceback" not in ended.stderr
    assert result["reason"] in ended.stderr
    directory = Path(result["run_directory"])
    assert json.loads((directory / "result.json").read_bytes()) == result
    assert {each.name for each in directory.iterdir()} <= {"result.json", "journal.jsonl"}


@pytest.mark.parametrize("name", CSV)
def test_bad_csv(mljobs: MLJobs, tmp_path: Path, name: str) -> None:
    """A CSV that can't be trained on is refused with the place and the reason."""
    content, part = CSV[name]
    path = tmp_path / "bad.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    check_end(mljobs("train", "random-forest", path), 65, part, path)


@pytest.mark.parametrize(
    "spoil", [lambda data: b"no gzip" + data, lambda data: data[:-40], lambda data: data[:-8] + bytes(8)]
)
def test_broken_gzip(mljobs: MLJobs, tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    """A gzip that is none, cut off or damaged is refused."""
    path = tmp_path / "bad.csv.gz"
    path.write_bytes(spoil(gzip.compress(text_of(ROWS).encode())))
    check_end(mljobs("train", "random-forest", path), 65, "gzip", path)


@pytest.mark.parametrize("name", NPZ)
@pytest.mark.tensorflow
def test_bad_npz(mljobs: MLJobs, tmp_path: Path, name: str) -> None:
    """An NPZ that can't be trained on is refused with the place and the reason."""
    content, part = NPZ[name]
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    check_end(mljobs("train", "cnn", path), 65, part, path)


@pytest.mark.parametrize(("name", "part"), [("missing.csv", "does not exist"), ("folder", "is a directory")])
def test_no_file(mljobs: MLJobs, tmp_path: Path, name: str, part: str) -> None:
    """What is not there, or no file, has a code of its own."""
    (tmp_path / "folder").mkdir()
    path = tmp_path / name
    check_end(mljobs("train", "random-forest", path), 66, part, path)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda frame: frame.drop(columns="b"), "missing: 'b'"),
        (lambda frame: frame.assign(c=1), "extra: 'c'"),
        (lambda frame: frame.assign(target=["x", *frame["target"][1:]]), "'x'"),
        (lambda frame: frame.assign(a=["?", "text", *frame["a"][2:]]), "'a'"),
    ],
)
def test_bad_evaluation_file(
    mljobs: MLJobs, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], part: str
) -> None:
    """Rows that the model can't be evaluated on are refused before anything is trained."""
    (tmp_path / "train.csv").write_text(text_of(ROWS))
    path = tmp_path / "test.csv"
    path.write_text(text_of(change(ROWS)))
    ended = mljobs("train", "random-forest", tmp_path / "train.csv", "--eval-data", path)
    check_end(ended, 65, part, path)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--param", "n_estimator=5"), "did you mean 'n_estimators'?"),
        (("--param", "n_estimators=many"), "must be an integer, got 'many'"),
        (("--param", "n_estimators=0"), "at least 1"),
        (("--param", "n_estimators"), "KEY=VALUE"),
        (("--min", "acuracy=0.5"), "did you mean 'accuracy'?"),
        (("--min", "accuracy=high"), "number from 0 to 1"),
        (("--test-size", "1.5"), "between 0 and 1"),
        (("--random-state", "-1"), "from 0 to"),
        (("--model-format", "onnx"), "skops, joblib"),
        (("--tracking", "required"), "MLFLOW_TRACKING_URI"),
        (("--model-name", "a/b"), "must not be blank nor contain one of /:@?#"),
    ],
)
def test_settings_that_make_no_sense(mljobs: MLJobs, csv: Path, arguments: tuple[str, ...], part: str) -> None:
    """A setting is refused before the data file is opened, with what would be right."""
    ended = mljobs("train", "random-forest", csv, *arguments)
    assert (ended.exit_code, ended.result["status"]) == (78, "failed")
    assert part in ended.result["reason"]
    assert json.loads((Path(ended.result["run_directory"]) / "result.json").read_bytes()) == ended.result


def test_unknown_pipeline(mljobs: MLJobs, csv: Path) -> None:
    """The pipelines that there are get named."""
    ended = mljobs("train", "forest", csv)
    assert (ended.exit_code, ended.result["reason"]) == (
        78,
        "there is no pipeline 'forest'; there are cnn, random-forest",
    )


def test_pipeline_without_its_packages(mljobs_process: MLJobs, csv: Path) -> None:
    """Where TensorFlow is missing, the message names the image that has it."""
    hidden = csv.parent / "sitecustomize.py"
    hidden.write_text("import sys\nsys.modules['tensorflow'] = None\n")
    ended = mljobs_process("train", "cnn", csv, PYTHONPATH=str(csv.parent))
    assert ended.exit_code == 78
    assert "needs tensorflow, not installed here: use the image mljobs/cnn" in ended.result["reason"]


def test_unwritable_run_directory(mljobs: MLJobs, csv: Path) -> None:
    """Without a place for results nothing is trained; the JSON line is still there."""
    ended = mljobs("train", "random-forest", csv, "--runs-dir", csv / "below-a-file")
    assert (ended.exit_code, ended.result["status"], ended.result["run_directory"]) == (73, "failed", None)
    assert "choose another folder with --runs-dir" in ended.result["reason"]
