"""The CNN, from NPZ to a model that predicts images as they come."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from harness import ROOT, MLJobs, fit

from jobs import resources
from jobs.datasets import Dataset, images, splits
from jobs.datasets.fingerprints import Fingerprints
from jobs.pipelines import cnn, open_model
from jobs.pipelines.cnn.network import scale_of

pytestmark = pytest.mark.tensorflow

MOCK = ROOT / "data" / "mock_data.npz"
SEEDS = range(10)


@pytest.fixture(autouse=True, scope="module")
def _prepared() -> None:
    """Set TensorFlow's threads before anything starts it, as a job does."""
    cnn.prepare(resources.cpu_count())


def layers_of(network: Any) -> list[dict[str, Any]]:
    """Return what each layer does, but for its name, and for the scaling that the reference does in numpy."""
    found = [(type(each).__name__, each.get_config()) for each in network.layers]
    return [
        {"layer": kind, **{key: value for key, value in config.items() if key not in {"name", "batch_shape"}}}
        for kind, config in found
        if kind != "Rescaling"
    ]


def test_network_is_the_references() -> None:
    """Layers, their settings and the number of parameters are the same; the optimiser and loss too."""
    expected, actual = reference.cnn_network(), cnn.build((32, 32, 3), "uint8", 10, 1 / 255)
    cnn.compile_network(actual, cnn.Params().learning_rate)
    assert layers_of(actual) == layers_of(expected)
    assert actual.count_params() == expected.count_params()
    assert {**actual.optimizer.get_config(), "name": "adam"} == {**expected.optimizer.get_config(), "name": "adam"}
    assert actual.loss == expected.loss
    assert (cnn.Params().epochs, cnn.Params().batch_size) == (10, 32)


def split_mock(tmp_path: Path) -> tuple[Dataset, Dataset]:
    """Return the mock data as the default run splits them."""
    dataset = images.read_npz(MOCK, schema=None, scratch=tmp_path)
    inside, outside = splits.random_split(len(dataset), test_size=0.2, random_state=42)
    return dataset.take(inside), dataset.take(outside)


def accuracy(training: Dataset, holdout: Dataset, seed: int) -> float:
    """Train with one seed and return the share of right answers."""
    fitted = fit(cnn, training, holdout, cnn.Params(), random_state=seed)
    predicted = fitted.model.classes_[fitted.model.predict_proba(holdout.X).argmax(axis=1)]
    return float(np.mean(predicted == holdout.y))


def test_accuracy_is_the_references_but_for_the_noise_between_seeds(tmp_path: Path) -> None:
    """Over ten seeds the means differ by less than one seed differs from the next."""
    expected = [reference.cnn_accuracy(MOCK, seed) for seed in SEEDS]
    actual = [accuracy(*split_mock(tmp_path), seed) for seed in SEEDS]
    noise = np.sqrt((np.var(expected, ddof=1) + np.var(actual, ddof=1)) / 2)
    print(f"reference {np.mean(expected):.4f}, ours {np.mean(actual):.4f}, noise {noise:.4f}")  # noqa: T201 - for pytest -s
    assert abs(np.mean(expected) - np.mean(actual)) < noise


@pytest.mark.parametrize(
    ("dtype", "pixel_range", "expected"),
    [
        ("uint8", (0, 255), 1 / 255),
        ("uint8", (0, 1), 1),
        ("int64", (3, 200), 1 / 255),
        ("uint16", (0, 255), 1 / 255),
        ("uint16", (0, 4000), 1 / 65535),
        ("float32", (0, 1), 1),
        ("float32", (0, 1.0001), 1),
        ("float32", (-2.1, 2.6), 1),
        ("float32", (0, 255), 1 / 255),
    ],
)
def test_pixels_come_to_lie_around_one(dtype: str, pixel_range: tuple[float, float], expected: float) -> None:
    """Neither 8-bit pixels stay large, nor do floats that are small already vanish; `scale` has the last word."""
    schema = {"dtype": dtype, "pixel_range": pixel_range}
    assert scale_of(schema) == expected


def bright_square(n: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images whose class is whether their upper left is bright, in the range 0 to 255, and labels 0 and 1."""
    random = np.random.default_rng(5)
    pixels, labels = random.integers(0, 100, (n, *shape)), random.integers(0, 2, n)
    pixels[labels == 1, : shape[0] // 2, : shape[1] // 2] += 150
    return pixels, labels


@pytest.mark.parametrize(
    ("shape", "dtype", "scale"),
    [
        ((8, 8), "uint8", 1),
        ((5, 40, 1), "uint16", 200),
        ((18, 18, 3), "float32", 1 / 255),
        ((1, 3, 4), "int64", 1),
        ((33, 17, 4), "float64", 1),
    ],
)
def test_trains_on_any_honest_images(
    mljobs: MLJobs, tmp_path: Path, shape: tuple[int, ...], dtype: str, scale: float
) -> None:
    """Any size, number of channels, type and range is learnt from."""
    pixels, labels = bright_square(160, *shape) if shape[0] > 1 else (np.zeros((160, *shape)), np.arange(160) % 2)
    if shape[0] == 1:
        pixels[labels == 1] = 200
    np.savez_compressed(tmp_path / "some.npz", images=(pixels * scale).astype(dtype), labels=labels)
    ended = mljobs("train", "cnn", tmp_path / "some.npz", "--param", "epochs=8", "--param", "learning_rate=0.005")
    assert ended.exit_code == 0, ended.stderr
    assert ended.result["metrics"]["accuracy"] > 0.8


@pytest.mark.parametrize("kind", ["text", "any integers", "one-hot", "truth values"])
def test_trains_on_any_honest_labels(mljobs: MLJobs, tmp_path: Path, kind: str) -> None:
    """The report and the model speak of the labels as they are in the file."""
    pixels, labels = bright_square(100, 8, 8)
    as_found = {
        "text": np.array(["dark", "bright"])[labels],
        "any integers": np.array([-3, 900])[labels],
        "one-hot": np.eye(2)[labels],
        "truth values": labels == 1,
    }[kind]
    np.savez(tmp_path / "some.npz", images=pixels.astype(np.uint8), labels=as_found)
    result = mljobs("train", "cnn", tmp_path / "some.npz", "--param", "epochs=1").result
    saved = open_model(Path(result["run_directory"]) / "model")
    expected = np.arange(2) if kind == "one-hot" else np.unique(as_found)
    np.testing.assert_array_equal(saved.load(trust_pickle=False).classes_, expected)


def test_saved_model_predicts_as_the_trained_one(mljobs: MLJobs, tmp_path: Path) -> None:
    """An evaluation of the saved model gives the numbers of the run that trained it."""
    pixels, labels = bright_square(120, 18, 18, 3)
    for name, rows in (("train", slice(None, 80)), ("test", slice(80, None))):
        np.savez(tmp_path / f"{name}.npz", images=pixels[rows].astype(np.uint8), labels=labels[rows])
    test = tmp_path / "test.npz"
    ended = mljobs("train", "cnn", tmp_path / "train.npz", "--eval-data", test, "--param", "epochs=2")
    again = mljobs("evaluate", ended.result["run_directory"], test)
    assert again.result["metrics"] == ended.result["metrics"]


def test_mlflow_loads_the_model(mljobs: MLJobs, tmp_path: Path) -> None:
    """The model folder is an ordinary MLflow model that takes raw images."""
    import mlflow.pyfunc

    pixels, labels = bright_square(60, 18, 18, 3)
    np.savez(tmp_path / "some.npz", images=pixels.astype(np.uint8), labels=labels)
    result = mljobs("train", "cnn", tmp_path / "some.npz", "--param", "epochs=1").result
    folder = Path(result["run_directory"]) / "model"
    dataset = images.read_npz(tmp_path / "some.npz", schema=None, scratch=tmp_path)
    expected = open_model(folder).load(trust_pickle=False).predict_proba(dataset.X)
    actual = mlflow.pyfunc.load_model(str(folder)).predict(pixels.astype(np.uint8))
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_loss_that_is_no_number_ends_the_fit(mljobs: MLJobs, tmp_path: Path) -> None:
    """A diverged training is a failure with advice, not a model."""
    pixels, labels = bright_square(60, 8, 8)
    np.savez(tmp_path / "some.npz", images=pixels.astype(np.uint8), labels=labels)
    ended = mljobs("train", "cnn", tmp_path / "some.npz", "--param", "learning_rate=1e30")
    assert (ended.exit_code, ended.result["status"]) == (70, "failed")
    assert "learning_rate" in ended.result["reason"]
    assert not (Path(ended.result["run_directory"]) / "model").exists()


def test_curves_have_a_point_an_epoch(mljobs: MLJobs, tmp_path: Path) -> None:
    """Each epoch is in the journal, in its order, and in the report."""
    pixels, labels = bright_square(60, 8, 8)
    np.savez(tmp_path / "some.npz", images=pixels.astype(np.uint8), labels=labels)
    directory = Path(mljobs("train", "cnn", tmp_path / "some.npz", "--param", "epochs=3").result["run_directory"])
    events = [json.loads(line) for line in (directory / "journal.jsonl").read_text().splitlines()]
    points = [event for event in events if event["event"] == "metrics" and "epoch/loss" in event["metrics"]]
    curve = json.loads((directory / "metrics.json").read_text())["learning_curves"]["loss"]
    assert [(each["step"], each["metrics"]["epoch/loss"]) for each in points] == list(enumerate(curve, start=1))


def test_models_say_what_they_were_trained_on(mljobs: MLJobs, tmp_path: Path) -> None:
    """Images of one group, and equal ones, are on one side; the model keeps the fingerprints of its own."""
    pixels, labels = bright_square(100, 8, 8)
    who = np.arange(100) % 25
    np.savez(tmp_path / "some.npz", images=pixels.astype(np.uint8), labels=labels, who=who)
    stable = ("--split", "stable", "--split-key", "who", "--param", "epochs=1")
    saved = open_model(Path(mljobs("train", "cnn", tmp_path / "some.npz", *stable).result["run_directory"]) / "model")
    found = saved.fingerprints()
    dataset = cnn.read(tmp_path / "some.npz", target="", schema=saved.schema, scratch=tmp_path)
    is_known = Fingerprints.of(dataset).are_in(found)

    assert found is not None
    assert found.groups is not None
    assert len(found.groups) == len(set(who[is_known].tolist()))
    assert 25 == len(set(who[is_known].tolist())) + len(set(who[~is_known].tolist()))


def test_images_that_are_kept_aside_are_the_same(tmp_path: Path) -> None:
    """A holdout that is written and read again has the same pixels and labels."""
    training, holdout = split_mock(tmp_path)
    path = tmp_path / f"rows{cnn.SUFFIX}"
    cnn.write(holdout, path)
    again = cnn.read(path, target="", schema=training.schema, scratch=tmp_path)

    np.testing.assert_array_equal(holdout.X.batch(0, len(holdout)), again.X.batch(0, len(holdout)))
    assert holdout.y.tolist() == again.y.tolist()
