"""The run key: two starts with the same one would give the same model."""

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import jobs
from jobs import pipelines, provenance
from jobs.config import JobConfig
from jobs.datasets.source import digest
from jobs.params import parse_params
from jobs.pipelines import Pipeline

if TYPE_CHECKING:
    from types import ModuleType


def digests(config: JobConfig) -> dict[Path, str]:
    """Return the hex sha256 of each data file; raise JobError for one that can't be read."""
    return {path: digest(path) for path in (config.data, config.eval_data) if path}


def run_key(config: JobConfig, data: Mapping[Path, str]) -> str:
    """Return the hex sha256 of all that decides how a training job ends: data, settings, seed, code, packages.

    Settings are taken as they are meant, not as they are written: a default that is spelled out changes nothing.

    Parameters
    ----------
    data : the digests of the data files.

    Raises
    ------
    ConfigError
        As the job itself would: settings that make no sense.
    """
    config.check()
    pipeline = pipelines.find(config.pipeline)
    params = parse_params(config.pipeline, pipeline.Params, config.params)
    facts = {
        "data": data[config.data],
        "eval_data": data[config.eval_data] if config.eval_data else None,
        "pipeline": config.pipeline,
        "params": vars(params),
        "model_format": pipelines.model_format(config.pipeline, pipeline, config.model_format),
        "target": config.target,
        "split": None if config.eval_data else [config.split, config.split_key, config.test_size],
        "promotion": _promotion(config),
        "random_state": config.random_state,
        "min": config.minimums,
        "experiment": config.experiment or config.pipeline,
        "model_name": config.model_name or config.pipeline,
        "code": code(pipeline),
        "python": platform.python_version(),
        "packages": provenance.packages(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _promotion(config: JobConfig) -> list[object] | None:
    """Return the rules of promotion; None where there is none."""
    rules = (config.promote_if, config.alpha, config.min_gain, config.max_recall_drop, config.require_improvement)
    return [*rules, config.max_drift, config.new_contract] if config.promote else None


def code(pipeline: Pipeline) -> str:
    """Return a digest of this program's own source: a commit would not tell of a changed working copy."""
    package = Path(jobs.__file__).parent
    files = sorted(path for path in package.rglob("*") if path.suffix in {".py", ".jinja"})
    digest = hashlib.sha256()
    for path in (*files, Path(str(cast("ModuleType", pipeline).__file__))):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
