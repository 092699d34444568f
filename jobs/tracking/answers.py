"""What a server's answer means, or that there was none."""

import re
from http import HTTPStatus

from jobs.tracking import without_password

_REFUSALS = range(400, 500)
_PASSING = (408, 429)
"""Answers among them that another try may change."""

DOES_NOT_EXIST = (400, 404)
"""What a server answers for names that it does not know, or that can be none."""

_MAX_LINE = 300
"""Characters of an error's line that a person reads."""


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that a server answered an MLflow client's call with; None if there was no answer."""
    if _is_unanswered(error):
        return None
    if hasattr(error, "get_http_status_code"):
        return int(error.get_http_status_code())
    status = getattr(getattr(error, "response", None), "status_code", None)
    return None if status is None else int(status)


def _is_unanswered(error: BaseException) -> bool:
    """Tell whether MLflow's client got no answer; it calls that an internal error of the server, with status 500."""
    from requests import ConnectionError as NoConnectionError
    from requests import Timeout

    return isinstance(error.__context__, (NoConnectionError, Timeout))


def is_refusal(error: Exception) -> bool:
    """Tell whether another try can't help: the server said no, or the file to be sent is gone."""
    status = status_of(error)
    return isinstance(error, FileNotFoundError) or (status in _REFUSALS and status not in _PASSING)


def describe(error: Exception) -> str:
    """Return one line of an error of MLflow's client, and what to do about it where that is known."""
    if _is_unanswered(error):
        return _why_unanswered(error)
    lines = without_password(str(error)).strip().splitlines()
    text = f"{type(error).__name__}: {_shorten(lines[0]) if lines else 'no message'}"
    if status_of(error) == HTTPStatus.UNAUTHORIZED:
        text += "; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    return text


def _why_unanswered(error: BaseException) -> str:
    """Return why there was no answer, in the words of the operating system where it has some."""
    said = re.search(r"\[Errno -?\d+\] ([\w ]+)", str(error))
    if said:
        return said[1].lower()
    return "no answer in time" if "timed out" in str(error).lower() else "the connection broke off"


def _shorten(line: str) -> str:
    """Return a line with its middle left out if it is long: it ends with the cause."""
    if len(line) <= _MAX_LINE:
        return line
    cause = line.rfind("(Caused by ")
    end = line[cause:] if cause >= 0 else line[-_MAX_LINE // 2 :]
    return f"{line[: _MAX_LINE // 2].rstrip()} ... {end[:_MAX_LINE].lstrip()}"
