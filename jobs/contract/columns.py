"""One column of a profile: what a sample of its values looked like, in an order that tells nothing of the rows."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

SHOWN = 30
"""Categories of a column that are kept with their names, the most frequent ones; of the others a digest is kept."""

LONGEST = 200
"""Signs of a name that are kept."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """A numeric column.

    Parameters
    ----------
    sample : the values of the sampled rows that have one, sorted, shape (n_values,), float32.
    missing : sampled rows without one.
    low, high : the least and the greatest value of all rows, NaN if there is none.
    """

    sample: np.ndarray
    missing: int
    low: float
    high: float

    @property
    def n_rows(self) -> int:
        """Sampled rows."""
        return len(self.sample) + self.missing

    @classmethod
    def from_values(cls, values: np.ndarray, low: float, high: float) -> "Numbers":
        """Return the profile of a sample of values, shape (n_rows,), float; NaN is missing."""
        there = values[~np.isnan(values)].astype(np.float32)
        return cls(np.sort(there), len(values) - len(there), low, high)


@dataclass(frozen=True, eq=False)
class Categories:
    """A column of text, or the labels.

    Parameters
    ----------
    digests : of the distinct values of the sampled rows, sorted, shape (n_distinct,), uint64.
    counts : sampled rows that have each, shape (n_distinct,), int64.
    missing : sampled rows without a value.
    names : digest to the text itself, cut if it is long; of the `SHOWN` most frequent ones.
    """

    digests: np.ndarray
    counts: np.ndarray
    missing: int
    names: dict[int, str]

    @property
    def n_rows(self) -> int:
        """Sampled rows."""
        return int(self.counts.sum()) + self.missing

    @classmethod
    def from_values(cls, values: Any) -> "Categories":
        """Return the profile of a sample of values, shape (n_rows,), of any dtype; NaN and None are missing."""
        import pandas as pd

        codes, distinct = pd.factorize(np.asarray(values, dtype=object))
        texts = [str(each) for each in distinct]
        digests = np.array([_digest(text) for text in texts], dtype=np.uint64)
        counts = np.bincount(codes[codes >= 0], minlength=len(texts)).astype(np.int64)
        # Equally frequent ones in the order of their digests: the order of the rows must not be seen.
        frequent = np.lexsort((digests, -counts))[:SHOWN]
        names = {int(digests[k]): cut(texts[k]) for k in frequent}
        order = np.argsort(digests)
        return cls(digests[order], counts[order], int(np.sum(codes < 0)), names)

    def counts_of(self, digests: np.ndarray) -> np.ndarray:
        """Return how many sampled rows have each of these values, 0 for those that none has; shape as `digests`."""
        if not len(self.digests):
            return np.zeros(len(digests), dtype=np.int64)
        found = np.searchsorted(self.digests, digests).clip(max=len(self.digests) - 1)
        return np.where(self.digests[found] == digests, self.counts[found], 0)


Column = Numbers | Categories


def _digest(text: str) -> int:
    """Return 64 bits that tell texts apart."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


def cut(text: str) -> str:
    """Return a text that is not endless."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
