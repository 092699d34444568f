"""What is in the journal is on the disk, and a crash at any byte leaves all events before it."""

import json
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.journal import Journal, now, read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a journal goes."""
    return tmp_path / "journal.jsonl"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """Return a fresh journal."""
    journal = Journal(path)
    yield journal
    journal.close()


def write(path: Path, *events: str) -> None:
    """Append events and close."""
    journal = Journal(path)
    for event in events:
        journal.append(event)
    journal.close()


@given(values=st.lists(VALUES, max_size=5))
def test_events_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, values: list[object]) -> None:
    """Any JSON value survives, line breaks and odd characters in texts too."""
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal(path)
    expected = [journal.append("metrics", value=value) for value in values]
    journal.close()
    assert expected == list(read(path))


def test_an_event_has_its_kind_and_its_time_in_milliseconds(journal: Journal) -> None:
    """MLflow counts time so."""
    before = time.time_ns() // 1_000_000
    event = journal.append("params", params={"a": 1})
    assert {"event": "params", "time": event["time"], "params": {"a": 1}} == event
    assert before <= event["time"] <= now()


def test_events_are_readable_while_the_journal_is_open(path: Path) -> None:
    """Nothing waits in a buffer of the process: one that dies without a word has written all."""
    program = f"import os; from pathlib import Path; from jobs.journal import Journal; Journal(Path({str(path)!r})).append('start'); os._exit(9)"
    subprocess.run([sys.executable, "-c", program], check=False)
    assert [event["event"] for event in read(path)] == ["start"]


def test_events_are_on_the_disk_when_append_returns(path: Path) -> None:
    """A process under `strace` shows it: each write of an event is followed by an fsync of the same file."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    program = f"from pathlib import Path; from jobs.journal import Journal; j = Journal(Path({str(path)!r})); j.append('start'); j.append('end')"
    traced = subprocess.run(
        ["strace", "-f", "-e", "trace=write,fsync", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    calls = [line.split("(")[0] for line in traced.stderr.splitlines() if line.startswith(("write(3", "fsync(3"))]
    assert calls == ["write", "fsync", "write", "fsync"]


def test_a_last_line_torn_at_any_byte_is_left_out(path: Path) -> None:
    """A power cut may stop a write anywhere; what was whole before is whole after."""
    write(path, "start", "params", "end")
    whole = path.read_bytes()
    first_two = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for length in range(first_two, len(whole)):
        path.write_bytes(whole[:length])
        assert [event["event"] for event in read(path)] == ["start", "params"]
    path.write_bytes(whole)
    assert [event["event"] for event in read(path)] == ["start", "params", "end"]


def test_what_is_appended_after_a_torn_line_is_read(path: Path) -> None:
    """The torn bytes do not take the next event with them."""
    write(path, "start", "end")
    path.write_bytes(path.read_bytes()[:-5])
    write(path, "published")
    assert [event["event"] for event in read(path)] == ["start", "published"]


def test_a_disk_that_is_full_in_the_middle_of_an_event_leaves_the_journal_readable(path: Path) -> None:
    """The half that was written is taken back, so that the events that fit after it are read."""
    write(path, "start")
    size = path.stat().st_size
    program = (
        f"from pathlib import Path; from jobs.journal import Journal; j = Journal(Path({str(path)!r}))\n"
        "try: j.append('tags', tags='x' * 1000)\n"
        "except OSError as error: print(error.errno)\n"
        "j.append('end')"
    )
    limit = size + 100
    ended = subprocess.run(
        [sys.executable, "-c", program],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (int(ended.stdout), [event["event"] for event in read(path)]) == (27, ["start", "end"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_is_refused(journal: Journal, value: float) -> None:
    """NaN is not JSON: other readers would break on the file; nothing of the event is written."""
    with pytest.raises(ValueError, match="JSON compliant"):
        journal.append("metrics", metrics={"loss": value})
    assert journal.path.stat().st_size == 0


def test_a_journal_is_continued_never_overwritten(path: Path) -> None:
    """Opening it again appends."""
    write(path, "start")
    write(path, "end")
    assert [event["event"] for event in read(path)] == ["start", "end"]


def test_each_event_is_one_line_of_json(journal: Journal) -> None:
    """`jq` and `grep` read it as well."""
    journal.append("tags", tags={"note": "a\nb\u2028c"})
    (line,) = journal.path.read_bytes().splitlines()
    assert json.loads(line)["tags"] == {"note": "a\nb\u2028c"}


def test_a_journal_that_is_removed_while_it_is_waited_for_is_not_opened(tmp_path: Path) -> None:
    """A start that is to resume a run which is just being pruned begins a new one, and nothing stays open."""
    directory = tmp_path / "run"
    directory.mkdir()
    holder = Journal(directory / "journal.jsonl")
    threading.Timer(0.3, lambda: (directory.rename(tmp_path / "gone"), holder.close())).start()
    with pytest.raises(FileNotFoundError):
        Journal(directory / "journal.jsonl", patience=10)
