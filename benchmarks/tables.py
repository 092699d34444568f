"""Measurements as Markdown tables."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from cases import Case
from measuring import Taken

MIB = 2**20
WORK = ("read", "fit", "predict")
"""Steps of a job that the plain functions have, too; the rest of its wall time is overhead."""

STEPS = ("import", "read", "split", "fit", "predict", "evaluate", "save", "report", "publish")


@dataclass(frozen=True)
class Round:
    """What each side took, one after the other; `tensorflow` and `imports`: what importing alone takes."""

    seed: Taken
    job: Taken
    tensorflow: Taken | None = None
    imports: Taken | None = None

    @property
    def overhead(self) -> float:
        """Seconds of the job's process that are not `WORK`."""
        return self.job.wall - sum(self.job.output["seconds"][step] for step in WORK)


@dataclass(frozen=True)
class Measured:
    """One case and its rounds."""

    case: Case
    rounds: tuple[Round, ...]

    def spread(self, value: Callable[[Round], float], unit: str = "{:.2f}") -> str:
        """Return median and, if there are several rounds, least and greatest of a value over the rounds."""
        values = [value(each) for each in self.rounds]
        middle = unit.format(median(values))
        return middle if len(values) == 1 else f"{middle} ({unit.format(min(values))}..{unit.format(max(values))})"


def render(measured: Sequence[Measured]) -> str:
    """Return all tables."""
    images = [each for each in measured if each.case.pipeline == "cnn"]
    tables = (
        ("Job / plain function", _ratios(measured)),
        ("Medians of each side", _sides(measured)),
        (
            "Seconds of a job's steps (medians); overhead: all of the process but read, fit and predict",
            _steps(measured),
        ),
        ("Images: overhead and memory beyond the imports", _images(images)),
    )
    return "\n".join(f"### {title}\n\n{table}" for title, table in tables if table)


def _ratios(measured: Sequence[Measured]) -> str:
    """Return how the job compares with the plain function: median (least..greatest) over the rounds."""
    return table(
        ("case", "rounds", "wall time", "CPU time", "peak memory"),
        (
            (
                each.case.name,
                str(len(each.rounds)),
                each.spread(lambda r: r.job.wall / r.seed.wall),
                each.spread(lambda r: r.job.cpu / r.seed.cpu),
                each.spread(lambda r: r.job.peak / r.seed.peak),
            )
            for each in measured
        ),
    )


def _sides(measured: Sequence[Measured]) -> str:
    """Return what was measured on both sides."""
    return table(
        ("case", "wall s", "CPU s", "peak MiB", "accuracy"),
        (
            (
                each.case.name,
                _both(each, lambda taken: taken.wall, "{:.1f}"),
                _both(each, lambda taken: taken.cpu, "{:.1f}"),
                _both(each, lambda taken: taken.peak / MIB, "{:,.0f}"),
                _both(each, accuracy, "{:.4f}"),
            )
            for each in measured
        ),
        note="plain function / job",
    )


def _both(measured: Measured, value: Callable[[Taken], float], unit: str) -> str:
    """Return the medians of the plain function and of the job."""
    sides = [[value(r.seed) for r in measured.rounds], [value(r.job) for r in measured.rounds]]
    return " / ".join(unit.format(median(side)) for side in sides)


def accuracy(taken: Taken) -> float:
    """Return the accuracy that a process printed."""
    return float(taken.output.get("metrics", taken.output)["accuracy"])


def _steps(measured: Sequence[Measured]) -> str:
    """Return where a job's time goes."""
    return table(
        ("case", *STEPS, "overhead"),
        (
            (
                each.case.name,
                *(f"{median(r.job.output['seconds'][step] for r in each.rounds):.2f}" for step in STEPS),
                each.spread(lambda r: r.overhead),
            )
            for each in measured
        ),
    )


def _images(measured: Sequence[Measured]) -> str:
    """Return what a job on images takes beyond importing its libraries."""
    return table(
        ("case", "import tensorflow s", "overhead / it", "raw array MiB", "memory over imports / raw array"),
        (
            (
                each.case.name,
                each.spread(lambda r: r.tensorflow.wall),
                each.spread(lambda r: r.overhead / r.tensorflow.wall),
                f"{each.case.array_bytes / MIB:,.0f}",
                each.spread(lambda r, case=each.case: (r.job.peak - r.imports.peak) / case.array_bytes),
            )
            for each in measured
        ),
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> str:
    """Return a Markdown table, numbers to the right; nothing without rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return ""
    rule = "|---|" + "---:|" * (len(header) - 1)
    return "\n".join([*([note, ""] if note else []), f"| {' | '.join(header)} |", rule, *lines, ""])
