"""What is measured: files of several sizes, made anew for each benchmark from fixed seeds."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

N_CLASSES = 10
FLIPPED = 0.04
"""Share of labels that are wrong, so that no honest model reaches an accuracy of 1."""


@dataclass(frozen=True)
class Case:
    """One file, trained on by both sides with the same parameters.

    Parameters
    ----------
    pipeline : as the job is told.
    n_samples : rows or images.
    n_features : columns of a table; 0 for images.
    side : height and width of an image in pixels, a multiple of 8.
    hard : images whose patterns are fainter and anywhere, so that a network needs several epochs.
    params : of the fit, where not the pipeline's defaults.
    rounds : how often each side runs.
    """

    pipeline: str
    n_samples: int
    n_features: int = 0
    params: dict[str, int | str] = field(default_factory=dict)
    rounds: int = 3
    side: int = 32
    hard: bool = False

    @property
    def name(self) -> str:
        """What the tables call it."""
        size = f"{self.n_samples:,} x {self.n_features}" if self.n_features else f"{self.n_samples:,} images"
        size += "" if self.side == 32 else f" of {self.side} x {self.side}"
        return ", ".join([self.pipeline, size, *(f"{key}={value}" for key, value in self.params.items())])

    @property
    def array_bytes(self) -> int:
        """Size of the raw array: images as they are in the file, a table's columns as float32."""
        return self.n_samples * (4 * self.n_features or 3 * self.side**2)

    def write(self, folder: Path) -> Path:
        """Write its file into `folder`; aside, for what this process ever held counts as the peak of those it starts."""
        make = _write_table if self.n_features else _write_images
        with ProcessPoolExecutor(1) as process:
            return process.submit(make, self, folder / "data").result()


FULL = (
    Case("random-forest", 1_000, 10, rounds=5),
    Case("random-forest", 20_000, 20),
    Case("random-forest", 200_000, 50, {"n_estimators": 20}, rounds=2),
    Case("random-forest", 1_000_000, 30, {"n_estimators": 2}, rounds=2),
    Case("random-forest", 1_000_000, 30, {"n_estimators": 2, "engine": "sklearn"}, rounds=2),
    Case("cnn", 1_000),
    Case("cnn", 10_000, params={"epochs": 3}, rounds=2),
    Case("cnn", 50_000, params={"epochs": 2}, rounds=2),
)

QUICK = (
    Case("random-forest", 1_000, 10),
    Case("random-forest", 300_000, 30, {"n_estimators": 10}, rounds=1),
    Case("cnn", 1_000, rounds=2),
    Case("cnn", 80_000, params={"epochs": 1}, rounds=1),
)


def _write_table(case: Case, stem: Path) -> Path:
    """Write a CSV: numbers, half of them around the centre of one of the classes, and `target`."""
    random = np.random.default_rng(case.n_samples)
    target = random.integers(0, 3, case.n_samples)
    centres = random.normal(size=(3, case.n_features)) * (np.arange(case.n_features) % 2)
    X = random.normal(scale=2, size=(case.n_samples, case.n_features)) + centres[target]
    frame = pd.DataFrame(X.round(5), columns=[f"feature_{i}" for i in range(case.n_features)])
    path = stem.with_suffix(".csv")
    frame.assign(target=_flip(target, 3, random)).to_csv(path, index=False)
    return path


def _write_images(case: Case, stem: Path) -> Path:
    """Write an NPZ: one coarse pattern for each label, under noise; uint8, not compressed."""
    random = np.random.default_rng(case.n_samples)
    labels = random.integers(0, N_CLASSES, case.n_samples)
    patterns = random.integers(0, 80 if case.hard else 120, (N_CLASSES, 8, 8, 3), dtype=np.uint8)
    patterns = patterns.repeat(case.side // 8, axis=1).repeat(case.side // 8, axis=2)
    images = _move(patterns, labels, random) if case.hard else patterns[labels]
    images += random.integers(0, 130, images.shape, dtype=np.uint8)
    path = stem.with_suffix(".npz")
    np.savez(path, images=images, labels=_flip(labels, N_CLASSES, random))
    return path


def _move(patterns: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the labels' patterns, each pushed anywhere, what leaves at one edge coming back at the other."""
    side = patterns.shape[1]
    down, right = (np.arange(side) + random.integers(0, side, (2, len(labels), 1))) % side
    return patterns[labels[:, None, None], down[:, :, None], right[:, None, :]]


def _flip(labels: np.ndarray, n_classes: int, random: np.random.Generator) -> np.ndarray:
    """Return the labels, a few of them turned into another class."""
    wrong = random.random(len(labels)) < FLIPPED
    return np.where(wrong, (labels + random.integers(1, n_classes, len(labels))) % n_classes, labels)
