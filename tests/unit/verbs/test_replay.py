"""What a replay takes over from the settings, and what it leaves to the live daemon."""

from pathlib import Path

import pytest

from learnd.daemon.config.record import as_file
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import SourceError, StoreError
from learnd.daemon.verbs.replay import replay_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "recording.jsonl").write_text('{"a": 1, "y": 0}\n')
    return Settings.model_validate(
        {
            "source": {"files": {"path": "live.jsonl", "follow": True}},
            "samples": {"features": {"a": "float"}, "label": "y"},
            "checkpoint": {"dir": str(tmp_path / "state")},
            "dead_letters": {"file": str(tmp_path / "dead.jsonl"), "max_rate": 0.5},
            "predictions": {"file": str(tmp_path / "predicted.jsonl")},
        }
    )


def test_it_reads_the_recording_to_its_end_and_writes_nothing_of_the_live_daemon(
    settings: Settings, tmp_path: Path
) -> None:
    replay = replay_settings(settings, tmp_path / "recording.jsonl", None)
    assert as_file(replay)["source"]["files"]["path"] == str(tmp_path / "recording.jsonl")
    assert not replay.source.settings.follow  # type: ignore[attr-defined]  # files have it
    assert replay.checkpoint.dir == tmp_path / "replay-001"
    assert replay.dead_letters.file is None
    assert not replay.predictions.wanted
    assert replay.dead_letters.max_rate == 0.5


def test_each_replay_has_a_directory_of_its_own(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "replay-001").mkdir()
    assert replay_settings(settings, tmp_path / "recording.jsonl", None).checkpoint.dir == tmp_path / "replay-002"


def test_it_starts_afresh_or_not_at_all(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not empty"):
        replay_settings(settings, tmp_path / "recording.jsonl", tmp_path)
    with pytest.raises(StoreError, match="is no directory"):
        replay_settings(settings, tmp_path / "recording.jsonl", tmp_path / "recording.jsonl")
    with pytest.raises(SourceError, match="there is no such file"):
        replay_settings(settings, tmp_path / "missing.jsonl", None)
