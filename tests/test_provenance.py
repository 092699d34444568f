"""Where a result comes from is said as it is."""

import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import jobs
from jobs import provenance


def test_the_environment_has_the_versions_that_are_installed() -> None:
    """All texts, so that tables and tags can show them."""
    found = provenance.environment(threads=2, memory_limit=3 << 29)
    assert ("2", platform.python_version()) == (found["threads"], found["python"])
    assert found["mljobs"] == jobs.__version__
    assert f"scikit-learn {version('scikit-learn')}" in found["packages"].split(", ")
    assert all(isinstance(value, str) and value for value in found.values())


def test_a_package_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image of the forest has no TensorFlow, and says nothing of it."""
    monkeypatch.setattr(provenance, "_PACKAGES", ("numpy", "no-such-package"))
    assert provenance.environment(threads=1, memory_limit=None)["packages"] == f"numpy {version('numpy')}"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_a_user_without_a_name_is_no_error() -> None:
    """Containers run under numbers that no /etc/passwd knows."""
    program = "import os, pwd; from jobs.provenance import _user; os.setuid(54321); print(_user())"
    env = {name: value for name, value in os.environ.items() if name not in ("LOGNAME", "USER", "LNAME", "USERNAME")}
    ended = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert ended.stdout == "uid 54321\n"


def test_image_and_commit_come_from_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container can see neither by itself: they are baked in."""
    monkeypatch.setenv("MLJOBS_IMAGE", "mljobs/cnn:1")
    monkeypatch.setenv("MLJOBS_COMMIT", "0123abc")
    found = provenance.environment(threads=1, memory_limit=None)
    assert (found["image"], found["commit"]) == ("mljobs/cnn:1", "0123abc")


def copy_of_package(folder: Path) -> Path:
    """Copy the package's own files, without the folders below."""
    package = folder / "jobs"
    package.mkdir()
    for each in Path(jobs.__file__).parent.glob("*.py"):
        shutil.copy(each, package)
    return package


def commit_seen_from(folder: Path) -> str:
    """Return what a copy of the package in `folder` takes for its commit."""
    program = f"import sys; sys.path.insert(0, {str(folder)!r}); import jobs.provenance as p; print(p.commit())"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=folder)
    return ended.stdout.strip()


def git(folder: Path, *arguments: str) -> str:
    """Call git in a folder, as nobody in particular."""
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_without_a_checkout_there_is_no_commit(tmp_path: Path) -> None:
    """A package installed somewhere below another project's checkout does not take its commit for ours."""
    git(tmp_path, "init")
    inside = tmp_path / "site-packages"
    inside.mkdir()
    copy_of_package(inside)
    assert commit_seen_from(inside) == "None"


def test_the_commit_of_a_checkout_says_whether_it_is_as_committed(tmp_path: Path) -> None:
    """`-dirty` is what makes a result not to be had again."""
    package = copy_of_package(tmp_path)
    git(tmp_path, "init")
    git(tmp_path, "add", "jobs")
    git(tmp_path, "commit", "-m", "one")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert head == commit_seen_from(tmp_path)
    (package / "errors.py").write_text("# changed\n" + (package / "errors.py").read_text())
    assert f"{head}-dirty" == commit_seen_from(tmp_path)


def test_the_commit_is_no_tag(tmp_path: Path) -> None:
    """Tags can be moved; files that git does not know change nothing."""
    copy_of_package(tmp_path)
    git(tmp_path, "init")
    git(tmp_path, "add", "jobs")
    git(tmp_path, "commit", "-m", "one")
    git(tmp_path, "tag", "-a", "v1", "-m", "v1")
    (tmp_path / "unknown").write_text("")
    assert git(tmp_path, "rev-parse", "HEAD") == commit_seen_from(tmp_path)


def test_a_checkout_without_a_commit_has_none(tmp_path: Path) -> None:
    """Nothing was committed yet."""
    copy_of_package(tmp_path)
    git(tmp_path, "init")
    assert commit_seen_from(tmp_path) == "None"


@pytest.mark.parametrize(
    ("mounts", "lost"),
    [
        ("overlay / overlay rw 0 0\n", True),
        ("overlay / overlay rw 0 0\n/dev/sda /app/runs ext4 rw 0 0\n", False),
        ("overlay / overlay rw 0 0\n/dev/sda /app ext4 rw 0 0\n", False),
        ("overlay / overlay rw 0 0\n/dev/sda /app/runs2 ext4 rw 0 0\n", True),
        ("overlay / overlay rw 0 0\n/dev/sda /app/runs/x ext4 rw 0 0\n", False),
    ],
    ids=["no volume", "volume", "volume above", "volume beside", "volume at the run"],
)
def test_what_is_lost_with_a_container_is_known_from_its_mounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, mounts: str, lost: bool
) -> None:
    """Only what is on no volume is on the container's own layer."""
    monkeypatch.setenv("MLJOBS_IMAGE", "mljobs/cnn:1")
    (tmp_path / "mounts").write_text(mounts)
    assert lost == provenance.is_lost_with_container(Path("/app/runs/x"), tmp_path / "mounts")


def test_a_volume_at_a_path_with_a_blank_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel writes blanks in mount points as octal numbers."""
    monkeypatch.setenv("MLJOBS_IMAGE", "mljobs/cnn:1")
    (tmp_path / "mounts").write_text("overlay / overlay rw 0 0\n/dev/sda /my\\040runs ext4 rw 0 0\n")
    assert not provenance.is_lost_with_container(Path("/my runs/x"), tmp_path / "mounts")


def test_outside_of_an_image_of_ours_nothing_is_lost(tmp_path: Path) -> None:
    """On a person's own machine there is nothing to warn of."""
    (tmp_path / "mounts").write_text("overlay / overlay rw 0 0\n")
    assert not provenance.is_lost_with_container(Path("/app/runs/x"), tmp_path / "mounts")
