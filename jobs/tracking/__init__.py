"""MLflow as a view of the journal: the only place, but for the model flavours of `pipelines`, that knows MLflow."""

import logging
import os
import re
import socket
from typing import Any
from urllib.parse import urlsplit

_CLIENT_SETTINGS = {
    # MLflow's own defaults block a call to a dead server for four minutes, and send what was not answered in time once
    # more, which makes two runs of one. We look for what is there before each new try.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    # Requirements are pinned by us; checking them imports the model in a subprocess.
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    # Else a uv project that the job happens to be started in is copied into the model.
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

_PORTS = {"http": 80, "https": 443}
_KNOCK_SECONDS = 1.0

# A password may hold a slash that should have been written as %2F; what looks like a port is none.
_USER = re.compile(r"(?<=://)(?:[^/\s]*@|[^/\s:@\[]*:(?!\d+(?:[/?#\s,;:)'\"]|$))\S*@)")


ANSWER_SECONDS = 4
"""How long a job waits for an answer."""


def configure(*, answer_seconds: int = ANSWER_SECONDS) -> None:
    """Give MLflow's client settings fit for a job, before it is imported; what the user has set stays."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(answer_seconds))
    for name, value in _CLIENT_SETTINGS.items():
        os.environ.setdefault(name, value)
    # It warns that pip is missing where it is, as in our images; the requirements are ours anyway.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)


def configured_uri() -> str | None:
    """Return the tracking server that the user named, or None."""
    return os.environ.get("MLFLOW_TRACKING_URI", "").strip() or None


def without_password(text: str) -> str:
    """Return a URI, or a sentence with one, without the user and the password that it may hold."""
    return _USER.sub("", text)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that a server answered an MLflow client's call with; None if there was no answer."""
    if hasattr(error, "get_http_status_code"):
        return int(error.get_http_status_code())
    status = getattr(getattr(error, "response", None), "status_code", None)
    return None if status is None else int(status)


def is_answering(uri: str) -> bool:
    """Tell whether anybody listens at a URI, without MLflow's client, which takes seconds to be imported."""
    address = urlsplit(uri)
    if address.scheme not in _PORTS:
        return True  # a local store
    try:
        socket.create_connection((address.hostname, address.port or _PORTS[address.scheme]), _KNOCK_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


def connect(uri: str) -> Any:
    """Return an `mlflow.MlflowClient`; imports MLflow, which takes seconds."""
    configure()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)
