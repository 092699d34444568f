"""What MLflow knows of earlier runs, for jobs that start without any state of their own."""

from collections.abc import Mapping
from typing import Any

from jobs.config import JobConfig
from jobs.console import Console
from jobs.datasets import sha256_of
from jobs.result import Result
from jobs.tracking import LOCAL_SECONDS, Patience, configured_uri, connect, is_answering, is_remote, within
from jobs.tracking.answers import describe
from jobs.tracking.replay import KEY_TAG, NAME_TAG, RUN_TAG

_SECONDS = 3.0
"""How long a start waits to hear it."""


def ask(config: JobConfig, key: str, since: float, console: Console, patience: Patience) -> tuple[Result, str] | None:
    """Return result and name of the last finished run of a training job, if its key is `key`.

    A server that does not answer is no reason not to train: then None is returned.

    Parameters
    ----------
    since : Unix time in seconds before which it must not have ended.
    patience : takes the time that was waited.
    """
    uri = configured_uri() if config.tracking != "off" else None
    if uri is None:
        return None
    with patience.waiting():
        if not is_answering(uri):
            return None
    name = config.job_name("train")
    try:
        client = connect(uri)
        with patience.waiting():
            seconds = _SECONDS if is_remote(uri) else LOCAL_SECONDS
            run = within(seconds, lambda: _last_finished(client, config.experiment or config.pipeline, name))
            if run is None or run.data.tags.get(KEY_TAG) != key or run.info.end_time / 1000 < since:
                return None
            if run.data.tags.get("mljobs.promotion") == "queued":  # by a job that is gone, with what the decision needs
                return None
            return _result(run, config, name), run.data.tags[RUN_TAG]
    except Exception as error:  # noqa: BLE001 - whatever the client raises, the job goes on and says it
        console.warning(f"MLflow can't say whether this was done before: {describe(error)}")
        return None


def _last_finished(client: Any, experiment: str, name: str) -> Any:
    """Return MLflow's run, or None."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return None
    wanted = f"tags.`{NAME_TAG}` = '{name}' and attributes.status = 'FINISHED'"
    runs = client.search_runs([found.experiment_id], wanted, order_by=["attributes.end_time DESC"], max_results=1)
    return runs[0] if runs else None


def _result(run: Any, config: JobConfig, name: str) -> Result:
    """Return what a run in MLflow said at its end."""
    tags = run.data.tags
    return Result(
        job="train",
        name=name,
        pipeline=config.pipeline,
        status=tags["mljobs.status"],
        exit_code=int(tags["mljobs.exit_code"]),
        reason=tags["mljobs.reason"] or None,
        run_id=run.info.run_id,
        tracking="published",
        data={"path": str(config.data), "sha256": sha256_of(config.data)},
        promotion=_promotion(tags),
        metrics={name: value for name, value in run.data.metrics.items() if "/" not in name},
    )


def _promotion(tags: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what MLflow knows of what became of a run's model as a challenger, None if it was none."""
    if not tags.get("mljobs.promotion"):
        return None
    status, reason = tags["mljobs.promotion"], tags["mljobs.promotion_reason"]
    return {"status": status, "reason": reason, "champion": tags["mljobs.champion"] or None}
