"""What a job says at its end: one JSON object, the same on stdout and in `result.json`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

from jobs.errors import ExitCode

Status = Literal["finished", "rejected", "failed", "killed", "skipped"]


@dataclass
class Result:
    """The end of one job.

    Parameters
    ----------
    job : `train` or `evaluate`.
    name : of the job: one at a time is at work in a runs folder.
    status : how it ended; `killed` is a signal, `failed` anything else that is no result, `skipped` stands for another
        run, whose facts follow.
    exit_code : what the process exits with; None if it was lost: killed before it could.
    reason : one sentence, None where the status says all.
    pipeline : its name, as given.
    run_directory : absolute path, None if none could be made.
    run_id : MLflow's, None if the run is not there (yet).
    tracking : `published`, `queued` (in the run directory, `mljobs sync` publishes it) or `off`.
    attempts : starts that the run took: it was resumed one time less.
    data : path, sha256 and rows of the data file, as far as they are known; `eval_data` likewise.
    fit : what the pipeline says of how it was fitted: for a forest the `engine` that grew it, and `engine_reason`.
    metrics : values on the holdout.
    promotion : what became of the model as a challenger: `status` (`promoted`, `kept` is the champion, `queued` as long as
        the server is away), `reason`, `model`, its `version` if promoted, `champion` it was held against, `comparison`;
        None if that was not asked for.
    threads : threads that the libraries were given, None if it did not come to that.
    peak_memory_bytes : most memory that the process held.
    seconds : wall time of each step.
    """

    job: str
    name: str
    pipeline: str | None
    status: Status = "failed"
    exit_code: int | None = ExitCode.INTERNAL
    reason: str | None = None
    run_directory: str | None = None
    run_id: str | None = None
    tracking: Literal["published", "queued", "off"] = "off"
    attempts: int = 1
    data: dict[str, Any] = field(default_factory=dict)
    eval_data: dict[str, Any] | None = None
    fit: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float | None] = field(default_factory=dict)
    promotion: dict[str, Any] | None = None
    threads: int | None = None
    peak_memory_bytes: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_journal(cls, said: Mapping[str, Any], run_directory: Path) -> Self:
        """Return what a journal's event holds; it may be of another version of this program, with other fields.

        Raises
        ------
        TypeError
            It is no result.
        """
        known = {each.name: said[each.name] for each in fields(cls) if each.name in said}
        return cls(**{**known, "run_directory": str(run_directory)})

    def title(self) -> str:
        """Return what a list of runs should show: how it went and the file, such as `0.9667 iris.csv`."""
        accuracy = self.metrics.get("accuracy")
        code = next((code.name for code in ExitCode if code == self.exit_code), "LOST")
        end = code if accuracy is None or self.status in {"failed", "killed"} else f"{accuracy:.4f}"
        return f"{end} {'rejected ' if self.status == 'rejected' else ''}{Path(self.data['path']).name}"

    def tags(self) -> dict[str, str]:
        """Return what MLflow is to show of the end."""
        tags = {
            "mlflow.runName": self.title(),
            "mljobs.status": self.status,
            "mljobs.exit_code": str(self.exit_code),
            # These also without one, since an interrupted attempt may have had its own.
            "mljobs.reason": self.reason or "",
            "mljobs.promotion": self.promotion["status"] if self.promotion else "",
        }
        gave_none = self.status in {"failed", "killed"}
        return {**tags, "mlflow.note.content": str(self.reason)} if gave_none else tags

    def to_json(self) -> str:
        """Return one line."""
        return json.dumps(asdict(self), allow_nan=False)
