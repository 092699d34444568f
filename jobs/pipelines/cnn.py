"""A small Keras convolutional network on images."""

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jobs import resources
from jobs.datasets import Dataset, Schema
from jobs.errors import FitError, NoInputError
from jobs.pipelines import Fitted, Model, Progress, pinned

if TYPE_CHECKING:
    from jobs.datasets.images import ImageRows

SUMMARY = "Keras convolutional network on an NPZ of `images` and `labels`"
REQUIRES = ("tensorflow",)
FORMATS = ("keras",)
INSTALL = "use the image mljobs/cnn, or pip install 'mljobs[cnn]'"

_SMALLEST_VALID = 18
"""Height and width under which three unpadded convolutions and two poolings leave nothing."""

_MOST_OF_FLOATS = 2
"""Floats up to here are not 8-bit pixels; scaling an image may well push some a little over 1."""

_TENSORFLOW_BYTES = 440 << 20
"""What TensorFlow takes until a small network is trained and saved."""

_COPIES = 3
"""How often a batch's activations are in memory at once, at most: themselves, their gradients, a convolution's input."""

_PREDICT_BATCH = 64


@dataclass(frozen=True)
class Params:
    """Parameters of the training; `scale` is what pixels are multiplied by, `auto` by their type and range."""

    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 0.001
    scale: Literal["auto"] | float = "auto"

    def __post_init__(self) -> None:
        """Refuse what Keras would refuse only after the data are read."""
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be a number above 0, got {self.learning_rate}")
        if self.scale != "auto" and not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be 'auto' or a number above 0, got {self.scale}")


class CNN:
    """A trained network with its labels, in scikit-learn's words.

    Parameters
    ----------
    network : `keras.Model`, images of the training data's dtype to probabilities (n, n_classes) float32.
    classes_ : labels, shape (n_classes,), in the order of the network's outputs.
    """

    def __init__(self, network: Any, classes_: np.ndarray) -> None:
        self.network = network
        self.classes_ = classes_

    def predict_proba(self, X: "ImageRows") -> np.ndarray:
        """Return probabilities, shape (n_samples, n_classes) float32, batch by batch."""
        starts = range(0, len(X), _PREDICT_BATCH)
        return np.concatenate([self.network.predict_on_batch(X.batch(i, i + _PREDICT_BATCH)) for i in starts])


def prepare(threads: int) -> None:
    """Import TensorFlow and set its threads; it does not see a container's CPU quota by itself."""
    resources.require_memory(_TENSORFLOW_BYTES, "TensorFlow", "give the job more memory")
    with _quiet_start():
        import keras  # noqa: F401
        import tensorflow as tf

        # Once the runtime has started, TensorFlow refuses to be told even what it already does.
        if tf.config.threading.get_intra_op_parallelism_threads() != threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.list_physical_devices()


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Hold back what TensorFlow's libraries write to stderr while they load; show it if they fail.

    They tell of their own optimisations and of GPUs that are not there, past every log level. Whoever sets
    TF_CPP_MIN_LOG_LEVEL sees all of it.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            aside.seek(0)
            os.write(stderr, aside.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def read(path: Path, *, target: str, schema: Schema | None, scratch: Path) -> Dataset:
    """Read an NPZ; it has no columns, so `target` does not matter."""
    from jobs.datasets import images

    return images.read_npz(path, schema=schema, scratch=scratch)


def fit(
    train: Dataset, holdout: Dataset, params: Params, *, random_state: int, threads: int, on_progress: Progress
) -> Fitted:
    """Train for all epochs; the holdout gives the validation curves and nothing else."""
    import keras

    keras.utils.set_random_seed(random_state)
    network = build(train.X.shape[1:], str(train.X.dtype), len(train.classes), _scale(train.schema, params))
    _require_memory(network, params.batch_size)
    compile_network(network, params)
    history = network.fit(
        _batches(train, train.classes, params.batch_size, random_state),
        validation_data=_batches(holdout, train.classes, params.batch_size, None),
        epochs=params.epochs,
        verbose=0,
        callbacks=[_epoch_callback(params.epochs, on_progress)],
    )
    curves = {name: [float(value) for value in values] for name, values in history.history.items()}
    return Fitted(CNN(network, train.classes), learning_curves=curves)


def build(shape: tuple[int, int, int], dtype: str, n_classes: int, scale: float) -> Any:
    """Return the network for images of `shape` (height, width, channels) and `dtype`.

    Images smaller than 18 pixels a side are padded at each convolution, so that something is left of them.
    """
    import keras
    from keras import layers

    padding = "valid" if min(shape[:2]) >= _SMALLEST_VALID else "same"
    return keras.Sequential(
        [
            keras.Input(shape, dtype=dtype),
            layers.Rescaling(scale),
            layers.Conv2D(32, 3, activation="relu", padding=padding),
            layers.MaxPooling2D(2, padding=padding),
            layers.Conv2D(64, 3, activation="relu", padding=padding),
            layers.MaxPooling2D(2, padding=padding),
            layers.Conv2D(64, 3, activation="relu", padding=padding),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(n_classes, activation="softmax"),
        ]
    )


def _require_memory(network: Any, batch_size: int) -> None:
    """Raise FitError if a training step can't fit the memory: its activations, and weights with Adam's two moments."""
    activations = sum(math.prod(layer.output.shape[1:]) for layer in network.layers)
    need = np.dtype(np.float32).itemsize * (_COPIES * batch_size * activations + 4 * network.count_params())
    height, width = network.input_shape[1:3]
    what = f"a training step on {batch_size} images of {height}x{width} pixels"
    resources.require_memory(need, what, "give the job more memory, or a smaller --param batch_size")


def compile_network(network: Any, params: Params) -> None:
    """Give the network its optimiser, loss and metric."""
    import keras

    network.compile(
        optimizer=keras.optimizers.Adam(params.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )


def _scale(schema: Schema, params: Params) -> float:
    """Return what pixels are multiplied by, so that they come to lie between 0 and 1.

    Floats are left alone, whether from 0 to 1 or standardised, unless they are plainly 8-bit pixels.
    """
    if params.scale != "auto":
        return params.scale
    dtype = np.dtype(schema["dtype"])
    low, high = schema["pixel_range"]
    if (dtype.kind == "f" and (low < 0 or high <= _MOST_OF_FLOATS)) or max(abs(low), abs(high)) <= 1:
        return 1.0
    if dtype == np.uint16 and high > np.iinfo(np.uint8).max:
        return 1 / np.iinfo(np.uint16).max
    return 1 / np.iinfo(np.uint8).max


def _batches(dataset: Dataset, classes: np.ndarray, batch_size: int, random_state: int | None) -> Any:
    """Return a `keras.utils.PyDataset` over images that stay on disk; shuffled anew each epoch if seeded."""
    import keras

    labels = np.searchsorted(classes, dataset.y)
    random = None if random_state is None else np.random.default_rng(random_state)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc] # keras is not typed
        def __init__(self) -> None:
            super().__init__()
            self._rows = np.arange(len(dataset))
            self.on_epoch_end()

        def __len__(self) -> int:
            return math.ceil(len(dataset) / batch_size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            rows = self._rows[index * batch_size : (index + 1) * batch_size]
            return self._X.batch(index * batch_size, index * batch_size + len(rows)), labels[rows]

        def on_epoch_end(self) -> None:
            if random is not None:
                self._rows = random.permutation(len(dataset))
            self._X = dataset.X.take(self._rows)

    return Batches()


def _epoch_callback(epochs: int, on_progress: Progress) -> Any:
    """Return a `keras.callbacks.Callback` that reports each epoch and stops at a loss that is no number."""
    import keras

    def report(epoch: int, logs: dict[str, float]) -> None:
        if not math.isfinite(logs["loss"]):
            raise FitError(
                f"the loss is {logs['loss']} in epoch {epoch + 1} of {epochs}; "
                "try a smaller --param learning_rate, or look at the pixels' range"
            )
        on_progress("epoch", epoch + 1, epochs, **{name: float(value) for name, value in logs.items()})

    return keras.callbacks.LambdaCallback(on_epoch_end=report)


def save(model: Any, folder: Path, train: Dataset, model_format: str) -> None:
    """Write an MLflow model with the network as `.keras`."""
    import mlflow.tensorflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema as TensorSchema
    from mlflow.types import TensorSpec

    example = train.X.batch(0, 2)
    signature = ModelSignature(
        inputs=TensorSchema([TensorSpec(example.dtype, (-1, *example.shape[1:]))]),
        outputs=TensorSchema([TensorSpec(np.dtype(np.float32), (-1, len(train.classes)))]),
    )
    mlflow.tensorflow.save_model(
        model.network,
        str(folder),
        signature=signature,
        input_example=example,
        pip_requirements=pinned("tensorflow", "keras", "numpy"),
    )


def load(folder: Path, *, classes: np.ndarray, trust_pickle: bool) -> Model:
    """Read a model folder; `.keras` holds weights and a configuration, no code (`safe_mode` refuses lambdas)."""
    import keras

    path = folder / "data" / "model.keras"
    if not path.is_file():
        raise NoInputError(f"{path} is missing")
    network = keras.models.load_model(path, compile=False, safe_mode=True)
    return CNN(network, classes)
