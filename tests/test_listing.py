"""The table of runs survives whatever lies in the folder."""

from pathlib import Path

import pytest

from jobs import listing


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"metrics": {}, "pipeline": null, "data": []}'])
def test_a_file_that_is_no_result_is_a_row_that_says_so(tmp_path: Path, text: str) -> None:
    """A foreign file does not keep the others from being listed."""
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "result.json").write_text(text)
    _, row = listing.table(tmp_path).splitlines()
    assert row.split() == ["foreign", "-", "-", "unreadable", "-", "-", "-"]
