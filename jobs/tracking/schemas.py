"""The schema of a data file as MLflow's pages show it."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

_MAX_SCHEMA = 1_048_575
_MARGIN = 200
"""Characters for what is around a schema's columns."""


def as_mlflow(schema: Mapping[str, Any]) -> str:
    """Return a dataset's schema as MLflow's JSON."""
    return json.dumps(_KINDS[schema["kind"]](schema))


def _table_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table's schema as MLflow's pages show it."""
    types = {"numeric": "double", "text": "string"}
    columns = [{"name": name, "type": types[kind], "required": True} for name, kind in schema["columns"].items()]
    target = {"name": schema["target"], "type": "string", "required": True}
    return {"mlflow_colspec": [*_fitting(columns, _MAX_SCHEMA - len(json.dumps(target))), target]}


def _fitting(columns: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """Return the first columns whose JSON fits into `size` characters, and then how many more there are."""
    if len(json.dumps(columns)) < size - _MARGIN:
        return columns
    ends = itertools.accumulate(len(json.dumps(each)) + len(", ") for each in columns)
    fitting = sum(end < size - _MARGIN for end in ends)
    rest = {"name": f"... and {len(columns) - fitting} more columns", "type": "string", "required": False}
    return [*columns[:fitting], rest]


def _image_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image array's schema as MLflow's pages show it."""
    spec = {"dtype": schema["dtype"], "shape": [-1, *schema["shape"]]}
    return {"mlflow_tensorspec": {"features": json.dumps([{"type": "tensor", "tensor-spec": spec}]), "targets": None}}


_KINDS = {"table": _table_schema, "images": _image_schema}
