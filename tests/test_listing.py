"""The table of runs survives whatever lies in the folder."""

from pathlib import Path

import pytest
from harness import MLJobs

from jobs import listing
from jobs.console import Console


@pytest.mark.parametrize("name", ["journal.jsonl", "result.json"])
@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"metrics": {}, "pipeline": null, "data": []}'])
def test_a_file_that_is_none_of_ours_is_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, name: str
) -> None:
    """A foreign file does not keep the others from being listed."""
    directory = tmp_path / "20261123T000000.000Z-foreign-123456"
    directory.mkdir()
    (directory / name).write_text(text + "\n")
    assert len(listing.table(tmp_path, Console()).splitlines()) == 1
    assert "20261123T000000.000Z-foreign-123456" in capsys.readouterr().err


def test_a_run_of_another_version_is_listed(mljobs: MLJobs, csv: Path) -> None:
    """Results may have had other fields then."""
    ended = mljobs("train", "random-forest", csv, "--param", "n_estimators=2")
    path = Path(ended.result["run_directory"]) / "journal.jsonl"
    path.write_text(path.read_text().replace('"attempts": 1, ', '"colour": "blue", '))
    assert "finished" in mljobs("runs").stdout


def test_a_folder_that_may_not_be_listed_is_73(mljobs: MLJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is of another user, say."""

    def iterdir(_self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", iterdir)
    ended = mljobs("runs", tmp_path)
    assert (ended.exit_code, f"{tmp_path} can't be listed: Permission denied" in ended.stderr) == (73, True)
