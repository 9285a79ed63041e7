"""The settings that a state directory remembers build the same model again, whatever the defaults are by then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learnd.daemon.config.defaults import Kept, defaults, keep_defaults
from learnd.daemon.config.fingerprint import fingerprint
from learnd.daemon.config.record import as_file, as_shown, is_same, record_of, restored
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import StoreError
from learnd.daemon.state.settings_record import read_settings_record, write_settings_record
from learnd.daemon.training.settings import TrainSettings
from learnd.daemon.values import Facts

BASE: dict[str, Any] = {
    "source": {"files": {"path": "a.jsonl"}},
    "samples": {"features": {"zeta": "float", "beta": {"values": ["x", "y"]}, "alpha": "float"}, "label": "y"},
}


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate({**BASE, "drift": [{"watch": "error", "detector": "adwin"}]})


def written(root: Path, settings: Settings) -> Facts:
    """Return the record as the next start finds it."""
    write_settings_record(root, record_of(settings, read_settings_record(root)))
    record = read_settings_record(root)
    assert record is not None
    return record


def change(monkeypatch: pytest.MonkeyPatch, default: int) -> None:
    """Be a later learnd, with another default of `train.batch_size`."""
    monkeypatch.setattr(TrainSettings.model_fields["batch_size"], "default", default)
    TrainSettings.model_rebuild(force=True)
    monkeypatch.setattr(Settings.model_fields["train"], "default", TrainSettings())
    Settings.model_rebuild(force=True)


@pytest.fixture
def later() -> Iterator[pytest.MonkeyPatch]:
    """What `change` changes is undone in the fields, and then in the models."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch
    TrainSettings.model_rebuild(force=True)
    Settings.model_rebuild(force=True)


def test_the_order_of_the_features_is_kept(tmp_path: Path, settings: Settings) -> None:
    again = restored(written(tmp_path, settings))
    assert [column.name for column in again.samples.spec("binary").columns] == ["zeta", "beta", "alpha"]
    assert again == settings
    assert fingerprint(again) == fingerprint(settings)


def test_a_default_that_changes_goes_on_where_it_is_left_out(
    tmp_path: Path, settings: Settings, later: pytest.MonkeyPatch
) -> None:
    record = written(tmp_path, settings)
    change(later, 8)
    upgraded = Settings.model_validate(as_file(settings))
    assert upgraded.train.batch_size == 8
    kept, told = keep_defaults(upgraded, record["defaults"])
    assert kept.train.batch_size == 1
    assert told == [Kept("train.batch_size", 1, 8)]
    assert "write train.batch_size in the settings" in told[0].way_out
    assert fingerprint(kept) == fingerprint(settings) == record["fingerprint"]
    assert restored(record).train.batch_size == 1
    assert as_file(kept) == as_file(settings)  # what was left out is still known as left out
    assert written(tmp_path, kept) == record  # also for the start after this one


def test_what_is_given_is_taken(tmp_path: Path, settings: Settings, later: pytest.MonkeyPatch) -> None:
    record = written(tmp_path, settings)
    change(later, 8)
    given = Settings.model_validate({**as_file(settings), "train": {"batch_size": 8}})
    kept, told = keep_defaults(given, record["defaults"])
    assert (kept.train.batch_size, told) == (8, [])
    assert not is_same(kept, record)


def test_the_defaults_in_lists_and_of_lists_are_kept(tmp_path: Path, settings: Settings) -> None:
    recorded = written(tmp_path, settings)["defaults"]
    recorded |= {
        "drift": [{"watch": "features", "detector": "ks"}],
        "drift.N.quiet": 77,
        "drift.N.window": 300,
        "samples.features.NAME.unknown": "reject",
        "source.files.max_record_bytes": 4096,
    }
    kept, told = keep_defaults(settings, recorded)
    assert [watch.quiet for watch in kept.drift] == [77]
    assert kept.samples.features["beta"].unknown == "reject"
    assert kept.source.settings.model_dump()["max_record_bytes"] == 4096
    told_keys = {default.key for default in told}
    assert {"drift.0.quiet", "samples.features.beta.unknown", "source.files.max_record_bytes"} < told_keys
    assert "drift" not in told_keys  # it is given
    usual, _ = keep_defaults(Settings.model_validate(BASE), recorded)
    assert [(watch.watch, watch.detector, watch.window) for watch in usual.drift] == [("features", "ks", 300)]


def test_a_harmless_default_is_always_todays(settings: Settings) -> None:
    recorded = {"http.listen": "127.0.0.1:1", "checkpoint.keep": 9, "train.max_updates_per_call": 2}
    assert not set(recorded) & set(defaults())
    kept, told = keep_defaults(settings, recorded)
    assert (kept, told) == (settings, [])


def test_the_journal_knows_the_settings_by_the_name_that_they_had(tmp_path: Path, settings: Settings) -> None:
    """A version that has one more key gives the same settings another fingerprint."""
    write_settings_record(tmp_path, {**record_of(settings, None), "fingerprint": "of an earlier version"})
    assert written(tmp_path, settings)["fingerprint"] == "of an earlier version"
    other = Settings.model_validate({**BASE, "train": {"seed": 8}})
    assert written(tmp_path, other)["fingerprint"] == fingerprint(other)


def test_a_recorded_value_that_is_no_longer_valid_names_the_way_out(settings: Settings) -> None:
    record = record_of(settings, None)
    record["defaults"]["train.step"] = "gone"
    with pytest.raises(StoreError, match=r"train\.step is left out, .*'gone'.*Write train\.step in the settings"):
        keep_defaults(settings, record["defaults"])
    record = json.loads(json.dumps(record_of(settings, None)))
    record["given"]["gone"] = 1
    with pytest.raises(StoreError, match=r"gone: .*Nothing was changed.* new state directory"):
        restored(record)
    assert not is_same(settings, record)


def test_settings_are_shown_with_their_defaults_and_without_their_secrets(tmp_path: Path) -> None:
    sasl = {"mechanism": "SCRAM-SHA-512", "username": "ali", "password": "sesame"}
    kafka = {"bootstrap_servers": ["b:9092"], "topic": "clicks", "sasl": sasl, "tls": {"key_password": "sesame"}}
    http = {"token_file": str(tmp_path / "token")}
    (tmp_path / "token").write_text("sesame, sixteen characters")
    shown = as_shown(Settings.model_validate({**BASE, "source": {"kafka": kafka}, "http": http}))
    text = json.dumps(shown)
    assert "sesame" not in text
    assert "ali" in text
    assert shown["train"]["batch_size"] == TrainSettings().batch_size
    assert shown["http"]["token_file"] == str(tmp_path / "token")
