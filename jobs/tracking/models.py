"""Models by name: a run directory, a model folder, or what MLflow keeps."""

from pathlib import Path

from jobs.errors import NoInputError, TrackingError
from jobs.pipelines import CARD
from jobs.tracking import configure, configured_uri, status_of, without_password
from jobs.tracking.publisher import describe

_DOES_NOT_EXIST = (400, 404)
"""What a server answers for names that it does not know, or that can be none."""

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
    server = configured_uri()
    if server is None:
        raise NoInputError(f"{uri} is kept by a tracking server: set MLFLOW_TRACKING_URI")
    configure()
    import mlflow.artifacts

    try:
        found = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(to), tracking_uri=server))
    except Exception as error:
        kind = NoInputError if status_of(error) in _DOES_NOT_EXIST else TrackingError
        raise kind(f"{without_password(server)} does not give {uri}: {describe(error)}") from error
    if not (found / CARD).is_file():
        raise NoInputError(f"{uri} holds no model of mljobs: {CARD} is missing")
    return found
