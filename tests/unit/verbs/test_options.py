"""What verbs write over and what they do not, and which options they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from learnd.daemon.bench import LEAST_SAMPLES
from learnd.daemon.cli import app
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


def test_a_limit_under_what_it_takes_to_compare_anything_is_refused() -> None:
    told = CliRunner().invoke(app, ["bench", "nowhere.csv", "--limit", str(LEAST_SAMPLES - 1)])
    assert told.exit_code == 2
    assert "--limit" in told.output
