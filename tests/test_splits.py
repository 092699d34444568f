"""The split: scikit-learn's own rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from jobs.datasets.splits import random_split
from jobs.errors import ConfigError

SIZES = st.integers(2, 3_000)
SHARES = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**32 - 1)


@settings(deadline=None)
@given(SIZES, SHARES, SEEDS)
def test_it_is_the_split_of_scikit_learn(n_samples: int, test_size: float, random_state: int) -> None:
    """The rows and their order are those of `train_test_split`; where that refuses, so does this."""
    rows = np.arange(n_samples)
    try:
        X_train, X_holdout, *_ = train_test_split(rows, rows, test_size=test_size, random_state=random_state)
    except ValueError:
        with pytest.raises(ConfigError):
            random_split(n_samples, test_size=test_size, random_state=random_state)
        return

    train, holdout = random_split(n_samples, test_size=test_size, random_state=random_state)

    assert X_train.tolist() == train.tolist()
    assert X_holdout.tolist() == holdout.tolist()
    assert [np.int64, np.int64] == [train.dtype, holdout.dtype]


@settings(deadline=None)
@given(st.integers(10, 3_000), st.floats(0.1, 0.9), SEEDS)
def test_it_is_a_partition(n_samples: int, test_size: float, random_state: int) -> None:
    """Each row is on one side, and the same call gives the same sides."""
    first = random_split(n_samples, test_size=test_size, random_state=random_state)
    second = random_split(n_samples, test_size=test_size, random_state=random_state)

    assert list(range(n_samples)) == sorted(np.concatenate(first).tolist())
    assert [each.tolist() for each in first] == [each.tolist() for each in second]


@pytest.mark.parametrize(("n_samples", "test_size"), [(1, 0.5), (3, 0.9), (0, 0.2)])
def test_an_empty_side_is_refused(n_samples: int, test_size: float) -> None:
    """A side without rows is a setting that makes no sense."""
    with pytest.raises(ConfigError, match=f"--test-size {test_size} of {n_samples} rows"):
        random_split(n_samples, test_size=test_size, random_state=0)
