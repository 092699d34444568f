"""What a person or a log collector sees on stderr while a job runs; stdout belongs to the result."""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

LogFormat = Literal["text", "json"]


class Console:
    """Writes one line a step; on a terminal, progress besides.

    Parameters
    ----------
    stream : where to write; stderr if None. One that can't be written any more does not end a job.
    log_format : `text` for people, `json` for one object a line.
    """

    _BAR_WIDTH = 30
    _SECONDS_BETWEEN_LINES = 10

    def __init__(self, stream: TextIO | None = None, log_format: LogFormat = "text") -> None:
        # Python has no stderr if the process was started without one.
        self._stream = stream or sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process
        self._json = log_format == "json"
        self._live = not self._json and self._stream.isatty()
        self._bar_shown = False
        self._last_progress = 0.0

    def info(self, message: str, **facts: Any) -> None:
        """Tell of a step that is done."""
        self._line("info", message, facts)

    def warning(self, message: str, **facts: Any) -> None:
        """Tell of something that a person should look at."""
        self._line("warning", message, facts)

    def error(self, message: str, **facts: Any) -> None:
        """Tell why the job ends."""
        self._line("error", message, facts)

    def progress(self, unit: str, done: int, total: int, **metrics: float) -> None:
        """Show how far the fit is: a bar on a terminal, elsewhere a line now and then, the last one always."""
        if self._live:
            filled = self._BAR_WIDTH * done // total
            bar = "#" * filled + "." * (self._BAR_WIDTH - filled)
            self._write(f"\r\033[K  [{bar}] {unit} {done}/{total}{_facts(metrics)}")
            self._bar_shown = True
        elif done == total or time.monotonic() - self._last_progress >= self._SECONDS_BETWEEN_LINES:
            self._last_progress = time.monotonic()
            self._line("info", f"{unit} {done}/{total}", metrics)

    def _line(self, level: str, message: str, facts: Mapping[str, Any]) -> None:
        """Write one line, below a bar that is shown."""
        if self._bar_shown:
            self._write("\n")
            self._bar_shown = False
        self._write((self._as_json if self._json else self._as_text)(level, message, facts) + "\n")

    def _write(self, text: str) -> None:
        """Write at once; a full disk or a closed pipe behind the log costs the log, not the job."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            give_up(self._stream)

    @staticmethod
    def _as_json(level: str, message: str, facts: Mapping[str, Any]) -> str:
        """Return one JSON object."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": moment, "level": level, "message": message, **facts}, default=str)

    @staticmethod
    def _as_text(level: str, message: str, facts: Mapping[str, Any]) -> str:
        """Return `12:00:00 message (fact 1, other 2)`; other levels than info are named."""
        moment = datetime.now(UTC).strftime("%H:%M:%SZ")
        return f"{moment} {'' if level == 'info' else level + ': '}{message}{_facts(facts)}"


def give_up(stream: TextIO) -> None:
    """Send to nowhere what a stream still holds and gets; else Python, failing to flush it, would exit with 120."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _facts(facts: Mapping[str, Any]) -> str:
    """Return ` (name value, name value)` with numbers at four digits, or nothing."""
    if not facts:
        return ""
    texts = (f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in facts.items())
    return f" ({', '.join(texts)})"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts as lines, in columns that line up."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
