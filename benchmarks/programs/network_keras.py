"""The network in Keras on the backend that KERAS_BACKEND names: FILE EPOCHS START (Unix time); prints each epoch's gain.

On TensorFlow it is the plain function of `tests/reference.py`, but for the times that it notes.
"""

import json
import sys
import time
from pathlib import Path

import keras
import numpy as np
from sklearn.model_selection import train_test_split

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import reference


def train(path: str, epochs: int, start: float) -> list[tuple[float, float]]:
    """Train; return seconds since the start and accuracy on the holdout after each epoch."""
    keras.utils.set_random_seed(42)
    with np.load(path) as data:
        X, y = data["images"] / 255.0, data["labels"]
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    reached = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda _, logs: reached.append((time.time() - start, float(logs["val_accuracy"])))
    )
    reference.cnn_network().fit(
        X_train,
        y_train,
        epochs=epochs,
        batch_size=32,
        validation_data=(X_test, y_test),
        verbose=0,
        callbacks=[note],
    )
    return reached


if __name__ == "__main__":
    name, epochs, start = sys.argv[1:]
    print(json.dumps({"epochs": train(name, int(epochs), float(start))}))
