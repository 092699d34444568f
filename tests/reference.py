"""The two functions whose results the default runs must have, as they stand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def random_forest_accuracy(path: Path, n_estimators: int = 100) -> float:
    """Train and evaluate a forest on a CSV."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import accuracy_score
    from sklearn.model_selection import train_test_split

    frame = pd.read_csv(path)
    X, y = frame.drop(columns=["target"]), frame["target"]
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    model = RandomForestClassifier(n_estimators=n_estimators, random_state=42)
    model.fit(X_train, y_train)
    return float(accuracy_score(y_test, model.predict(X_test)))


def cnn_network() -> Any:
    """Return the compiled network."""
    from keras import Sequential, layers

    network = Sequential(
        [
            layers.Input((32, 32, 3)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    network.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


def cnn_accuracy(path: Path, seed: int = 42, epochs: int = 10) -> float:
    """Train and evaluate the network on an NPZ; the split's seed is always 42."""
    import keras
    from sklearn.model_selection import train_test_split

    keras.utils.set_random_seed(seed)
    with np.load(path) as data:
        X, y = data["images"] / 255.0, data["labels"]
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    network = cnn_network()
    network.fit(X_train, y_train, epochs=epochs, batch_size=32, validation_data=(X_test, y_test), verbose=0)
    return float(network.evaluate(X_test, y_test, verbose=0)[1])
