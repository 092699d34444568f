"""A forest as an MLflow model: skops, or a joblib pickle for whoever asks for it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np

from jobs.datasets import Dataset
from jobs.datasets.npz import BROKEN
from jobs.errors import ConfigError, DataError, NoInputError
from jobs.pipelines import Model, pinned

FORMATS = ("skops", "joblib")

TRUSTED_TYPES = ("sklearn.tree._tree.Tree", "sklearn.compose._column_transformer._RemainderColsList", "numpy.dtype")
"""What a model file may hold beyond skops' own safe list; fixed here, never taken from the file."""


class _Archive(ZipFile):
    """A ZIP that says in constant time what it holds: skops asks before it writes an array, of which a tree has five."""

    def namelist(self) -> list[str]:
        """Return the names of all members, without the copy that makes a forest quadratic in its trees."""
        return cast("list[str]", self.NameToInfo.keys())


def dump_skops(model: Any, path: Path, *, compress: bool) -> None:
    """Write what `skops.io.dump` writes, but in time linear in the trees, straight to the disk, by json's fast encoder.

    20,000 trees take 9 s, not 379; skops 0.16 looks through all names for each array, and indents its JSON in Python.
    """
    import skops
    from skops.io._utils import SaveContext, get_state

    with _Archive(path, "w", ZIP_DEFLATED if compress else ZIP_STORED, compresslevel=1) as file:
        context = SaveContext(zip_file=file)
        state = get_state(model, context) | {"protocol": context.protocol, "_skops_version": skops.__version__}
        file.writestr("schema.json", json.dumps(state))


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
    dump_skops(model, file, compress=True)
    described.flavors["python_function"]["model_path"] = file.name
    described.model_size_bytes = file.stat().st_size
    described.save(str(folder / "MLmodel"))


def _save_joblib(model: Any, folder: Path, card: Mapping[str, Any]) -> None:
    """Write a joblib pickle that MLflow loads through this module."""
    import joblib
    import mlflow.pyfunc

    aside = folder.with_name("model.joblib")
    joblib.dump(model, aside)
    mlflow.pyfunc.save_model(str(folder), loader_module=__package__, data_path=str(aside), **card)
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
        return cast("Model", load_skops(folder / "model.skops"))
    pickled = folder / "data" / "model.joblib"
    if not pickled.is_file():
        raise NoInputError(f"{folder} holds neither model.skops nor data/model.joblib")
    if not trust_pickle:
        raise ConfigError(
            f"{pickled} is a pickle, and loading it can run any code: add --trust-pickle if you know who made it"
        )
    return cast("Model", _load_pyfunc(str(pickled)))


def load_skops(path: Path) -> Any:
    """Read a skops file that holds nothing but what a forest needs."""
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.load(path, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        raise DataError(f"{path} holds types that no forest of mljobs has: {error}") from error
    except (*BROKEN, KeyError, OSError) as error:
        raise DataError(f"{path} is damaged ({error}); was it copied to the end?") from error
