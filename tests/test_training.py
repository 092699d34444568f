"""The network's own loop: the steps that Keras would take, the same bits each time, and an end as soon as it is asked for."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import fit

from jobs import resources, signals
from jobs.datasets import Dataset, images
from jobs.errors import TerminatedError
from jobs.pipelines import cnn
from jobs.pipelines.cnn import training
from jobs.pipelines.cnn.training import Training, blocks_of

pytestmark = pytest.mark.tensorflow

BATCH = 32


@pytest.fixture(autouse=True, scope="module")
def _prepared() -> None:
    """Set TensorFlow's threads before anything starts it, as a job does."""
    cnn.prepare(resources.cpu_count())


def some_images(n: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noise of uint8, and labels from 0 to 9."""
    random = np.random.default_rng(n)
    return random.integers(0, 256, (n, *shape), dtype=np.uint8), random.integers(0, 10, n)


def dataset_of(pixels: Any, labels: np.ndarray) -> Dataset:
    """Return images as a dataset."""
    schema = {"dtype": "uint8", "pixel_range": [0, 255]}
    return Dataset(Path("none"), "", images.ImageRows(pixels), labels, np.arange(10), schema)


def network_of(optimizer: Any = None) -> Any:
    """Return the network with the weights of one seed."""
    import keras

    keras.utils.set_random_seed(7)
    network = cnn.build((32, 32, 3), "uint8", 10, 1 / 255)
    cnn.compile_network(network, 0.001)
    if optimizer:
        network.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


def weights_of(network: Any) -> np.ndarray:
    """Return all weights, one after the other."""
    return np.concatenate([each.ravel() for each in network.get_weights()])


def blocks(pixels: np.ndarray, labels: np.ndarray) -> Any:
    """Return blocks of batches of the images in their order."""
    return blocks_of(dataset_of(pixels, labels), np.arange(10), BATCH, np.arange(len(labels)))


@pytest.mark.parametrize("n_parts", [1, 2, 8])
@pytest.mark.parametrize("n", [2 * BATCH, BATCH + 13, BATCH + 1, 5])
def test_steps_are_those_of_keras(n: int, n_parts: int) -> None:
    """Into however many parts a batch is cut, also a short last one: plain gradient descent comes to the same weights."""
    import keras

    pixels, labels = some_images(n, 32, 32, 3)
    expected, actual = (network_of(keras.optimizers.SGD(0.1)) for _ in range(2))
    before = weights_of(actual)
    for start in range(0, n, BATCH):
        expected.train_on_batch(pixels[start : start + BATCH], labels[start : start + BATCH])
    ours = Training(actual, BATCH)
    ours._n_parts = n_parts
    ours.train(blocks(pixels, labels))

    assert np.abs(weights_of(actual) - before).max() > 1e-3
    np.testing.assert_allclose(weights_of(actual), weights_of(expected), rtol=0, atol=1e-6)


def test_epochs_are_those_of_keras() -> None:
    """With Adam, whose moments and counter go on from step to step: the same curves, training and validation."""
    pixels, labels = some_images(5 * BATCH + 7, 32, 32, 3)
    expected, actual = network_of(), network_of()
    history = expected.fit(
        pixels, labels, BATCH, epochs=3, shuffle=False, verbose=0, validation_data=(pixels[:75], labels[:75])
    ).history
    ours = Training(actual, BATCH)
    curves: dict[str, list[float]] = {}
    for _ in range(3):
        means = ours.train(blocks(pixels, labels))
        means |= training.validation(ours.test(blocks(pixels[:75], labels[:75])))
        for name, value in means.items():
            curves.setdefault(name, []).append(value)

    assert sorted(curves) == sorted(history)
    for name, values in history.items():
        two_images = 2 / 75 if "accuracy" in name else 0
        np.testing.assert_allclose(curves[name], values, rtol=1e-3, atol=two_images, err_msg=name)
    assert int(actual.optimizer.iterations) == int(expected.optimizer.iterations) == 18


def weights_after_a_fit(pixels: Any, labels: np.ndarray) -> np.ndarray:
    """Return the weights after two epochs."""
    data = dataset_of(pixels, labels)
    holdout = data.take(np.arange(20))
    return weights_of(fit(cnn, data, holdout, cnn.Params(epochs=2)).model.network)


def test_same_seed_same_bits_from_memory_and_from_disk(tmp_path: Path) -> None:
    """Whatever thread was faster, and wherever the pixels come from."""
    pixels, labels = some_images(500, 32, 32, 3)
    np.save(tmp_path / "pixels.npy", pixels)
    expected = weights_after_a_fit(pixels, labels)
    for _ in range(3):
        np.testing.assert_array_equal(weights_after_a_fit(pixels, labels), expected)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    np.testing.assert_array_equal(weights_after_a_fit(mapped, labels), expected)


def test_one_core_and_two_give_the_same_bits(tmp_path: Path) -> None:
    """A run that goes on with less or more of them ends with the same model."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_training as t; t.cnn.prepare(int(sys.argv[2]));"
        "t.np.save(sys.argv[3], t.weights_after_a_fit(*t.some_images(200, 32, 32, 3)))"
    )
    found = []
    for cores in ("1", "2"):
        path = tmp_path / f"{cores}.npy"
        subprocess.run([sys.executable, "-c", program, str(Path(__file__).parent), cores, str(path)], check=True)
        found.append(np.load(path))
    np.testing.assert_array_equal(*found)


class Stopping(images.ImageRows):
    """Images at whose third read somebody stops the job."""

    reads = 0

    def batch(self, start: int, stop: int) -> np.ndarray:
        """Read images."""
        Stopping.reads += 1
        if Stopping.reads == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().batch(start, stop)


def test_sigterm_ends_an_epoch_after_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch may take longer than whoever stops a job waits."""
    monkeypatch.setattr(training, "_BLOCK_STEPS", 1)
    pixels, labels = some_images(50 * BATCH, 32, 32, 3)
    data = dataset_of(pixels, labels)
    stopping = Dataset(data.path, "", Stopping(pixels), labels, data.classes, data.schema)
    with signals.watched() as stop, stop.interrupts(), pytest.raises(TerminatedError):
        fit(cnn, stopping, data, cnn.Params(epochs=1))
    assert 3 <= Stopping.reads < 10


@pytest.mark.parametrize(
    ("shape", "batch_size", "expected"),
    [((32, 32, 3), 32, 64 * 32), ((1, 1, 1), 1, 64), ((224, 224, 3), 32, 32), ((512, 512, 4), 16, 16)],
)
def test_blocks_are_bounded(shape: tuple[int, ...], batch_size: int, expected: int) -> None:
    """By steps and by bytes, but never less than a batch: neither memory nor the wait for a signal grows with the data."""
    n = 3 * expected + 1
    pixels = np.broadcast_to(np.uint8(3), (n, *shape))
    labels = np.arange(n) % 10
    found = list(blocks_of(dataset_of(pixels, labels), np.arange(10), batch_size, np.arange(n)))
    assert [len(x) for x, _ in found] == [expected, expected, expected, 1]
    np.testing.assert_array_equal(np.concatenate([y for _, y in found]), labels)


def test_images_that_can_not_be_read_end_the_fit() -> None:
    """What happens while the next block is read is not lost in its thread."""
    pixels, labels = some_images(BATCH, 32, 32, 3)

    class Broken(images.ImageRows):
        def batch(self, start: int, stop: int) -> np.ndarray:
            raise OSError(f"no images {start} to {stop}")

    data = Dataset(Path("none"), "", Broken(pixels), labels, np.arange(10), {})
    with pytest.raises(OSError, match="no images 0 to "):
        next(blocks_of(data, np.arange(10), BATCH, np.arange(BATCH)))
