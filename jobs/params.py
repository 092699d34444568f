"""A pipeline's parameters: texts to values of the types that it declares."""

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, Literal, TypeVar

from jobs.errors import ConfigError

T = TypeVar("T")

_UNIONS = (typing.Union, types.UnionType)

LARGEST = 2**31 - 1
"""Integers beyond do not fit the C types that the libraries keep them in."""


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
            message = f"--param {name} is not a parameter of {pipeline}{did_you_mean(name, known)}; it takes "
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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
