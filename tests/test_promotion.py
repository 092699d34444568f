"""A new model takes the champion's place only if it is better on the same rows by more than chance; a real registry says so."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from harness import Ended, MLJobs, Processes, Server, end
from sklearn.datasets import load_digits, load_wine

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.server

WEAK = ("--param", "n_estimators=3")
STRONG = ("--param", "n_estimators=60")

Challenge = Callable[..., Ended]


@pytest.fixture(scope="module")
def digits() -> pd.DataFrame:
    """Return scikit-learn's digits, 1,797 rows of 64 numbers and 10 classes."""
    return load_digits(as_frame=True).frame


@pytest.fixture
def data(tmp_path: Path, digits: pd.DataFrame) -> Path:
    """Return the digits as a file."""
    return write(digits, tmp_path / "digits.csv")


@pytest.fixture
def challenge(mljobs: MLJobs, server: Server, tmp_path: Path) -> Challenge:
    """Train a challenger for the model that is called as the test's folder, on a stable split."""

    def call(data: Path, *arguments: object, split: str = "stable") -> Ended:
        settings = ("--promote", "--split", split, "--model-name", tmp_path.name, "--force")
        return mljobs("train", "random-forest", data, *settings, *arguments, MLFLOW_TRACKING_URI=server.uri)

    return call


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Write a frame as a CSV."""
    frame.to_csv(path, index=False)
    return path


def aliases(server: Server, name: str) -> dict[str, str]:
    """Return alias to version of a registered model."""
    return {alias: str(each) for alias, each in server.client.get_registered_model(name).aliases.items()}


def outcome(ended: Ended) -> tuple[int, str, str | None]:
    """Return exit code, what became of the challenger, and the version it was held against."""
    promotion = ended.result["promotion"]
    return ended.exit_code, promotion["status"], promotion["champion"]


def held_out(data: Path) -> np.ndarray:
    """Tell which rows of a file a stable split holds out, as the program itself decides."""
    from jobs.config import JobConfig
    from jobs.datasets.sides import Sides
    from jobs.datasets.table import read_csv

    dataset = read_csv(data, target="target", schema=None)
    holdout = Sides.of_one(dataset, JobConfig(data=data, split="stable")).holdout
    return np.isin(np.arange(len(dataset)), holdout.X.index)


def test_the_first_champion(challenge: Challenge, data: Path, server: Server, tmp_path: Path) -> None:
    """It is held against the most frequent class; result, MLflow and report say the same."""
    ended = challenge(data, *WEAK)
    assert (0, "promoted", None) == outcome(ended)
    promotion = ended.result["promotion"]
    assert (promotion["model"], promotion["version"], promotion["contract"]) == (tmp_path.name, "1", None)
    assert promotion["reason"].startswith("better than always naming the most frequent class beyond chance (p = ")
    assert aliases(server, tmp_path.name) == {"champion": "1"}
    directory = Path(ended.result["run_directory"])
    assert json.loads((directory / "result.json").read_text()) == ended.result
    assert promotion["reason"] in ended.stderr
    tags = server.client.get_run(ended.result["run_id"]).data.tags
    assert (tags["mljobs.promotion"], tags["mljobs.promotion_reason"]) == ("promoted", promotion["reason"])
    points = server.client.get_run(ended.result["run_id"]).data.metrics
    assert points["champion/gain"] == promotion["comparison"]["gain"]
    assert f"**Promoted**: {promotion['reason']}" in tags["mlflow.note.content"]
    assert not (directory / "undecided").exists()


def test_a_tie_is_no_improvement(challenge: Challenge, data: Path, server: Server, tmp_path: Path) -> None:
    """The same data and seed give the same model: the champion stays, with 0, or with 3 where that was asked for."""
    challenge(data, *WEAK)
    tie = challenge(data, *WEAK)
    assert (0, "kept", "1") == outcome(tie)
    comparison = tie.result["promotion"]["comparison"]
    assert (comparison["gained"], comparison["lost"], comparison["p_better"]) == (0, 0, 1)
    assert "not promoted: not better than version 1 beyond chance (p = 1): accuracy " in tie.stderr
    strict = challenge(data, *WEAK, "--require-improvement")
    assert (3, "kept", "1") == outcome(strict)
    assert (strict.result["status"], strict.result["reason"]) == (
        "rejected",
        f"not promoted: {strict.result['promotion']['reason']}",
    )
    assert aliases(server, tmp_path.name) == {"champion": "1"}
    versions = server.client.search_model_versions(f"name = '{tmp_path.name}'")
    assert [each.version for each in versions] == ["2", "1"]  # what was rejected is none


def test_a_tie_is_not_worse(challenge: Challenge, data: Path, server: Server, tmp_path: Path) -> None:
    """Whoever wants the newest of equals says so."""
    challenge(data, *WEAK)
    assert outcome(challenge(data, *WEAK, "--promote-if", "not-worse")) == (0, "promoted", "1")
    assert aliases(server, tmp_path.name) == {"champion": "2", "previous": "1"}


def test_a_better_challenger(challenge: Challenge, data: Path, server: Server, tmp_path: Path) -> None:
    """More trees are better on the same rows; the old champion is `previous`, and a gain too small is none."""
    before = challenge(data, *WEAK)
    greedy = challenge(data, *STRONG, "--min-gain", "0.5")
    assert outcome(greedy) == (0, "kept", "1")
    assert greedy.result["promotion"]["reason"].startswith("the gain of +0.")
    ended = challenge(data, *STRONG)
    assert outcome(ended) == (0, "promoted", "1")
    assert aliases(server, tmp_path.name) == {"champion": "3", "previous": "1"}
    comparison = ended.result["promotion"]["comparison"]
    assert comparison["challenger"] == pytest.approx(ended.result["metrics"]["accuracy"])
    assert comparison["champion"] == pytest.approx(before.result["metrics"]["accuracy"])
    assert comparison["n_samples"] == np.count_nonzero(held_out(data))


def test_a_worse_challenger(
    challenge: Challenge, data: Path, digits: pd.DataFrame, server: Server, tmp_path: Path
) -> None:
    """Labels that are shuffled in a fifth of the training rows: the file is another, the holdout the same."""
    challenge(data, *WEAK)
    random = np.random.default_rng(1)
    training = np.flatnonzero(~held_out(data))
    wrong = random.choice(training, size=len(training) // 5, replace=False)
    shuffled = digits.copy()
    shuffled.loc[wrong, "target"] = random.permutation(digits.loc[wrong, "target"].to_numpy())
    ended = challenge(write(shuffled, tmp_path / "shuffled.csv"), *WEAK)
    assert outcome(ended) == (0, "kept", "1")
    assert ended.result["promotion"]["comparison"]["p_worse"] < 0.001
    loose = challenge(
        tmp_path / "shuffled.csv", *WEAK, "--promote-if", "not-worse", "--min-gain", "-1", "--max-recall-drop", "1"
    )
    assert outcome(loose) == (0, "kept", "1")
    assert loose.result["promotion"]["reason"].startswith("worse than version 1 beyond chance (p = ")
    assert aliases(server, tmp_path.name) == {"champion": "1"}


def test_a_model_that_has_learnt_nothing_is_no_champion(challenge: Challenge, server: Server, tmp_path: Path) -> None:
    """Labels by chance: nothing is better than the most frequent class."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=400), "target": random.integers(0, 2, size=400)})
    ended = challenge(write(frame, tmp_path / "chance.csv"), *WEAK)
    assert outcome(ended) == (0, "kept", None)
    assert aliases(server, tmp_path.name) == {}


def test_a_gate_comes_first(challenge: Challenge, data: Path) -> None:
    """A challenger that does not pass is not promoted, whatever it was held against."""
    challenge(data, *WEAK)
    ended = challenge(data, *STRONG, "--promote-if", "always", "--min", "accuracy=1")
    assert outcome(ended) == (3, "kept", "1")
    assert ended.result["promotion"]["reason"] == ended.result["reason"]


def test_a_champion_that_knows_the_holdout_is_not_compared(
    challenge: Challenge, data: Path, digits: pd.DataFrame, server: Server, tmp_path: Path
) -> None:
    """A random split of more rows holds out what the champion was trained on: 78 before any work, and the way out."""
    less = write(digits[:1500], tmp_path / "less.csv")
    assert outcome(challenge(less, *WEAK, split="random")) == (0, "promoted", None)
    assert outcome(challenge(less, *STRONG, split="random")) == (0, "promoted", "1")  # the same split
    unfair = challenge(data, *STRONG, split="random")
    assert (unfair.exit_code, unfair.result["promotion"]) == (78, None)
    assert "the champion, was trained on" in unfair.result["reason"]
    assert "--split stable" in unfair.result["reason"]
    assert not (Path(unfair.result["run_directory"]) / "model").exists()
    begun = challenge(data, *STRONG, "--promote-if", "always")
    assert outcome(begun) == (0, "promoted", "2")
    assert begun.result["promotion"]["comparison"] is None
    assert outcome(challenge(data, *WEAK)) == (0, "kept", "3")
    assert aliases(server, tmp_path.name) == {"champion": "3", "previous": "2"}


def test_rows_that_have_come_do_not_move_the_others(challenge: Challenge, digits: pd.DataFrame, tmp_path: Path) -> None:
    """More data in another order: the champion has seen none of the holdout, and the comparison is fair."""
    less = write(digits[:1500], tmp_path / "less.csv")
    challenge(less, *WEAK)
    more = write(digits.sample(frac=1, random_state=3), tmp_path / "more.csv")
    ended = challenge(more, *STRONG)
    assert outcome(ended) == (0, "promoted", "1")


def test_a_broken_contract(
    challenge: Challenge, data: Path, digits: pd.DataFrame, server: Server, tmp_path: Path
) -> None:
    """A column that is gone is 65, with its name; a champion that needs it can't be asked, so one has to begin anew."""
    challenge(data, *WEAK)
    other = write(digits.drop(columns="pixel_3_3"), tmp_path / "other.csv")
    broken = challenge(other, *STRONG)
    assert broken.exit_code == 65
    assert "pixel_3_3" in broken.result["reason"]
    assert "--new-contract" in broken.result["reason"]
    refused = challenge(other, *STRONG, "--new-contract")
    assert (refused.exit_code, "once with --promote-if always" in refused.result["reason"]) == (78, True)
    renewed = challenge(other, *STRONG, "--new-contract", "--promote-if", "always")
    assert outcome(renewed) == (0, "promoted", "1")
    assert renewed.result["promotion"]["comparison"] is None
    assert aliases(server, tmp_path.name) == {"champion": "2", "previous": "1"}
    assert outcome(challenge(other, *WEAK)) == (0, "kept", "2")


def test_a_new_contract_does_not_spare_the_comparison(
    challenge: Challenge, data: Path, digits: pd.DataFrame, tmp_path: Path
) -> None:
    """A class that is new to the champion is none of its answers; on all others it is asked."""
    challenge(data, *STRONG)
    odd = digits.copy()
    odd.loc[:9, "target"] = 10
    path = write(odd, tmp_path / "odd.csv")
    refused = challenge(path, *WEAK)
    assert (refused.exit_code, "10" in refused.result["reason"]) == (65, True)
    ended = challenge(path, *WEAK, "--new-contract")
    assert outcome(ended) == (0, "kept", "1")
    assert ended.result["promotion"]["comparison"]["champion"] > 0.9


def test_rows_that_were_trained_on_are_not_compared(challenge: Challenge, digits: pd.DataFrame, tmp_path: Path) -> None:
    """A random split of rows that are there several times: only those that neither side has learnt by heart count."""
    many = pd.concat([digits[:600], digits[:300], digits[:300]])
    path = write(many, tmp_path / "many.csv")
    first = challenge(path, *WEAK, split="random")
    rows = first.result["promotion"]["comparison"]["n_samples"]
    assert 40 < rows < 140  # of 240 held out, those of 300 that are there once, and few others
    again = challenge(path, *STRONG, split="random")
    assert (outcome(again)[0], again.result["promotion"]["comparison"]["n_samples"]) == (0, rows)
    known = challenge(path, *STRONG, "--eval-data", path, "--model-name", f"{tmp_path.name}-known")
    assert (known.exit_code, "were trained on too" in known.result["reason"]) == (78, True)


def test_a_champion_that_was_promoted_by_hand_with_other_columns(
    challenge: Challenge, mljobs: MLJobs, data: Path, digits: pd.DataFrame, server: Server, tmp_path: Path
) -> None:
    """It was never held to the contract: rows that it can't be asked for are 65, and labels of another kind too."""
    env = {"MLFLOW_TRACKING_URI": server.uri}
    challenge(data, *WEAK)
    for name, frame in (
        ("wide", digits.assign(more=digits["pixel_3_3"] * 2)),
        ("named", digits.assign(target=digits["target"].map("n{}".format))),
    ):
        path = write(frame, tmp_path / f"{name}.csv")
        other = mljobs("train", "random-forest", path, *WEAK, "--model-name", tmp_path.name, **env)
        assert mljobs("promote", other.result["run_directory"], **env).exit_code == 0
        ended = challenge(data, *STRONG)
        assert (ended.exit_code, ended.result["promotion"]) == (65, None), ended.stderr


def test_a_champion_that_is_none_of_ours(challenge: Challenge, data: Path, server: Server, tmp_path: Path) -> None:
    """Somebody set the alias to a model of another program: 78 and what to do, unless nothing is to be compared."""
    import mlflow
    from sklearn.dummy import DummyClassifier

    mlflow.set_tracking_uri(server.uri)
    with mlflow.start_run(experiment_id=server.client.create_experiment(tmp_path.name)):
        settings = {"registered_model_name": tmp_path.name, "pip_requirements": []}
        mlflow.sklearn.log_model(DummyClassifier().fit([[0]], [0]), name="model", **settings)
    server.client.set_registered_model_alias(tmp_path.name, "champion", "1")
    refused = challenge(data, *WEAK)
    assert (refused.exit_code, "another --model-name" in refused.result["reason"]) == (78, True)
    assert outcome(challenge(data, *WEAK, "--promote-if", "always")) == (0, "promoted", "1")


def test_a_long_name(challenge: Challenge, data: Path, server: Server, tmp_path: Path) -> None:
    """It may be longer than a file's may be."""
    name = f"{tmp_path.name}-" + "模型" * 45
    assert outcome(challenge(data, *WEAK, "--model-name", name)) == (0, "promoted", None)
    assert aliases(server, name) == {"champion": "1"}


@pytest.mark.parametrize("name", ["a/b", "a:b", "a@b", "a?b", "a#b", " "])
def test_names_that_have_a_meaning_in_uris(mljobs: MLJobs, csv: Path, name: str) -> None:
    """78, for all who take one."""
    assert mljobs("train", "random-forest", csv, "--model-name", name).exit_code == 78
    assert mljobs("rollback", name, MLFLOW_TRACKING_URI="http://127.0.0.1:9").exit_code == 78


def test_a_rollback_that_was_killed_is_finished(
    challenge: Challenge, mljobs: MLJobs, data: Path, server: Server, tmp_path: Path
) -> None:
    """Between two aliases, both are the same version; the other is not forgotten."""
    challenge(data, *WEAK)
    challenge(data, *STRONG)
    for alias, version in (("leaving", "2"), ("champion", "1")):
        server.client.set_registered_model_alias(tmp_path.name, alias, version)
    assert aliases(server, tmp_path.name) == {"champion": "1", "previous": "1", "leaving": "2"}
    back = mljobs("rollback", tmp_path.name, MLFLOW_TRACKING_URI=server.uri)
    assert (back.exit_code, back.stdout) == (0, f"version 1 is champion of {tmp_path.name} again; previous: 2\n")
    assert aliases(server, tmp_path.name) == {"champion": "1", "previous": "2"}


def test_drift_is_told_and_can_be_a_gate(
    challenge: Challenge, data: Path, digits: pd.DataFrame, server: Server, tmp_path: Path
) -> None:
    """Later data are held against the first champion's, also when there are others since."""
    challenge(data, *WEAK)
    assert outcome(challenge(data, *STRONG)) == (0, "promoted", "1")
    shifted = digits.copy()
    shifted["pixel_3_3"] += 6
    path = write(shifted, tmp_path / "shifted.csv")
    told = challenge(path, *WEAK)
    drift = told.result["promotion"]["drift"]
    assert (told.exit_code, [each["column"] for each in drift["alarming"]]) == (0, ["pixel_3_3"])
    assert "'pixel_3_3' has drifted from the contract" in told.stderr
    refused = challenge(path, *WEAK, "--max-drift", "0.2")
    assert refused.exit_code == 3
    assert refused.result["reason"].startswith("the drift of 'pixel_3_3' (PSI ")
    assert challenge(data, *WEAK, "--max-drift", "0.2").exit_code == 0
    tags = server.client.get_model_version(tmp_path.name, "2").tags
    assert tags["mljobs.contract"] == "1"


def test_the_deleted_version_of_a_contract(challenge: Challenge, data: Path, server: Server, tmp_path: Path) -> None:
    """Somebody tidied up: the data of the champion are the contract then."""
    challenge(data, *WEAK)
    challenge(data, *STRONG)
    server.client.delete_registered_model_alias(tmp_path.name, "previous")
    server.client.delete_model_version(tmp_path.name, "1")
    ended = challenge(data, *WEAK)
    assert outcome(ended) == (0, "kept", "2")
    assert ended.result["promotion"]["contract"] == "2"


def test_a_champion_that_is_a_pickle(challenge: Challenge, data: Path) -> None:
    """It is loaded when that was asked for, and else nothing is trained."""
    challenge(data, *WEAK, "--model-format", "joblib")
    refused = challenge(data, *STRONG)
    assert refused.exit_code == 78
    assert "--trust-pickle" in refused.result["reason"]
    assert outcome(challenge(data, *STRONG, "--trust-pickle")) == (0, "promoted", "1")


def test_text_labels_and_groups(challenge: Challenge, tmp_path: Path) -> None:
    """Wine with named classes, split by a column of batches that is no feature."""
    frame = load_wine(as_frame=True).frame
    frame["target"] = frame["target"].map({0: "barolo", 1: "grignolino", 2: "barbera"})
    frame["batch"] = [f"b{i % 40}" for i in range(len(frame))]
    path = write(frame, tmp_path / "wine.csv")
    first = challenge(path, "--split-key", "batch", "--param", "max_depth=1", "--param", "n_estimators=1")
    assert outcome(first) == (0, "promoted", None)
    again = challenge(path, "--split-key", "batch", *STRONG)
    assert outcome(again) == (0, "promoted", "1")
    other = challenge(write(frame.drop(columns="batch"), tmp_path / "rows.csv"), *STRONG)
    assert other.exit_code == 78  # rows decide now, and some that are held out were trained on


def test_promote_and_rollback_by_hand(
    challenge: Challenge, mljobs: MLJobs, data: Path, server: Server, tmp_path: Path
) -> None:
    """A person moves the aliases; twice is back again."""
    env = {"MLFLOW_TRACKING_URI": server.uri}
    name = tmp_path.name
    first = challenge(data, *STRONG)
    nothing = mljobs("rollback", name, **env)
    assert (nothing.exit_code, "nothing to roll back to" in nothing.stderr) == (66, True)
    second = challenge(data, *WEAK)
    by_hand = mljobs("promote", second.result["run_directory"], **env)
    assert (by_hand.exit_code, by_hand.stdout) == (0, f"version 2 is champion of {name}; previous: 1\n")
    assert mljobs("promote", second.result["run_id"], **env).stdout == f"version 2 is champion of {name} already\n"
    back = mljobs("rollback", name, **env)
    assert (back.exit_code, back.stdout) == (0, f"version 1 is champion of {name} again; previous: 2\n")
    assert aliases(server, name) == {"champion": "1", "previous": "2"}
    assert "mljobs.rolled_back" in server.client.get_model_version(name, "2").tags
    assert mljobs("rollback", name, **env).stdout == f"version 2 is champion of {name} again; previous: 1\n"
    assert "mljobs.rolled_back" not in server.client.get_model_version(name, "2").tags
    assert mljobs("promote", first.result["run_directory"], **env).exit_code == 0
    assert aliases(server, name) == {"champion": "1", "previous": "2"}


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("rollback", "nobody"), 66, "has no version behind the alias"),
        (("promote", "0" * 32), 66, "not found"),
        (("reproduce", "0" * 32), 66, "not found"),
    ],
)
def test_what_is_not_there(
    mljobs: MLJobs, server: Server, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    """One sentence and 66."""
    ended = mljobs(*arguments, MLFLOW_TRACKING_URI=server.uri)
    assert (ended.exit_code, said in ended.stderr) == (exit_code, True), ended.stderr


def test_a_rejected_model_is_not_promoted_by_hand(
    challenge: Challenge, mljobs: MLJobs, data: Path, server: Server
) -> None:
    """It is not in the registry; the sentence says why."""
    ended = challenge(data, *WEAK, "--min", "accuracy=1")
    by_hand = mljobs("promote", ended.result["run_directory"], MLFLOW_TRACKING_URI=server.uri)
    assert by_hand.exit_code == 66
    assert "because it was rejected: accuracy" in by_hand.stderr


def test_promotion_needs_a_registry(mljobs: MLJobs, csv: Path) -> None:
    """Without a server, and with tracking off, it makes no sense: 78."""
    without = mljobs("train", "random-forest", csv, "--promote")
    assert (without.exit_code, "set MLFLOW_TRACKING_URI" in without.stderr) == (78, True)
    off = mljobs("train", "random-forest", csv, "--promote", "--tracking", "off")
    assert (off.exit_code, "--tracking off" in off.stderr) == (78, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--promote", "--max-drift", "inf"), "--max-drift must be a number from 0 to"),
        (("--promote", "--max-drift", "nan"), "--max-drift must be a number from 0 to"),
        (("--promote", "--alpha", "0"), "--alpha must be a number from"),
        (("--promote", "--max-drift", "0.2", "--new-contract"), "--max-drift has nothing to hold the data against"),
        (("--promote-if", "always"), "--promote-if needs a champion to be held against: add --promote"),
        (("--min-gain", "0.1"), "add --promote"),
        (("--split-key", "x0"), "--split-key decides the holdout with --split stable only"),
        (("--split", "stable", "--split-key", "target"), "--split-key must not be the column of labels"),
    ],
)
def test_settings_that_make_no_sense(mljobs: MLJobs, csv: Path, options: tuple[str, ...], said: str) -> None:
    """78, in one sentence."""
    ended = mljobs("train", "random-forest", csv, *options, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert (ended.exit_code, said in ended.stderr) == (78, True), ended.stderr


def test_the_rule_of_a_first_champion(challenge: Challenge, data: Path) -> None:
    """The report says by which rule it was promoted, not by which the next one will be; a random split is warned of."""
    ended = challenge(data, *WEAK, "--min-gain", "0.5", split="random")
    assert outcome(ended) == (0, "promoted", None)
    report = (Path(ended.result["run_directory"]) / "report.md").read_text()
    assert "Rule: a first champion passes the gates, and is better than always naming the most frequent class" in report
    assert "use --split stable, or no champion can be compared" in ended.stderr


def test_an_unchanged_start_tells_what_was_decided(mljobs: MLJobs, data: Path, server: Server, tmp_path: Path) -> None:
    """The skipped start's result has the decision, from the folder and from MLflow."""
    job = ("train", "random-forest", data, *WEAK, "--promote", "--split", "stable", "--model-name", tmp_path.name)
    env = {"MLFLOW_TRACKING_URI": server.uri, "MLJOBS_EXPERIMENT": tmp_path.name}
    first = mljobs(*job, **env)
    assert outcome(first) == (0, "promoted", None)
    here = mljobs(*job, **env)
    assert (here.result["status"], here.result["promotion"]) == ("skipped", first.result["promotion"])
    there = mljobs(*job, **env, MLJOBS_RUNS_DIR=str(tmp_path / "elsewhere"))
    assert there.result["status"] == "skipped"
    same = ("status", "reason", "champion")
    assert {key: there.result["promotion"][key] for key in same} == {
        key: first.result["promotion"][key] for key in same
    }


class Jobs(Processes):
    """Starts challengers in processes of their own."""

    def __init__(self, folder: Path, data: Path, uri: str) -> None:
        super().__init__(folder, MLFLOW_TRACKING_URI=uri, MLJOBS_MODEL_NAME=folder.name)
        self._data = data

    def challenge(self, name: str, *arguments: str) -> "subprocess.Popen[str]":
        """Start one, as the job called `name`."""
        split = ("--promote", "--split", "stable")
        return self.start("train", "random-forest", self._data, *split, "--name", name, *arguments)


def result_of(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for the end, which is 0, and return the result."""
    ended = end(process, 300)
    assert ended.exit_code == 0, ended.stderr
    return ended.result


def test_a_champion_that_changes_during_the_fit(
    challenge: Challenge, mljobs: MLJobs, data: Path, server: Server, tmp_path: Path
) -> None:
    """The decision is made against whoever is champion then, not against whoever was at the beginning."""
    challenge(data, *WEAK)
    other = challenge(data, *STRONG, "--min-gain", "0.5")
    process = Jobs(tmp_path, data, server.uri).challenge("long", "--param", "n_estimators=1500")
    while not list(tmp_path.glob("runs/*-long-*/checkpoint/trees-from-10.*")):
        assert process.poll() is None
        time.sleep(0.02)
    mljobs("promote", other.result["run_directory"], MLFLOW_TRACKING_URI=server.uri)
    promotion = result_of(process)["promotion"]
    assert (promotion["status"], promotion["champion"]) == ("kept", "2")
    assert aliases(server, tmp_path.name) == {"champion": "2", "previous": "1"}


def test_a_champion_that_can_not_be_compared_comes_during_the_fit(
    challenge: Challenge, mljobs: MLJobs, data: Path, digits: pd.DataFrame, server: Server, tmp_path: Path
) -> None:
    """What was trained is not thrown away: the run ends well, with its model, and the champion stays."""
    env = {"MLFLOW_TRACKING_URI": server.uri}
    challenge(data, *WEAK)
    path = write(digits.assign(more=digits["pixel_3_3"] * 2), tmp_path / "wide.csv")
    other = mljobs("train", "random-forest", path, *WEAK, "--model-name", tmp_path.name, **env)
    process = Jobs(tmp_path, data, server.uri).challenge("long", "--param", "n_estimators=1500")
    while not list(tmp_path.glob("runs/*-long-*/checkpoint/trees-from-10.*")):
        assert process.poll() is None
        time.sleep(0.02)
    assert mljobs("promote", other.result["run_directory"], **env).exit_code == 0
    result = result_of(process)
    assert (result["promotion"]["status"], "'more'" in result["promotion"]["reason"]) == ("kept", True)
    assert (Path(result["run_directory"]) / "model").is_dir()
    assert aliases(server, tmp_path.name)["champion"] == "2"


def test_challengers_at_the_same_moment(data: Path, server: Server, tmp_path: Path) -> None:
    """Four equal ones: one becomes champion, the others are held against it."""
    jobs = Jobs(tmp_path, data, server.uri)
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(result_of, [jobs.challenge(f"job{i}", *WEAK) for i in range(4)]))
    assert sorted(each["promotion"]["status"] for each in results) == ["kept", "kept", "kept", "promoted"]
    (champion,) = [each["promotion"]["version"] for each in results if each["promotion"]["status"] == "promoted"]
    assert aliases(server, tmp_path.name) == {"champion": champion}


@pytest.mark.tensorflow
def test_networks(mljobs_process: MLJobs, server: Server, tmp_path: Path) -> None:
    """One more epoch is better; the champion is asked for the images of the same holdout, and the fit is not disturbed."""
    images = load_digits()
    np.savez(tmp_path / "digits.npz", images=images.images.astype(np.uint8), labels=images.target)
    env = {"MLFLOW_TRACKING_URI": server.uri, "MLJOBS_MODEL_NAME": tmp_path.name, "MLJOBS_SPLIT": "stable"}

    def train(epochs: int, *arguments: str) -> Ended:
        return mljobs_process("train", "cnn", tmp_path / "digits.npz", "--param", f"epochs={epochs}", *arguments, **env)

    first, better = train(1, "--promote"), train(3, "--promote")
    assert [outcome(first), outcome(better)] == [(0, "promoted", None), (0, "promoted", "1")]
    comparison = better.result["promotion"]["comparison"]
    assert comparison["champion"] == pytest.approx(first.result["metrics"]["accuracy"])
    alone = train(3, "--name", "alone")
    assert alone.result["metrics"] == better.result["metrics"]
    assert outcome(train(3, "--promote", "--require-improvement")) == (3, "kept", "2")
