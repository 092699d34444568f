"""Which rows are trained on, and which are held out."""

import numpy as np

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
