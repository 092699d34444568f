"""Images that fit the memory of a container, and that do not: what reading them again and again from the disk costs.

The same job on the same file, in turns: in a container without a limit, with the whole file in the page cache; and in one
whose limit leaves room for a part of it. The kernel counts those pages as the container's, and drops and rereads them.
"""

import itertools
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import images
import results
from cases import Case
from measuring import ROOT
from tables import MIB, table

CASE = Case("cnn", 400_000, params={"epochs": 1}, rounds=5)
QUICK = replace(CASE, n_samples=20_000, rounds=1)
LIMIT = 1_000 * MIB
"""Memory of the smaller container: the job takes some 400 MiB of it, the files of its libraries as many again."""


@dataclass(frozen=True)
class Round:
    """Seconds of both jobs' steps, one after the other."""

    cached: dict[str, float]
    limited: dict[str, float]

    def loss(self, step: str) -> float:
        """Return what a step takes longer where memory is limited, as a share."""
        return self.limited[step] / self.cached[step] - 1


def render(case: Case) -> str:
    """Return the table: medians of each side, and median (least..greatest) of the rounds' losses."""
    results.FOLDER.mkdir(exist_ok=True)
    # Not where temporary files go: that may be memory itself.
    with (
        tempfile.TemporaryDirectory(dir=results.FOLDER) as folder,
        images.built(images.DOCKERFILE, ROOT, "cnn") as image,
    ):
        path = case.write(Path(folder))
        # The container's user is another one.
        Path(folder).chmod(0o755)
        rounds = [_round(image, path, case) for _ in range(case.rounds)]
        size = path.stat().st_size
    print(f"all numbers: {results.keep('streaming', rounds)}", file=sys.stderr)
    header = ("seconds", "file in memory", f"container of {LIMIT / MIB:,.0f} MiB", "loss of a round")
    rows = (_row(rounds, step) for step in ("read", "fit", "total"))
    return f"### {case.name}: a file of {size / MIB:,.0f} MiB, {case.rounds} rounds\n\n{table(header, rows)}"


def _round(image: str, path: Path, case: Case) -> Round:
    """Run the job in both containers."""
    print(case.name, file=sys.stderr)
    _load(path)
    cached = _seconds(image, path, case)
    _drop(path)
    return Round(cached, _seconds(image, path, case, "--memory", str(LIMIT), "--memory-swap", str(LIMIT)))


def _seconds(image: str, path: Path, case: Case, *limits: str) -> dict[str, float]:
    """Run the job in a container, and return the seconds of its steps."""
    params = itertools.chain.from_iterable(("--param", f"{name}={value}") for name, value in case.params.items())
    mount = f"type=bind,source={path.parent},target=/data,readonly"
    ran = images.docker(
        "run", "--rm", "--network", "none", *limits, "--mount", mount, image, f"/data/{path.name}", *params
    )
    seconds: dict[str, float] = json.loads(ran.splitlines()[-1])["seconds"]
    return seconds


def _load(path: Path) -> None:
    """Read the whole file, so that it is in the page cache."""
    with path.open("rb") as file:
        while file.read(64 * MIB):
            pass


def _drop(path: Path) -> None:
    """Drop the file from the page cache: who reads it next is whose memory it takes."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _row(rounds: Sequence[Round], step: str) -> tuple[str, ...]:
    """Return the cells of one step."""
    losses = [each.loss(step) for each in rounds]
    cached, limited = (median(getattr(each, side)[step] for each in rounds) for side in ("cached", "limited"))
    return step, f"{cached:.1f}", f"{limited:.1f}", f"{median(losses):.0%} ({min(losses):.0%}..{max(losses):.0%})"


if __name__ == "__main__":
    print(render(QUICK if "--quick" in sys.argv else CASE))
