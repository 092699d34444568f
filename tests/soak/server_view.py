"""What MLflow has, asked with its own client."""

import hashlib
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


class View:
    """Runs, logged models, registered versions and aliases of a server, all of them."""

    def __init__(self, uri: str) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        experiments = [each.experiment_id for each in _pages(self._client.search_experiments)]
        self.runs: dict[str, list[Any]] = defaultdict(list)
        for run in _pages(self._client.search_runs, experiments):
            self.runs[run.data.tags.get("mljobs.run", f"untagged {run.info.run_id}")].append(run)
        self.models: dict[str, list[Any]] = defaultdict(list)
        for model in _pages(self._client.search_logged_models, experiments):
            self.models[model.source_run_id].append(model)
        self.versions: dict[str, list[Any]] = defaultdict(list)
        for version in _pages(self._client.search_model_versions):
            self.versions[version.run_id].append(version)
        models = _pages(self._client.search_registered_models)
        self.aliases = {model.name: {alias: str(number) for alias, number in model.aliases.items()} for model in models}

    def points(self, run: Any) -> Counter[tuple[str, int, float]]:
        """Return how often each point of a run is there."""
        found = (self._client.get_metric_history(run.info.run_id, name) for name in run.data.metrics)
        return Counter((each.key, each.step, each.value) for history in found for each in history)

    def artifact(self, run: Any, path: str) -> str | None:
        """Return the sha256 of an artifact's content, None if it is not there."""
        if path not in {each.path for each in self._client.list_artifacts(run.info.run_id)}:
            return None
        with tempfile.TemporaryDirectory() as folder:
            return sha256(Path(self._client.download_artifacts(run.info.run_id, path, folder)))

    def model_files(self, model: Any) -> dict[str, int]:
        """Return the files of a logged model with their sizes."""
        return dict(self._model_files(model.model_id, None))

    def _model_files(self, model_id: str, path: str | None) -> Iterator[tuple[str, int]]:
        """Yield the files below a path."""
        for each in self._client.list_logged_model_artifacts(model_id, path):
            if each.is_dir:
                yield from self._model_files(model_id, each.path)
            else:
                yield each.path, each.file_size


def sha256(path: Path) -> str:
    """Return the digest of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _pages(search: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
    """Yield everything that a search finds, page by page."""
    page = search(*arguments)
    yield from page
    while page.token:
        page = search(*arguments, page_token=page.token)
        yield from page
