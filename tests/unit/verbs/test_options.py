"""What verbs write over, and what they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnd.daemon.errors import StoreError
from learnd.daemon.verbs.options import check_output


def test_a_file_that_is_there_is_written_over_on_request_alone(tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    check_output(output, "--json", force=False)
    output.touch()
    with pytest.raises(StoreError, match=r"out\.json exists\. Nothing .* Give another --json, or --force"):
        check_output(output, "--json", force=False)
    check_output(output, "--json", force=True, kept=[tmp_path / "gone", tmp_path])
    check_output(Path("/dev/null"), "--json", force=False)


def test_what_a_command_reads_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "records.csv").touch()
    (tmp_path / "link").symlink_to(tmp_path / "records.csv")
    with pytest.raises(StoreError, match="link is what this command reads"):
        check_output(tmp_path / "link", "--output", force=True, kept=[tmp_path / "records.csv"])
