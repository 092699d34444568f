"""A round trip through everything that a job needs of a tracking server."""

import secrets
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from jobs.console import Console
from jobs.errors import ConfigError, TrackingError
from jobs.tracking import configured_uri, connect, without_password
from jobs.tracking.answers import describe

_CONTENT = "written by mljobs doctor\n"


def examine(console: Console) -> None:
    """Do all that a job does on the configured server, and remove it again; one line a check.

    Raises
    ------
    ConfigError
        No server is configured.
    TrackingError
        A check failed; the sentence says which, why, and what to do.
    """
    uri = configured_uri()
    if uri is None:
        raise ConfigError("MLFLOW_TRACKING_URI is not set: name the server, e.g. http://127.0.0.1:5000")
    trip = _RoundTrip(uri, f"mljobs-doctor-{secrets.token_hex(4)}")
    try:
        for name, check, fix in _checks(trip):
            _run(name, check, fix, without_password(uri))
            console.info(f"{name}: ok")
    finally:
        # What can't be removed has failed a check before: that is the error to show.
        with suppress(Exception):
            trip.clean()
    console.info(f"{without_password(uri)} has all that a job needs")


def _checks(trip: "_RoundTrip") -> list[tuple[str, Callable[[], None], str]]:
    """Return the checks in their order, each with what to do when it fails."""
    return [
        ("answer", trip.answer, "is it running and reachable? Is this host in its --allowed-hosts?"),
        ("create a run", trip.create_run, "has the user the right to create experiments?"),
        ("upload an artifact", trip.upload, "start the server with --serve-artifacts and --artifacts-destination"),
        ("download it", trip.download, "is the artifact store readable for the server?"),
        ("register a model", trip.register, "has the server a database (--backend-store-uri), not a file store?"),
        ("delete all again", trip.delete, "has the user the right to delete?"),
    ]


def _run(name: str, check: Callable[[], None], fix: str, uri: str) -> None:
    """Do one check; raise TrackingError with its name and fix."""
    try:
        check()
    except Exception as error:
        raise TrackingError(f"{uri}: {name}: {describe(error)}; {fix}") from error


class _RoundTrip:
    """The steps, and what they left on the server."""

    def __init__(self, uri: str, name: str) -> None:
        self._uri = uri
        self._client: Any = None
        self._name = name
        self._run: Any = None
        self._experiment_id: str | None = None
        self._registered = False

    def answer(self) -> None:
        self._client = connect(self._uri)
        self._client.search_experiments(max_results=1)

    def create_run(self) -> None:
        self._experiment_id = self._client.create_experiment(self._name)
        self._run = self._client.create_run(self._experiment_id, run_name=self._name)

    def upload(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "doctor.txt"
            path.write_text(_CONTENT)
            self._client.log_artifact(self._run.info.run_id, str(path))

    def download(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            found = self._client.download_artifacts(self._run.info.run_id, "doctor.txt", folder)
            content = Path(found).read_text()
        if content != _CONTENT:
            raise OSError(f"other content came back: {content[:50]!r}")

    def register(self) -> None:
        self._client.create_registered_model(self._name)
        self._registered = True
        self._client.create_model_version(self._name, self._run.info.artifact_uri, self._run.info.run_id)

    def delete(self) -> None:
        self.clean()

    def clean(self) -> None:
        """Remove what is there; each thing once."""
        if self._registered:
            self._registered = False
            self._client.delete_registered_model(self._name)
        if self._experiment_id is not None:
            experiment_id, self._experiment_id = self._experiment_id, None
            if self._run is not None:
                self._client.set_terminated(self._run.info.run_id)
            # MLflow deletes an experiment's runs with it; `mlflow gc` empties its trash.
            self._client.delete_experiment(experiment_id)
