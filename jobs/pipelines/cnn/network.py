"""The network: its layers, its input's scale, and the memory that it needs."""

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs import resources
from jobs.datasets import Schema
from jobs.pipelines.cnn.training import parts_of, split

if TYPE_CHECKING:
    from jobs.datasets.images import ImageRows

_SMALLEST_VALID = 18
"""Height and width under which three unpadded convolutions and two poolings leave nothing."""

_MOST_OF_FLOATS = 2
"""Floats up to here are not 8-bit pixels; scaling an image may well push some a little over 1."""

_COPIES = 3
"""How often a batch's activations are in memory at once, at most: themselves, their gradients, a convolution's input."""

_PREDICT_BATCH = 64


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
        return np.concatenate([self._predict(X.batch(i, i + _PREDICT_BATCH)).numpy() for i in starts])

    @cached_property
    def _predict(self) -> Any:
        """Compile the network for a batch in parts, side by side on the cores."""
        import tensorflow as tf

        def predict(pixels: Any) -> Any:
            parts = split(tf.shape(pixels)[0], parts_of(_PREDICT_BATCH))
            return tf.concat([self.network(pixels[part], training=False)[:count] for part, count in parts], axis=0)

        spec = tf.TensorSpec(self.network.input_shape, self.network.inputs[0].dtype)
        return tf.function(predict, input_signature=(spec,), autograph=False)


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


def require_memory(network: Any, batch_size: int) -> None:
    """Raise FitError if a training step can't fit the memory: its activations, and weights with Adam's two moments."""
    activations = sum(math.prod(layer.output.shape[1:]) for layer in network.layers)
    need = np.dtype(np.float32).itemsize * (_COPIES * batch_size * activations + 4 * network.count_params())
    height, width = network.input_shape[1:3]
    what = f"a training step on {batch_size} images of {height}x{width} pixels"
    resources.require_memory(need, what, "give the job more memory, or a smaller --param batch_size")


def compile_network(network: Any, learning_rate: float) -> None:
    """Give the network its optimiser, loss and metric."""
    import keras

    network.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    # Else the first step makes the optimiser's variables, and TensorFlow traces each function that makes some twice.
    network.optimizer.build(network.trainable_variables)


def scale_of(schema: Schema) -> float:
    """Return what pixels are multiplied by, so that they come to lie between 0 and 1.

    Floats are left alone, whether from 0 to 1 or standardised, unless they are plainly 8-bit pixels.
    """
    dtype = np.dtype(schema["dtype"])
    low, high = schema["pixel_range"]
    if (dtype.kind == "f" and (low < 0 or high <= _MOST_OF_FLOATS)) or max(abs(low), abs(high)) <= 1:
        return 1.0
    if dtype == np.uint16 and high > np.iinfo(np.uint8).max:
        return 1 / np.iinfo(np.uint16).max
    return 1 / np.iinfo(np.uint8).max
