"""A file that is parsed in pieces by threads is the file that is parsed from its first row to its last."""

import gzip
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobs.datasets import csv_file, table
from jobs.datasets.ahead import ahead
from jobs.datasets.columns import Kind
from jobs.datasets.csv_file import CsvFile
from jobs.datasets.dialect import Dialect, read_dialect
from jobs.errors import DataError, TerminatedError
from jobs.signals import watched

NAMES = ("a", "b", "target")
COMMAS = Dialect(",", ".", NAMES, n_rows=9)
TEXTS = dict.fromkeys(NAMES, Kind.TEXT)

CELLS = st.sampled_from(
    [
        b"",
        b"1",
        b"-2.5",
        b" 3",
        b"x ",
        b"?",
        b"NA",
        b"\xc3\xa9",
        b'"q"',
        b'"a,b"',
        b'"a\nb"',
        b'"a\r\nb"',
        b'"a""b"',
        b'e"f',
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\r", b"\n  \n"])
LINES = st.builds(
    lambda cells, end: b",".join(cells) + end,
    st.lists(CELLS, min_size=2, max_size=3) | st.lists(CELLS, max_size=5),
    ENDS,
)
BROKEN = st.sampled_from([b'"', b"\0", b"\xff", b"1,2,3,4\n", b'1,"2\n'])


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Whatever comes, the threads that were begun have ended."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def rows_of(blocks: Iterator[pd.DataFrame]) -> tuple[list[list[Any]], str]:
    """Return what was read until its end, or until the error whose message comes with it; gaps are None."""
    rows: list[list[Any]] = []
    try:
        for block in blocks:
            assert list(range(len(rows), len(rows) + len(block))) == list(block.index)
            rows += block.astype(object).where(block.notna(), None).to_numpy().tolist()
    except DataError as error:
        return rows, str(error)
    return rows, ""


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(LINES | LINES | LINES | LINES | BROKEN, max_size=15),
    header=st.sampled_from(
        [b"a,b,target\n", b'"a","b\n","target"\r\n', b"\n\na, b, target\n", b"\xef\xbb\xbfa,b,target\n"]
    ),
    size=st.integers(1, 60),
    packed=st.booleans(),
)
@example(lines=[b"1,2,3\n", b"1,2,3,4\n", b"1,2,3\n"], header=b"a,b,target\n", size=1, packed=False)
@example(lines=[b"0,1,2,3\n", b"1,2,3,4\n"], header=b"a,b,target\n", size=1, packed=False)
@example(lines=[b"1,2,3,4\n", b" 3,\n"], header=b"a,b,target\n", size=11, packed=False)
@example(lines=[b'"0","x\ny",2,3\n', b"1,2,3,4\n"], header=b"a,b,target\n", size=1, packed=False)
@example(lines=[b'1,"2\n', b'"a""b",,\n'], header=b"a,b,target\n", size=1, packed=False)
@example(lines=[b"1,2,3\n", b"1,2\n", b"1,2,3,4\n"], header=b"a,b,target\n", size=1, packed=False)
@example(lines=[b"1,2,3\n", b'1,"2\n\n3",4\n'] * 3, header=b"a,b,target\n", size=1, packed=True)
def test_pieces_give_the_rows_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    header: bytes,
    size: int,
    packed: bool,  # noqa: FBT001
) -> None:
    """Whatever stands in the file and wherever it is cut: the same rows, or the same refusal."""
    path = tmp_path_factory.mktemp("pieces") / "data"
    content = header + b"1,2,3\n" + b"".join(lines)
    path.write_bytes(gzip.compress(content) if packed else content)
    file = CsvFile(path, COMMAS, "target")
    rows, refusal = rows_of(file._from_row(0, TEXTS))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "PIECE_BYTES", size)
        patch.setattr(csv_file, "COLUMN_BYTES", 0)
        found, message = rows_of(file.blocks(TEXTS))

    assert refusal == message
    assert found[: len(rows)] == rows if message else found == rows


NUMBERS = st.floats(width=64, min_value=-1e38, max_value=1e38) | st.integers(-(2**62), 2**62) | st.just("")


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, st.booleans()), min_size=10, max_size=30),
    st.integers(1, 300),
    st.sampled_from(["\n", "\r\n"]),
)
def test_numbers_are_those_of_pandas_wherever_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory, content: list[tuple[Any, ...]], size: int, end: str
) -> None:
    """Floats, integers of any size and gaps are what `pd.read_csv` makes of the whole file, cast to float32."""
    path = tmp_path_factory.mktemp("numbers") / "data.csv"
    lines = [*content, (1, 2, 3, True), (2, 3, 4, False), (2, 3, 4, True), (5, 6, 7, False)]
    path.write_bytes(end.join(["a,b,c,target", *(",".join(map(str, each)) for each in lines), ""]).encode())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "PIECE_BYTES", size)
        patch.setattr(csv_file, "COLUMN_BYTES", 0)
        found = table.read_csv(path, target="target", schema=None).X

    expected = pd.read_csv(path, low_memory=False).drop(columns="target").astype(np.float32)
    pd.testing.assert_frame_equal(expected, found, check_exact=True)


def big(folder: Path, last: str = "") -> Path:
    """Write a file of many pieces."""
    path = folder / "big.csv"
    path.write_text("a,target\n" + "1.5,0\n2.5,1\n" * 1_000_000 + last)
    return path


@pytest.mark.parametrize(
    ("last", "sentence"),
    [
        ("1,2,3\n", "line 2000002: expected 2 fields"),
        ('1,"2\n', "data row 2000001: a quote"),
        ("inf,1\n", "data row 2000001"),
    ],
)
def test_a_fault_in_the_last_piece(tmp_path: Path, last: str, sentence: str) -> None:
    """It is told by its line or row in the file, and no thread goes on."""
    with pytest.raises(DataError, match=sentence):
        table.read_csv(big(tmp_path, last), target="target", schema=None)


def test_lines_of_an_old_macintosh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without a place to cut it is read by rows."""
    monkeypatch.setattr("jobs.datasets.pieces.LONGEST_LINE", 10)
    monkeypatch.setattr(csv_file, "PIECE_BYTES", 30)
    monkeypatch.setattr(csv_file, "COLUMN_BYTES", 0)
    path = tmp_path / "data.csv"
    path.write_text("a,target\n" + "1,0\n2,1\n" * 9 + "3,0\r4,1\r" * 9 + "\n5,0\n")

    assert [1, 2] * 9 + [3, 4] * 9 + [5] == table.read_csv(path, target="target", schema=None).X["a"].tolist()


def test_a_signal_ends_the_threads(tmp_path: Path) -> None:
    """The job is interrupted between two pieces, not at the end of the file."""
    path = big(tmp_path)
    file = CsvFile(path, read_dialect(path, "target"), "target")
    with watched() as stop, closing(file.blocks({})) as blocks, stop.interrupts():
        next(blocks)
        with pytest.raises(TerminatedError):
            signal.raise_signal(signal.SIGTERM)


def test_a_signal_is_heard_while_the_threads_are_awaited() -> None:
    """It does not wait for all that is to come."""
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with watched() as stop, pytest.raises(TerminatedError), stop.interrupts():
        deque(ahead(work, range(100_000), 2))
    assert max(begun) < 100_000 - 1


def test_results_come_in_order_and_few_ahead() -> None:
    """No more is begun than the threads can be busy with, whichever ends first."""
    begun, release = [], threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item == 0:
            release.wait(10)
        else:
            release.set()
        return item

    with closing(ahead(work, range(100), 2)) as found:
        assert 0 == next(found)
        assert max(begun) < 4
        assert [1, 2, 3] == [next(found) for _ in range(3)]
    assert max(begun) < 8


def test_what_fails_ahead_comes_in_its_turn() -> None:
    """Results before it are not lost, and the threads end."""

    def work(item: int) -> float:
        return 6 / (3 - item)

    found = ahead(work, range(100), 2)
    assert [2, 3, 6] == [next(found) for _ in range(3)]
    with pytest.raises(ZeroDivisionError):
        next(found)
