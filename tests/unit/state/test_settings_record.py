"""The settings that a state directory remembers build the same columns again."""

import json
from pathlib import Path

from learnd.daemon.config.file import as_file, fingerprint
from learnd.daemon.config.settings import Settings
from learnd.daemon.state.settings_record import read_settings_record, write_settings_record


def test_the_order_of_the_features_is_kept(tmp_path: Path) -> None:
    features = {"zeta": "float", "beta": {"values": ["x", "y"]}, "alpha": "float"}
    settings = Settings.model_validate(
        {"source": {"files": {"path": "a.jsonl"}}, "samples": {"features": features, "label": "y"}}
    )
    write_settings_record(tmp_path, {"fingerprint": fingerprint(settings), "settings": as_file(settings)})
    record = read_settings_record(tmp_path)
    assert record is not None
    again = Settings.model_validate(record["settings"])
    assert [column.name for column in again.samples.spec("binary").columns] == list(features)
    assert fingerprint(again) == record["fingerprint"]


def test_a_record_that_is_not_readable_is_none(tmp_path: Path) -> None:
    assert read_settings_record(tmp_path) is None
    write_settings_record(tmp_path, {"settings": {}})
    (tmp_path / "settings.json").write_text(json.dumps({"settings": {}})[:-2])
    assert read_settings_record(tmp_path) is None
