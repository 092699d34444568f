"""A forest grown step by step: progress, checkpoints, and memory that is judged before it is needed."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from jobs import resources
from jobs.checkpoint import Checkpoint
from jobs.pipelines import Progress
from jobs.pipelines.random_forest.engines import Engine, add_with_sklearn
from jobs.pipelines.random_forest.saving import dump_skops, load_skops

_NODE_BYTES = 64
"""Size of a node in scikit-learn's trees, beside the values of its classes."""

_STEPS = 10
"""Parts in which a forest is grown, the steps of its progress, unless they are larger than the following."""

_FIRST_STEP = 10
"""Trees (about) after which the memory for all is judged."""

_MOST_IN_STEP = 1_000
"""Trees in a step: after each there is a checkpoint."""

_TREES = "trees-from-{}.{}.skops"
"""File of a checkpoint: the trees of one step, named by how many there were before it and by what grew them."""


def steps(n_trees: int, least: int) -> Iterator[int]:
    """Yield how many trees there are after each step; each but the last adds a multiple of `least`."""
    step = least * max(1, min(n_trees // (_STEPS * least), _MOST_IN_STEP // least))
    first = min(step, least * math.ceil(_FIRST_STEP / least))
    if first < min(step, n_trees):
        yield first
    yield from range(step, n_trees, step)
    yield n_trees


def grow(
    forest: Any, engine: Engine, X: np.ndarray, y: np.ndarray, *, on_progress: Progress, checkpoint: Checkpoint
) -> None:
    """Grow all trees, but for those that `checkpoint` has, and write the others there.

    Parameters
    ----------
    forest : a `RandomForestClassifier`, not fitted, with `n_jobs` threads.
    X, y : float32, shape (n_samples, n_features), and labels, shape (n_samples,).

    Raises
    ------
    FitError
        When the trees that are still to come can't fit the memory, or oneDAL does not grow them.
    """
    n_trees = forest.n_estimators
    forest.set_params(warm_start=True).estimators_ = _restore(checkpoint, engine)
    if 0 < len(forest.estimators_) < n_trees:
        on_progress("trees", len(forest.estimators_), n_trees)
    for n_after in steps(n_trees, engine.least_step(forest.n_jobs, X)):
        n_before = len(forest.estimators_)
        if n_after <= n_before and n_after < n_trees:
            continue
        engine.add(forest, n_after, X, y)
        checkpoint.write(
            _TREES.format(n_before, engine.name), partial(dump_skops, forest.estimators_[n_before:], compress=False)
        )
        resources.trim_memory()
        _require_memory(forest, n_trees)
        on_progress("trees", n_after, n_trees)
    # Sets what a fitted forest has besides its trees, whichever engine grew them.
    add_with_sklearn(forest, n_trees, X, y)
    forest.set_params(warm_start=False)


def _restore(checkpoint: Checkpoint, engine: Engine) -> list[Any]:
    """Return the trees that an interrupted fit has grown."""
    trees: list[Any] = []
    while more := checkpoint.read(_TREES.format(len(trees), engine.name), load_skops):
        trees += more
    return trees


def _require_memory(forest: Any, n_trees: int) -> None:
    """Raise FitError if the trees that are still to come, each as large as those grown, can't fit the memory."""
    trees = [each.tree_ for each in forest.estimators_[-_MOST_IN_STEP:]]
    grown = sum(tree.node_count * (_NODE_BYTES + tree.value[0].nbytes) for tree in trees)
    advice = "give the job more memory, fewer --param n_estimators, or a --param max_depth"
    still = grown * (n_trees - len(forest.estimators_)) // len(trees)
    resources.require_memory(still, f"a forest of {n_trees} such trees", advice)
