"""What one job was asked to do: checked settings, nothing else."""

import hashlib
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from jobs.errors import ConfigError
from jobs.params import did_you_mean

Tracking = Literal["auto", "required", "off"]
IfLocked = Literal["fail", "skip", "wait"]
Split = Literal["random", "stable"]
PromoteIf = Literal["better", "not-worse", "always"]

_AGE = re.compile(r"(\d+(?:\.\d+)?) ?(s|min|h|d|w)")
_UNIT_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_MOST_OF_NAME = 100
_MOST_DRIFT = 100
"""Population stability index that no data reach: each bin that becomes empty gives some units."""
_NOT_IN_MODEL_NAMES = "/:@?#"
"""They have a meaning in MLflow's URIs of models."""

GATES = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc")
"""Metrics that `--min` can hold a run to: those that grow with quality, from 0 to 1."""


@dataclass(frozen=True)
class JobConfig:
    """The settings of one job, as the command line or the environment gave them.

    Parameters
    ----------
    data : the data file.
    pipeline : name of a pipeline; an evaluation takes that of its model.
    model : only for an evaluation: a run directory, or an MLflow model URI.
    eval_data : file to evaluate on; then all of `data` is trained on.
    target : name of the label column (tables only).
    param : parameters of the pipeline, each KEY=VALUE; `parse_params` gives them their types.
    test_size : share of the rows held out, between 0 and 1.
    split : `random` draws the holdout as scikit-learn does; `stable` decides by the content of each row, so that a row
        stays on its side when others come, go or change places.
    split_key : column (of an NPZ: array) whose values decide in place of the content; it is no feature then.
    random_state : seed of the split and of the fit.
    min : gates, each METRIC=VALUE: the least value that is accepted.
    runs_dir : folder in which the run directory is made.
    name : of the job, of which one at a time is at work in a runs folder; pipeline and data file if None.
    if_locked : what to do if one is: `fail`, `skip` (nothing to be done), or `wait` until it has ended.
    force : train even if nothing changed since the last finished run, and resume none.
    max_age : age, such as `30d`, from which on a finished run does not stand for an unchanged one any more.
    experiment : MLflow experiment; the pipeline's name if None.
    promote : hold the model against the champion of its name, and let it take that place if it deserves it.
    promote_if : what it must be for that: `better` beyond chance, `not-worse`, or `always` if it passes the gates.
    alpha : how often, at most, a model that is no better may be taken for better; likewise for an alarm of drift.
    min_gain : least difference of the accuracies, the champion's subtracted.
    max_recall_drop : most that any class's recall may be under the champion's.
    require_improvement : a model that is not promoted is rejected.
    max_drift : gate: most population stability index that a column may have, if its drift is beyond chance.
    new_contract : the data are the contract from now on; they are not held against the champion's.
    model_name : name in the model registry; the pipeline's name if None.
    model_format : one of the pipeline's formats; its first if None.
    tracking : `auto` publishes if a server is configured and answers, `required` refuses to train without one.
    trust_pickle : load a model that is a pickle; unpickling can run any code.
    """

    data: Path
    pipeline: str = ""
    model: str | None = None
    eval_data: Path | None = None
    target: str = "target"
    param: tuple[str, ...] = ()
    test_size: float = 0.2
    split: Split = "random"
    split_key: str | None = None
    random_state: int = 42
    min: tuple[str, ...] = ()
    runs_dir: Path = Path("runs")
    name: str | None = None
    if_locked: IfLocked = "fail"
    force: bool = False
    max_age: str | None = None
    experiment: str | None = None
    promote: bool = False
    promote_if: PromoteIf = "better"
    alpha: float = 0.05
    min_gain: float = 0.0
    max_recall_drop: float = 0.1
    require_improvement: bool = False
    max_drift: float | None = None
    new_contract: bool = False
    model_name: str | None = None
    model_format: str | None = None
    tracking: Tracking = "auto"
    trust_pickle: bool = False

    @cached_property
    def params(self) -> dict[str, str]:
        """`param` as a dict; raises ConfigError."""
        return _split_pairs("--param", self.param)

    @cached_property
    def minimums(self) -> dict[str, float]:
        """`min` as numbers by metric; raises ConfigError."""
        return {metric: _minimum(metric, text) for metric, text in _split_pairs("--min", self.min).items()}

    def check(self) -> None:
        """Raise ConfigError if a value is outside its range."""
        if not 0 < self.test_size < 1:
            raise ConfigError(f"--test-size must be between 0 and 1 (both excluded), got {self.test_size}")
        if not 0 <= self.random_state < 2**32:
            raise ConfigError(f"--random-state must be from 0 to 4294967295, got {self.random_state}")
        if self.model_name is not None:
            check_model_name(self.model_name)
        if self.name is not None and not (_NAME.fullmatch(self.name) and len(self.name) <= _MOST_OF_NAME):
            raise ConfigError(
                f"--name must be of letters, digits, `_`, `-` and, but not first, `.`, {_MOST_OF_NAME} at most, got {self.name!r}"
            )
        if self.max_age is not None:
            parse_age("--max-age", self.max_age)
        self._check_split()
        self._check_promotion()
        _ = self.params, self.minimums

    def _check_split(self) -> None:
        """Raise ConfigError for a split key that nothing is split by."""
        if self.split_key is None:
            return
        if self.split != "stable" or self.eval_data is not None:
            why = "--eval-data says what is held out" if self.eval_data else f"not with --split {self.split}"
            raise ConfigError(f"--split-key decides the holdout with --split stable only; {why}")
        if self.split_key == self.target:
            raise ConfigError(f"--split-key must not be the column of labels, {self.target!r}")

    def _check_promotion(self) -> None:
        """Raise ConfigError for a rule of promotion that can't be one, or that nothing asks for."""
        for option, value, low, high in (
            ("--alpha", self.alpha, 1e-6, 0.5),
            ("--min-gain", self.min_gain, -1, 1),
            ("--max-recall-drop", self.max_recall_drop, 0, 1),
            ("--max-drift", self.max_drift, 0, _MOST_DRIFT),
        ):
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{option} must be a number from {low:g} to {high:g}, got {value}")
        asked: dict[str, bool] = {
            "--require-improvement": self.require_improvement,
            "--new-contract": self.new_contract,
        }
        asked["--max-drift"] = self.max_drift is not None
        for name in ("promote_if", "alpha", "min_gain", "max_recall_drop"):
            asked[f"--{name.replace('_', '-')}"] = getattr(self, name) != getattr(JobConfig, name)
        idle = [option for option, is_set in asked.items() if is_set]
        if idle and not self.promote:
            raise ConfigError(f"{idle[0]} needs a champion to be held against: add --promote")
        if self.new_contract and self.max_drift is not None:
            raise ConfigError("--max-drift has nothing to hold the data against with --new-contract")
        if self.promote and self.tracking == "off":
            raise ConfigError("--promote needs the model registry of a tracking server: not with --tracking off")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as the journal keeps them; paths are absolute."""
        return {name: str(each.absolute()) if isinstance(each, Path) else each for name, each in asdict(self).items()}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Return the settings of a journal; one of another version of this program may lack some, or have others."""
        found: dict[str, Any] = {each.name: said[each.name] for each in fields(cls) if said.get(each.name) is not None}
        for kind, names in ((Path, ("data", "eval_data", "runs_dir")), (tuple, ("param", "min"))):
            found.update({name: kind(found[name]) for name in names if name in found})
        return cls(**found)

    def job_name(self, job: str) -> str:
        """Return the name of this job, fit for a file's name; `job` is `train` or `evaluate`."""
        name = self.name or f"{self.pipeline or job}-{self.data.name.partition('.')[0]}"
        fit = re.sub(r"[^A-Za-z0-9_.-]+|^\.+", "_", name)[:_MOST_OF_NAME]
        # Else files would meet that differ only in what a name can't hold.
        return fit if fit == name else f"{fit}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:6]}"


def check_model_name(name: str) -> None:
    """Raise ConfigError for a name that no registered model can have."""
    if not name.strip() or set(name) & set(_NOT_IN_MODEL_NAMES):
        raise ConfigError(f"a model's name must not be blank nor contain one of {_NOT_IN_MODEL_NAMES}, got {name!r}")


def parse_age(option: str, text: str) -> float:
    """Return the seconds of an age such as `30d`; raise ConfigError if it is none."""
    found = _AGE.fullmatch(text.strip())
    if not found:
        raise ConfigError(f"{option} must be a number with a unit ({', '.join(_UNIT_SECONDS)}) as in 30d, got {text!r}")
    return float(found[1]) * _UNIT_SECONDS[found[2]]


def _minimum(metric: str, text: str) -> float:
    """Return the value of a gate; raise ConfigError if it is none."""
    if metric not in GATES:
        raise ConfigError(f"--min takes one of {', '.join(GATES)}, got {metric!r}{did_you_mean(metric, GATES)}")
    try:
        least = float(text)
    except ValueError:
        least = math.nan
    if not 0 <= least <= 1:
        raise ConfigError(f"--min {metric} must be a number from 0 to 1, got {text!r}")
    return least


def _split_pairs(option: str, pairs: Iterable[str]) -> dict[str, str]:
    """Return KEY=VALUE texts as a dict; raise ConfigError for one without `=` or a key given twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = (each.strip() for each in pair.partition("="))
        if not (equals and key):
            raise ConfigError(f"{option} takes KEY=VALUE, got {pair!r}")
        if key in found:
            raise ConfigError(f"{option} {key} is given twice: {found[key]!r} and {value!r}")
        found[key] = value
    return found
