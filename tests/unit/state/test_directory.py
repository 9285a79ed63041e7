"""Which folder is a state directory, and which one learnd must not write to."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnd.daemon.state.directory import foreign_files, is_state_directory
from learnd.daemon.state.lock import StateLock


def test_a_directory_that_a_daemon_has_locked_is_one_even_after_a_kill(tmp_path: Path) -> None:
    lock = StateLock(tmp_path / "state")
    lock.acquire()
    assert is_state_directory(tmp_path / "state")
    lock.release()
    (tmp_path / "state" / "notes.txt").touch()
    assert is_state_directory(tmp_path / "state")
    assert foreign_files(tmp_path / "state") == []


@pytest.mark.parametrize("kept", ["epochs.json", "checkpoints/00000001-000001/manifest.json"])
def test_what_a_backup_holds_is_enough(tmp_path: Path, kept: str) -> None:
    (tmp_path / kept).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / kept).touch()
    assert is_state_directory(tmp_path)


def test_a_folder_of_another_program_is_none(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "epoch-3").mkdir(parents=True)
    (tmp_path / "settings.json").write_text("{}")
    (tmp_path / "lock").write_text("dpkg")
    assert not is_state_directory(tmp_path)
    assert foreign_files(tmp_path) == ["checkpoints", "settings.json"]


def test_a_new_volume_is_free(tmp_path: Path) -> None:
    assert foreign_files(tmp_path / "missing") == foreign_files(tmp_path) == []
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".gitkeep").touch()
    (tmp_path / "lock").touch()
    assert foreign_files(tmp_path) == []
