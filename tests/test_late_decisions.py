"""Who is champion is decided when the server answers, on the same rows, once; whatever was killed in between."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import proxy as proxies
import pytest
from harness import Ended, Processes, Server, end
from proxy import Proxy, Request
from sklearn.datasets import load_digits

from jobs import journal

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.server

WEAK = ("--param", "n_estimators=3")
STRONG = ("--param", "n_estimators=60")


class Jobs(Processes):
    """Starts challengers for the model that is called as the folder, with a proxy as their server."""

    def __init__(self, folder: Path, uri: str) -> None:
        super().__init__(folder, MLFLOW_TRACKING_URI=uri, MLJOBS_MODEL_NAME=folder.name)
        self.data = folder / "digits.csv"
        self.name = folder.name

    def challenge(self, *arguments: object) -> dict[str, Any]:
        """Train a challenger, which ends with 0, and return its result."""
        job = ("train", "random-forest", self.data, "--promote", "--split", "stable", "--force")
        ended = self.call(*job, *arguments)
        assert ended.exit_code == 0, ended.stderr
        return ended.result


@pytest.fixture
def jobs(tmp_path: Path, proxy: Proxy) -> Jobs:
    """Return a folder with the digits."""
    load_digits(as_frame=True).frame.to_csv(tmp_path / "digits.csv", index=False)
    return Jobs(tmp_path, proxy.uri)


def promotion_of(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a run says now of its model."""
    found: dict[str, Any] = json.loads((Path(result["run_directory"]) / "result.json").read_text())["promotion"]
    return found


def aliases(server: Server, name: str) -> dict[str, str]:
    """Return alias to version of a registered model."""
    return {alias: str(each) for alias, each in server.client.get_registered_model(name).aliases.items()}


def trained_in_an_outage(jobs: Jobs, proxy: Proxy, *arguments: object) -> dict[str, Any]:
    """Train a challenger while the server is down; it says that nothing is decided; the data are gone afterwards."""
    proxy.refuse()
    result = jobs.challenge(*arguments)
    proxy.open()
    promotion = result["promotion"]
    assert (result["status"], result["tracking"]) == ("finished", "queued")
    assert (promotion["status"], promotion["verdict"], promotion["comparison"]) == ("queued", "undecided", None)
    jobs.data.unlink()
    return result


def assert_decided(server: Server, jobs: Jobs, champion: dict[str, Any], challenger: dict[str, Any]) -> None:
    """Compare what became of a better challenger of version 1 with what should: in the result, and in MLflow."""
    promotion = promotion_of(challenger)
    assert (promotion["status"], promotion["version"], promotion["champion"]) == ("promoted", "2", "1")
    comparison = promotion["comparison"]
    assert comparison["challenger"] == pytest.approx(challenger["metrics"]["accuracy"])
    assert comparison["champion"] == pytest.approx(champion["metrics"]["accuracy"])
    assert aliases(server, jobs.name) == {"champion": "2", "previous": "1"}
    directory = Path(challenger["run_directory"])
    events = list(journal.read(directory / "journal.jsonl"))
    assert [each["event"] for each in events].count("published") == 1
    result = json.loads((directory / "result.json").read_text())
    run = server.client.get_run(result["run_id"])
    assert run.data.tags["mljobs.promotion"] == "promoted"
    assert run.data.tags["mljobs.promotion_reason"] == promotion["reason"]
    assert run.data.metrics["champion/gain"] == comparison["gain"]
    assert not (directory / "undecided").exists()


def test_sync_decides_what_an_outage_left(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """The rows are those that were held out, though the file is gone."""
    champion = jobs.challenge(*WEAK)
    challenger = trained_in_an_outage(jobs, proxy, *STRONG)
    synced = jobs.call("sync")
    assert (synced.exit_code, "promoted: champion of " in synced.stderr) == (0, True), synced.stderr
    assert_decided(server, jobs, champion, challenger)
    assert jobs.call("sync") == Ended(0, "", "")


def test_the_next_start_decides(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """Of whatever job in the same folder of runs."""
    champion = jobs.challenge(*WEAK)
    data = jobs.data.read_bytes()
    challenger = trained_in_an_outage(jobs, proxy, *STRONG)
    (jobs.data.parent / "other.csv").write_bytes(data)
    other = jobs.call("train", "random-forest", "other.csv", *WEAK, "--name", "other")
    assert other.exit_code == 0
    promotion = promotion_of(challenger)
    assert promotion["status"] == "promoted", other.stderr
    assert promotion["comparison"]["champion"] == pytest.approx(champion["metrics"]["accuracy"])
    assert aliases(server, jobs.name)["previous"] == "1"


def test_the_first_champion_and_the_second_in_one_outage(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """They are decided in the order in which they were trained."""
    proxy.refuse()
    first, second, tie = jobs.challenge(*WEAK), jobs.challenge(*STRONG), jobs.challenge(*STRONG)
    proxy.open()
    assert jobs.call("sync").exit_code == 0
    assert [promotion_of(each)["status"] for each in (first, second, tie)] == ["promoted", "promoted", "kept"]
    assert aliases(server, jobs.name) == {"champion": "2", "previous": "1"}


@pytest.mark.parametrize("path", ["registered-models/alias", "model-versions/set-tag"])
def test_a_server_that_dies_when_the_aliases_move(server: Server, proxy: Proxy, jobs: Jobs, path: str) -> None:
    """The job has decided, its end is recorded; `sync` carries out what is left of it."""
    champion = jobs.challenge(*WEAK)
    proxy.faults[path] = proxies.die
    challenger = jobs.challenge(*STRONG)
    assert (challenger["tracking"], challenger["promotion"]["status"]) == ("queued", "queued")
    assert challenger["promotion"]["verdict"] == "promote"
    proxy.faults.clear()
    proxy.open()
    assert jobs.call("sync").exit_code == 0
    assert_decided(server, jobs, champion, challenger)


def test_sync_that_is_killed_at_every_request(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """At its first, then at its second, and so on; in the end the decision is made once, and the same."""
    champion = jobs.challenge(*WEAK)
    challenger = trained_in_an_outage(jobs, proxy, *STRONG)
    for number in range(1, 100):
        proxy.requests.clear()
        process = jobs.start("sync")
        proxy.on_request = _killer(process, number)
        ended = end(process)
        if ended.exit_code == 0:
            break
        assert ended.exit_code == -signal.SIGKILL, ended.stderr
    assert 25 < number < 99
    assert_decided(server, jobs, champion, challenger)


def _killer(process: "subprocess.Popen[str]", number: int) -> Callable[[Request], None]:
    """Return what kills a process at a request."""

    def kill(request: Request) -> None:
        if request.number == number:
            process.kill()

    return kill


def forget_the_end_of(directory: Path) -> None:
    """Leave a run as one that was killed when its aliases had moved and nobody had been told."""
    path = directory / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    assert [json.loads(each)["event"] for each in lines[-2:]] == ["promotion", "published"]
    path.write_text("".join(lines[:-2]))


def test_a_rollback_is_not_undone_by_a_late_sync(server: Server, jobs: Jobs) -> None:
    """The job was killed after the aliases had moved; a person rolled back; then comes `sync`."""
    jobs.challenge(*WEAK)
    challenger = jobs.challenge(*STRONG)
    forget_the_end_of(Path(challenger["run_directory"]))
    assert jobs.call("rollback", jobs.name).exit_code == 0
    assert jobs.call("sync").exit_code == 0
    promotion = promotion_of(challenger)
    assert (promotion["status"], promotion["reason"]) == ("kept", "it was rolled back")
    assert aliases(server, jobs.name) == {"champion": "1", "previous": "2"}


def test_a_decision_that_was_carried_out_stays_so(server: Server, jobs: Jobs) -> None:
    """The job was killed after the aliases had moved: the next sync finds it done."""
    champion = jobs.challenge(*WEAK)
    challenger = jobs.challenge(*STRONG)
    forget_the_end_of(Path(challenger["run_directory"]))
    assert jobs.call("sync").exit_code == 0
    assert promotion_of(challenger)["status"] == "promoted"
    assert promotion_of(challenger)["comparison"]["champion"] == pytest.approx(champion["metrics"]["accuracy"])
    assert aliases(server, jobs.name) == {"champion": "2", "previous": "1"}


def test_an_older_model_does_not_displace_a_newer_one(server: Server, proxy: Proxy, jobs: Jobs, tmp_path: Path) -> None:
    """Whoever promotes always means the newest: what waited through an outage is not that any more."""
    jobs.challenge(*WEAK)
    data = jobs.data.read_bytes()
    waiting = trained_in_an_outage(jobs, proxy, *STRONG, "--promote-if", "always")
    shutil.move(jobs.data.parent / "runs", tmp_path / "aside")
    jobs.data.write_bytes(data)
    jobs.challenge(*WEAK, "--promote-if", "always", "--random-state", "42", "--param", "max_depth=9")
    shutil.move(tmp_path / "aside" / Path(waiting["run_directory"]).name, jobs.data.parent / "runs")
    assert jobs.call("sync").exit_code == 0
    promotion = promotion_of(waiting)
    assert (promotion["status"], "was trained later" in promotion["reason"]) == ("kept", True)
    assert aliases(server, jobs.name) == {"champion": "2", "previous": "1"}


def test_an_unfair_comparison_is_found_late(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """Another split than the champion's: it stays, and the reason says why."""
    jobs.challenge(*WEAK)
    waiting = trained_in_an_outage(jobs, proxy, *STRONG, "--random-state", "7")
    assert jobs.call("sync").exit_code == 0
    promotion = promotion_of(waiting)
    assert (promotion["status"], "there is no fair comparison" in promotion["reason"]) == ("kept", True)
    assert aliases(server, jobs.name) == {"champion": "1"}


def test_a_contract_that_is_found_broken_late(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """The model is in the registry, but no champion; drift beyond the gate is found likewise."""
    jobs.challenge(*WEAK)
    load_digits(as_frame=True).frame.drop(columns="pixel_3_3").to_csv(jobs.data, index=False)
    broken = trained_in_an_outage(jobs, proxy, *STRONG)
    frame = load_digits(as_frame=True).frame
    frame["pixel_3_3"] += 6
    frame.to_csv(jobs.data, index=False)
    drifted = trained_in_an_outage(jobs, proxy, *STRONG, "--max-drift", "0.2", "--name", "drifted")
    assert jobs.call("sync").exit_code == 0
    assert [promotion_of(each)["status"] for each in (broken, drifted)] == ["kept", "kept"]
    assert "pixel_3_3" in promotion_of(broken)["reason"]
    assert promotion_of(drifted)["reason"].startswith("the drift of 'pixel_3_3' (PSI ")
    assert aliases(server, jobs.name) == {"champion": "1"}


def test_a_required_improvement_in_an_outage(proxy: Proxy, jobs: Jobs) -> None:
    """What is not known can't be required: 0 and `queued`, unless the server is required too."""
    proxy.refuse()
    job = ("train", "random-forest", jobs.data, "--promote", "--require-improvement", *WEAK)
    assert jobs.call(*job).result["promotion"]["status"] == "queued"
    assert jobs.call(*job, "--tracking", "required", "--name", "other").exit_code == 69


def test_a_required_improvement_that_was_none_after_all(proxy: Proxy, jobs: Jobs) -> None:
    """The night itself ended with 0, since nobody could know; the next start of the same job says 3, and goes on to."""
    jobs.challenge(*WEAK)
    job = ("train", "random-forest", jobs.data, "--promote", "--split", "stable", "--require-improvement", *WEAK)
    proxy.refuse()
    assert jobs.call(*job, "--name", "nightly").exit_code == 0
    proxy.open()
    for _ in range(2):
        again = jobs.call(*job, "--name", "nightly")
        assert (again.exit_code, again.result["status"], again.result["exit_code"]) == (3, "skipped", 3), again.stderr
        assert "which was not promoted: not better than version 1 beyond chance" in again.result["reason"]


def test_a_server_that_hangs_costs_ten_seconds_at_most(proxy: Proxy, jobs: Jobs) -> None:
    """Asking for the champion, at the start and at the end, counts like all other waiting."""
    proxy.fault = proxies.hang
    result = jobs.challenge(*WEAK)
    seconds = result["seconds"]
    assert (result["status"], result["promotion"]["status"]) == ("finished", "queued")
    assert seconds["champion"] + seconds["publish"] <= 10


def test_a_server_that_says_who_is_champion_only_later(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """It takes the run, but nothing is promoted that nobody has decided."""
    champion = jobs.challenge(*WEAK)
    proxy.faults["registered-models/get"] = proxies.answer_500
    challenger = jobs.challenge(*STRONG)
    promotion = challenger["promotion"]
    assert (challenger["tracking"], promotion["status"], promotion["verdict"]) == ("queued", "queued", "undecided")
    proxy.faults.clear()
    assert aliases(server, jobs.name) == {"champion": "1"}
    assert jobs.call("sync").exit_code == 0
    assert_decided(server, jobs, champion, challenger)


def test_a_model_that_can_not_be_fetched(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """The champion's files are away for the time of the job: it is decided later."""
    champion = jobs.challenge(*WEAK)
    proxy.faults["GET /api/2.0/mlflow-artifacts"] = proxies.answer_500
    challenger = jobs.challenge(*STRONG)
    assert challenger["promotion"]["verdict"] == "undecided"
    proxy.faults.clear()
    assert jobs.call("sync").exit_code == 0
    assert_decided(server, jobs, champion, challenger)


def test_what_is_not_decided_does_not_stand_for_a_start_without_state(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """The container is gone, with the rows that the decision needs: all is done again."""
    job = ("train", "random-forest", jobs.data, "--promote", "--split", "stable", *WEAK, "--experiment", jobs.name)
    proxy.faults["registered-models/alias"] = proxies.answer_500
    assert jobs.call(*job).result["promotion"]["status"] == "queued"
    proxy.faults.clear()
    shutil.rmtree(jobs.data.parent / "runs")
    again = jobs.call(*job)
    assert (again.result["status"], again.result["promotion"]["status"]) == ("finished", "promoted")
    assert aliases(server, jobs.name)["champion"] == again.result["promotion"]["version"]


def test_a_promotion_by_hand_is_not_undone_by_a_late_sync(server: Server, jobs: Jobs) -> None:
    """The job was killed after the aliases had moved; a person put the old one back by its run; then comes `sync`."""
    first = jobs.challenge(*WEAK)
    challenger = jobs.challenge(*STRONG)
    forget_the_end_of(Path(challenger["run_directory"]))
    assert jobs.call("promote", first["run_directory"]).exit_code == 0
    assert jobs.call("sync").exit_code == 0
    assert promotion_of(challenger)["status"] == "kept"
    assert aliases(server, jobs.name) == {"champion": "1", "previous": "2"}


def test_one_decision_that_can_not_be_made_does_not_hold_up_others(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """The champion's files can't be had: sync publishes all else, says what is not decided, and ends with 69."""
    champion = jobs.challenge(*WEAK)
    proxy.refuse()
    stuck = jobs.challenge(*STRONG)
    plain = jobs.call("train", "random-forest", jobs.data, *WEAK, "--name", "plain").result
    proxy.open()
    proxy.faults["GET /api/2.0/mlflow-artifacts"] = proxies.answer_500
    ended = jobs.call("sync")
    said = f"not decided yet by {Path(stuck['run_directory']).name}; all else is published"
    assert (ended.exit_code, said in ended.stderr) == (69, True), ended.stderr
    assert json.loads((Path(plain["run_directory"]) / "result.json").read_text())["tracking"] == "published"
    proxy.faults.clear()
    assert jobs.call("sync").exit_code == 0
    assert_decided(server, jobs, champion, stuck)


def test_the_page_of_the_run_says_what_became_of_it(server: Server, proxy: Proxy, jobs: Jobs) -> None:
    """Also if that was decided late."""
    jobs.challenge(*WEAK)
    challenger = trained_in_an_outage(jobs, proxy, *STRONG)
    assert jobs.call("sync").exit_code == 0
    run_id = json.loads((Path(challenger["run_directory"]) / "result.json").read_text())["run_id"]
    page = server.client.get_run(run_id).data.tags["mlflow.note.content"]
    assert page.count("**Promoted**: better than version 1 beyond chance") == 1
    assert page.startswith("Accuracy 0.")


def test_a_job_that_dies_after_its_decision_leaves_none(jobs: Jobs, proxy: Proxy) -> None:
    """Neither in the result nor on the disk."""
    proxy.refuse()
    process = jobs.start("train", "random-forest", jobs.data, "--promote", "--split", "stable", *WEAK)
    runs = jobs.data.parent / "runs"
    while not list(runs.glob("*/undecided")):
        assert process.poll() is None
    process.kill()
    process.communicate()
    other = jobs.call("train", "random-forest", jobs.data, *WEAK, "--name", "other")
    assert other.exit_code == 0
    (directory,) = [each for each in runs.iterdir() if "random-forest-digits" in each.name]
    assert json.loads((directory / "result.json").read_text())["promotion"] is None
    assert not (directory / "undecided").exists()
