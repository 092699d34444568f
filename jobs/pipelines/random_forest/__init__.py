"""A scikit-learn random forest on a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from jobs.checkpoint import Checkpoint
from jobs.datasets import Dataset, Schema
from jobs.pipelines import Fitted, Progress
from jobs.pipelines.random_forest import engines
from jobs.pipelines.random_forest.growing import grow
from jobs.pipelines.random_forest.saving import FORMATS, _load_pyfunc, load, save

__all__ = ["FORMATS", "INSTALL", "REQUIRES", "SUFFIX", "SUMMARY", "Params", "_load_pyfunc", "fit", "load", "prepare"]
__all__ += ["read", "save", "write"]

SUMMARY = "scikit-learn random forest on a CSV with a column of labels"
REQUIRES = ("sklearn", "pandas", "skops")
INSTALL = "install mljobs with its dependencies"
SUFFIX = ".csv"


@dataclass(frozen=True)
class Params:
    """Parameters of `sklearn.ensemble.RandomForestClassifier`, with its meaning and defaults; `engine` grows the trees."""

    n_estimators: int = 100
    criterion: Literal["gini", "entropy", "log_loss"] = "gini"
    max_depth: int | None = None
    min_samples_split: int | float = 2
    min_samples_leaf: int | float = 1
    max_features: Literal["sqrt", "log2"] | int | float | None = "sqrt"
    max_leaf_nodes: int | None = None
    bootstrap: bool = True
    class_weight: Literal["balanced", "balanced_subsample"] | None = None
    engine: Literal["auto", "sklearn", "intelex"] = "auto"

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
        if self.engine == "intelex":
            unknown = engines.refusal(self.criterion, bootstrap=self.bootstrap, class_weight=self.class_weight)
            if obstacle := engines.missing() or unknown:
                raise ValueError(f"engine=intelex can't be had: scikit-learn-intelex {obstacle}")


def _check_share(name: str, value: float, *, least: int, whole: bool = True) -> None:
    """Raise ValueError unless `value` is a count from `least` on, or a share of the rows, of all only if `whole`."""
    fits = value >= least if isinstance(value, int) else 0 < value < 1 or (whole and value == 1)
    if not fits:
        share = f"a share above 0.0 and {'up to' if whole else 'below'} 1.0"
        raise ValueError(f"{name} must be an integer from {least} on, or {share}, got {value}")


def prepare(threads: int) -> None:
    """Import scikit-learn, and skops, which checkpoints need; joblib's threads are set by `fit`."""
    import sklearn.compose
    import sklearn.ensemble  # noqa: F401
    import skops.io  # noqa: F401


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
    """Grow the forest in steps, by the engine that fits parameters and rows."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import Pipeline

    columns = _columns(train.schema["columns"])
    X = _matrix(columns, train)
    settings = {name: value for name, value in vars(params).items() if name != "engine"}
    forest = RandomForestClassifier(**settings, random_state=random_state, n_jobs=threads)
    engine = engines.choose(params.engine, forest, X, train.y)
    grow(forest, engine, X, train.y, on_progress=on_progress, checkpoint=checkpoint)
    # One thread: with more, probabilities are summed in the order in which threads end, and their last bits vary.
    forest.set_params(n_jobs=None)
    importances = dict(zip(columns.get_feature_names_out(), forest.feature_importances_.tolist(), strict=True))
    facts = {"engine": engine.name, "engine_reason": engine.reason}
    return Fitted(Pipeline([("columns", columns), ("forest", forest)]), importances=importances, facts=facts)


def _columns(kinds: Mapping[str, str]) -> Any:
    """Return the transformer of raw columns: numbers as they are, text as numbers, missing as NaN."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OrdinalEncoder

    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.float32)
    choices = (("numeric", "passthrough"), ("text", encoder))
    selected = ((kind, step, [name for name, found in kinds.items() if found == kind]) for kind, step in choices)
    return ColumnTransformer([each for each in selected if each[2]], verbose_feature_names_out=False)


def _matrix(columns: Any, train: Dataset) -> np.ndarray:
    """Fit the transformer; return what it makes of the rows, float32, shape (n_samples, n_features).

    Numbers alone it would only copy, twice: a table of them is taken as it is.
    """
    if "text" in train.schema["columns"].values():
        return cast("np.ndarray", columns.fit_transform(train.X))
    columns.fit(train.X.head(1))
    return cast("np.ndarray", train.X.to_numpy(copy=False))
