"""Where a result comes from: code, packages, machine."""

import getpass
import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

from jobs import __version__

_PACKAGES = (
    *("numpy", "pandas", "scikit-learn", "scikit-learn-intelex", "daal", "scipy", "joblib", "skops"),
    *("tensorflow", "keras", "mlflow-skinny"),
)


def environment(threads: int, memory_limit: int | None) -> dict[str, str]:
    """Return what a reader needs to get the same result again, as text: versions, commit, image, threads."""
    found = {
        "mljobs": __version__,
        "commit": commit() or "unknown",
        "image": image(),
        "user": _user(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": str(threads),
        "memory limit": "none" if memory_limit is None else f"{memory_limit / 2**30:.2f} GiB",
    }
    return found | {"packages": packages()}


def packages() -> str:
    """Return the installed versions of the packages that a result depends on."""
    versions = ((name, _version(name)) for name in _PACKAGES)
    return ", ".join(f"{name} {version}" for name, version in versions if version)


def image() -> str:
    """Return what the container's image is called; a container can't see its digest by itself."""
    return os.environ.get("MLJOBS_IMAGE", "none")


def commit() -> str | None:
    """Return the git commit of the code: baked into an image, else asked of the checkout; None if there is none."""
    baked = os.environ.get("MLJOBS_COMMIT")
    if baked:
        return baked
    package = Path(__file__).parent
    if not (package.parent / ".git").exists() or not shutil.which("git"):
        return None
    head = _git(package, "rev-parse", "--verify", "--quiet", "HEAD")
    changed = _git(package, "status", "--porcelain", "--untracked-files=no")
    return f"{head}-dirty" if head and changed else head or None


def _git(folder: Path, *arguments: str) -> str:
    """Return what git says of a checkout, or nothing if it fails."""
    asked = subprocess.run(  # noqa: S603 - fixed command lines
        ["git", "-C", str(folder), *arguments],  # noqa: S607 - git is found on the PATH
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip()


def _user() -> str:
    """Return the user's name, or number where there is no name for it, as in a container."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def _version(distribution: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def is_lost_with_container(path: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Tell whether `path` is on the own layer of a container of ours, which is gone when that is removed."""
    if "MLJOBS_IMAGE" not in os.environ:
        return False
    # The kernel writes a blank in a path as \040.
    points = [Path(line.split()[1].replace("\\040", " ")) for line in mounts.read_text().splitlines()]
    return max((each for each in points if path.is_relative_to(each)), key=lambda each: len(each.parts)) == Path("/")
