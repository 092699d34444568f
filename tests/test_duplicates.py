"""Rows on both sides of a split: how many, and what the accuracy is without them."""

import numpy as np
import pytest

from jobs.evaluation import Metric, intervals
from jobs.evaluation.duplicates import Duplicates

TRUE = np.array([0, 1, 0, 1, 1])


def test_accuracy_is_that_of_the_others() -> None:
    """Rows that were learnt by heart don't count; the interval is that of as many rows as are left."""
    is_duplicate = np.array([True, True, False, False, False])
    found = Duplicates.from_predictions(TRUE, np.array([0, 1, 0, 0, 1]), is_duplicate)

    assert Duplicates(2, Metric(2 / 3, *intervals.wilson(2 / 3, 3))) == found


@pytest.mark.parametrize("labels", [TRUE, TRUE == 1, np.array(["no", "yes"])[TRUE]])
def test_without_duplicates_it_is_the_accuracy_of_all(labels: np.ndarray) -> None:
    """Whatever the labels are."""
    found = Duplicates.from_predictions(labels, labels[::-1], np.zeros(5, np.bool_))

    assert 0 == found.n_rows
    assert found.accuracy is not None
    assert float(np.mean(labels == labels[::-1])) == found.accuracy.value


def test_if_all_are_duplicates_there_is_no_accuracy() -> None:
    """Such a holdout says nothing of new rows."""
    assert Duplicates(5, None) == Duplicates.from_predictions(TRUE, TRUE, np.ones(5, np.bool_))


def test_numbers_are_plain() -> None:
    """JSON takes them."""
    found = Duplicates.from_predictions(TRUE, TRUE, np.array([True] + [False] * 4))

    assert found.accuracy is not None
    assert [int, float, float, float] == [type(found.n_rows), *(type(each) for each in vars(found.accuracy).values())]
