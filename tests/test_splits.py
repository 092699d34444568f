"""The splits: scikit-learn's own rows, or those that a hash holds out for ever."""

from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_digits, load_wine
from sklearn.model_selection import train_test_split

from jobs.datasets import Dataset, images, table
from jobs.datasets.fingerprints import Fingerprints, of_rows
from jobs.datasets.hashing import digest_each
from jobs.datasets.splits import random_split, stable_split
from jobs.errors import ConfigError

GOLDEN_HASHES = [8108264677841081454, 17725545686081230635, 6545491371009775272, 2645438452761387912]
GOLDEN_WINES = [20, 28, 41, 54, 56, 74, 76, 83, 85, 141, 155, 172, 174]
"""What must stay as it is for ever."""

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


# The stable split


def units(n: int, seed: int = 0) -> np.ndarray:
    """Return `n` fingerprints."""
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def held_out(units: np.ndarray, test_size: float = 0.2, random_state: int = 42) -> np.ndarray:
    """Return whether each row is held out, shape (n,), bool."""
    train, holdout = stable_split(units, test_size=test_size, random_state=random_state)
    sides = np.full(len(units), 2)
    sides[train], sides[holdout] = 0, 1
    assert sides.max() < 2
    return sides == 1


def csv(path: Path, frame: pd.DataFrame, split_key: str | None = None) -> Dataset:
    """Write a table, and read it."""
    frame.to_csv(path, index=False)
    return table.read_csv(path, target="target", schema=None, split_key=split_key)


def wine() -> pd.DataFrame:
    """Return 178 real rows, with a number of their own that is no feature of any use."""
    frame: pd.DataFrame = load_wine(as_frame=True).frame
    return frame.assign(number=range(len(frame)))


def sides(dataset: Dataset, **settings: Any) -> dict[int, bool]:
    """Return by its number whether each row of `wine` is held out."""
    numbers = dataset.X["number"].astype(int)
    return dict(zip(numbers, held_out(Fingerprints.of(dataset).units, **settings), strict=True))


def test_it_is_this_split() -> None:
    """The hash must not change: an upgrade that moved rows would train on what earlier models were tested with."""
    distinct = np.array([0, 1, 2**63, 2**64 - 1], dtype=np.uint64)
    hashes = digest_each((each.tobytes() for each in distinct), person=b"mljobs split", key=(42).to_bytes(8, "little"))
    keyed = blake2b((1).to_bytes(8, "little"), digest_size=8, key=(42).to_bytes(8, "little"), person=b"mljobs split")

    assert GOLDEN_HASHES == hashes.tolist()
    assert GOLDEN_HASHES[1] == int.from_bytes(keyed.digest(), "little")
    for below, above in pairwise(sorted(GOLDEN_HASHES)):
        expected = [each <= below for each in GOLDEN_HASHES]
        assert expected == held_out(distinct, test_size=(below + above) / 2 / 2**64).tolist()


def test_these_rows_of_the_wines_are_held_out(tmp_path: Path) -> None:
    """From a file to the sides, all of it must stay as it is."""
    frame = load_wine(as_frame=True).frame
    _, holdout = stable_split(of_rows(csv(tmp_path / "wine.csv", frame)), test_size=0.1, random_state=42)

    assert GOLDEN_WINES == holdout.tolist()


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=200), SHARES, SEEDS)
def test_it_is_a_partition_in_the_order_of_the_file(numbers: list[int], test_size: float, random_state: int) -> None:
    """Each row is on one side, equal units on the same, unless all are on one."""
    every = np.array(numbers, dtype=np.uint64)
    try:
        train, holdout = stable_split(every, test_size=test_size, random_state=random_state)
    except ConfigError:
        return

    assert [sorted(train), sorted(holdout)] == [train.tolist(), holdout.tolist()]
    assert list(range(len(every))) == sorted(np.concatenate([train, holdout]).tolist())
    assert not set(every[train].tolist()) & set(every[holdout].tolist())
    assert [np.int64, np.int64] == [train.dtype, holdout.dtype]


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.randoms(use_true_random=False))
def test_rows_stay_on_their_side_when_data_change(n_gone: int, n_new: int, random: Any) -> None:
    """Whatever is added, removed or moved."""
    old = units(400, seed=1)
    new = np.append(old[n_gone:], units(n_new, seed=2))
    order = list(range(len(new)))
    random.shuffle(order)
    before = dict(zip(old.tolist(), held_out(old), strict=True))
    after = dict(zip(new[order].tolist(), held_out(new[order]), strict=True))

    assert [before[each] for each in old[n_gone:].tolist()] == [after[each] for each in old[n_gone:].tolist()]


@settings(deadline=None)
@given(st.floats(0.05, 0.9), st.floats(0.05, 0.9), SEEDS)
def test_a_greater_share_only_adds(one: float, other: float, random_state: int) -> None:
    """No row of the holdout comes to be trained on."""
    every = units(500)
    less, more = (held_out(every, each, random_state) for each in sorted((one, other)))

    assert not (less & ~more).any()


def test_growing_and_reordered_files(tmp_path: Path) -> None:
    """From files: rows are added, in any order of rows and columns, and each that was there stays on its side."""
    frame = wine()
    before = sides(csv(tmp_path / "some.csv", frame[:120]))
    grown = frame.sample(frac=1, random_state=3)
    after = sides(csv(tmp_path / "all.csv", grown[grown.columns[::-1]]))

    assert before == {number: after[number] for number in before}
    assert 178 == len(after)


def test_corrected_labels_move_no_row(tmp_path: Path) -> None:
    """The side is that of the features."""
    frame = wine()
    before = sides(csv(tmp_path / "some.csv", frame))
    frame["target"] = frame["target"].sample(frac=1, random_state=1).to_numpy()

    assert before == sides(csv(tmp_path / "some.csv", frame))


def test_equal_rows_are_on_one_side(tmp_path: Path) -> None:
    """Also with other labels, and images too."""
    frame = pd.concat([wine().drop(columns="number")] * 3)
    frame["target"] = frame["target"].sample(frac=1, random_state=1).to_numpy()
    rows = held_out(Fingerprints.of(csv(tmp_path / "some.csv", frame)).units).reshape(3, -1)
    pixels = np.tile(load_digits().images, (2, 1, 1)).astype(np.uint8)
    np.savez(tmp_path / "digits.npz", images=pixels, labels=np.arange(len(pixels)) % 10)
    dataset = images.read_npz(tmp_path / "digits.npz", schema=None, scratch=tmp_path)
    copies = held_out(Fingerprints.of(dataset).units).reshape(2, -1)

    assert (rows == rows[0]).all()
    assert (copies == copies[0]).all()


def test_groups_are_on_one_side(tmp_path: Path) -> None:
    """Whatever is in their rows; and they stay there."""
    frame = wine()
    frame["who"] = np.random.default_rng(0).integers(0, 40, len(frame))
    some, all_ = csv(tmp_path / "some.csv", frame[:90], "who"), csv(tmp_path / "all.csv", frame[::-1], "who")
    before, after = ({*zip(each.groups, held_out(Fingerprints.of(each).units), strict=True)} for each in (some, all_))

    assert frame["who"].nunique() == len(after)
    assert before <= after
    assert "who" not in all_.X.columns


# The stable split is a fair draw


def test_shares_are_within_chance() -> None:
    """Over many seeds the count of rows held out is binomial: mean and variance are those of independent draws."""
    n, n_seeds = 1_000, 1_000
    every = units(n)
    for test_size in (0.1, 0.2, 0.5):
        counts = np.array([held_out(every, test_size, seed).sum() for seed in range(n_seeds)])
        z = (counts - n * test_size) / np.sqrt(n * test_size * (1 - test_size))
        # Sum of squares of n_seeds standard normals.
        assert 1e-4 < stats.chi2.sf((z**2).sum(), n_seeds) < 1 - 1e-4
        assert abs(z.mean()) * np.sqrt(n_seeds) < 4


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.7, 0.2, 0.1), (0.97, 0.03)])
def test_class_shares_are_within_chance(shares: tuple[float, ...]) -> None:
    """Over many seeds the classes are on both sides in proportion: the chi-square of their table is what chance gives."""
    n, n_seeds = 2_000, 500
    y = np.random.default_rng(0).choice(len(shares), n, p=shares)
    p_values = []
    for seed in range(n_seeds):
        side = held_out(units(n), random_state=seed).astype(np.int64)
        counts = np.bincount(y * 2 + side, minlength=2 * len(shares)).reshape(-1, 2)
        p_values.append(stats.chi2_contingency(counts, correction=False).pvalue)

    for level in (0.01, 0.05, 0.2, 0.5):
        low, high = stats.binom.ppf([5e-5, 1 - 5e-5], n_seeds, level)
        assert low - 3 <= np.count_nonzero(np.array(p_values) <= level) <= high + 3


def test_sides_of_two_seeds_are_independent() -> None:
    """One split says nothing of another: over many pairs their agreement is that of chance."""
    every = units(3_000)
    table_ = np.array([held_out(every, 0.3, seed) for seed in [*range(60), *(2**k for k in range(6, 32))]]).astype(
        float
    )
    z = (np.corrcoef(table_) * np.sqrt(len(every)))[np.triu_indices(len(table_), 1)]

    assert np.abs(z).max() < 5
    assert 1e-4 < stats.chi2.sf((z**2).sum(), len(z)) < 1 - 1e-4


def test_the_side_has_nothing_to_do_with_the_features() -> None:
    """Not even with single bits of what was hashed, nor with regular features that differ by one."""
    n = 20_000
    grid = np.arange(n, dtype=np.float32)
    X = pd.DataFrame({"count": grid, "even": grid % 2, "tens": grid // 10, "square": grid**2})
    dataset = Dataset(Path("some"), "", X, np.zeros(n, np.int64), np.zeros(1, np.int64), {})
    rows = of_rows(dataset)
    bits = (rows[:, np.newaxis] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    features = np.column_stack([X.to_numpy(), bits.astype(float)])
    z = []
    for seed in range(30):
        side = held_out(rows, 0.2, seed).astype(float)
        z += [np.corrcoef(side, feature)[0, 1] * np.sqrt(n) for feature in features.T]

    assert np.abs(z).max() < 5
    # `count`, `tens` and `square` nearly repeat each other; the bits alone are independent.
    of_bits = np.array(z).reshape(30, -1)[:, 4:]
    assert 1e-4 < stats.chi2.sf((of_bits**2).sum(), of_bits.size) < 1 - 1e-4


def test_bits_of_fingerprints_are_fair() -> None:
    """Each bit is set in half of the rows, and no two go together."""
    n = 20_000
    X = pd.DataFrame({"x": np.arange(n, dtype=np.float32)})
    rows = of_rows(Dataset(Path("some"), "", X, np.zeros(n, np.int64), np.zeros(1, np.int64), {}))
    bits = ((rows[:, np.newaxis] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)).astype(float)

    assert n == len(set(rows.tolist()))
    assert np.abs((bits.mean(axis=0) - 0.5) * 2 * np.sqrt(n)).max() < 4.5
    assert np.abs((np.corrcoef(bits.T) - np.eye(64)) * np.sqrt(n)).max() < 5


@pytest.mark.parametrize(
    ("n", "test_size", "said"),
    [
        (0, 0.2, "nothing to hold out: 0 rows"),
        (3, 1e-9, "nothing to hold out: 3 rows are 3 different ones"),
        (3, 0.999999, "nothing to train on: 3 rows"),
    ],
)
def test_an_empty_side_of_a_stable_split_is_refused(n: int, test_size: float, said: str) -> None:
    """With what to do about it."""
    with pytest.raises(ConfigError, match=said) as caught:
        stable_split(units(n), test_size=test_size, random_state=0)

    assert f"--test-size {test_size} with --split stable" in str(caught.value)
    assert "another --test-size" in str(caught.value)


def test_rows_that_are_all_the_same_can_not_be_split() -> None:
    """They are one unit, and it says so."""
    with pytest.raises(ConfigError, match="100 rows are 1 different ones, or groups"):
        stable_split(np.ones(100, np.uint64), test_size=0.5, random_state=0)
