"""Rows of the holdout that were trained on as well: how many, and how good the model is without them."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from jobs.evaluation import Metric, intervals


@dataclass(frozen=True)
class Duplicates:
    """What rows that are on both sides of the split do to the accuracy.

    Parameters
    ----------
    n_rows : rows of the holdout whose features are, to the last bit, those of a row that was trained on.
    accuracy : of the other rows, with its 95 % interval (`intervals.wilson`); None if there are none.
    """

    n_rows: int
    accuracy: Metric | None

    @classmethod
    def from_predictions(cls, y_true: np.ndarray, y_pred: np.ndarray, is_duplicate: np.ndarray) -> Self:
        """Count the duplicates, and evaluate the rest.

        Parameters
        ----------
        y_true, y_pred : labels, shape (n_samples,).
        is_duplicate : whether each row was trained on too, shape (n_samples,), bool.
        """
        is_right = (y_true == y_pred)[~is_duplicate]
        n_rows = int(np.count_nonzero(is_duplicate))
        if not len(is_right):
            return cls(n_rows, None)
        accuracy = float(is_right.mean())
        return cls(n_rows, Metric(accuracy, *intervals.wilson(accuracy, len(is_right))))
