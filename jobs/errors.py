"""Every way a job can end: the exit codes, and the errors that carry them."""

from enum import IntEnum
from typing import ClassVar, Self


class ExitCode(IntEnum):
    """What the process tells its scheduler; `meaning` says what exists afterwards."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """Attach the meaning to the number."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "accepted; model, metrics, report are in the run directory and in MLflow (or queued for it); or skipped"
    INTERNAL = 1, "a bug; traceback on stderr; the run is FAILED"
    USAGE = 2, "the command line could not be parsed; nothing was read"
    REJECTED = (
        3,
        "trained and recorded, but under a gate (`--min`, `--max-drift`), or not promoted where that is required",
    )
    MISMATCH = 4, "`reproduce`: not the same result; the differences are listed"
    DATA = 65, "the data file breaks the contract; the message says where, what was expected and what was found"
    NO_INPUT = 66, "the data file, run or model is missing or unreadable"
    TRACKING = 69, "the server does not answer, and `--tracking required` or the model to evaluate needs it"
    FIT = (
        70,
        "training failed: the loss is not finite, the data can't fit the memory limit, or oneDAL does not grow the forest",
    )
    OUTPUT = 73, "the run directory can't be written"
    LOCKED = 75, "another run of this job is at work (`--if-locked`); nothing was read"
    CONFIG = 78, "a setting makes no sense, packages are missing, or the champion can't be compared fairly"
    INTERRUPTED = 130, "stopped by Ctrl-C; the run is KILLED, and the next start resumes it"
    TERMINATED = 143, "stopped by SIGTERM; the run is KILLED, and the next start resumes it"


class JobError(Exception):
    """An end that the program foresees: one sentence for a person, one exit code for a scheduler."""

    exit_code: ClassVar[ExitCode]


class MismatchError(JobError):
    """A result can't be had again."""

    exit_code = ExitCode.MISMATCH


class DataError(JobError):
    """The data file breaks the contract."""

    exit_code = ExitCode.DATA


class NoInputError(JobError):
    """The data file, run or model is missing or unreadable."""

    exit_code = ExitCode.NO_INPUT


class TrackingError(JobError):
    """The tracking server does not answer, and the caller requires it."""

    exit_code = ExitCode.TRACKING


class FitError(JobError):
    """Training failed, or would, as with too little memory for the data."""

    exit_code = ExitCode.FIT


class OutputError(JobError):
    """The run directory can't be written."""

    exit_code = ExitCode.OUTPUT


class LockedError(JobError):
    """Another run of this job is at work."""

    exit_code = ExitCode.LOCKED


class ConfigError(JobError):
    """A setting makes no sense."""

    exit_code = ExitCode.CONFIG


class StopError(BaseException):
    """A signal; not an Exception, so that no library's `except Exception` swallows it."""

    exit_code: ClassVar[ExitCode]


class StoppedError(StopError):
    """Ctrl-C."""

    exit_code = ExitCode.INTERRUPTED


class TerminatedError(StopError):
    """SIGTERM."""

    exit_code = ExitCode.TERMINATED
