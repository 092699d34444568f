"""What it costs to have a run in MLflow besides reading, fitting and predicting: our job against `mlflow.autolog()`."""

import itertools
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import job
import measuring
import results
from cases import Case
from measuring import ROOT, Taken
from tables import WORK, table

DATA = {"random-forest": ROOT / "data" / "mock_data.csv", "cnn": ROOT / "data" / "mock_data.npz"}
ROUNDS = 5


@dataclass(frozen=True)
class Round:
    """One after the other: our job, the plain function under autologging, and the seconds of the function alone."""

    pipeline: str
    job: Taken
    autolog: Taken
    work: float

    @property
    def ours(self) -> float:
        """Seconds of our process that are neither reading nor fitting nor predicting."""
        return self.job.wall - sum(self.job.output["seconds"][step] for step in WORK)

    @property
    def theirs(self) -> float:
        """Seconds of the other process that the plain function does not take."""
        return self.autolog.wall - self.work


def render(rounds: int = ROUNDS) -> str:
    """Return the table: median (least..greatest) of the rounds on the mock data, with a live tracking server."""
    with tempfile.TemporaryDirectory() as folder, measuring.server(Path(folder)) as uri:
        measured = {name: [_round(name, uri, Path(folder)) for _ in range(rounds)] for name in DATA}
    kept = results.keep("overhead", [*itertools.chain(*measured.values())])
    print(f"all numbers: {kept}", file=sys.stderr)
    header = ("mock data", "rounds", "ours s", "`mlflow.autolog()` s", "ours / theirs")
    return f"### Overhead of a run in MLflow\n\n{table(header, (_row(name, each) for name, each in measured.items()))}"


def _round(name: str, uri: str, folder: Path) -> Round:
    """Run all three once."""
    print(f"overhead, {name}", file=sys.stderr)
    here, path = Path(__file__).parent, DATA[name]
    ours = job.run(Case(name, 0), path, uri, "--runs-dir", str(folder / "runs"))
    autolog = measuring.run([here / "autolog.py", name, path], {"MLFLOW_TRACKING_URI": uri})
    work = measuring.run([here / "work.py", name, path]).output["seconds"]
    return Round(name, ours, autolog, work)


def _row(name: str, rounds: Sequence[Round]) -> tuple[str, ...]:
    """Return the cells of one pipeline."""
    columns = (
        [each.ours for each in rounds],
        [each.theirs for each in rounds],
        [each.ours / each.theirs for each in rounds],
    )
    spread = (f"{median(each):.2f} ({min(each):.2f}..{max(each):.2f})" for each in columns)
    return (name, str(len(rounds)), *spread)


if __name__ == "__main__":
    print(render(1 if "--quick" in sys.argv else ROUNDS))
