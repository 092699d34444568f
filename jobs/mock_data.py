"""Small files to try the pipelines on: the same bytes each time, on each machine."""

import io
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

N_ROWS = 1_500
N_FEATURES = 10
SEED_TABLE = 20_240
CENTRES = np.array([[2.2, 0, 0, 1, -1], [0, 2.2, 0, -1, 0], [0, 0, 2.2, 0, 1]])
"""Mean of the first features in each class; the others are noise."""

N_IMAGES = 1_000
SIZE = 32
N_DIGITS = 10
SEED_IMAGES = 20_241
NOISE = 40
"""Most that a pixel is off, of 255."""

FLIPPED = 0.04
"""Share of labels that are wrong, so that no honest model reaches an accuracy of 1."""


def write_mock_data(folder: Path) -> list[Path]:
    """Write `mock_data.csv` and `mock_data.npz` into `folder`, made if need be; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"mock_data.csv": _table(), "mock_data.npz": _images()}
    for name, content in contents.items():
        _replace(folder / name, content)
    return [folder / name for name in contents]


def _table() -> bytes:
    """Return a CSV: `N_FEATURES` numbers and `target` (0, 1, 2); half of the numbers lie around a class's centre."""
    random = np.random.Generator(np.random.PCG64(SEED_TABLE))
    target = random.integers(0, len(CENTRES), size=N_ROWS)
    X = random.standard_normal((N_ROWS, N_FEATURES))
    X[:, : CENTRES.shape[1]] += CENTRES[target]
    target = _flip(target, len(CENTRES), random)
    header = ",".join([f"feature_{i}" for i in range(N_FEATURES)] + ["target"])
    lines = [",".join([f"{value:.4f}" for value in row] + [str(label)]) for row, label in zip(X, target, strict=True)]
    return ("\n".join([header, *lines]) + "\n").encode()


def _images() -> bytes:
    """Return an NPZ: `images` uint8 (`N_IMAGES`, 32, 32, 3), noisy shapes, and `labels` int64 (`N_IMAGES`,), 0 to 9."""
    random = np.random.Generator(np.random.PCG64(SEED_IMAGES))
    labels = np.arange(N_IMAGES) % N_DIGITS
    images = np.stack([_image(int(label), random) for label in labels])
    order = random.permutation(N_IMAGES)
    return _npz({"images": images[order], "labels": _flip(labels, N_DIGITS, random)[order]})


def _image(label: int, random: np.random.Generator) -> np.ndarray:
    """Return one shape somewhere on a plain ground, under noise; uint8, shape (32, 32, 3)."""
    centre_y, centre_x = random.integers(SIZE // 2 - 2, SIZE // 2 + 3, size=2)
    radius = int(random.integers(9, 13))
    y, x = np.ogrid[:SIZE, :SIZE]
    inside = _shape(label, y - centre_y, x - centre_x, radius)
    ground = random.integers(40, 100, size=3)
    colour = ground + random.integers(40, 110, size=3)
    noise = random.integers(-NOISE, NOISE + 1, size=(SIZE, SIZE, 3))
    pixels: np.ndarray = np.clip(np.where(inside[..., np.newaxis], colour, ground) + noise, 0, 255)
    return pixels.astype(np.uint8)


def _shape(label: int, y: np.ndarray, x: np.ndarray, radius: int) -> np.ndarray:
    """Return which pixels belong to a label's shape: disc, ring, square, frame, cross, saltire, bars, posts, ...

    Integers only, so that it is the same everywhere; `y` and `x` are relative to the centre.
    """
    from_centre = y * y + x * x
    box = np.maximum(abs(y), abs(x))
    shapes: tuple[np.ndarray, ...] = (
        from_centre <= radius**2,
        (from_centre <= radius**2) & (from_centre >= (radius - 3) ** 2),
        box <= radius,
        (box <= radius) & (box >= radius - 2),
        (box <= radius) & (np.minimum(abs(y), abs(x)) <= 1),
        (box <= radius) & (abs(abs(y) - abs(x)) <= 1),
        (box <= radius) & (y // 2 % 2 == 0),
        (box <= radius) & (x // 2 % 2 == 0),
        (box <= radius) & ((y // 3 + x // 3) % 2 == 0),
        (box <= radius) & (y + radius >= 2 * abs(x)),
    )
    return shapes[label]


def _flip(labels: np.ndarray, n_classes: int, random: np.random.Generator) -> np.ndarray:
    """Return the labels, a few of them turned into another class."""
    wrong = random.random(len(labels)) < FLIPPED
    return np.where(wrong, (labels + random.integers(1, n_classes, size=len(labels))) % n_classes, labels)


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    """Return an NPZ without times and without compression, which differs between versions of zlib."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            content = io.BytesIO()
            np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
            archive.writestr(member, content.getvalue())
    return buffer.getvalue()


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
