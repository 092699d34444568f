"""Whether who is champion, who was, and who was kept from it, is the same wherever it is said."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from soak.findings import Finding
from soak.journals import Run
from soak.server_view import View

_ROLLED_BACK = "it was rolled back"
_NUMBERS = {
    "champion/accuracy": "champion",
    **{f"champion/{name}": name for name in ("gain", "low", "high", "p_better")},
}


def of_promotion(run: Run, found: Any, view: View) -> Iterator[str]:
    """Yield how a run's decision is not made, not carried out, or told differently here and there."""
    decided, tags = run.promotion, found.data.tags
    if not run.has_result:
        if decided or tags.get("mljobs.promotion"):
            yield f"it has no model, but a decision: {decided}, in MLflow {_told(tags)}"
        return
    if bool(decided) != run.events[0]["config"]["promote"]:
        yield f"its decision is {decided}"
    if decided is None:
        return
    ours = decided["status"], decided["reason"]
    result = run.result()["promotion"]
    if ours != (result["status"], result["reason"]) or ours != _told(tags):
        yield f"its journal says {ours}, result.json {(result['status'], result['reason'])}, MLflow {_told(tags)}"
    for name, number in _numbers(decided).items():
        if found.data.metrics.get(name) != number:
            yield f"its {name} is {number}, in MLflow {found.data.metrics.get(name)}"
    yield from _of_version(run, decided, found, view)


def _of_version(run: Run, decided: Mapping[str, Any], found: Any, view: View) -> Iterator[str]:
    """Yield how a decision and the run's version in the registry differ."""
    versions = view.versions[found.info.run_id]
    if decided["status"] not in {"promoted", "kept"}:
        yield f"it is left undecided: {decided}"
    ended = run.result()["status"]
    if len(versions) != (ended == "finished"):
        yield f"it is {ended}, and has {len(versions)} versions"
    if decided["status"] == "promoted":
        if [str(each.version) for each in versions] != [decided["version"]]:
            yield f"version {decided['version']} was promoted, but {versions} is what there is"
        if found.info.status != "FINISHED":
            yield f"it was promoted, and is {found.info.status}"


def of_aliases(runs: Sequence[Run], view: View) -> Iterator[Finding]:
    """Yield the versions that are or were champion of which nobody says that they were promoted."""
    by_name = {run.name: run for run in runs}
    owners = {(each.name, str(each.version)): each.run_id for found in view.versions.values() for each in found}
    names = {found.info.run_id: name for name, every in view.runs.items() for found in every}

    def is_crowned(model: str, version: str) -> bool:
        run = by_name.get(names.get(owners.get((model, version), ""), ""))
        decided = run.promotion if run else None
        # Rolled back, and by another rollback brought back.
        return decided is not None and (decided["status"] == "promoted" or decided["reason"] == _ROLLED_BACK)

    for model, aliases in view.aliases.items():
        for alias, version in aliases.items():
            if not is_crowned(model, version):
                yield Finding("wrong status", model, f"version {version} is {alias}, but nobody has promoted it")
    for run in runs:
        decided = run.promotion
        if decided and decided["champion"] and not is_crowned(decided["model"], decided["champion"]):
            why = f"version {decided['champion']} was champion when it was decided, but nobody has promoted that"
            yield Finding("wrong status", run.name, why)
    yield from _of_no_champion(runs, view)


def _of_no_champion(runs: Sequence[Run], view: View) -> Iterator[Finding]:
    """Yield the models of which a version was promoted, and none is champion."""
    decisions = [run.promotion for run in runs if run.promotion]
    for model in {each["model"] for each in decisions if each["status"] == "promoted"}:
        if "champion" not in view.aliases.get(model, {}):
            yield Finding("lost", model, "nobody is champion, though somebody was promoted")


def _told(tags: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return status and reason as MLflow has them."""
    return tags.get("mljobs.promotion"), tags.get("mljobs.promotion_reason")


def _numbers(decided: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a decision, called as in MLflow."""
    comparison = decided["comparison"] or {}
    return {name: comparison[ours] for name, ours in _NUMBERS.items() if comparison}
