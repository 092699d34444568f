"""A scheduler's view: arguments and environment in; exit code, one line on stdout and signals out."""

import itertools
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
from harness import Ended, MLJobs

import jobs
from jobs import journal, pipelines
from jobs.cli import cli

FAST = ("--param", "n_estimators=10")
HEAVY = ("numpy", "pandas", "sklearn", "scipy", "matplotlib", "mlflow", "keras", "tensorflow", "joblib", "skops")


def on_disk(ended: Ended) -> Any:
    """Return what `result.json` holds."""
    return json.loads((Path(ended.result["run_directory"]) / "result.json").read_text())


# Imports


def imported_by(program: str, *allowed: str, cwd: Path) -> list[str]:
    """Return the heavy modules that a program pulls in, but for those that are allowed."""
    program += f"\nimport sys\nprint([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=cwd)
    found: list[str] = json.loads(ended.stderr.splitlines()[-1].replace("'", '"'))
    return [name for name in found if name not in allowed]


def test_the_command_line_imports_nothing_heavy(tmp_path: Path) -> None:
    """`--help` and usage errors answer at once."""
    assert imported_by("import jobs.cli", cwd=tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["pipelines"],
        ["runs", "."],
        ["train", "random-forest", "x.csv", "--test-size", "2"],
        ["train", "random-forest", "x.csv", "--param", "n_estimators=many"],
        ["train", "no-such-pipeline", "x.csv"],
        ["train", "random-forest", "x.csv", "--tracking", "required"],
    ],
    ids=" ".join,
)
def test_what_can_be_answered_without_the_libraries_is(tmp_path: Path, arguments: list[str]) -> None:
    """Lists and wrong settings take no seconds of imports; NumPy alone is allowed."""
    program = f"from jobs.cli import cli\ntry: cli({arguments!r})\nexcept SystemExit: pass"
    assert imported_by(program, "numpy", cwd=tmp_path) == []


# The result


def test_an_accepted_model_is_0(mljobs: MLJobs, csv: Path) -> None:
    """One JSON line on stdout, the same as in the run directory, next to model and report."""
    ended = mljobs("train", "random-forest", csv, *FAST)
    result = ended.result
    assert (ended.exit_code, result["exit_code"], result["status"], result["reason"]) == (0, 0, "finished", None)
    assert result == on_disk(ended)
    names = sorted(each.name for each in Path(result["run_directory"]).iterdir())
    assert names == ["journal.jsonl", "metrics.json", "model", "report.html", "report.md", "result.json"]


def test_a_model_under_the_gate_is_3(mljobs: MLJobs, csv: Path) -> None:
    """It is recorded as one that passes is, and the reason has metric, value and gate."""
    ended = mljobs("train", "random-forest", csv, *FAST, "--min", "roc_auc=0.1", "--min", "accuracy=1")
    result = ended.result
    assert (ended.exit_code, result["exit_code"], result["status"]) == (3, 3, "rejected")
    assert result["reason"] == f"accuracy {result['metrics']['accuracy']} is under the gate 1.0"
    assert result == on_disk(ended)
    assert (Path(result["run_directory"]) / "model" / "model.skops").is_file()


def test_a_gate_that_is_just_reached_passes(mljobs: MLJobs, csv: Path) -> None:
    """The least value that is accepted is accepted."""
    accuracy = mljobs("train", "random-forest", csv, *FAST).result["metrics"]["accuracy"]
    above = np.nextafter(accuracy, 1)
    codes = [
        mljobs("train", "random-forest", csv, *FAST, "--min", f"accuracy={g}").exit_code for g in (accuracy, above)
    ]
    assert codes == [0, 3]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["train", "random-forest", "no-target.csv"], 65),
        (["train", "random-forest", "missing.csv"], 66),
        (["train", "random-forest", "."], 66),
        (["train", "forest", "numbers.csv"], 78),
        (["train", "random-forest", "numbers.csv", "--test-size", "1"], 78),
        (["train", "random-forest", "numbers.csv", "--model-format", "onnx"], 78),
        (["train", "random-forest", "numbers.csv", "--min", "accuracy=80"], 78),
        (["evaluate", "missing", "numbers.csv"], 66),
        (["train", "random-forest", "numbers.csv", "--eval-data", "no-target.csv"], 65),
        (["train", "random-forest", "numbers.csv", "--eval-data", "missing.csv"], 66),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_a_foreseen_error_is_its_own_code(
    mljobs: MLJobs, csv: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    """Exit code, stdout and `result.json` agree; one line on stderr has the reason, and there is no traceback."""
    monkeypatch.chdir(csv.parent)
    Path("no-target.csv").write_text("x0,x1\n1,2\n3,4\n")
    ended = mljobs(*arguments)
    result = ended.result
    assert (ended.exit_code, result["exit_code"], result["status"]) == (code, code, "failed")
    assert f"error: {result['reason']}\n" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert result == on_disk(ended)


def test_a_run_directory_that_cannot_be_made_is_73(mljobs: MLJobs, csv: Path) -> None:
    """Nothing is trained, and the result on stdout names no directory."""
    ended = mljobs("train", "random-forest", csv, "--runs-dir", csv)
    assert (ended.exit_code, ended.result["exit_code"], ended.result["run_directory"]) == (73, 73, None)


@pytest.mark.parametrize(
    "arguments",
    [["train"], ["train", "x", "y", "--no-such-option"], ["nothing"], ["train", "x", "y", "--tracking", "maybe"]],
    ids=" ".join,
)
def test_a_command_line_that_cannot_be_parsed_is_2(mljobs: MLJobs, tmp_path: Path, arguments: list[str]) -> None:
    """Nothing on stdout, nothing on the disk."""
    ended = mljobs(*arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [[sys.executable, "-m", "jobs"], [str(Path(sys.executable).with_name("mljobs"))]], ids=["-m", "script"]
)
def test_module_and_console_script_are_the_same(command: list[str], tmp_path: Path) -> None:
    """Both go by the name `mljobs`, and pass exit codes on."""
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    unknown = subprocess.run([*command, "nothing"], capture_output=True, text=True, check=False)
    failed = subprocess.run([*command, "train", "x", "y"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert version.stdout == f"mljobs, version {jobs.__version__}\n"
    assert (unknown.returncode, failed.returncode) == (2, 78)
    assert unknown.stderr.startswith("Usage: mljobs ")


# Settings from the environment


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_every_option_has_its_variable(command: str) -> None:
    """`--runs-dir` is MLJOBS_RUNS_DIR, and so on; MLflow's own name for an experiment counts too."""
    found = {each.opts[0]: each.envvar for each in cli.commands[command].params if isinstance(each, click.Option)}
    expected = {name: "MLJOBS_" + name[2:].upper().replace("-", "_") for name in found}
    expected["--experiment"] = ["MLJOBS_EXPERIMENT", "MLFLOW_EXPERIMENT_NAME"]
    assert all(each.show_envvar for each in cli.commands[command].params if isinstance(each, click.Option))
    assert found == expected
    assert len(found) >= 6


def test_variables_are_taken_as_options_are(mljobs: MLJobs, csv: Path) -> None:
    """Several pairs are parted by blanks."""
    frame = pd.read_csv(csv).rename(columns={"target": "label"})
    frame.to_csv(csv, index=False)
    ended = mljobs(
        "train",
        "random-forest",
        csv,
        MLJOBS_PARAM="n_estimators=10 max_depth=2",
        MLJOBS_MIN="accuracy=1 roc_auc=0.5",
        MLJOBS_TARGET="label",
        MLJOBS_TEST_SIZE="0.5",
        MLJOBS_RANDOM_STATE="7",
        MLJOBS_LOG_FORMAT="json",
        MLJOBS_MODEL_NAME="shop",
        MLFLOW_EXPERIMENT_NAME="from outside",
    )
    recorded = list(journal.read(Path(ended.result["run_directory"]) / "journal.jsonl"))
    events = {event["event"]: event for event in recorded}
    params = {name: value for event in recorded for name, value in event.get("params", {}).items()}
    expected = {"n_estimators": 10, "max_depth": 2, "test_size": 0.5, "random_state": 7, "target": "label"}
    assert {name: params[name] for name in expected} == expected
    assert (ended.exit_code, ended.result["reason"][:9]) == (3, "accuracy ")
    assert events["start"]["experiment"] == "from outside"
    assert all(json.loads(line)["level"] for line in ended.stderr.splitlines())


def test_an_option_outweighs_its_variable(mljobs: MLJobs, csv: Path) -> None:
    """And our variable MLflow's."""
    env = {"MLJOBS_EXPERIMENT": "ours", "MLFLOW_EXPERIMENT_NAME": "mlflow's", "MLJOBS_TEST_SIZE": "2"}
    ended = mljobs("train", "random-forest", csv, *FAST, "--test-size", "0.2", **env)
    (start, *_) = journal.read(Path(ended.result["run_directory"]) / "journal.jsonl")
    assert (ended.exit_code, start["experiment"]) == (0, "ours")


# Signals, and streams that nobody reads


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_in_the_middle_of_a_fit_ends_the_job_soon(
    tmp_path: Path, csv: Path, number: signal.Signals, code: int
) -> None:
    """Status killed in the result, on stdout and in the journal, with the code that shells use for it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs", "train", "random-forest", str(csv), "--param", "n_estimators=200000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    path = _journal_with(tmp_path / "runs", "dataset")
    time.sleep(0.3)
    start = time.monotonic()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    seconds = time.monotonic() - start
    result = json.loads(stdout)
    assert (process.returncode, result["exit_code"], result["status"]) == (code, code, "killed")
    assert result == json.loads((path.parent / "result.json").read_text())
    *_, end = journal.read(path)
    assert (end["event"], end["result"]) == ("end", result)
    left = {each.name for each in path.parent.iterdir()}
    assert left - {"checkpoint"} == {"journal.jsonl", "result.json"}
    assert "Traceback" not in stderr
    assert seconds < 10


def _journal_with(runs: Path, kind: str) -> Path:
    """Wait until the one run below a folder has recorded an event."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in runs.glob("*/journal.jsonl"):
            if any(event["event"] == kind for event in journal.read(path)):
                return path
        time.sleep(0.02)
    raise AssertionError(f"no event {kind}")


def test_streams_that_cannot_be_written_do_not_change_the_end(tmp_path: Path, csv: Path) -> None:
    """With full disks behind stdout and stderr, the exit code is still the job's, and the result in its folder."""
    command = [sys.executable, "-m", "jobs", "train", "random-forest", str(csv), *FAST, "--min", "accuracy=1"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=full, check=False)
    (path,) = (tmp_path / "runs").glob("*/result.json")
    assert ended.returncode == json.loads(path.read_text())["exit_code"] == 3


def test_a_reader_that_has_gone_away_does_not_change_the_end(tmp_path: Path) -> None:
    """`mljobs train ... | head -0` under `pipefail` gives the job's code."""
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-m", "jobs", "train", "forest", "x.csv"], cwd=tmp_path, stdout=write, check=False
    )
    os.close(write)
    assert ended.returncode == 78


# A third pipeline, of one file


THIRD = '''
"""Names the most frequent class."""

from dataclasses import dataclass

import numpy as np

from jobs.pipelines import Fitted

SUMMARY = "the most frequent class"
REQUIRES = ({requires})
FORMATS = ("txt",)
SUFFIX = ".csv"
INSTALL = "nothing to install"


@dataclass(frozen=True)
class Params:
    bias: float = 0.0


class Frequent:
    def __init__(self, classes, shares):
        self.classes_, self.shares = classes, shares

    def predict_proba(self, X):
        return np.tile(self.shares, (len(X), 1))


def prepare(threads):
    pass


def read(path, *, target, schema, scratch, split_key=None):
    from jobs.datasets import table

    return table.read_csv(path, target=target, schema=schema, split_key=split_key)


def write(dataset, path):
    from jobs.datasets import csv_writer

    csv_writer.write_csv(dataset, path)


def fit(train, holdout, params, *, random_state, threads, on_progress, checkpoint):
    on_progress("parts", 1, 2, loss=0.5)
{fit}
    return Fitted(Frequent(train.classes, np.array([np.mean(train.y == each) for each in train.classes])))


def save(model, folder, train, model_format):
    folder.mkdir()
    (folder / "shares.txt").write_text(" ".join(map(str, model.shares)))


def load(folder, *, classes, trust_pickle):
    return Frequent(classes, np.array((folder / "shares.txt").read_text().split(), dtype=float))
'''

_numbers = itertools.count()


def add_pipeline(monkeypatch: pytest.MonkeyPatch, folder: Path, fit: str = "", requires: str = "") -> str:
    """Put a module where pipelines are found; return its name."""
    name = f"third_{next(_numbers)}"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(THIRD.format(fit=textwrap.indent(fit, "    "), requires=requires))
    monkeypatch.setattr(pipelines, "__path__", [*pipelines.__path__, str(folder)])
    return name.replace("_", "-")


def test_a_third_pipeline_costs_one_file(
    mljobs: MLJobs, csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is listed, trained, evaluated and reported without a line changed elsewhere."""
    name = add_pipeline(monkeypatch, tmp_path / "more")
    listed = mljobs("pipelines").stdout
    trained = mljobs("train", name, csv, "--param", "bias=1")
    evaluated = mljobs("evaluate", trained.result["run_directory"], csv)
    assert f"{name}  the most frequent class\n  bias (a number, 0.0)\n" in listed
    assert (trained.exit_code, evaluated.exit_code, evaluated.result["pipeline"]) == (0, 0, name)
    frequent = pd.read_csv(csv)["target"].value_counts(normalize=True).max()
    assert evaluated.result["metrics"]["accuracy"] == frequent


@pytest.mark.parametrize(
    ("fit", "error"),
    [
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("import sys; sys.exit()", "SystemExit: "),
        ("raise KeyError('x')", "KeyError: 'x'"),
        ("raise GeneratorExit", "GeneratorExit: "),
        ("assert False", "AssertionError: "),
    ],
)
def test_a_bug_is_never_a_success(
    mljobs: MLJobs, csv: Path, monkeypatch: pytest.MonkeyPatch, fit: str, error: str
) -> None:
    """Even a library that exits with 0 in the middle of a fit ends the job with 1, failed, with a traceback."""
    ended = mljobs("train", add_pipeline(monkeypatch, csv.parent / "more", fit), csv)
    result = ended.result
    assert (ended.exit_code, result["exit_code"], result["status"]) == (1, 1, "failed")
    assert (result["reason"], result) == (f"a bug: {error}", on_disk(ended))
    assert "Traceback (most recent call last)" in ended.stderr
    *_, end = journal.read(Path(result["run_directory"]) / "journal.jsonl")
    assert (end["result"]["status"], end["result"]["exit_code"]) == ("failed", 1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_in_the_middle_of_an_import_waits_for_its_end(
    mljobs: MLJobs, csv: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    """Raised inside an import, it could be lost, or leave a lock held that the publisher waits for; it is not lost."""
    monkeypatch.syspath_prepend(csv.parent)
    source = f"import os, pathlib\nos.kill(os.getpid(), {int(number)})\npathlib.Path('imported').touch()"
    name = f"signalled_{int(number)}"
    (csv.parent / f"{name}.py").write_text(source)
    monkeypatch.chdir(csv.parent)
    fit = f"import {name}, time\nfor _ in range(100): time.sleep(0.05)"
    ended = mljobs("train", add_pipeline(monkeypatch, csv.parent / "more", fit), csv)
    assert (ended.exit_code, ended.result["status"], Path("imported").exists()) == (code, "killed", True)
    assert ended.result["seconds"]["fit"] < 2


def test_an_unforeseen_metric_of_a_fit_costs_no_training(
    mljobs: MLJobs, csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A validation loss that overflows is no number for a curve, and no reason to throw the model away."""
    fit = "on_progress('parts', 2, 2, val_loss=float('inf'), loss=0.25)"
    ended = mljobs("train", add_pipeline(monkeypatch, tmp_path / "more", fit), csv)
    points = [
        event["metrics"]
        for event in journal.read(Path(ended.result["run_directory"]) / "journal.jsonl")
        if event["event"] == "metrics"
    ]
    assert (ended.exit_code, points[:2]) == (0, [{"epoch/loss": 0.5}, {"epoch/loss": 0.25}])


def test_a_pipeline_without_its_packages_is_78_and_says_how_to_get_them(
    mljobs: MLJobs, csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is listed all the same."""
    name = add_pipeline(monkeypatch, tmp_path / "more", requires='"no_such_package",')
    ended = mljobs("train", name, csv)
    expected = f"pipeline {name} needs no_such_package, not installed here: nothing to install"
    assert (ended.exit_code, ended.result["reason"]) == (78, expected)
    assert "  not installed here: nothing to install" in mljobs("pipelines").stdout


# Models that are not to be trusted


def test_a_pickle_is_loaded_only_if_trusted(mljobs: MLJobs, csv: Path) -> None:
    """78 with the option that is missing; with it, the model does what it did."""
    trained = mljobs("train", "random-forest", csv, *FAST, "--model-format", "joblib").result["run_directory"]
    refused = mljobs("evaluate", trained, csv)
    trusted = mljobs("evaluate", trained, csv, "--trust-pickle")
    assert (refused.exit_code, "add --trust-pickle" in refused.result["reason"]) == (78, True)
    assert (trusted.exit_code, trusted.result["metrics"]["accuracy"] > 0.7) == (0, True)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def test_a_pickle_that_was_planted_is_never_loaded(mljobs: MLJobs, csv: Path, tmp_path: Path) -> None:
    """Whatever its name, whatever `MLmodel` says of it, with the true model beside it or gone."""
    model = Path(mljobs("train", "random-forest", csv, *FAST).result["run_directory"]) / "model"
    marker = tmp_path / "it ran"
    trap = pickle.dumps(Trap(marker))
    (model / "data").mkdir()
    for name in ("model.pkl", "model.pickle", "model.joblib", "python_model.pkl", "data/model.joblib"):
        (model / name).write_bytes(trap)
    (model / "MLmodel").write_text((model / "MLmodel").read_text().replace("model.skops", "model.pkl"))
    with_model = mljobs("evaluate", model, csv)
    (model / "model.skops").write_bytes(trap)
    instead = mljobs("evaluate", model, csv)
    (model / "model.skops").unlink()
    without = mljobs("evaluate", model, csv)
    assert (with_model.exit_code, instead.exit_code, without.exit_code) == (0, 65, 78)
    assert not marker.exists()
    pickle.loads(trap)  # noqa: S301 - it is ours: would it have run?
    assert marker.exists()


def test_a_model_file_with_foreign_types_is_65(mljobs: MLJobs, csv: Path) -> None:
    """A skops file is data too: what no forest has is refused by its name."""
    import skops.io

    model = Path(mljobs("train", "random-forest", csv, *FAST).result["run_directory"]) / "model"
    skops.io.dump(os.path.join, model / "model.skops")
    ended = mljobs("evaluate", model, csv)
    assert (ended.exit_code, "posixpath.join" in ended.result["reason"]) == (65, True)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pipeline": "random-forest"}', "\x00", '{"pipeline": 3}'])
def test_a_broken_card_of_a_model_is_65(mljobs: MLJobs, csv: Path, tmp_path: Path, content: str) -> None:
    """It says which file it is."""
    (tmp_path / "mljobs.json").write_text(content)
    ended = mljobs("evaluate", tmp_path, csv)
    assert (ended.exit_code, "mljobs.json is no card of a model" in ended.result["reason"]) == (65, True)


def test_a_model_that_moved_is_the_same_model(mljobs: MLJobs, csv: Path, tmp_path: Path) -> None:
    """A model folder is whole in itself."""
    directory = Path(mljobs("train", "random-forest", csv, *FAST).result["run_directory"])
    before = mljobs("evaluate", directory, csv).result["metrics"]
    shutil.move(directory / "model", tmp_path / "elsewhere")
    shutil.rmtree(directory)
    assert mljobs("evaluate", tmp_path / "elsewhere", csv).result["metrics"] == before


# The list of runs


def test_runs_lists_what_was_done(mljobs: MLJobs, csv: Path) -> None:
    """One line a run, those that failed too, the oldest first."""
    mljobs("train", "random-forest", csv, *FAST)
    mljobs("train", "random-forest", csv.with_name("missing.csv"))
    head, *lines = mljobs("runs").stdout.splitlines()
    assert (head.split()[:4], len(lines)) == (["run", "pipeline", "data", "status"], 2)
    assert {(line.split()[1], line.split()[3]) for line in lines} == {
        ("random-forest", "finished"),
        ("random-forest", "failed"),
    }


def test_runs_of_a_folder_that_is_missing_is_66(mljobs: MLJobs, tmp_path: Path) -> None:
    """One sentence, nothing on stdout."""
    ended = mljobs("runs", tmp_path / "none")
    assert (ended.exit_code, ended.stdout) == (66, "")
    assert ended.stderr.startswith("error: ")
