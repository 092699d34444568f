"""Our job on a case, as a user would start it."""

from pathlib import Path

import measuring
from cases import Case
from measuring import Taken


def run(case: Case, path: Path, uri: str | None, *options: str) -> Taken:
    """Train on the case's file; published to the server at `uri`, if any. More `options` as on the command line."""
    params = [part for key, value in case.params.items() for part in ("--param", f"{key}={value}")]
    runs = ["--runs-dir", path.parent / "runs"]
    arguments = ["-m", "jobs", "train", case.pipeline, path, "--force", *params, *runs, *options]
    taken = measuring.run(arguments, {"MLFLOW_TRACKING_URI": uri or ""})
    if uri and taken.output["tracking"] != "published":
        raise RuntimeError(f"the job was not published: {taken.output}")
    return taken
