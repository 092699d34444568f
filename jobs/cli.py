"""The command line: options and environment to settings, results to stdout and exit codes. Nothing else."""

import atexit
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from jobs import __version__, signals
from jobs.config import JobConfig, parse_age
from jobs.console import Console, LogFormat, give_up
from jobs.errors import ExitCode, JobError, StopError

if TYPE_CHECKING:
    from jobs.result import Result

F = TypeVar("F", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)
_EXIT_CODES = "\b\nExit codes:\n" + "\n".join(f"  {code:3d}  {code.name:<12} {code.meaning}" for code in ExitCode)


def _option(name: str, *, envvar: str | None = None, **settings: Any) -> Callable[[F], F]:
    """Return a click option that can also be set by `MLJOBS_<NAME>`, or by MLflow's own variable `envvar`."""
    own = "MLJOBS_" + name.removeprefix("--").replace("-", "_").upper()
    return click.option(name, envvar=[own, envvar] if envvar else own, show_envvar=True, **settings)


_log_format = _option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Lines on stderr for people, or one JSON object each.",
)


_runs_dir = click.argument("runs_dir", type=_PATH, default=Path("runs"), envvar="MLJOBS_RUNS_DIR")


_runs_dir_option = _option(
    "--runs-dir", type=_PATH, default=Path("runs"), show_default=True, help="Where the run directory goes."
)


def _job_options(command: F) -> F:
    """Add the options that all jobs have."""
    options = (
        _option(
            "--min", metavar="METRIC=VALUE", multiple=True, help="Exit with 3 if METRIC is under VALUE; repeatable."
        ),
        _runs_dir_option,
        _option("--experiment", envvar="MLFLOW_EXPERIMENT_NAME", help="In MLflow  [default: the pipeline's name]"),
        _option(
            "--tracking",
            type=click.Choice(["auto", "required", "off"]),
            default="auto",
            show_default=True,
            help="auto: publish to MLFLOW_TRACKING_URI if set, later if it does not answer; required: not without it.",
        ),
        _log_format,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}, epilog=_EXIT_CODES)
@click.version_option(__version__, prog_name="mljobs")
def cli() -> None:
    """Train and evaluate a model as one job.

    A job leaves everything in a run directory and in MLflow, and exits with a code that a scheduler can act on.
    stdout is one JSON line, the same as in result.json; logs go to stderr.
    """


@cli.command(epilog=_EXIT_CODES)
@click.argument("pipeline")
@click.argument("data", type=_PATH)
@_option("--eval-data", type=_PATH, help="Train on all of DATA, evaluate on this file.")
@_option("--target", default="target", show_default=True, help="Column of labels (CSV).")
@_option("--param", metavar="KEY=VALUE", multiple=True, help="Parameter of the pipeline; repeatable.")
@_option("--test-size", type=float, default=0.2, show_default=True, help="Share of the rows held out.")
@_option(
    "--split",
    type=click.Choice(["random", "stable"]),
    default="random",
    show_default=True,
    help="Hold out a random part, or decide by each row's content, so that rows stay on their side as data grow.",
)
@_option("--split-key", metavar="COLUMN", help="Decide by this column (NPZ: array): its equals stay together.")
@_option("--random-state", type=int, default=42, show_default=True, help="Seed of split and fit.")
@_option("--name", help="Of the job, one at a time in a runs folder  [default: pipeline and file, random-forest-sales]")
@_option(
    "--if-locked",
    type=click.Choice(["fail", "skip", "wait"]),
    default="fail",
    show_default=True,
    help="If this job is at work already: exit with 75, with 0, or wait for its end.",
)
@_option("--force", is_flag=True, help="Train even if nothing changed since the last run, and from the beginning.")
@_option("--max-age", metavar="AGE", help="Train again, though nothing changed, after AGE such as 30d or 12h.")
@_option("--promote", is_flag=True, help="Hold the model against the champion; it takes that place if it is better.")
@_option(
    "--promote-if",
    type=click.Choice(["better", "not-worse", "always"]),
    default="better",
    show_default=True,
    help="What it must be for that: better beyond chance, not worse, or just past the gates.",
)
@_option("--alpha", type=float, default=0.05, show_default=True, help="How often chance may pass for a difference.")
@_option("--min-gain", type=float, default=0.0, show_default=True, help="Least gain in accuracy to be promoted.")
@_option(
    "--max-recall-drop",
    type=float,
    default=0.1,
    show_default=True,
    help="Not promoted if any class's recall falls by more.",
)
@_option(
    "--require-improvement", is_flag=True, help="Exit with 3 if the champion is to stay; 0 while the server is away."
)
@_option("--max-drift", type=float, metavar="PSI", help="Exit with 3 if a column drifts further, and beyond chance.")
@_option("--new-contract", is_flag=True, help="Hold this and later data against this file, not against the first.")
@_option("--trust-pickle", is_flag=True, help="Load a champion that is a joblib model: loading it can run any code.")
@_option("--model-name", help="Name in MLflow's model registry  [default: the pipeline's name]")
@_option("--model-format", help="Format of the model file  [default: the pipeline's first]")
@_job_options
def train(**settings: Any) -> NoReturn:
    """Train PIPELINE on DATA and evaluate it on rows that it was not trained on.

    DATA is a CSV (random-forest) or an NPZ with `images` and `labels` (cnn). `mljobs pipelines` lists pipelines and
    their parameters.
    """
    from jobs import runner

    _carry_out(runner.train, settings)


@cli.command(epilog=_EXIT_CODES)
@click.argument("model")
@click.argument("data", type=_PATH)
@_option("--trust-pickle", is_flag=True, help="Load a joblib model: loading it can run any code.")
@_job_options
def evaluate(**settings: Any) -> NoReturn:
    """Evaluate MODEL on the labelled rows of DATA.

    MODEL is a run directory, or a model that MLflow keeps: models:/NAME@ALIAS, models:/NAME/VERSION.
    """
    from jobs import runner

    _carry_out(runner.evaluate, settings)


@cli.command()
def pipelines() -> None:
    """List the pipelines and their parameters."""
    from jobs import pipelines as found

    for name in found.names():
        click.echo(found.describe(name))


@cli.command("mock-data")
@click.argument("folder", type=_PATH)
def mock_data(folder: Path) -> None:
    """Write mock_data.csv and mock_data.npz into FOLDER, byte for byte the same each time."""
    from jobs.mock_data import write_mock_data

    try:
        for path in write_mock_data(folder):
            click.echo(path)
    except OSError as error:
        click.echo(f"error: {folder} can't be written: {error.strerror}", err=True)
        sys.exit(ExitCode.OUTPUT)


@cli.command()
@_log_format
def doctor(log_format: LogFormat) -> None:
    """Make a full round trip through the tracking server: run, artifact, registry, delete."""
    from jobs.tracking import doctor as checks

    _exit_on_error(lambda: checks.examine(Console(log_format=log_format)))


@cli.command()
@_runs_dir
def runs(runs_dir: Path) -> None:
    """List the runs in RUNS_DIR."""
    from jobs import listing

    _exit_on_error(lambda: click.echo(listing.table(runs_dir, Console())))


@cli.command()
@_runs_dir
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="Keep the N newest runs of each job.")
@click.option("--older-than", metavar="AGE", help="Keep runs that are younger than AGE, such as 90d or 12h.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@_log_format
def prune(runs_dir: Path, *, keep: int | None, older_than: str | None, dry_run: bool, log_format: LogFormat) -> None:
    """Remove old runs from RUNS_DIR: none that goes on, waits to be published, or is behind an alias in MLflow."""
    from jobs import prune as pruning

    def work() -> None:
        seconds = None if older_than is None else parse_age("--older-than", older_than)
        pruning.prune(runs_dir, Console(log_format=log_format), keep=keep, older_than=seconds, dry_run=dry_run)

    _exit_on_error(work)


@cli.command()
@_runs_dir
@click.option("--lost", is_flag=True, help="In a copied folder: close runs without an end, whose jobs are surely dead.")
@_log_format
def sync(runs_dir: Path, *, lost: bool, log_format: LogFormat) -> None:
    """Publish the runs in RUNS_DIR that are not in MLflow yet."""
    from jobs import sync as syncing

    _exit_on_error(lambda: syncing.sync(runs_dir, Console(log_format=log_format), copies=lost))


@cli.command()
@click.argument("run")
@_runs_dir_option
@_log_format
def promote(run: str, runs_dir: Path, log_format: LogFormat) -> None:
    """Make the model of RUN, a run directory or the id of a run in MLflow, the champion, whatever it was held against."""
    from jobs.promotion import by_hand

    _exit_on_error(lambda: click.echo(by_hand.promote(run, runs_dir, Console(log_format=log_format))))


@cli.command("reproduce")
@click.argument("run")
@click.option("--data", type=_PATH, help="Where the data file is now, if not where it was.")
@click.option("--eval-data", type=_PATH, help="Likewise the file to evaluate on.")
@click.option("--trust-pickle", is_flag=True, help="Load a joblib model: loading it can run any code.")
@_runs_dir_option
@_log_format
def reproduce_(run: str, runs_dir: Path, log_format: LogFormat, **settings: Any) -> None:
    """Train the model of RUN again, aside, and compare: exit with 0 if it is the same to the last bit, else with 4.

    RUN is a run directory, or the id of a run in MLflow.
    """
    from jobs.reproduce import Request, reproduce

    def work() -> None:
        found = reproduce(Request(run, **settings), runs_dir, Console(log_format=log_format))
        click.echo(found.table)
        found.require_same()

    _exit_on_error(work)


@cli.command()
@click.argument("name")
@_runs_dir_option
@_log_format
def rollback(name: str, runs_dir: Path, log_format: LogFormat) -> None:
    """Make the previous champion of the registered model NAME the champion again; twice undoes it."""
    from jobs.promotion import by_hand

    _exit_on_error(lambda: click.echo(by_hand.rollback(name, runs_dir, Console(log_format=log_format))))


def _carry_out(job: Callable[[JobConfig, Console], "Result"], settings: dict[str, Any]) -> NoReturn:
    """Do one job, print its result, and exit with its code."""
    console = Console(log_format=settings.pop("log_format"))
    result = job(JobConfig(**settings), console)
    try:
        click.echo(result.to_json())
    except OSError as error:
        give_up(sys.stdout)
        console.warning(f"the result could not be written to stdout: {error.strerror}")
    sys.exit(result.exit_code)


def _exit_on_error(work: Callable[[], None]) -> None:
    """Turn a foreseen error into its sentence and exit code."""
    try:
        work()
    except (JobError, StopError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


def main() -> None:
    """Run the command line."""
    signals.listen()
    # The libraries make a million objects that stay. To look for cycles among them every 700 new ones, and once more
    # at the end, takes seconds.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    cli(prog_name="mljobs")
