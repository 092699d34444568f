"""From journal to MLflow: each kind of event is one method, and sending it twice changes nothing."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.journal import Event
from jobs.tracking import status_of

RUN_TAG = "mljobs.run"
"""Tag that only one run carries; searched for before a run is created, so that a run is never there twice."""

_STATUS = {"finished": "FINISHED", "rejected": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
# MLflow's pages show an experiment of this kind with its tables of runs and models, not with those for prompts.
_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": "accuracy",
}
_MAX_DIGEST = 36
_MAX_TAG = 5000
_MAX_PARAM = 6000
_MAX_SCHEMA = 1_048_575
_REFUSALS = range(400, 500)
_PASSING = (408, 429)
"""Answers among them that another try may change."""


_MARGIN = 200
"""Characters for what is around a schema's columns."""


class Replay:
    """Carries the events of one run over to MLflow, in their order.

    Parameters
    ----------
    client : `mlflow.MlflowClient`.
    directory : the run directory.
    """

    def __init__(self, client: Any, directory: Path) -> None:
        self._client = client
        self._directory = directory
        self._experiment_id = ""
        self._refusal: Exception | None = None
        self.run_id = ""

    def send(self, event: Event) -> None:
        """Send one event; raise MlflowException (or what its transport raises) if the server does not take it.

        What the server refuses for good does not keep the rest from it, else the run would be RUNNING for ever: the
        first refusal is raised after the end of the run was sent.
        """
        try:
            getattr(self, "_" + event["event"])(event)
        except Exception as error:
            if not (self.run_id and _is_refusal(error)):
                raise
            self._refusal = self._refusal or error
        if event["event"] == "end" and self._refusal:
            raise self._refusal

    def _start(self, event: Event) -> None:
        """Find or create experiment and run."""
        self._experiment_id = self._experiment(event["experiment"])
        found = self._client.search_runs([self._experiment_id], f"tags.`{RUN_TAG}` = '{event['run']}'", max_results=1)
        if found:
            self.run_id = found[0].info.run_id
            return
        tags = {RUN_TAG: event["run"]}
        run = self._client.create_run(self._experiment_id, start_time=event["time"], tags=tags, run_name=event["run"])
        self.run_id = run.info.run_id

    def _experiment(self, name: str) -> str:
        """Return the id of the experiment called `name`, made if it is not there."""
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self._restore(found.experiment_id)
            return str(found.experiment_id)
        try:
            return str(self._client.create_experiment(name, tags=_EXPERIMENT_TAGS))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            # Another job was faster.
            return str(self._client.get_experiment_by_name(name).experiment_id)

    def _restore(self, experiment_id: str) -> None:
        """Take a deleted experiment out of MLflow's trash: its name is taken as long as it is there."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.restore_experiment(experiment_id)
        except MlflowException:
            # Another job may have been faster.
            if self._client.get_experiment(experiment_id).lifecycle_stage == "deleted":
                raise

    def _params(self, event: Event) -> None:
        from mlflow.entities import Param

        self._client.log_batch(self.run_id, params=[Param(n, str(v)[:_MAX_PARAM]) for n, v in event["params"].items()])

    def _tags(self, event: Event) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(self.run_id, tags=[RunTag(n, str(v)[:_MAX_TAG]) for n, v in event["tags"].items()])

    def _metrics(self, event: Event) -> None:
        from mlflow.entities import Metric

        points = [Metric(name, value, event["time"], event["step"]) for name, value in event["metrics"].items()]
        self._client.log_batch(self.run_id, metrics=points)

    def _dataset(self, event: Event) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        # MLflow's digest has room for 36 characters; the whole sha256 is in the run's tags.
        dataset = Dataset(
            name=event["name"],
            digest=event["sha256"][:_MAX_DIGEST],
            source_type="local",
            source=event["source"],
            schema=json.dumps(_SCHEMAS[event["schema"]["kind"]](event["schema"])),
            profile=json.dumps({"num_rows": event["rows"]}),
        )
        self._client.log_inputs(
            self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", event["context"])])]
        )

    def _artifact(self, event: Event) -> None:
        self._client.log_artifact(self.run_id, str(self._directory / event["path"]))

    def _model(self, event: Event) -> None:
        """Upload the model folder as a logged model of the run, and register it."""
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        model = self._logged_model(event["path"])
        if model.status != LoggedModelStatus.READY:
            self._client.log_model_artifacts(model.model_id, str(self._directory / event["path"]))
            self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        outputs = self._client.get_run(self.run_id).outputs
        if not (outputs and outputs.model_outputs):  # the server does not take the same output twice
            self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step=0)])
        if event["name"]:
            self._register(event["name"], model, event["description"], event["tags"])

    def _logged_model(self, name: str) -> Any:
        """Return the run's logged model, made if it is not there."""
        found = self._client.search_logged_models([self._experiment_id], f"source_run_id = '{self.run_id}'")
        if found:
            return found[0]
        return self._client.create_logged_model(self._experiment_id, name, source_run_id=self.run_id)

    def _register(self, name: str, model: Any, description: str, tags: Mapping[str, str]) -> None:
        """Make the run's model a version of the registered model `name`, unless it is one."""
        from mlflow.exceptions import MlflowException

        versions = self._client.search_model_versions(f"run_id = '{self.run_id}'")
        if any(version.name == name for version in versions):
            return
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        self._client.create_model_version(
            name,
            source=model.artifact_location,
            run_id=self.run_id,
            model_id=model.model_id,
            description=description,
            tags=dict(tags),
            await_creation_for=0,
        )

    def _end(self, event: Event) -> None:
        self._client.set_terminated(self.run_id, _STATUS[event["status"]], event["time"])

    def _published(self, event: Event) -> None:
        """Nothing to send: the mark that all was sent."""


def _is_refusal(error: Exception) -> bool:
    """Tell whether another try can't help: the server said no, or the file to be sent is gone."""
    status = status_of(error)
    return isinstance(error, FileNotFoundError) or (status in _REFUSALS and status not in _PASSING)


def _table_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table's schema as MLflow's pages show it."""
    types = {"numeric": "double", "text": "string"}
    columns = [{"name": name, "type": types[kind], "required": True} for name, kind in schema["columns"].items()]
    target = {"name": schema["target"], "type": "string", "required": True}
    return {"mlflow_colspec": [*_fitting(columns, _MAX_SCHEMA - len(json.dumps(target))), target]}


def _fitting(columns: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """Return the first columns whose JSON fits into `size` characters, and then how many more there are."""
    if len(json.dumps(columns)) < size - _MARGIN:
        return columns
    ends = itertools.accumulate(len(json.dumps(each)) + len(", ") for each in columns)
    fitting = sum(end < size - _MARGIN for end in ends)
    rest = {"name": f"... and {len(columns) - fitting} more columns", "type": "string", "required": False}
    return [*columns[:fitting], rest]


def _image_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image array's schema as MLflow's pages show it."""
    spec = {"dtype": schema["dtype"], "shape": [-1, *schema["shape"]]}
    return {"mlflow_tensorspec": {"features": json.dumps([{"type": "tensor", "tensor-spec": spec}]), "targets": None}}


_SCHEMAS = {"table": _table_schema, "images": _image_schema}
