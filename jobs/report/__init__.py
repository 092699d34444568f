"""One evaluation, three readers: a page for people, Markdown for terminals and forges, JSON for programs."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from jobs.contract.drift import Drift
from jobs.evaluation import Evaluation
from jobs.evaluation.comparison import Comparison, least_gain

if TYPE_CHECKING:
    from jobs.evaluation.duplicates import Duplicates

__all__ = ["Decision", "Gate", "Report"]

ALPHA = 0.05
"""Level at which a holdout is said what it can show, if nothing was compared."""


class Gate(NamedTuple):
    """A metric that must be at least so much; the value is None if the metric can't be had."""

    metric: str
    least: float
    value: float | None
    passed: bool


class Decision(NamedTuple):
    """Whether the model takes the champion's place.

    Parameters
    ----------
    model : name in the registry.
    verdict : `promote` if it does, `keep` if not, `undecided` if that is found out later.
    champion : what people call the present champion, such as `version 3`; None if there is none yet.
    rule : what was asked for.
    reason : why it went so, one sentence.
    """

    model: str
    verdict: Literal["promote", "keep", "undecided"]
    champion: str | None
    rule: str
    reason: str


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
    duplicates : rows of the holdout that were trained on too.
    decision : whether the model was promoted.
    comparison : with the champion; with the most frequent class of the training rows if there is none.
    drift : of the data from the contract.
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
    duplicates: "Duplicates | None" = None
    decision: Decision | None = None
    comparison: Comparison | None = None
    drift: Drift | None = None

    @property
    def alpha(self) -> float:
        """The level of what is said about chance."""
        return self.comparison.alpha if self.comparison else ALPHA

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
        content["least_gain"] = least_gain(self.evaluation.n_samples, self.alpha)
        content["duplicates"] = self.duplicates and asdict(self.duplicates)
        content["decision"] = self.decision and self.decision._asdict()
        content["comparison"] = self.comparison and self.comparison.to_json()
        content["drift"] = self.drift and self.drift.to_json(most=None)
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
