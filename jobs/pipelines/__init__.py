"""The pipelines: each is one module of this folder, found by its file name and imported only when chosen.

A new one is one file that offers what `Pipeline` lists; there is no registry to edit.
"""

import importlib
import importlib.metadata
import importlib.util
import json
import pkgutil
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from jobs import __version__
from jobs.checkpoint import Checkpoint
from jobs.datasets import Dataset, Schema
from jobs.datasets.fingerprints import Fingerprints
from jobs.errors import ConfigError, DataError, NoInputError
from jobs.params import describe_param

CARD = "mljobs.json"
"""File in a model folder that says which pipeline made it and what data it takes."""


class Model(Protocol):
    """A fitted classifier, in scikit-learn's words."""

    classes_: np.ndarray

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities, shape (n_samples, n_classes), columns in the order of `classes_`."""
        ...


@dataclass(frozen=True)
class Fitted:
    """What a fit gives: the model, and what explains it.

    Parameters
    ----------
    model : the fitted model.
    importances : share of each feature in the decisions, summing to 1, or None.
    learning_curves : name of a metric to its value after each epoch, or None.
    facts : what a person should know of how it was fitted, by name, such as `engine`.
    """

    model: Model
    importances: Mapping[str, float] | None = None
    learning_curves: Mapping[str, list[float]] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


class Progress(Protocol):
    """Called by a fit after each part of its work."""

    def __call__(self, unit: str, done: int, total: int, **metrics: float) -> None:
        """`done` of `total` units (`epoch`, `trees`) are done; `metrics` are the values after this one."""
        ...


class Pipeline(Protocol):
    """What a module in this folder offers. Nothing heavy is imported before `prepare`."""

    SUMMARY: str
    """One line for `mljobs pipelines`."""
    REQUIRES: tuple[str, ...]
    """Import names without which it can't run."""
    FORMATS: tuple[str, ...]
    """Formats that `save` can write, the default first."""
    INSTALL: str
    """What a person without them does."""
    SUFFIX: str
    """How the names of files end that `write` writes."""
    Params: type[Any]
    """Frozen dataclass of parameters with defaults; raises ValueError for values out of range."""

    def prepare(self, threads: int) -> None:
        """Import the libraries and set their thread pools."""
        ...

    def read(
        self, path: Path, *, target: str, schema: Schema | None, scratch: Path, split_key: str | None = None
    ) -> Dataset:
        """Read and check a data file; `schema` is that of the training data if this is for evaluation.

        The column `split_key` is no feature but becomes the dataset's `groups`, and `schema["split_key"]` its name. A
        file for evaluation may have that column or not.
        """
        ...

    def write(self, dataset: Dataset, path: Path) -> None:
        """Write features and labels, but no groups, so that `read` with the dataset's schema gives back equal ones."""
        ...

    def fit(
        self,
        train: Dataset,
        holdout: Dataset,
        params: Any,
        *,
        random_state: int,
        threads: int,
        on_progress: Progress,
        checkpoint: Checkpoint,
    ) -> Fitted:
        """Train on `train`; `holdout` may be looked at for curves, never learnt from.

        What `checkpoint` holds is the state of an interrupted fit on the same data with the same parameters: the fit
        goes on from there, to the same model, and reports the whole progress again.
        """
        ...

    def save(self, model: Any, folder: Path, train: Dataset, model_format: str) -> None:
        """Write the model into `folder` as an MLflow model with signature, example and requirements."""
        ...

    def load(self, folder: Path, *, classes: np.ndarray, trust_pickle: bool) -> Model:
        """Read what `save` wrote; never unpickle unless `trust_pickle`."""
        ...


@dataclass(frozen=True)
class SavedModel:
    """A model folder: its pipeline, and the schema, labels and digest of what it was trained on."""

    folder: Path
    pipeline_name: str
    pipeline: Pipeline
    schema: Schema
    y_train: np.ndarray
    data_sha256: str

    def load(self, *, trust_pickle: bool) -> Model:
        """Read the model itself."""
        return self.pipeline.load(self.folder, classes=np.array(self.schema["classes"]), trust_pickle=trust_pickle)

    def fingerprints(self) -> Fingerprints | None:
        """Return those of the rows, and groups, that it was trained on, sorted; None for one of a version that kept none.

        Raises
        ------
        DataError
            When their file is broken.
        """
        return Fingerprints.load(self.folder, self.schema.get("split_key"))


def names() -> list[str]:
    """Return the names of all pipelines, sorted."""
    return sorted(each.name.replace("_", "-") for each in pkgutil.iter_modules(__path__))


def find(name: str) -> Pipeline:
    """Return the pipeline called `name`, importing its module; raise ConfigError if it can't run here."""
    if name not in names():
        raise ConfigError(f"there is no pipeline {name!r}; there are {', '.join(names())}")
    pipeline = _module(name)
    if missing := _missing(pipeline):
        raise ConfigError(f"pipeline {name} needs {', '.join(missing)}, not installed here: {pipeline.INSTALL}")
    return pipeline


def _module(name: str) -> Pipeline:
    """Import the module of a pipeline; cheap, see `Pipeline`."""
    return cast("Pipeline", importlib.import_module(f"{__name__}.{name.replace('-', '_')}"))


def _missing(pipeline: Pipeline) -> list[str]:
    """Return the packages that the pipeline needs and that are not installed."""
    return [each for each in pipeline.REQUIRES if importlib.util.find_spec(each) is None]


def describe(name: str) -> str:
    """Return what a person should know to choose a pipeline: its summary, whether it can run here, its parameters."""
    pipeline = _module(name)
    missing = _missing(pipeline)
    hints = typing.get_type_hints(pipeline.Params)
    lines = [f"{name}  {pipeline.SUMMARY}", *(f"  {describe_param(each, hints)}" for each in fields(pipeline.Params))]
    return "\n".join([*lines, f"  not installed here: {pipeline.INSTALL}"] if missing else lines)


def model_format(name: str, pipeline: Pipeline, asked: str | None) -> str:
    """Return the format to save in; raise ConfigError if the pipeline does not know the one that was asked for."""
    if asked is not None and asked not in pipeline.FORMATS:
        raise ConfigError(f"--model-format {asked} is not one of {name}'s: {', '.join(pipeline.FORMATS)}")
    return asked or pipeline.FORMATS[0]


def saver(
    name: str,
    pipeline: Pipeline,
    model: Model,
    train: Dataset,
    model_format: str,
    *,
    fingerprints: Fingerprints | None = None,
) -> Callable[[Path], None]:
    """Return a function that writes the model, its card, and the fingerprints of `train` into a folder.

    Those are computed unless they are given.
    """

    def save(folder: Path) -> None:
        pipeline.save(model, folder, train, model_format)
        counts = [int(np.count_nonzero(train.y == label)) for label in train.classes]
        card = {"mljobs": __version__, "pipeline": name, "schema": train.schema, "class_counts": counts}
        card["data_sha256"] = train.sha256
        (fingerprints or Fingerprints.of(train)).save(folder)
        (folder / CARD).write_text(json.dumps(card))

    return save


def open_model(folder: Path) -> SavedModel:
    """Read the card of a model folder; raise NoInputError if there is none, DataError if it is broken."""
    path = folder / CARD
    if not path.is_file():
        raise NoInputError(f"{folder} holds no model of mljobs: {CARD} is missing")
    try:
        card = json.loads(path.read_bytes())
        name, schema = card["pipeline"], card["schema"]
        y_train = np.repeat(np.array(schema["classes"]), card["class_counts"])
        sha256 = card["data_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no card of a model: {error!r}") from error
    return SavedModel(folder, name, find(name), schema, y_train, sha256)


def pinned(*distributions: str) -> list[str]:
    """Return `name==version` of installed distributions."""
    return [f"{each}=={importlib.metadata.version(each)}" for each in distributions]
