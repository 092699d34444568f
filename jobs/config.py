"""What one job was asked to do: checked settings, nothing else."""

import difflib
import hashlib
import math
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from jobs.errors import ConfigError

T = TypeVar("T")

_UNIONS = (typing.Union, types.UnionType)

LARGEST = 2**31 - 1
"""Integers beyond do not fit the C types that the libraries keep them in."""

Tracking = Literal["auto", "required", "off"]
IfLocked = Literal["fail", "skip", "wait"]

_AGE = re.compile(r"(\d+(?:\.\d+)?) ?(s|min|h|d|w)")
_UNIT_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_MOST_OF_NAME = 100

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
    random_state : seed of the split and of the fit.
    min : gates, each METRIC=VALUE: the least value that is accepted.
    runs_dir : folder in which the run directory is made.
    name : of the job, of which one at a time is at work in a runs folder; pipeline and data file if None.
    if_locked : what to do if one is: `fail`, `skip` (nothing to be done), or `wait` until it has ended.
    force : train even if nothing changed since the last finished run, and resume none.
    max_age : age, such as `30d`, from which on a finished run does not stand for an unchanged one any more.
    experiment : MLflow experiment; the pipeline's name if None.
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
    random_state: int = 42
    min: tuple[str, ...] = ()
    runs_dir: Path = Path("runs")
    name: str | None = None
    if_locked: IfLocked = "fail"
    force: bool = False
    max_age: str | None = None
    experiment: str | None = None
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
        if self.model_name is not None and (not self.model_name.strip() or set(self.model_name) & set("/:")):
            raise ConfigError(f"--model-name must not be blank nor contain / or :, got {self.model_name!r}")
        if self.name is not None and not (_NAME.fullmatch(self.name) and len(self.name) <= _MOST_OF_NAME):
            raise ConfigError(
                f"--name must be of letters, digits, `_`, `-` and, but not first, `.`, {_MOST_OF_NAME} at most, got {self.name!r}"
            )
        if self.max_age is not None:
            parse_age("--max-age", self.max_age)
        _ = self.params, self.minimums

    def job_name(self, job: str) -> str:
        """Return the name of this job, fit for a file's name; `job` is `train` or `evaluate`."""
        name = self.name or f"{self.pipeline or job}-{self.data.name.partition('.')[0]}"
        fit = re.sub(r"[^A-Za-z0-9_.-]+|^\.+", "_", name)[:_MOST_OF_NAME]
        # Else files would meet that differ only in what a name can't hold.
        return fit if fit == name else f"{fit}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:6]}"


def parse_age(option: str, text: str) -> float:
    """Return the seconds of an age such as `30d`; raise ConfigError if it is none."""
    found = _AGE.fullmatch(text.strip())
    if not found:
        raise ConfigError(f"{option} must be a number with a unit ({', '.join(_UNIT_SECONDS)}) as in 30d, got {text!r}")
    return float(found[1]) * _UNIT_SECONDS[found[2]]


def _minimum(metric: str, text: str) -> float:
    """Return the value of a gate; raise ConfigError if it is none."""
    if metric not in GATES:
        raise ConfigError(f"--min takes one of {', '.join(GATES)}, got {metric!r}{_did_you_mean(metric, GATES)}")
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


def parse_params(pipeline: str, kind: type[T], texts: Mapping[str, str]) -> T:
    """Return the pipeline's parameters with the types that its dataclass `kind` declares.

    Raises
    ------
    ConfigError
        For an unknown name, a text that is not of the declared type, and a value that `kind` itself refuses.
    """
    hints = typing.get_type_hints(kind)
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    values = {}
    for name, text in texts.items():
        if name not in known:
            message = f"--param {name} is not a parameter of {pipeline}{_did_you_mean(name, known)}; it takes "
            raise ConfigError(message + ", ".join(describe_param(each, hints) for each in known.values()))
        try:
            values[name] = _parse(text, hints[name])
        except ValueError:
            raise ConfigError(f"--param {name} must be {_type_name(hints[name])}, got {text!r}") from None
        except OverflowError:
            message = f"--param {name} must be an integer from -{LARGEST} to {LARGEST}, got {text}"
            raise ConfigError(message) from None
    try:
        return kind(**values)
    except ValueError as error:
        raise ConfigError(f"--param {error}") from None


def describe_param(parameter: Field[Any], hints: Mapping[str, Any]) -> str:
    """Return `name (type, default)`."""
    default = "" if parameter.default is MISSING else f", {parameter.default}"
    return f"{parameter.name} ({_type_name(hints[parameter.name])}{default})"


def _parse(text: str, hint: Any) -> Any:
    """Return `text` as a value of the type `hint`; raise ValueError, and OverflowError for too large an integer."""
    if typing.get_origin(hint) in _UNIONS:
        return _first_that_fits(text, hint.__args__)
    if typing.get_origin(hint) is Literal:
        if text not in hint.__args__:
            raise ValueError(text)
        return text
    if hint is types.NoneType:
        if text.lower() != "none":
            raise ValueError(text)
        return None
    if hint is bool:
        return _parse_bool(text)
    if hint is int and abs(int(text)) > LARGEST:
        raise OverflowError(text)
    return hint(text)


def _parse_bool(text: str) -> bool:
    """Return the truth that a text names; raise ValueError."""
    try:
        return {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _first_that_fits(text: str, hints: Iterable[Any]) -> Any:
    """Return `text` as the first of several types that takes it; raise ValueError."""
    for hint in hints:
        try:
            return _parse(text, hint)
        except ValueError:
            continue
    raise ValueError(text)


def _type_name(hint: Any) -> str:
    """Return a type in a user's words."""
    if typing.get_origin(hint) in _UNIONS:
        return " or ".join(_type_name(each) for each in hint.__args__)
    if typing.get_origin(hint) is Literal:
        return " or ".join(repr(each) for each in hint.__args__)
    return {int: "an integer", float: "a number", bool: "true or false", str: "a text", types.NoneType: "none"}[hint]


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
