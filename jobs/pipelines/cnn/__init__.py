"""A small Keras convolutional network on images."""

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jobs import resources
from jobs.checkpoint import Checkpoint
from jobs.datasets import Dataset, Schema
from jobs.errors import NoInputError
from jobs.pipelines import Fitted, Model, Progress, pinned
from jobs.pipelines.cnn import epochs
from jobs.pipelines.cnn.network import CNN, build, compile_network, require_memory, scale_of
from jobs.pipelines.cnn.training import Training, blocks_of, order_of, validation

SUMMARY = "Keras convolutional network on an NPZ of `images` and `labels`"
REQUIRES = ("tensorflow",)
FORMATS = ("keras",)
INSTALL = "use the image mljobs/cnn, or pip install 'mljobs[cnn]'"
SUFFIX = ".npz"

_TENSORFLOW_BYTES = 440 << 20
"""What TensorFlow takes until a small network is trained and saved."""


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


def prepare(threads: int) -> None:
    """Import TensorFlow and set its threads; it does not see a container's CPU quota by itself."""
    resources.require_memory(_TENSORFLOW_BYTES, "TensorFlow", "give the job more memory")
    with _quiet_start():
        import keras  # noqa: F401
        import tensorflow as tf

        # Once the runtime has started, TensorFlow refuses to be told even what it already does.
        if tf.config.threading.get_inter_op_parallelism_threads() != threads:
            # A kernel has one thread, several run side by side: faster, and the same bits from the same seed.
            tf.config.threading.set_intra_op_parallelism_threads(1)
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


def read(path: Path, *, target: str, schema: Schema | None, scratch: Path, split_key: str | None = None) -> Dataset:
    """Read an NPZ; it has no columns, so `target` does not matter."""
    from jobs.datasets import images

    return images.read_npz(path, schema=schema, scratch=scratch, split_key=split_key)


def write(dataset: Dataset, path: Path) -> None:
    """Write an NPZ."""
    from jobs.datasets import images

    images.write_npz(dataset, path)


def fit(
    train: Dataset,
    holdout: Dataset,
    params: Params,
    *,
    random_state: int,
    threads: int,
    on_progress: Progress,
    checkpoint: Checkpoint,
) -> Fitted:
    """Train for all epochs; the holdout gives the validation curves and nothing else."""
    import keras

    # A champion may have been loaded before: the layers' names count on from it else.
    keras.backend.clear_session()
    keras.utils.set_random_seed(random_state)
    scale = scale_of(train.schema) if params.scale == "auto" else params.scale
    network = build(train.X.shape[1:], str(train.X.dtype), len(train.classes), scale)
    require_memory(network, params.batch_size)
    compile_network(network, params.learning_rate)
    curves = epochs.restore(network, checkpoint)
    n_done = len(curves.get("loss", ()))
    for epoch in range(n_done):
        on_progress("epoch", epoch + 1, params.epochs, **{name: values[epoch] for name, values in curves.items()})

    training = Training(network, params.batch_size)
    unshuffled = np.arange(len(holdout))
    for epoch in range(n_done, params.epochs):
        order = order_of(epoch, len(train), random_state)
        metrics = training.train(blocks_of(train, train.classes, params.batch_size, order))
        epochs.require_finite(metrics["loss"], epoch, params.epochs)
        metrics |= validation(training.test(blocks_of(holdout, train.classes, params.batch_size, unshuffled)))
        for name, value in metrics.items():
            curves.setdefault(name, []).append(value)
        epochs.save(network, curves, checkpoint)
        on_progress("epoch", epoch + 1, params.epochs, **metrics)
    return Fitted(CNN(network, train.classes), learning_curves=curves)


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
