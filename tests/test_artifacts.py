"""A file of a run directory is there whole or not at all, and names never meet."""

import hashlib
import re
import shutil
from pathlib import Path

import pytest

from jobs.artifacts import Artifact, RunDirectory
from jobs.errors import OutputError


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    """Return a fresh run directory."""
    return RunDirectory.create(tmp_path / "runs", "demo")


def sha256(content: bytes) -> str:
    """Return the hex digest."""
    return hashlib.sha256(content).hexdigest()


def test_a_text_is_written_with_digest_and_size(directory: RunDirectory) -> None:
    """The artifact describes the file's bytes, UTF-8."""
    actual = directory.write_text("report.md", "Zürich\n")
    content = "Zürich\n".encode()
    assert Artifact("report.md", sha256(content), len(content)) == actual
    assert content == (directory.path / "report.md").read_bytes()


def fill_folder(path: Path) -> None:
    """Make a folder with two files."""
    (path / "data").mkdir(parents=True)
    (path / "data" / "b").write_bytes(b"22")
    (path / "a").write_bytes(b"1")


def test_a_folder_is_written_with_one_digest_for_all_of_it(directory: RunDirectory) -> None:
    """The digest is that of `sha256sum`'s list, so that it can be checked without us."""
    actual = directory.write("model", fill_folder)
    listed = f"{sha256(b'1')}  a\n{sha256(b'22')}  data/b\n"
    assert Artifact("model", sha256(listed.encode()), 3) == actual


def test_a_moved_byte_or_a_renamed_file_changes_the_digest_of_a_folder(directory: RunDirectory) -> None:
    """Equal contents under other names are another folder."""

    def renamed(path: Path) -> None:
        fill_folder(path)
        (path / "a").rename(path / "c")

    def changed(path: Path) -> None:
        fill_folder(path)
        (path / "a").write_bytes(b"2")

    fills = {"plain": fill_folder, "again": fill_folder, "renamed": renamed, "changed": changed}
    digests = {name: directory.write(name, fill).sha256 for name, fill in fills.items()}
    assert digests["plain"] == digests["again"]
    assert len(set(digests.values())) == 3


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), SystemExit(0)], ids=repr)
def test_a_fill_that_is_interrupted_leaves_nothing(directory: RunDirectory, error: BaseException) -> None:
    """Neither a file under the final name nor, after `clean`, anything else."""

    def fill(path: Path) -> None:
        fill_folder(path)
        raise error

    with pytest.raises(type(error)):
        directory.write("model", fill)
    directory.clean()
    assert list(directory.path.iterdir()) == []


def test_while_it_is_filled_nothing_is_under_the_final_name(directory: RunDirectory) -> None:
    """Who looks while a file is written sees none of it."""
    seen = []

    def fill(path: Path) -> None:
        fill_folder(path)
        seen.append((directory.path / "model").exists())

    directory.write("model", fill)
    assert (seen, (directory.path / "model" / "data" / "b").is_file()) == ([False], True)


def test_a_file_is_replaced_whole(directory: RunDirectory) -> None:
    """The second `result.json` takes the place of the first."""
    directory.write_text("result.json", "a long first version")
    directory.write_text("result.json", "short")
    assert (directory.path / "result.json").read_text() == "short"


def test_nothing_unfinished_is_left_after_clean(directory: RunDirectory) -> None:
    """The scratch folder goes, what is finished stays."""
    directory.write_text("a", "1")
    (directory.scratch / "half").write_text("2")
    directory.clean()
    assert [each.name for each in directory.path.iterdir()] == ["a"]


@pytest.mark.parametrize("place", ["file", "/proc/nowhere"])
def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path, place: str) -> None:
    """The sentence has the path, the reason and what to do (root may write anywhere, but not below a file)."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught:
        RunDirectory.create(tmp_path / place, "demo")
    assert str(tmp_path / place) in str(caught.value)
    assert str(caught.value).endswith("or choose another folder with --runs-dir")


def test_a_file_that_cannot_be_written_is_an_output_error(directory: RunDirectory) -> None:
    """A run directory that goes away while a job runs ends it with a sentence."""
    shutil.rmtree(directory.path)
    with pytest.raises(OutputError, match=r"report\.md can't be written: No such file or directory"):
        directory.write_text("report.md", "x")


def test_a_run_directory_has_an_absolute_path_wherever_runs_dir_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that changes the working directory does no harm."""
    monkeypatch.chdir(tmp_path)
    assert tmp_path == RunDirectory.create(Path("runs"), "demo").path.parent.parent


def test_names_of_runs_sort_by_time_and_never_meet(tmp_path: Path) -> None:
    """Many jobs may start in one second."""
    names = [RunDirectory.create(tmp_path, "random-forest").path.name for _ in range(50)]
    assert 50 == len(set(names)) == len(list(tmp_path.iterdir()))
    assert all(re.fullmatch(r"\d{8}T\d{6}\.\d{3}Z-random-forest-[0-9a-f]{6}", name) for name in names)
    stamps = [name[:20] for name in names]
    assert sorted(stamps) == stamps
