"""Our images against one that has everything by `pip install`: builds all of them, prints a table, removes what it made."""

import json
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measuring import ROOT

MEGABYTE = 1_000_000
TARGETS = ("random-forest", "cnn", "mlflow")
DOCKERFILE = ROOT / "containers" / "Dockerfile"
NAIVE = Path(__file__).with_name("naive.Dockerfile")


def render() -> str:
    """Return a row an image: its size, what of it is above the base, and what share that is of the naive image's."""
    with built(DOCKERFILE, ROOT, "python") as base:
        ours = {f"`mljobs/{target}`": _size(DOCKERFILE, ROOT, target) for target in TARGETS}
        with tempfile.TemporaryDirectory() as empty:
            naive = _size(NAIVE, Path(empty))
        return _table({**ours, "`pip install tensorflow mlflow scikit-learn pandas`": naive}, _size_of(base))


def _table(sizes: dict[str, int], base: int) -> str:
    """Return the Markdown table; the last of `sizes` (bytes) is the naive image's."""
    naive = [*sizes.values()][-1] - base
    rows = ["| image | size | of it above the base image | of the naive one's |", "|---|---:|---:|---:|"]
    for name, size in sizes.items():
        megabytes = (f"{each / MEGABYTE:,.0f} MB" for each in (size, size - base))
        rows.append(f"| {name} | {' | '.join(megabytes)} | {(size - base) / naive:.0%} |")
    return "\n".join(rows) + "\n"


def _size(dockerfile: Path, context: Path, target: str | None = None) -> int:
    """Build an image, remove it again, and return its size in bytes."""
    with built(dockerfile, context, target) as name:
        return _size_of(name)


def _size_of(name: str) -> int:
    """Return the size of an image in bytes."""
    (found,) = json.loads(docker("image", "inspect", name))
    return int(found["Size"])


@contextmanager
def built(dockerfile: Path, context: Path, target: str | None) -> Iterator[str]:
    """Build an image and yield its name; it is removed at the end, its build cache stays."""
    name = f"mljobs/bench:{uuid.uuid4().hex[:8]}"
    chosen = ["--target", target] if target else []
    docker("build", "--quiet", "--file", str(dockerfile), *chosen, "--tag", name, str(context))
    try:
        yield name
    finally:
        docker("image", "rm", name)


def docker(*arguments: str) -> str:
    """Run docker and return its stdout; raise CalledProcessError if it fails."""
    return subprocess.run(["docker", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    print(render())
