"""Lines for people and for collectors, all on stderr; a bar only where someone watches."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.console import Console


def written(use: Callable[[Console], object], **settings: str) -> list[str]:
    """Return the lines that a console writes to a file or pipe."""
    stream = io.StringIO()
    use(Console(stream, **settings))
    return stream.getvalue().splitlines()


def on_terminal(use: Callable[[Console], object], **settings: str) -> str:
    """Return what a console writes to a terminal."""
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as stream:
        use(Console(stream, **settings))
    try:
        return os.read(master, 10_000).decode().replace("\r\n", "\n")
    finally:
        os.close(master)


def test_text_is_a_line_with_time_and_facts() -> None:
    """Facts follow in parentheses, numbers at four digits."""
    (line,) = written(lambda console: console.info("read x.csv", rows=3, share=0.123456))
    assert re.fullmatch(r"\d\d:\d\d:\d\dZ read x\.csv \(rows 3, share 0\.1235\)", line)


@pytest.mark.parametrize("level", ["warning", "error"])
def test_text_names_the_levels_that_matter(level: str) -> None:
    """A person who skims sees them."""
    (line,) = written(lambda console: getattr(console, level)("low on memory"))
    assert re.fullmatch(rf"\d\d:\d\d:\d\dZ {level}: low on memory", line)


@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_json_is_one_object_a_line(level: str) -> None:
    """A collector finds time, level, message and facts as fields, whatever characters are in them."""
    (line,) = written(lambda console: getattr(console, level)('a\n"b" é', path=Path("x"), n=2), log_format="json")
    record = json.loads(line)
    age = datetime.now(UTC) - datetime.fromisoformat(record.pop("time"))
    assert {"level": level, "message": 'a\n"b" é', "path": "x", "n": 2} == record
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_progress_elsewhere_is_a_line_now_and_then_and_the_last_one() -> None:
    """A log of 1000 epochs is not 1000 lines; the last is never left out, in a second fit neither."""

    def fits(console: Console) -> None:
        for done in (*range(1, 1001), 1000):
            console.progress("epoch", done, 1000, loss=1 / done)

    steps = [line.split("Z ")[1] for line in written(fits)]
    assert "epoch 1000/1000 (loss 0.001)" == steps[-1] == steps[-2]
    assert len(steps) <= 3


def test_progress_as_json_has_the_metrics_as_fields() -> None:
    """Numbers are kept whole."""
    (line,) = written(lambda console: console.progress("epoch", 2, 2, loss=1 / 3), log_format="json")
    record = json.loads(line)
    assert (record["message"], record["loss"]) == ("epoch 2/2", 1 / 3)


def test_progress_on_a_terminal_is_a_bar_that_is_drawn_over() -> None:
    """Each bar takes the place of the one before; the next line starts below it."""

    def fit(console: Console) -> None:
        console.progress("trees", 1, 2)
        console.progress("trees", 2, 2)
        console.info("done")

    shown = on_terminal(fit)
    bars = shown.split("\r\033[K  ")
    assert ["", f"[{'#' * 15}{'.' * 15}] trees 1/2"] == bars[:2]
    assert re.fullmatch(rf"\[{'#' * 30}\] trees 2/2\n\d\d:\d\d:\d\dZ done\n", bars[2])


def test_json_has_no_bar_even_on_a_terminal() -> None:
    """What reads JSON wants nothing else."""
    shown = on_terminal(lambda console: console.progress("trees", 2, 2), log_format="json")
    assert json.loads(shown)["message"] == "trees 2/2"


def test_the_console_writes_to_stderr_only(capfd: pytest.CaptureFixture[str]) -> None:
    """What is on stdout is the result."""
    console = Console()
    console.info("one")
    console.warning("two")
    console.error("three")
    console.progress("trees", 1, 1)
    out, err = capfd.readouterr()
    assert (out, len(err.splitlines())) == ("", 4)


def test_a_log_that_nobody_can_take_does_not_end_the_job() -> None:
    """A full disk or a closed pipe behind stderr must not cost a training of many hours."""
    program = "from jobs.console import Console; c = Console(); c.info('x'); c.progress('trees', 1, 1); print('on')"
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, text=True, check=False
        )
    assert ended.stdout == "on\n"
