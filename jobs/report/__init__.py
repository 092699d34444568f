"""One evaluation, three readers: a page for people, Markdown for terminals and forges, JSON for programs."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from jobs.evaluation import Evaluation

__all__ = ["Gate", "Report"]


class Gate(NamedTuple):
    """A metric that must be at least so much; the value is None if the metric can't be had."""

    metric: str
    least: float
    value: float | None
    passed: bool


@dataclass(frozen=True, eq=False)
class Report:
    """What a person should know about a run.

    All texts may come from the data: each reader's markup is escaped in them.

    Parameters
    ----------
    title : heading, such as the pipeline and the file.
    status : `rejected` if a gate failed.
    reason : why it was rejected, one sentence.
    evaluation : the numbers.
    gates : the minimums that were asked for.
    sections : facts about data, settings, environment and times: section title to label to value.
    importances : feature name to importance, of a forest.
    learning_curves : series name (`loss`, `val_loss`) to its value per epoch.
    notes : sentences.
    """

    title: str
    status: Literal["finished", "rejected"]
    evaluation: Evaluation
    reason: str | None = None
    gates: Sequence[Gate | tuple[str, float, float | None, bool]] = ()
    sections: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    importances: Mapping[str, float] | None = None
    learning_curves: Mapping[str, Sequence[float]] | None = None
    notes: Sequence[str] = ()

    def html(self) -> str:
        """Return one page that needs no other file, no network and no script."""
        from jobs.report import page

        return page.html(self)

    def markdown(self) -> str:
        """Return the report without its curves as Markdown without HTML."""
        from jobs.report import page

        return page.markdown(self)

    def json(self) -> str:
        """Return all numbers unrounded, one key of the object a line; null for what is not a number."""
        content: dict[str, Any] = {"title": self.title, "status": self.status, "reason": self.reason}
        content |= self.evaluation.to_json()
        content["gates"] = [Gate(*gate)._asdict() for gate in self.gates]
        content["importances"] = self.importances and dict(self.importances)
        content["learning_curves"] = self.learning_curves and {
            key: list(values) for key, values in self.learning_curves.items()
        }
        content["notes"] = [*self.evaluation.notes, *self.notes]
        lines = (
            f"  {json.dumps(key)}: {json.dumps(_finite(value), allow_nan=False)}" for key, value in content.items()
        )
        return "{\n" + ",\n".join(lines) + "\n}\n"


def _finite(value: Any) -> Any:
    """Replace floats that JSON does not know by None, at any depth."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return value
