"""The two sides of a job's data: what is trained on, and what is held out."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from jobs.config import JobConfig
from jobs.datasets import Dataset, splits
from jobs.datasets.fingerprints import Fingerprints, are_among


@dataclass(frozen=True, eq=False)
class Sides:
    """Training rows and holdout, with the fingerprints of both.

    Parameters
    ----------
    training, holdout : the rows.
    trained_on, held_out : their fingerprints.
    """

    training: Dataset
    holdout: Dataset
    trained_on: Fingerprints
    held_out: Fingerprints

    @classmethod
    def of_one(cls, dataset: Dataset, config: JobConfig) -> Self:
        """Split one file's rows as the settings say; raise ConfigError if one side would be empty."""
        fingerprints = Fingerprints.of(dataset)
        size, seed = config.test_size, config.random_state
        if config.split == "stable":
            inside, outside = splits.stable_split(fingerprints.units, test_size=size, random_state=seed)
        else:
            inside, outside = splits.random_split(len(dataset), test_size=size, random_state=seed)
        sides = dataset.take(inside), dataset.take(outside)
        return cls(*sides, fingerprints.take(inside), fingerprints.take(outside))

    @classmethod
    def of_two(cls, training: Dataset, holdout: Dataset) -> Self:
        """Take two files as they are."""
        return cls(training, holdout, Fingerprints.of(training), Fingerprints.of(holdout))

    def duplicates(self) -> np.ndarray:
        """Tell of each row of the holdout whether its features are those of a training row, shape (n_holdout,), bool."""
        return are_among(self.held_out.rows, self.trained_on.rows)
