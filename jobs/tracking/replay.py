"""From journal to MLflow: each kind of event is one method, and sending it twice changes nothing."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from jobs import journal
from jobs.artifacts import inside
from jobs.journal import Event
from jobs.tracking import time_to_upload
from jobs.tracking.answers import is_refusal, status_of
from jobs.tracking.schemas import as_mlflow

RUN_TAG = "mljobs.run"
"""Tag that only one run carries; searched for before a run is created, so that a run is never there twice."""

NAME_TAG = "mljobs.name"
KEY_TAG = "mljobs.key"
"""Tag of a run of which all is there: only then it may stand for a later start."""
_STATUS = {"finished": "FINISHED", "rejected": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
# MLflow's pages show an experiment of this kind with its tables of runs and models, not with those for prompts.
_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": "accuracy",
}
_MAX_DIGEST = 36
_MAX_TAG = 5000
_MAX_PARAM = 6000
_MS_TO_ARRIVE = 30_000
"""For so long a request that was given up may still arrive: servers, and what is before them, go on without us."""


class DoubledError(Exception):
    """The run is there twice, or may soon be: a request that was given up arrives after all."""


class Replay:
    """Carries the events of one run over to MLflow, in their order.

    Parameters
    ----------
    client : `mlflow.MlflowClient`.
    directory : the run directory.

    Attributes
    ----------
    run_id : MLflow's.
    unanswered : when requests were sent that make something which may be there twice, if the server does what it was
        asked for without an answer that reached us; Unix time in milliseconds.
    """

    def __init__(self, client: Any, directory: Path) -> None:
        self._client = client
        self._directory = directory
        self._run = self._key = ""
        self._experiment_id = ""
        self._model_id: str | None = None
        self._registered: str | None = None
        self._refusal: Exception | None = None
        self.unanswered: list[int] = []
        self.run_id = ""

    def send(self, event: Event, *, last_try: bool = False) -> None:
        """Send one event; raise MlflowException (or what its transport raises) if the server does not take it.

        What the server refuses for good does not keep the rest from it, else the run would be RUNNING for ever: the
        first refusal is raised after the end of the run was sent.

        Parameters
        ----------
        last_try : also what fails at the server for now does not keep the rest from it.
        """
        try:
            getattr(self, "_" + event["event"])(event)
        except Exception as error:
            answered = status_of(error) is not None
            if not (self.run_id and (is_refusal(error) or (last_try and answered))):
                raise
            self._refusal = self._refusal or error
        if event["event"] == "end" and self._refusal:
            raise self._refusal

    def _start(self, event: Event) -> None:
        """Find or create experiment and run."""
        self._run, self._key = event["run"], str(event["key"])
        self._experiment_id = self._experiment(event["experiment"])
        found = self._found()
        if found:
            self.run_id = found[0]
            return
        tags = {RUN_TAG: self._run, NAME_TAG: event["result"]["name"]}
        create = self._client.create_run
        run = self._once(create, self._experiment_id, start_time=event["time"], tags=tags, run_name=self._run)
        self.run_id = run.info.run_id

    def _once(self, ask: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Ask for what must not happen twice, or late."""
        asked = journal.now()
        self.unanswered.append(asked)
        try:
            answer = ask(*args, **kwargs)
        except Exception as error:
            if is_refusal(error):
                self.unanswered.remove(asked)
            raise
        self.unanswered.remove(asked)
        return answer

    def _unanswered(self, event: Event) -> None:
        """Remember what an earlier process gave up."""
        self.unanswered.extend(event["requests"])

    @property
    def seconds_in_doubt(self) -> float:
        """Seconds from now in which a request that was given up may still arrive."""
        return max(0, max(self.unanswered, default=0) + _MS_TO_ARRIVE - journal.now()) / 1000

    def raise_doubt(self) -> None:
        """Raise DoubledError if a request that was given up may still arrive."""
        if seconds := self.seconds_in_doubt:
            raise DoubledError(
                f"a request that was not answered may still arrive within {seconds:.0f} s, and {self._run} be in MLflow "
                "twice; the next start or sync looks"
            )

    def _found(self) -> list[str]:
        """Return MLflow's ids of the run, that with content first; the others are of requests that arrived late."""
        runs = self._client.search_runs([self._experiment_id], f"tags.`{RUN_TAG}` = '{self._run}'")
        size = {run.info.run_id: len(run.data.params) + len(run.data.metrics) + len(run.data.tags) for run in runs}
        return sorted(size, key=lambda run_id: (-size[run_id], run_id))

    def _resume(self, event: Event) -> None:  # noqa: ARG002 - all events have the same signature
        """Show the run as one that goes on."""
        self._once(self._client.update_run, self.run_id, status="RUNNING", name=self._run)

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

        points = [
            Metric(name, value, each["time"], each["step"])
            for each in event.get("all", [event])
            for name, value in each["metrics"].items()
        ]
        self._client.log_batch(self.run_id, metrics=points)

    def _dataset(self, event: Event) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        # MLflow's digest has room for 36 characters; the whole sha256 is in the run's tags.
        dataset = Dataset(
            name=event["name"],
            digest=event["sha256"][:_MAX_DIGEST],
            source_type="local",
            source=event["source"],
            schema=as_mlflow(event["schema"]),
            profile=json.dumps({"num_rows": event["rows"]}),
        )
        self._client.log_inputs(
            self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", event["context"])])]
        )

    def _artifact(self, event: Event) -> None:
        with time_to_upload(event["size"]):
            self._client.log_artifact(self.run_id, str(inside(self._directory, event["path"])))

    def _model(self, event: Event) -> None:
        """Upload the model folder as a logged model of the run, and register it."""
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        model = self._logged_model(event["path"])
        self._model_id = model.model_id
        if model.status != LoggedModelStatus.READY:
            with time_to_upload(event["size"]):
                self._client.log_model_artifacts(model.model_id, str(inside(self._directory, event["path"])))
            self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        outputs = self._client.get_run(self.run_id).outputs
        if not (outputs and outputs.model_outputs):  # the server does not take the same output twice
            self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step=0)])
        if event["name"]:
            self._register(event["name"], model, event["description"], event["tags"])
        else:  # an earlier attempt may have been accepted
            self._drop((), self._client.search_model_versions(f"run_id = '{self.run_id}'"))

    def _logged_model(self, name: str) -> Any:
        """Return the run's logged model, made if it is not there."""
        found = self._logged_models(self.run_id)
        if found:
            return found[0]
        return self._once(self._client.create_logged_model, self._experiment_id, name, source_run_id=self.run_id)

    def _logged_models(self, run_id: str) -> list[Any]:
        """Return a run's logged models, that which was uploaded first."""
        from mlflow.entities import LoggedModelStatus

        found = self._client.search_logged_models([self._experiment_id], f"source_run_id = '{run_id}'")
        return sorted(found, key=lambda model: (model.status != LoggedModelStatus.READY, str(model.model_id)))

    def _register(self, name: str, model: Any, description: str, tags: Mapping[str, str]) -> None:
        """Make the run's model a version of the registered model `name`, unless it is one."""
        from mlflow.exceptions import MlflowException

        self._registered = name
        if self._versions(self.run_id, name):
            return
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        self._once(
            self._client.create_model_version,
            name,
            source=model.artifact_location,
            run_id=self.run_id,
            model_id=model.model_id,
            description=description,
            tags=dict(tags),
            await_creation_for=0,
        )

    def _versions(self, run_id: str, name: str | None) -> list[Any]:
        """Return the versions of a registered model that a run's model is, the oldest first; not those of other names."""
        found = self._client.search_model_versions(f"run_id = '{run_id}'")
        return sorted((each for each in found if each.name == name), key=lambda version: int(version.version))

    def _end(self, event: Event) -> None:
        """End the run, and see to it that it is there once."""
        status = _STATUS[event["result"]["status"]]
        self._client.set_terminated(self.run_id, status, event["time"])
        if status == "FINISHED" and not self._refusal:
            self._client.set_tag(self.run_id, KEY_TAG, self._key)
        found = self._found()
        if found[:1] != [self.run_id]:
            raise DoubledError(f"{self._run} is in MLflow {len(found)} times; the next start or sync leaves one")
        for run_id in found[1:]:
            self._drop(self._logged_models(run_id), self._versions(run_id, self._registered))
            self._client.delete_run(run_id)
            self._note_arrived()
        if self._model_id:
            others = [model for model in self._logged_models(self.run_id) if model.model_id != self._model_id]
            self._drop(others, self._versions(self.run_id, self._registered)[1:])

    def _drop(self, models: Iterable[Any], versions: Iterable[Any]) -> None:
        """Delete the models and versions that a request which was given up has made besides."""
        for version in versions:
            self._client.delete_model_version(version.name, version.version)
            self._note_arrived()
        for model in models:
            self._client.delete_logged_model(model.model_id)
            self._note_arrived()

    def _note_arrived(self) -> None:
        """Forget one of the requests that were given up: it has arrived."""
        del self.unanswered[:1]

    def _published(self, event: Event) -> None:
        """Nothing to send: the mark that all was sent."""

    _promotion = _published  # aliases move when all is there; see `promotion.conclude`
