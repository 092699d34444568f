"""What grows the trees: scikit-learn itself, or oneDAL through scikit-learn-intelex, several times faster.

oneDAL sorts each feature into bins of equally many rows and looks for the best split between bins, where scikit-learn looks
between all values. So the forests differ from tree to tree, and their accuracies by chance, unless classes change back and
forth inside one bin. Its trees are scikit-learn's own, so the model is a plain `RandomForestClassifier` that predicts and
loads without it.
"""

import importlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from jobs import resources
from jobs.errors import ConfigError, FitError

_MOST_IN_CHUNK = 10
"""Trees that oneDAL grows at a time, each time from a seed of their own; with fewer, sorting the features costs more."""

_CELLS_IN_CHUNK = 250_000_000
"""Trees x rows x features in a chunk, but for a single tree: some 8 s of two cores in which nothing else can be done."""

_LEAST_BINS, _MOST_BINS = 256, 16_384
"""Bins of each feature: the least is oneDAL's default; with the most it is half as fast again as scikit-learn, not four
times as fast."""

_NODE_BYTES = 200
"""What a node takes while a chunk is handed over: in oneDAL's trees, and in scikit-learn's of a few classes."""

_INNER_NODES = 0.3
"""Inner nodes of a tree for each row, of rows that can hardly be learnt: 1,000,000 of 5 noisy features gave 0.29."""

_SORTED = 1.75
"""Size of oneDAL's sorted features, as a share of the rows'."""

_FEW_ROWS = 1_000
"""First rows that tell a column of fractions, of which most have one there."""

_LARGEST = 1e38
"""Beyond, the middle of two values may be no float32."""

LEAST_WORK = 3_000_000
"""Rows x trees x features tried at a node from which on `auto` takes oneDAL: scikit-learn needs about a second there, twice
as long as oneDAL with its import (0.1 s); under it, where nothing is to be gained, it stays with the reference's forest."""


@dataclass(frozen=True)
class Engine:
    """What grows the trees of a forest.

    Parameters
    ----------
    name : `sklearn` or `intelex`.
    reason : why this one.
    """

    name: Literal["sklearn", "intelex"]
    reason: str

    @property
    def add(self) -> Callable[[Any, int, np.ndarray, np.ndarray], None]:
        """The function that grows a forest (a `RandomForestClassifier` with `warm_start`) up to a number of trees."""
        return add_with_intelex if self.name == "intelex" else add_with_sklearn

    def least_step(self, threads: int, X: np.ndarray) -> int:
        """Return how many trees it grows at a time at least, for which no thread is idle and the forest is the same."""
        return _chunk(X) if self.name == "intelex" else threads


def missing() -> str | None:
    """Return why oneDAL can't be used at all here, None if it can."""
    if find_spec("sklearnex") is None:
        return "is not installed (pip install 'mljobs[intelex]', for Linux on x86-64)"
    return None


def refusal(criterion: str, *, bootstrap: bool, class_weight: str | None) -> str | None:
    """Return which parameters oneDAL does not know, None if it knows all."""
    if criterion != "gini":
        return f"knows no criterion but gini, got {criterion}"
    if class_weight is not None and bootstrap:
        return f"knows no class_weight together with bootstrap, got {class_weight}"
    return None


def choose(asked: str, forest: Any, X: np.ndarray, y: np.ndarray) -> Engine:
    """Return the engine for a forest on these rows.

    Parameters
    ----------
    asked : `auto`, `sklearn` or `intelex`.
    forest : a `RandomForestClassifier`, not fitted.
    X, y : float32, shape (n_samples, n_features), and labels, shape (n_samples,).

    Raises
    ------
    ConfigError
        When `intelex` is asked for and can't be had.
    FitError
        When it is asked for and can't fit the memory.
    """
    if asked == "sklearn":
        return Engine("sklearn", "asked for")
    work = len(X) * forest.n_estimators * _tried_at_a_node(forest.max_features, X.shape[1])
    if asked == "auto" and work < LEAST_WORK:
        return Engine("sklearn", "so few rows and trees take it about a second or less")
    need, obstacle = _need(forest, X), _obstacle(forest, X, y)
    if asked == "intelex":
        if obstacle:
            raise ConfigError(f"--param engine=intelex: scikit-learn-intelex {obstacle}; take engine=auto or sklearn")
        resources.require_memory(need, "growing trees with oneDAL", "give the job more, or take engine=auto or sklearn")
        return Engine("intelex", "asked for")
    if obstacle is None and need > resources.available_memory():
        obstacle = f"needs {need >> 20:,} MiB of memory, more than there is"
    if obstacle:
        return Engine("sklearn", f"scikit-learn-intelex {obstacle}")
    return Engine("intelex", "several times faster on so many rows and trees")


def _tried_at_a_node(max_features: str | float | None, n_features: int) -> int:
    """Return how many features are tried for each split."""
    if isinstance(max_features, str):
        return max(1, int(getattr(math, max_features)(n_features)))
    if isinstance(max_features, float):
        return max(1, int(max_features * n_features))
    return n_features if max_features is None else min(max_features, n_features)


def _need(forest: Any, X: np.ndarray) -> int:
    """Return about how many bytes oneDAL takes for a chunk, at most, and its trees when they are scikit-learn's."""
    inner = min(_INNER_NODES * len(X), 2.0 ** (forest.max_depth or 64), forest.max_leaf_nodes or len(X))
    trees = 2 * inner * min(_chunk(X), forest.n_estimators) * _NODE_BYTES
    return int(_SORTED * X.nbytes + trees)


def _obstacle(forest: Any, X: np.ndarray, y: np.ndarray) -> str | None:
    """Return why oneDAL can't grow this forest on these rows, None if it can."""
    known = refusal(forest.criterion, bootstrap=forest.bootstrap, class_weight=forest.class_weight)
    if obstacle := missing() or known or _unloadable():
        return obstacle
    n_missing = sum(int(np.count_nonzero(np.isnan(column))) for column in X.T)
    if n_missing:
        return f"takes no missing values, found {n_missing:,}"
    if max(float(np.abs(column).max()) for column in X.T) > _LARGEST:
        return f"takes no values beyond {_LARGEST:g}"
    if (y == y[0]).all():
        return "takes no rows that are all of one class"
    return None


def _unloadable() -> str | None:
    """Return why its libraries can't be loaded, as on a processor that they are not made for."""
    try:
        importlib.import_module("sklearnex.ensemble")
    except (ImportError, OSError, RuntimeError) as error:
        return f"can't be loaded here ({error})"
    return None


def add_with_sklearn(forest: Any, n_trees: int, X: np.ndarray, y: np.ndarray) -> None:
    """Grow up to `n_trees`: `warm_start` continues the random stream, so that the forest equals one grown at once."""
    with warnings.catch_warnings():
        # Weights of classes are balanced over what each `fit` sees; here that is all the data in every step.
        warnings.filterwarnings("ignore", "class_weight presets .* warm_start", UserWarning)
        # All may be there already but what else `fit` sets.
        warnings.filterwarnings("ignore", "Warm-start fitting without increasing n_estimators", UserWarning)
        forest.set_params(n_estimators=n_trees).fit(X, y)


def add_with_intelex(forest: Any, n_trees: int, X: np.ndarray, y: np.ndarray) -> None:
    """Grow up to `n_trees` in chunks, each from a seed that is derived from its first tree: so none depends on the others.

    The forest is the same for any number of threads. A signal waits for the end of a chunk.

    Raises
    ------
    FitError
        When scikit-learn-intelex left the trees to scikit-learn, for a reason that `choose` does not know.
    """
    from sklearnex.ensemble import RandomForestClassifier

    codes = np.unique(y, return_inverse=True)[1]
    settings = forest.get_params() | {"warm_start": False, "max_bins": _bins(X)}
    chunk_size = _chunk(X)
    for start in range(len(forest.estimators_), n_trees, chunk_size):
        seed = np.random.SeedSequence((forest.random_state, start)).generate_state(1)[0]
        settings |= {"n_estimators": min(chunk_size, n_trees - start), "random_state": int(seed)}
        chunk = RandomForestClassifier(**settings).fit(X, codes)
        if not hasattr(chunk, "_onedal_estimator"):
            # It falls back to scikit-learn without a word; `choose` is to know all the reasons.
            raise FitError("scikit-learn-intelex did not grow the trees with oneDAL; take --param engine=sklearn")
        forest.estimators_ += chunk.estimators_


def _chunk(X: np.ndarray) -> int:
    """Return how many trees are grown at a time; by the rows alone, since other chunks would be another forest."""
    return max(1, min(_MOST_IN_CHUNK, _CELLS_IN_CHUNK // X.size))


def _bins(X: np.ndarray) -> int:
    """Return into how many bins each feature is sorted: enough to tell apart all values of whole numbers and categories.

    Such values are names as often as they are amounts, and neighbours have nothing in common then. Bins are of equally many
    rows, so that it takes some more of them than there are values.
    """
    whole = (column for column in X.T if _is_whole(column[:_FEW_ROWS]) and _is_whole(column))
    distinct = [len(np.unique(column)) for column in whole]
    return max(_LEAST_BINS, min(_MOST_BINS, 4 * max(distinct, default=0)))


def _is_whole(column: np.ndarray) -> bool:
    """Tell whether all values are whole numbers."""
    return bool((column == np.floor(column)).all())
