"""Models by name: a run directory, a model folder, or what MLflow keeps."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jobs.errors import NoInputError, TrackingError
from jobs.pipelines import CARD
from jobs.tracking import configure, configured_uri, connect, without_password
from jobs.tracking.answers import DOES_NOT_EXIST, describe, status_of

_SCHEMES = ("models:/", "runs:/", "mlflow-artifacts:/")


def folder(model: str, scratch: Path) -> Path:
    """Return the model folder that `model` names, downloaded into `scratch` if MLflow keeps it.

    Raises
    ------
    NoInputError
        If there is none, or it is not of mljobs.
    TrackingError
        If the server does not answer, or does not give it now.
    """
    if model.startswith(_SCHEMES):
        return _download(model, scratch / "downloaded")
    path = Path(model)
    if not path.is_dir():
        raise NoInputError(f"{model} is neither a run directory nor an MLflow model (models:/NAME@ALIAS)")
    return path / "model" if (path / "model").is_dir() else path


def _download(uri: str, to: Path) -> Path:
    """Fetch a model from the tracking server."""
    found = _fetch(uri, to)
    if not (found / CARD).is_file():
        raise NoInputError(f"{uri} holds no model of mljobs: {CARD} is missing")
    return found


def _fetch(uri: str, to: Path) -> Path:
    """Fetch a file or folder from the tracking server."""
    server = configured_uri()
    if server is None:
        raise NoInputError(f"{uri} is kept by a tracking server: set MLFLOW_TRACKING_URI")
    configure()
    import mlflow.artifacts

    try:
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(to), tracking_uri=server))
    except Exception as error:
        kind = NoInputError if status_of(error) in DOES_NOT_EXIST else TrackingError
        raise kind(f"{without_password(server)} does not give {uri}: {describe(error)}") from error


def file(uri: str, name: str, to: Path) -> Path:
    """Fetch one file of a model into a folder; raises as `folder` does."""
    return _fetch(f"{uri}/{name}", to)


class Registry:
    """What of the server's model registry decides whether a run may be removed; asked when it is first needed."""

    def __init__(self) -> None:
        self._client: Any = None
        self._aliased: dict[str, str] = {}

    def need_of(self, run_id: str) -> str | None:
        """Return why a published run must stay, or None.

        Raises
        ------
        TrackingError
            No server is configured, or it does not answer.
        """
        try:
            if self._client is None:
                self._open()
            if run_id in self._aliased:
                return f"its model is {self._aliased[run_id]}"
            stage = self._client.get_run(run_id).info.lifecycle_stage
        except TrackingError:
            raise
        except Exception as error:
            if status_of(error) in DOES_NOT_EXIST:
                return "MLflow does not have it (any more)"
            message = f"the server does not say which models are behind an alias: {describe(error)}"
            raise TrackingError(message) from error
        return None if stage == "active" else "it is in MLflow's trash"

    def _open(self) -> None:
        """Connect, and look up the runs behind aliases."""
        server = configured_uri()
        if server is None:
            raise TrackingError("published runs may be behind an alias: set MLFLOW_TRACKING_URI")
        client = connect(server)
        for model in _all_pages(client.search_registered_models):
            for alias, version in model.aliases.items():
                run_id = client.get_model_version(model.name, version).run_id
                self._aliased[run_id] = f"models:/{model.name}@{alias}"
        self._client = client


def _all_pages(search: Callable[..., Any]) -> Iterator[Any]:
    """Yield the results of one of the client's searches from all their pages."""
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return
