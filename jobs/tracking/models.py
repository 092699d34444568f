"""Models by name: a run directory, a model folder, or what MLflow keeps."""

from pathlib import Path

from jobs.errors import NoInputError
from jobs.tracking import configure, configured_uri, without_password
from jobs.tracking.publisher import describe

_SCHEMES = ("models:/", "runs:/", "mlflow-artifacts:/")


def folder(model: str, scratch: Path) -> Path:
    """Return the model folder that `model` names, downloaded into `scratch` if MLflow keeps it.

    Raises
    ------
    NoInputError
        If there is none, or the server does not give it.
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
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(to), tracking_uri=server))
    except Exception as error:
        raise NoInputError(f"{without_password(server)} does not give {uri}: {describe(error)}") from error
