"""SIGTERM and Ctrl-C: an exception while a job works, only a note while it starts and ends."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, TypeVar

from jobs.errors import StopError, StoppedError, TerminatedError

F = TypeVar("F", bound=Callable[..., Any])

_SOON = 0.02
"""Seconds after which a signal that came at a bad moment is tried again."""

_LATER = 1.0
"""Seconds after which an interruption that was lost is tried again."""

_WHOLE: set[CodeType] = set()
"""Code of the functions that no signal interrupts."""


def whole(function: F) -> F:
    """Let a function come to its end before a signal interrupts the job: done by half, it would leave things apart."""
    _WHOLE.add(function.__code__)
    return function


class Stop:
    """Whether somebody wants the job to stop.

    Parameters
    ----------
    wanted : how it is to end, or None.
    """

    def __init__(self) -> None:
        self.wanted: StopError | None = None
        self._interrupts = False

    @contextmanager
    def interrupts(self) -> Iterator[None]:
        """Raise StoppedError or TerminatedError inside when a signal comes, or has come already."""
        self._interrupts = True
        try:
            if self.wanted:
                raise self.wanted
            yield
        finally:
            self._interrupts = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal; one that comes at a bad moment is tried again soon."""
        if number == signal.SIGTERM:
            self.wanted = TerminatedError("stopped by SIGTERM")
        elif number == signal.SIGINT:
            self.wanted = StoppedError("stopped by Ctrl-C")
        if not (self._interrupts and self.wanted):
            return
        if _must_wait(frame):
            signal.setitimer(signal.ITIMER_REAL, _SOON)
            return
        # Python drops an exception that comes in a destructor or in a callback of C.
        signal.setitimer(signal.ITIMER_REAL, _LATER)
        raise self.wanted


def listen() -> None:
    """End this process at SIGTERM and Ctrl-C until a job takes them: the first one of a container would ignore them."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as Python calls it
    """End this process as the signal does by default, which schedulers see as 130 or 143."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # the first process of a container is spared


@contextmanager
def watched() -> Iterator[Stop]:
    """Take SIGTERM and Ctrl-C, unless they are ignored, as `nohup` does; afterwards all is as it was.

    A process that only `listen`ed is then deaf: its job has an end, which its exit code must tell.
    """
    stop = Stop()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop.handle) for number in heard}
    try:
        yield stop
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if handler is _leave else handler)


def _must_wait(frame: FrameType | None) -> bool:
    """Tell whether a `whole` function is at work, or an import: an exception there is lost, or leaves a lock held."""
    while frame is not None:
        if frame.f_code in _WHOLE or frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
