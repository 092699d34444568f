"""The mock data: the same bytes each time, and learnable."""

from pathlib import Path

import pytest

from jobs.datasets import images, splits, table
from jobs.mock_data import write_mock_data

DATA = Path(__file__).parents[1] / "data"


def test_it_writes_the_files_that_are_kept(tmp_path: Path) -> None:
    """The committed files are what the generator writes, byte for byte."""
    paths = write_mock_data(tmp_path / "new")

    assert ["mock_data.csv", "mock_data.npz"] == [path.name for path in paths]
    assert [(DATA / path.name).read_bytes() for path in paths] == [path.read_bytes() for path in paths]


def test_it_leaves_nothing_else(tmp_path: Path) -> None:
    """Files are replaced; none is left over, and all users may read them."""
    write_mock_data(tmp_path)
    paths = write_mock_data(tmp_path)

    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert {0o644} == {path.stat().st_mode & 0o777 for path in paths}


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that can't be put in place is taken away again."""

    def refuse(*_: Path) -> Path:
        raise OSError

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError):  # noqa: PT011
        write_mock_data(tmp_path)

    assert [] == list(tmp_path.iterdir())


def test_the_table_is_learnable() -> None:
    """The reference forest is right in nine rows of ten, and not in all."""
    from sklearn.ensemble import RandomForestClassifier

    data = table.read_csv(DATA / "mock_data.csv", target="target", schema=None)
    train, holdout = splits.random_split(len(data), test_size=0.2, random_state=42)
    forest = RandomForestClassifier(n_estimators=100, random_state=42).fit(data.X.take(train), data.y[train])

    assert (1500, 10) == data.X.shape
    assert [0, 1, 2] == data.classes.tolist()
    assert 0.85 < forest.score(data.X.take(holdout), data.y[holdout]) < 0.95


def test_the_images_are_those_of_the_reference(tmp_path: Path) -> None:
    """There are a thousand colour images of ten classes."""
    data = images.read_npz(DATA / "mock_data.npz", schema=None, scratch=tmp_path)

    assert (1000, 32, 32, 3) == data.X.shape
    assert "uint8" == data.X.dtype
    assert list(range(10)) == data.classes.tolist()
