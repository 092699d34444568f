"""Which rows are trained on, and which are held out."""

import numpy as np

from jobs.datasets.hashing import BITS, digest_each
from jobs.errors import ConfigError


def random_split(n_samples: int, *, test_size: float, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that `sklearn.model_selection.train_test_split` would train on, and those it would hold out.

    Parameters
    ----------
    n_samples : rows in all.
    test_size : share of the rows to hold out, between 0 and 1; scikit-learn rounds the holdout up.
    random_state : seed, from 0 to 2**32 - 1.

    Returns
    -------
    train, holdout : indices in scikit-learn's (shuffled) order, int64, shapes (n_train,) and (n_holdout,).

    Raises
    ------
    ConfigError
        When either side would be empty.
    """
    from sklearn.model_selection import ShuffleSplit

    # train_test_split(arrays, test_size=..., random_state=...) is the first split of this very class.
    splitter = ShuffleSplit(n_splits=1, test_size=test_size, random_state=random_state)
    try:
        train, holdout = next(splitter.split(np.empty((n_samples, 0))))
    except ValueError:
        message = (
            f"--test-size {test_size} of {n_samples} rows leaves nothing to train on or nothing to hold out; "
            "choose a share that gives each side at least one row, or more data"
        )
        raise ConfigError(message) from None
    return train.astype(np.int64), holdout.astype(np.int64)


def stable_split(units: np.ndarray, *, test_size: float, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train on and those to hold out, each decided by itself.

    A unit is held out if its BLAKE2b hash (RFC 7693: 8 bytes, key `random_state`, personalisation `mljobs split`), taken
    as a share of 2**64, is under `test_size`. So a row stays on its side when others come, go or change places, equal
    rows are on the same side, and a greater `test_size` only adds to the holdout.

    Parameters
    ----------
    units : what must stay together has the same number, shape (n,), uint64; see `fingerprints`.
    test_size : share of the units that is expected in the holdout, between 0 and 1; the share of the rows differs from it
        by chance, and more if a few units have many of the rows.
    random_state : the key, from 0 to 2**32 - 1; splits of different keys have nothing to do with each other.

    Returns
    -------
    train, holdout : indices in the order of the file, int64, shapes (n_train,) and (n_holdout,).

    Raises
    ------
    ConfigError
        When either side would be empty.
    """
    distinct, positions = np.unique(units, return_inverse=True)
    content, size = distinct.astype(BITS).tobytes(), BITS.itemsize
    numbers = (content[left : left + size] for left in range(0, len(content), size))
    shares = digest_each(numbers, person=b"mljobs split", key=random_state.to_bytes(size, "little"))
    is_held_out = (shares < np.uint64(int(test_size * 2.0**64)))[positions]
    if len(units) == 0 or is_held_out.all() or not is_held_out.any():
        side = "train on" if len(units) and is_held_out.all() else "hold out"
        message = (
            f"--test-size {test_size} with --split stable leaves nothing to {side}: {len(units)} rows are {len(distinct)} "
            "different ones, or groups, each of which falls to its side by itself, so that the shares of few are coarse; "
            "choose another --test-size or --random-state, or more data"
        )
        raise ConfigError(message)
    return np.flatnonzero(~is_held_out).astype(np.int64), np.flatnonzero(is_held_out).astype(np.int64)
