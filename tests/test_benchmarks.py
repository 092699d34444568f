"""The benchmarks run: on their smallest cases, each to its tables; what they say of growth is right."""

import importlib
import subprocess
import sys
from typing import Any

import pytest
from harness import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def exponents(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module that judges growth."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("exponents")


def printed(program: str, *options: str) -> str:
    """Run a benchmark, and return its tables."""
    command = [sys.executable, BENCHMARKS / program, "--quick", *options]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def rows(text: str, first: str) -> list[list[str]]:
    """Return the cells of the rows that start with a cell."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [cells for cells in lines if cells[0] == first]


@pytest.mark.server
def test_against_the_plain_function() -> None:
    """Both sides of a case are as accurate."""
    ratios, sides, steps = rows(printed("run.py", "--only", "random-forest, 1,000"), "random-forest, 1,000 x 10")
    plain, ours = sides[-1].split(" / ")
    assert plain == ours
    assert len(steps) > len(ratios)


def test_reading() -> None:
    """Our reader is held against pandas', by time and memory."""
    tables = printed("reading.py")
    for measure in ("wall s", "CPU s"):
        ((_, theirs, ours, _),) = rows(tables, measure)
        assert float(theirs) > 0
        assert float(ours) > 0
    assert rows(tables, "memory MiB")


@pytest.mark.server
@pytest.mark.tensorflow
def test_overhead() -> None:
    """Both pipelines are held against what one writes without us, which has to work for that."""
    tables = printed("overhead.py")
    for pipeline in ("random-forest", "cnn"):
        (cells,) = rows(tables, pipeline)
        assert len(cells) == 5


@pytest.mark.server
def test_scaling() -> None:
    """A sweep ends with exponents for each step, and a plot."""
    plot = BENCHMARKS / "results" / "scaling.svg"
    plot.unlink(missing_ok=True)
    tables = printed("scaling.py", "--only", "trees")
    (fit,) = rows(tables, "fit")
    assert "±" in fit[-2]
    assert len(rows(tables, "publish")) == 1
    assert "<svg" in plot.read_text()


@pytest.mark.tensorflow
def test_peers() -> None:
    """Who is there is compared; who is not is named."""
    tables = printed("peers.py")
    forests, networks = rows(tables, "mljobs")[:2]
    assert "trees" in forests[-1]
    assert float(networks[-2]) <= 1
    for peer in ("LightGBM, 31 leaves", "PyTorch", "Keras on JAX"):
        assert rows(tables, peer) or f"Left out, for it is not installed: {peer}." in tables


def test_exponent(exponents: Any) -> None:
    """A power is found again, and no step is blamed for being constant, short, or as fast as the data."""
    sizes = [10.0, 100.0, 1_000.0]
    square, linear, short = [[factor * size**power for size in sizes] for factor, power in ((1, 2), (1, 1), (1e-9, 2))]
    assert exponents.exponent(sizes, square).value == pytest.approx(2)
    assert exponents.verdict(sizes, square, linear) == "**yes**"
    assert exponents.verdict(sizes, linear, square) == "no"
    assert exponents.verdict(sizes, linear, [1.0, 1.0, 1.0]) == "yes, but not than the data"
    assert exponents.verdict(sizes, short, linear) == "under 50 ms"
