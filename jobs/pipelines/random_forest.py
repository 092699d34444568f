"""A scikit-learn random forest on a table."""

import math
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast
from zipfile import BadZipFile

import numpy as np

from jobs import resources
from jobs.checkpoint import Checkpoint
from jobs.datasets import Dataset, Schema
from jobs.errors import ConfigError, DataError, NoInputError
from jobs.pipelines import Fitted, Model, Progress, pinned

SUMMARY = "scikit-learn random forest on a CSV with a column of labels"
REQUIRES = ("sklearn", "pandas", "skops")
FORMATS = ("skops", "joblib")
INSTALL = "install mljobs with its dependencies"
SUFFIX = ".csv"

TRUSTED_TYPES = ("sklearn.tree._tree.Tree", "sklearn.compose._column_transformer._RemainderColsList", "numpy.dtype")
"""What a model file may hold beyond skops' own safe list; fixed here, never taken from the file."""

_NODE_BYTES = 64
"""Size of a node in scikit-learn's trees, beside the values of its classes."""

_STEPS = 10
"""Parts in which a forest is grown, the steps of its progress, unless they are larger than the following."""

_FIRST_STEP = 10
"""Trees (about) after which the memory for all is judged."""

_MOST_IN_STEP = 1_000
"""Trees in a step: between two of them a job can be stopped."""

_CHUNK = "trees-from-{}.skops"
"""File of a checkpoint: the trees of one step, named by how many there were before it."""


@dataclass(frozen=True)
class Params:
    """Parameters of `sklearn.ensemble.RandomForestClassifier`, with its meaning and defaults."""

    n_estimators: int = 100
    criterion: Literal["gini", "entropy", "log_loss"] = "gini"
    max_depth: int | None = None
    min_samples_split: int | float = 2
    min_samples_leaf: int | float = 1
    max_features: Literal["sqrt", "log2"] | int | float | None = "sqrt"
    max_leaf_nodes: int | None = None
    bootstrap: bool = True
    class_weight: Literal["balanced", "balanced_subsample"] | None = None

    def __post_init__(self) -> None:
        """Refuse what scikit-learn would refuse only after the data are read."""
        for name in ("n_estimators", "max_depth"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.max_leaf_nodes is not None and self.max_leaf_nodes <= 1:
            raise ValueError(f"max_leaf_nodes must be at least 2, got {self.max_leaf_nodes}")
        _check_share("min_samples_split", self.min_samples_split, least=2)
        _check_share("min_samples_leaf", self.min_samples_leaf, least=1, whole=False)
        if not isinstance(self.max_features, (str, type(None))):
            _check_share("max_features", self.max_features, least=1)


def _check_share(name: str, value: float, *, least: int, whole: bool = True) -> None:
    """Raise ValueError unless `value` is a count from `least` on, or a share of the rows, of all only if `whole`."""
    fits = value >= least if isinstance(value, int) else 0 < value < 1 or (whole and value == 1)
    if not fits:
        share = f"a share above 0.0 and {'up to' if whole else 'below'} 1.0"
        raise ValueError(f"{name} must be an integer from {least} on, or {share}, got {value}")


def _steps(n_trees: int, threads: int) -> Iterator[int]:
    """Yield how many trees there are after each step; each but the last adds as many for every thread."""
    step = threads * max(1, min(n_trees // (_STEPS * threads), _MOST_IN_STEP // threads))
    first = min(step, threads * math.ceil(_FIRST_STEP / threads))
    if first < min(step, n_trees):
        yield first
    yield from range(step, n_trees, step)
    yield n_trees


def prepare(threads: int) -> None:
    """Import scikit-learn; joblib's threads are set by `fit`."""
    import sklearn.compose
    import sklearn.ensemble  # noqa: F401


def read(path: Path, *, target: str, schema: Schema | None, scratch: Path, split_key: str | None = None) -> Dataset:
    """Read a CSV."""
    from jobs.datasets import table

    return table.read_csv(path, target=target, schema=schema, split_key=split_key)


def write(dataset: Dataset, path: Path) -> None:
    """Write a CSV."""
    from jobs.datasets import csv_writer

    csv_writer.write_csv(dataset, path)


def fit(
    train: Dataset,
    holdout: Dataset,
    params: Params,
    *,
    random_state: int,
    threads: int,
    on_progress: Progress,
    checkpoint: Checkpoint,
) -> Fitted:
    """Grow the forest in steps; it equals the forest grown at once (`warm_start` continues the random stream)."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import Pipeline

    columns = _columns(train.schema["columns"])
    X = columns.fit_transform(train.X)
    forest = RandomForestClassifier(**vars(params), random_state=random_state, n_jobs=threads, warm_start=True)
    forest.estimators_ = _restore(checkpoint)
    if 0 < len(forest.estimators_) < params.n_estimators:
        on_progress("trees", len(forest.estimators_), params.n_estimators)
    for n_trees in _steps(params.n_estimators, threads):
        n_before = len(forest.estimators_)
        if n_trees <= n_before and n_trees < params.n_estimators:
            continue
        with warnings.catch_warnings():
            # Weights of classes are balanced over what each `fit` sees; here that is all the data in every step.
            warnings.filterwarnings("ignore", "class_weight presets .* warm_start", UserWarning)
            # All may be there already but what else `fit` sets.
            warnings.filterwarnings("ignore", "Warm-start fitting without increasing n_estimators", UserWarning)
            forest.set_params(n_estimators=n_trees).fit(X, train.y)
        checkpoint.write(_CHUNK.format(n_before), partial(_dump, forest.estimators_[n_before:]))
        resources.trim_memory()
        _require_memory(forest, params.n_estimators)
        on_progress("trees", n_trees, params.n_estimators)
    # One thread: with more, probabilities are summed in the order in which threads end, and their last bits vary.
    forest.set_params(n_jobs=None, warm_start=False)
    importances = dict(zip(columns.get_feature_names_out(), forest.feature_importances_.tolist(), strict=True))
    return Fitted(Pipeline([("columns", columns), ("forest", forest)]), importances=importances)


def _restore(checkpoint: Checkpoint) -> list[Any]:
    """Return the trees that an interrupted fit has grown."""
    trees: list[Any] = []
    while more := checkpoint.read(_CHUNK.format(len(trees)), _load_skops):
        trees += more
    return trees


def _dump(trees: list[Any], path: Path) -> None:
    """Write some trees."""
    import skops.io

    skops.io.dump(trees, path)


def _require_memory(forest: Any, n_trees: int) -> None:
    """Raise FitError if the trees that are still to come, each as large as those grown, can't fit the memory."""
    trees = [each.tree_ for each in forest.estimators_[-_MOST_IN_STEP:]]
    grown = sum(tree.node_count * (_NODE_BYTES + tree.value[0].nbytes) for tree in trees)
    advice = "give the job more memory, fewer --param n_estimators, or a --param max_depth"
    still = grown * (n_trees - len(forest.estimators_)) // len(trees)
    resources.require_memory(still, f"a forest of {n_trees} such trees", advice)


def _columns(kinds: Mapping[str, str]) -> Any:
    """Return the transformer of raw columns: numbers as they are, text as numbers, missing as NaN."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OrdinalEncoder

    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.float32)
    choices = (("numeric", "passthrough"), ("text", encoder))
    selected = ((kind, step, [name for name, found in kinds.items() if found == kind]) for kind, step in choices)
    return ColumnTransformer([each for each in selected if each[2]], verbose_feature_names_out=False)


def save(model: Any, folder: Path, train: Dataset, model_format: str) -> None:
    """Write an MLflow model: skops, or joblib if asked for."""
    example = _example(train)
    card = {
        "input_example": example,
        "signature": _signature(example, train.classes),
        "pip_requirements": pinned("scikit-learn", "pandas", "numpy", "skops", "joblib"),
    }
    (_save_joblib if model_format == "joblib" else _save_skops)(model, folder, card)


def _save_skops(model: Any, folder: Path, card: Mapping[str, Any]) -> None:
    """Write what `mlflow.sklearn.save_model` writes, but compressed, and without loading it again as that does.

    A forest is several hundred MB soon: reading it back takes three times its size in memory, and a quarter of it is
    left after the fastest compression.
    """
    import mlflow.pyfunc
    import sklearn
    import skops.io
    from mlflow.models import Model as Described

    file = folder / "model.skops"
    described = Described()
    described.add_flavor(
        "sklearn",
        pickled_model=file.name,
        sklearn_version=sklearn.__version__,
        serialization_format="skops",
        code=None,
        skops_trusted_types=list(TRUSTED_TYPES),
    )
    mlflow.pyfunc.save_model(str(folder), loader_module="mlflow.sklearn", mlflow_model=described, **card)
    skops.io.dump(model, file, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    described.flavors["python_function"]["model_path"] = file.name
    described.model_size_bytes = file.stat().st_size
    described.save(str(folder / "MLmodel"))


def _save_joblib(model: Any, folder: Path, card: Mapping[str, Any]) -> None:
    """Write a joblib pickle that MLflow loads through this module."""
    import joblib
    import mlflow.pyfunc

    aside = folder.with_name("model.joblib")
    joblib.dump(model, aside)
    mlflow.pyfunc.save_model(str(folder), loader_module=__name__, data_path=str(aside), **card)
    aside.unlink()


def _load_pyfunc(path: str) -> Any:
    """Load a joblib model for MLflow; whoever calls `mlflow.pyfunc.load_model` has chosen to unpickle."""
    import joblib

    return joblib.load(path)


def _example(train: Dataset) -> Any:
    """Return the first rows as a person would send them: numbers as float64."""
    head = train.X.head(5)
    numeric = [name for name, kind in train.schema["columns"].items() if kind == "numeric"]
    return head.astype(dict.fromkeys(numeric, np.float64)).reset_index(drop=True)


def _signature(example: Any, classes: np.ndarray) -> Any:
    """Return the MLflow signature: a column each, missing values allowed; labels out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType
    from mlflow.types import Schema as ColumnSchema

    kinds = [DataType.double if each == np.float64 else DataType.string for each in example.dtypes]
    label = {"i": DataType.long, "b": DataType.boolean}.get(classes.dtype.kind, DataType.string)
    inputs = [ColSpec(kind, name) for name, kind in zip(example.columns, kinds, strict=True)]
    return ModelSignature(inputs=ColumnSchema(inputs), outputs=ColumnSchema([ColSpec(label)]))


def load(folder: Path, *, classes: np.ndarray, trust_pickle: bool) -> Model:
    """Read a model folder; a pickle only if it is trusted.

    Raises
    ------
    NoInputError
        No model file is there.
    DataError
        It is damaged, or holds types that a forest has no need of.
    ConfigError
        It is a pickle and not trusted.
    """
    if (folder / "model.skops").is_file():
        return cast("Model", _load_skops(folder / "model.skops"))
    pickled = folder / "data" / "model.joblib"
    if not pickled.is_file():
        raise NoInputError(f"{folder} holds neither model.skops nor data/model.joblib")
    if not trust_pickle:
        raise ConfigError(
            f"{pickled} is a pickle, and loading it can run any code: add --trust-pickle if you know who made it"
        )
    return cast("Model", _load_pyfunc(str(pickled)))


def _load_skops(path: Path) -> Any:
    """Read a skops file that holds nothing but what a forest needs."""
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.load(path, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        raise DataError(f"{path} holds types that no forest of mljobs has: {error}") from error
    except (BadZipFile, KeyError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}); was it copied to the end?") from error
