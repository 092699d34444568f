"""Training and validation of the network: a block of batches is one call of TensorFlow, a batch is shared by the cores.

Keras' `fit` on batches from disk is held up between its steps: by Python, and by kernels that share one convolution among
the cores, wait for each other after each of them, and so use a core and a half of two. Here a batch is cut into parts, each
computed by single-threaded kernels beside the others; their gradients add up to those of the whole batch, so that it is the
same step of the same optimiser. Milliseconds of CPU for a step of 32 images, 32 x 32 x 3, on two cores, 300 steps of each
in one run (others used the machine too, so that wall times say nothing):

=====================================================================  ============
`fit` on float32 in memory                                             10.2 to 11.2
`fit` on batches from disk (`PyDataset`), op determinism               10.6
`fit`, `steps_per_execution=50`, uint8 in memory                        8.2
the same with a `train_step` in parts                                   7.1
`fit` with that `train_step` on batches from disk (`tf.data`)           7.6
`fit` with a `train_step` that loops over a block from a `PyDataset`    7.6
a loop in TensorFlow, the whole batch at once                           7.5
a loop in TensorFlow, two parts (this module)                           6.0
=====================================================================  ============

`jit_compile` took 27 in an earlier run, where the first took 9.9 to 10.9. In a profile of a loop on the whole batch and one
core the convolutions' own kernels are 79 %.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from jobs.datasets import Dataset

Block = tuple[np.ndarray, np.ndarray]
"""Pixels, shape (n, height, width, channels), and classes, shape (n,), int64, of some batches one after the other."""

_BLOCK_STEPS = 64
_BLOCK_BYTES = 8 << 20
"""Steps and pixels of a block, at most: a signal waits for its end, a fraction of a second."""

_LEAST_PART = 2
"""Images of a part: with fewer, adding up the gradients is more work than the core takes off."""


def parts_of(n_images: int) -> int:
    """Return into how many parts a batch is cut: one for each core; and two for a single core, which costs it nothing.

    So one core and two give the same bits.
    """
    import tensorflow as tf

    cores: int = tf.config.threading.get_inter_op_parallelism_threads()
    return max(1, min(max(2, cores), n_images // _LEAST_PART))


def split(n_images: Any, n_parts: int) -> Iterator[tuple[slice, Any]]:
    """Yield the slice of each part of a batch, and how many of its first images count; those differ by one at most.

    A batch of fewer images than parts has parts where none counts. TensorFlow's convolutions fail on no images: so there
    is one.
    """
    import tensorflow as tf

    for start, stop in pairwise([n_images * i // n_parts for i in range(n_parts + 1)]):
        first = tf.minimum(start, n_images - 1)
        yield slice(first, tf.maximum(stop, first + 1)), stop - start


class Training:
    """The epochs of a compiled network.

    No sum's order is left to chance: each kernel has one thread, and what several parts give is added in their order. So
    the same seed gives the same bits without TensorFlow's op determinism, whose other kernels took a fifth more CPU.

    Parameters
    ----------
    network : compiled `keras.Model`, images to probabilities.
    batch_size : images of a step.
    """

    def __init__(self, network: Any, batch_size: int) -> None:
        self._network = network
        self._batch_size = batch_size
        self._n_parts = parts_of(batch_size)
        self._train = self._compiled(self._train_step)
        self._test = self._compiled(self._test_step)

    def train(self, blocks: Iterator[Block]) -> dict[str, float]:
        """Take a step on each batch; return mean loss and accuracy, each batch's before its step, as Keras does."""
        return _means(self._train, blocks)

    def test(self, blocks: Iterator[Block]) -> dict[str, float]:
        """Return mean loss and accuracy."""
        return _means(self._test, blocks)

    def _compiled(self, step: Callable[..., Any]) -> Any:
        """Return the function that carries out `step` on each batch of a block and adds up what that gives."""
        import tensorflow as tf

        pixels = tf.TensorSpec(self._network.input_shape, self._network.inputs[0].dtype)
        classes = tf.TensorSpec((None,), tf.int64)

        def block(X: Any, y: Any) -> Any:
            def body(start: Any, loss: Any, hits: Any) -> tuple[Any, ...]:
                stop = start + self._batch_size
                more_loss, more_hits = step(X[start:stop], y[start:stop])
                return stop, loss + more_loss, hits + more_hits

            zero = tf.constant(0), tf.constant(0.0), tf.constant(0, tf.int64)
            return tf.while_loop(lambda start, *_: start < tf.shape(y)[0], body, zero, parallel_iterations=1)[1:]

        return tf.function(block, input_signature=(pixels, classes), autograph=False)

    def _train_step(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Step down the gradient of a batch's mean loss: that is the sum of those of its parts' shares in it."""
        import tensorflow as tf

        variables = self._network.trainable_variables
        n, sums, gradients = tf.shape(y)[0], [], []
        for part, count in split(n, self._n_parts):
            with tf.GradientTape() as tape:
                loss, hits = self._measure(X[part], y[part], count, training=True)
                share = loss / tf.cast(n, tf.float32)
            gradients.append(tape.gradient(share, variables))
            sums.append((loss, hits))
        self._network.optimizer.apply([tf.add_n(each) for each in zip(*gradients, strict=True)], variables)
        return _add(sums)

    def _test_step(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Return the sum of the losses of a batch, and the number of right answers."""
        import tensorflow as tf

        parts = split(tf.shape(y)[0], self._n_parts)
        return _add([self._measure(X[part], y[part], count, training=False) for part, count in parts])

    def _measure(self, X: Any, y: Any, count: Any, *, training: bool) -> tuple[Any, Any]:
        """Return the sum of the losses of the first `count` images, and the number of right answers."""
        import keras
        import tensorflow as tf

        y_proba = self._network(X, training=training)
        losses = keras.losses.sparse_categorical_crossentropy(y, y_proba)
        right = tf.argmax(y_proba, axis=1) == y
        return tf.reduce_sum(losses[:count]), tf.math.count_nonzero(right[:count])


def _add(sums: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Return the sums over several parts."""
    import tensorflow as tf

    losses, hits = zip(*sums, strict=True)
    return tf.add_n(losses), tf.add_n(hits)


def _means(function: Any, blocks: Iterator[Block]) -> dict[str, float]:
    """Return mean loss and accuracy over all images of all blocks."""
    n, loss, hits = 0, 0.0, 0
    for pixels, classes in blocks:
        more_loss, more_hits = function(pixels, classes)
        n, loss, hits = n + len(classes), loss + float(more_loss), hits + int(more_hits)
    return {"accuracy": hits / n, "loss": loss / n}


def blocks_of(dataset: Dataset, classes: np.ndarray, batch_size: int, rows: np.ndarray) -> Iterator[Block]:
    """Yield blocks of whole batches of the images at `rows`; from disk, the next while the caller works on one.

    Parameters
    ----------
    classes : all labels, in the order of the network's outputs.
    batch_size : images of a batch; only the very last may be smaller.
    rows : shape (n,), int64.
    """
    X, y = dataset.X.take(rows), np.searchsorted(classes, dataset.y[rows])
    bytes_of_batch = batch_size * math.prod(X.shape[1:]) * X.dtype.itemsize
    step = batch_size * max(1, min(_BLOCK_STEPS, _BLOCK_BYTES // bytes_of_batch))
    starts = range(0, len(y), step)
    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = reader.submit(X.batch, 0, step)
        for start in starts:
            pixels = ahead.result()
            ahead = reader.submit(X.batch, start + step, start + 2 * step)
            yield pixels, y[start : start + step]


def order_of(epoch: int, n_images: int, random_state: int) -> np.ndarray:
    """Return the order of the images in an epoch, shape (n_images,); by seed and epoch, so that a resume has it too."""
    return np.random.default_rng((random_state, epoch)).permutation(n_images)


def validation(means: Mapping[str, float]) -> dict[str, float]:
    """Return measures under the names that Keras gives them on the holdout."""
    return {f"val_{name}": value for name, value in means.items()}
