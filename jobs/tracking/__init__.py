"""MLflow as a view of the journal: the only place, but for the model flavours of `pipelines`, that knows MLflow."""

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from jobs.errors import ConfigError

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

_PATIENCE = 9.0
"""Seconds that a job waits for a server in all: what we promise is ten."""

T = TypeVar("T")

# A password may hold a slash that should have been written as %2F; what looks like a port is none.
_USER = re.compile(r"(?<=://)(?:[^/\s]*@|[^/\s:@\[]*:(?!\d+(?:[/?#\s,;:)'\"]|$))\S*@)")


LOCAL_SECONDS = 120.0
"""For so long an embedded store is waited for, which can't be away; it takes seconds to be opened and is made at first use."""

ANSWER_SECONDS = 3
"""How long a job waits for an answer."""

LEAST_BYTES_A_SECOND = 5_000_000
"""An upload that is under way and slower than that is given up."""


class Patience:
    """The seconds that a job waits for a server: at its start, at its end, and for what earlier ones left, in all."""

    def __init__(self, seconds: float = _PATIENCE) -> None:
        self.left = seconds
        self._deadline = time.monotonic() + seconds

    @property
    def left_to_start(self) -> float:
        """Seconds from now in which a job that can't do without the server has to begin, the libraries' imports included."""
        return max(0.0, self._deadline - time.monotonic())

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.left = max(0.0, self.left - (time.monotonic() - start))


def configure(*, answer_seconds: int = ANSWER_SECONDS) -> None:
    """Give MLflow's client settings fit for a job, before it is imported; what the user has set stays."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(answer_seconds))
    for name, value in _CLIENT_SETTINGS.items():
        os.environ.setdefault(name, value)
    # It warns that pip is missing where it is, as in our images; the requirements are ours anyway.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)


@contextmanager
def time_to_upload(n_bytes: int) -> Iterator[None]:
    """Wait longer for the answers inside: a server stores what it was sent before it says so."""
    before = os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(int(before) + n_bytes // LEAST_BYTES_A_SECOND)
    try:
        yield
    finally:
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = before


def configured_uri() -> str | None:
    """Return the tracking server that the user named, or None; raise ConfigError if it can be none."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if uri and "://" not in uri and not uri.startswith("databricks"):
        raise ConfigError(
            f"MLFLOW_TRACKING_URI must begin with http:// or another scheme, as in http://127.0.0.1:5000, got {uri!r}"
        )
    return uri or None


def without_password(text: str) -> str:
    """Return a URI, or a sentence with one, without the user and the password that it may hold."""
    return _USER.sub("", text)


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what `call` returns; raise what it raises, or TimeoutError after some seconds, and leave it to its thread."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits for it
            future.set_exception(error)

    threading.Thread(target=work, name="within", daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"no answer within {seconds:.0f} s") from None


def is_remote(uri: str) -> bool:
    """Tell whether a URI is that of a server, which may be away, and not that of an embedded store."""
    return urlsplit(uri).scheme in _PORTS


def is_answering(uri: str) -> bool:
    """Tell whether anybody listens at a URI, without MLflow's client, which takes seconds to be imported."""
    if not is_remote(uri):
        return True
    address = urlsplit(uri)
    try:
        where = (address.hostname, address.port or _PORTS[address.scheme])
        # Looking up a name knows no timeout.
        within(_KNOCK_SECONDS, lambda: socket.create_connection(where, _KNOCK_SECONDS).close())
    except (OSError, ValueError):
        return False
    return True


def hurried(uri: str, seconds: float) -> Any:
    """Return a client that raises TimeoutError when it is asked for anything some seconds from now; a local store can't hang."""
    deadline = time.monotonic() + (seconds if is_remote(uri) else LOCAL_SECONDS)
    client = connect(uri)

    class Hurried:
        def __getattr__(self, name: str) -> Any:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not done within {seconds:.0f} s")
            return getattr(client, name)

    return Hurried()


def connect(uri: str) -> Any:
    """Return an `mlflow.MlflowClient`; imports MLflow, which takes seconds."""
    configure()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)
