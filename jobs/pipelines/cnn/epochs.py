"""The state of a fit between two epochs."""

import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jobs.checkpoint import Checkpoint
from jobs.errors import FitError

_STATE = "network.npz"
"""File of a checkpoint."""


def restore(network: Any, checkpoint: Checkpoint) -> dict[str, list[float]]:
    """Give a compiled network the state in which an interrupted fit left it; return the curves until there."""
    state = checkpoint.read(_STATE, _load)
    if state is None:
        return {}
    arrays, curves = state
    for variable, array in zip(_variables(network), arrays, strict=True):
        variable.assign(array)
    return curves


def _variables(network: Any) -> list[Any]:
    """Return the weights and what the optimiser keeps."""
    return [*network.variables, *network.optimizer.variables]


def _load(path: Path) -> tuple[list[np.ndarray], dict[str, list[float]]]:
    """Read what `_dump` wrote."""
    with np.load(path, allow_pickle=False) as state:
        arrays = [state[str(i)] for i in range(len(state.files) - 1)]
        return arrays, json.loads(str(state["curves"]))


def save(network: Any, curves: Mapping[str, list[float]], checkpoint: Checkpoint) -> None:
    """Keep the state at the end of an epoch."""
    checkpoint.write(_STATE, partial(_dump, network, curves))


def _dump(network: Any, curves: Mapping[str, list[float]], path: Path) -> None:
    """Write weights, the optimiser's moments, and the curves so far."""
    arrays = {str(i): variable.numpy() for i, variable in enumerate(_variables(network))}
    with path.open("wb") as file:
        np.savez(file, curves=json.dumps(curves), **arrays)


def require_finite(loss: float, epoch: int, epochs: int) -> None:
    """Raise FitError for a loss that is no number."""
    if not math.isfinite(loss):
        raise FitError(
            f"the loss is {loss} in epoch {epoch + 1} of {epochs}; "
            "try a smaller --param learning_rate, or look at the pixels' range"
        )
