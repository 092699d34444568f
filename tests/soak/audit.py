"""Whether every run is in MLflow, wholly and once, and ended as everyone says it did."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from soak.findings import Finding
from soak.journals import Attempt, Run
from soak.promotions import of_aliases, of_promotion
from soak.server_view import View, sha256
from soak.starts import Start

_STATUS = {"finished": "FINISHED", "rejected": "FINISHED", "failed": "FAILED", "killed": "KILLED"}


def audit(runs: Sequence[Run], starts: Sequence[Start], view: View) -> Iterator[Finding]:
    """Yield whatever is wrong after all is done."""
    yield from _of_starts(starts)
    yield from _of_attempts(runs, starts)
    for run in runs:
        yield from (Finding("wrong status", run.name, why) for why in [*run.strange, *_of_result(run)])
        yield from _of_run(run, view)
    yield from of_aliases(runs, view)
    known = {run.name for run in runs}
    yield from (Finding("doubled", name, "is in MLflow and not on the disk") for name in view.runs if name not in known)
    ids = {each.info.run_id for found in view.runs.values() for each in found}
    for run_id in {*view.models, *view.versions} - ids:
        yield Finding("doubled", run_id, "has models or versions, and is no run (any more)")


def _of_starts(starts: Sequence[Start]) -> Iterator[Finding]:
    """Yield the processes that ended as nothing explains, or with another code than they say."""
    for each in starts:
        if not each.is_explained:
            yield Finding("wrong status", str(each), each.stderr.read_text()[-2000:])
        if each.buried and each.killed:
            yield Finding("wrong status", each.buried, f"it was declared dead while it was at work: {each}")
        result = each.result if each.is_job else None
        if result and each.exit_code != result["exit_code"] and not each.killed:
            yield Finding("wrong status", str(each), f"it said {result['status']}, {result['exit_code']}")


def _of_attempts(runs: Sequence[Run], starts: Sequence[Start]) -> Iterator[Finding]:
    """Yield the attempts whose end is not that of the process that made them."""
    said: dict[tuple[str, int], Start] = {}
    for each in starts:
        result = each.result if each.is_job else None
        if result and result["run_directory"] and result["status"] != "skipped":
            said[Path(result["run_directory"]).name, result["attempts"]] = each
    dead = sorted((each for each in starts if each.killed), key=lambda each: each.killed or 0)
    attempts = [(attempt, run) for run in runs for attempt in run.attempts]
    for attempt, run in sorted(attempts, key=lambda pair: pair[0].began):
        start = said.pop((run.name, attempt.number), None) or _killed(attempt, run, dead)
        why = _disagreement(attempt, start)
        if why:
            yield Finding("wrong status", run.name, f"attempt {attempt.number}: {why}")
    # A job that ends before it begins, as without a readable file, leaves no journal.
    begun = {run.name for run in runs}
    for name, number, start in ((*key, start) for key, start in said.items() if key[0] in begun):
        yield Finding("wrong status", name, f"attempt {number} is not in its journal, but was made by {start}")


def _killed(attempt: Attempt, run: Run, dead: list[Start]) -> Start | None:
    """Return the process that made an attempt and was killed, once; None if there is none."""
    for each in dead:
        lived = each.started <= attempt.began <= (each.killed or 0)
        if each.name == run.job and lived and attempt.by in {None, each.number}:
            dead.remove(each)
            return each
    return None


def _disagreement(attempt: Attempt, start: Start | None) -> str | None:
    """Return how an attempt's end and its process differ; None if they don't."""
    end = attempt.end
    if start is None:
        return f"it ended {_short(end)}, but no process that said so or was killed has made it (start {attempt.by})"
    if attempt.by not in {None, start.number}:
        return f"it was made by start {attempt.by}, but {start} says that it was"
    result = start.result
    if result and (end is None or _short(end) != _short(result)):
        return f"its journal says {_short(end)}, but {start} said {_short(result)}"
    return None


def _short(end: dict[str, Any] | None) -> Any:
    """Return what all must agree on."""
    return end and tuple(end[name] for name in ("status", "exit_code", "reason", "attempts"))


def _of_result(run: Run) -> Iterator[str]:
    """Yield how the end of a run's journal and `result.json` differ."""
    if run.end is None:
        yield "its journal has no end"
        return
    try:
        result = run.result()
    except (OSError, ValueError) as error:
        yield f"result.json can't be read: {error!r}"
        return
    if _short(result) != _short(run.end["result"]):
        yield f"result.json says {_short(result)}, its journal {_short(run.end['result'])}"
    if run.published and (result["tracking"], result["run_id"]) != ("published", run.published["run_id"]):
        yield f"result.json says {result['tracking']} as {result['run_id']}, its journal {run.published['run_id']}"
    if run.end["result"]["attempts"] != len(run.attempts):
        yield f"it counts {run.end['result']['attempts']} attempts, its journal has {len(run.attempts)}"
    if run.end["result"]["exit_code"] == 1:
        yield f"a bug: {result['reason']}"


def _of_run(run: Run, view: View) -> Iterator[Finding]:
    """Yield how MLflow's run differs from the journal's."""
    found = view.runs.get(run.name, [])
    if len(found) > 1:
        yield Finding("doubled", run.name, f"is in MLflow {len(found)} times")
    if not found:
        yield Finding("lost", run.name, "is not in MLflow")
        return
    if run.published is None or found[0].info.run_id != run.published["run_id"]:
        yield Finding("lost", run.name, f"is {found[0].info.run_id} in MLflow, but says {run.published}")
    yield from (Finding("wrong status", run.name, why) for why in _of_status(run, found[0]))
    yield from _of_content(run, found[0], view)
    yield from _of_model(run, found[0], view)
    yield from (Finding("wrong status", run.name, why) for why in of_promotion(run, found[0], view))


def _of_status(run: Run, found: Any) -> Iterator[str]:
    """Yield how MLflow's status and times differ from the journal's."""
    if run.end is None:
        return
    result = run.end["result"]
    there = {
        "status": (found.info.status, _STATUS[result["status"]]),
        "start": (found.info.start_time, run.events[0]["time"]),
        "end": (found.info.end_time, run.end["time"]),
        "tag status": (found.data.tags.get("mljobs.status"), result["status"]),
        "tag exit_code": (found.data.tags.get("mljobs.exit_code"), str(result["exit_code"])),
    }
    yield from (f"{name} is {mlflow} in MLflow, not {ours}" for name, (mlflow, ours) in there.items() if mlflow != ours)


def _of_content(run: Run, found: Any, view: View) -> Iterator[Finding]:
    """Yield the params, points and artifacts that are missing, or there twice."""
    params = {name for event in run.of_kind("params") for name in event["params"]}
    for name in params - set(found.data.params):
        yield Finding("lost", run.name, f"param {name}")
    points = view.points(found)
    for point in run.points() - set(points):
        yield Finding("lost", run.name, f"point {point}")
    steps = [(name, step) for name, step, _ in points.elements()]
    for step in {each for each in steps if steps.count(each) > 1}:
        yield Finding("doubled", run.name, f"{step}: {[each for each in points if each[:2] == step]}")
    for path, digest in {event["path"]: event["sha256"] for event in run.of_kind("artifact")}.items():
        # An attempt that died in between has put a new file in place, and not said so.
        expected = {digest} if run.has_result else {digest, sha256(run.folder / path)}
        if view.artifact(found, path) not in expected:
            yield Finding("lost", run.name, f"artifact {path}, or it is another one")


def _of_model(run: Run, found: Any, view: View) -> Iterator[Finding]:
    """Yield how logged models and registered versions differ from what the run has."""
    events = run.of_kind("model")
    models, versions = view.models[found.info.run_id], view.versions[found.info.run_id]
    accepted = bool(events and events[-1]["name"])
    if len(models) > bool(events) or len(versions) > accepted:
        yield Finding("doubled", run.name, f"{len(models)} logged models, {len(versions)} versions")
    if not events:
        return
    if not models or models[0].status != "READY":
        yield Finding("lost", run.name, f"logged model: {models}")
        return
    folder = run.folder / "model"
    ours = {str(each.relative_to(folder)): each.stat().st_size for each in folder.rglob("*") if each.is_file()}
    if view.model_files(models[0]) != ours:
        yield Finding("lost", run.name, f"model files: {view.model_files(models[0])}, not {ours}")
    if accepted and (not versions or versions[0].source != models[0].artifact_location):
        yield Finding("lost", run.name, f"version: {versions}")
