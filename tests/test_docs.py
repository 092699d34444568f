"""README says what the program does: its tables and sessions are compared with the code."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from harness import ROOT, MLJobs

from jobs.cli import cli
from jobs.errors import ExitCode

README = (ROOT / "README.md").read_text()


def table(first_column: str) -> list[list[str]]:
    """Return the rows of README's table whose first column is called so."""
    (body,) = re.findall(rf"^\| {re.escape(first_column)} \|.*\n\|[-:| ]+\|\n((?:\|.*\n)+)", README, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in body.splitlines()]


def session(start: str) -> str:
    """Return README's console session that starts so."""
    (found,) = [each for each in re.findall(r"```console\n(.*?)```", README, re.DOTALL) if each.startswith(start)]
    return found


def without_times(text: str) -> list[str]:
    """Return the log lines without time of day and run names."""
    return [re.sub(r"/\S+|^\S+Z ", "", line) for line in text.splitlines() if re.match(r"\d\d:\d\d:\d\dZ ", line)]


def test_exit_codes() -> None:
    """The table is the enum."""
    assert table("code") == [[str(int(code)), code.name, code.meaning] for code in ExitCode]


def test_commands() -> None:
    """Every command is listed, with the first sentence of its help."""
    expected = [[f"`{name}`", command.get_short_help_str(limit=200)] for name, command in sorted(cli.commands.items())]
    assert [
        [row[0].replace("mljobs ", "").split()[0].strip("`").join("``"), row[1]] for row in table("command")
    ] == expected


def test_options() -> None:
    """Every option of `train` is listed with its variable and meaning."""
    options = [each for each in cli.commands["train"].params if isinstance(each, click.Option) and each.name != "help"]
    documented = [[row[0].strip("`").split()[0], row[1].strip("`"), row[3]] for row in table("option of `train`")]
    variables = [each.envvar if isinstance(each.envvar, str) else each.envvar[0] for each in options]
    meanings = [str(each.help).partition("  [default")[0] for each in options]
    assert documented == [[each.opts[0], *rest] for each, *rest in zip(options, variables, meanings, strict=True)]


def test_first_session(mljobs: MLJobs) -> None:
    """The session at the top prints what a run on the same file prints."""
    shown = session("$ mkdir")
    (line,) = [each for each in shown.splitlines() if each.startswith("{")]
    documented = json.loads(line)
    ended = mljobs("train", "random-forest", ROOT / "data" / "mock_data.csv")
    actual = ended.result
    assert list(documented) == list(actual)
    assert documented["metrics"] == pytest.approx(actual["metrics"])
    assert documented["data"]["sha256"] == actual["data"]["sha256"]
    same = ("status", "exit_code", "reason", "pipeline", "tracking")
    assert {key: documented[key] for key in same} == {key: actual[key] for key in same}
    assert list(documented["seconds"]) == list(actual["seconds"])
    assert without_times(shown) == without_times(ended.stderr)


def test_session_of_bad_data(mljobs: MLJobs, tmp_path: object) -> None:
    """The refusal that README shows is the one that is printed."""
    shown = session("$ printf")
    (written,) = re.findall(r"printf '(.*?)' > bad.csv", shown)
    path = ROOT.joinpath(str(tmp_path), "bad.csv")
    path.write_text(written.encode().decode("unicode_escape"))
    ended = mljobs("train", "random-forest", path)
    documented = re.findall(r"error: (.*)", shown)
    assert documented == [re.findall(r"error: (.*)", ended.stderr)[0].replace(str(path), "bad.csv")]
    assert shown.endswith(f"$ echo $?\n{ended.exit_code}\n")


def test_session_of_a_killed_job(mljobs: MLJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What README shows of a job that was killed is what a start after a SIGKILL prints, and one after that."""
    monkeypatch.chdir(ROOT)
    shown = session("$ timeout").split("$ ")
    job = shown[2].partition(" >")[0].split()[1:]
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs", *job], env={**os.environ, "MLJOBS_RUNS_DIR": str(tmp_path / "runs")}
    )
    while not list(tmp_path.glob("runs/*/checkpoint/trees-from-10.*")):
        time.sleep(0.01)
    process.kill()
    process.wait()
    for documented in shown[2:4]:
        ended = mljobs(*job)
        assert documented.endswith(f"\n{ended.exit_code}\n")
        assert steady(documented) == steady(ended.stderr)
    columns, row = mljobs("runs").stdout.splitlines()
    documented_columns, documented_row = shown[4].splitlines()[1:]
    assert documented_columns.split() == columns.split()
    assert documented_row.split()[1:-2] == row.split()[1:-2]


@pytest.mark.server
def test_sessions_of_promotions(mljobs_process: MLJobs, tmp_path: Path) -> None:
    """First champion, better, worse, rollback, reproduce: what README shows is what is printed, line by line."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    env = {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    _, exported, *trained, listed, rolled_back = session("$ export MLFLOW_TRACKING_URI").split("$ ")
    assert exported.split()[1] == "MLFLOW_TRACKING_URI=sqlite:///mlflow.db"
    assert len(trained) == 3
    for shown in trained:
        ended = mljobs_process(*shown.partition(" >")[0].split()[1:], **env)
        assert shown.endswith(f"\n{ended.exit_code}\n")
        assert steady(shown) == steady(ended.stderr)
    rows = [row.split()[1:-2] for row in listed.splitlines()[2:]]
    assert rows == [row.split()[1:-2] for row in mljobs_process("runs").stdout.splitlines()[1:]]
    assert rolled_back.splitlines()[1] == mljobs_process("rollback", "random-forest", **env).stdout.strip()
    ended = mljobs_process("reproduce", sorted((tmp_path / "runs").glob("2*"))[1])
    _, *shown_rows, code = session("$ mljobs reproduce").splitlines()
    changing = ("code", "commit", "python", "threads", "machine")
    kept = [row.split() for row in shown_rows if not re.match(r"\d\d:\d\d:", row) and not row.startswith(changing)]
    actual = [row.split() for row in ended.stdout.splitlines() if not row.startswith(changing)]
    assert kept == actual
    assert int(code) == ended.exit_code


def steady(text: str) -> list[str]:
    """Return the log lines without times, names of runs and folders, and how far a fit is."""
    lines = (re.sub(r"\d+T\S+-\w{6}\b", "RUN", line) for line in without_times(text))
    return [line for line in lines if not re.match(r"trees (?!800/)", line)]


def test_benchmark_is_there() -> None:
    """The tables that `make bench` prints are in it, with a row for each case."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from cases import FULL

    assert [case.name for case in FULL if f"\n| {case.name} | " not in README] == []
    printed = (ROOT / "benchmarks" / "README.md").read_text()
    section = README.split("## Speed and memory")[1].split("**How it grows**")[0]
    assert [line for line in section.splitlines() if line.startswith("|") and line not in printed] == []


@pytest.mark.parametrize("name", ["demo", "test", "bench"])
def test_make_targets_are_there(name: str) -> None:
    """Each target that README names is one."""
    assert f"make {name}" in README
    assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
