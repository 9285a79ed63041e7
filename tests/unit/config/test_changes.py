"""What differs between two settings, by the keys that the settings file has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learnd.daemon.config.changes import changes
from learnd.daemon.config.given_settings import GivenSettings
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import SettingsError

BASE: dict[str, Any] = {
    "source": {"files": {"path": "a.jsonl"}},
    "samples": {"features": {"a": "float"}, "label": "y"},
}


def settings(**sections: Any) -> Settings:
    return Settings.model_validate({**BASE, **sections})


@pytest.mark.parametrize(
    ("sections", "keys"),
    [
        ({}, []),
        ({"log": {"level": "info"}, "train": {"batch_size": 1}}, []),  # as without a word
        ({"log": {"level": "debug", "format": "json"}}, [("log.level", True), ("log.format", True)]),
        (
            {"checkpoint": {"every": {"seconds": 5}, "dir": "b"}},
            [("checkpoint.dir", False), ("checkpoint.every", True)],
        ),
        ({"checkpoint": {"best": {}}}, [("checkpoint.best", True)]),
        ({"train": {"batch_size": 2, "optimizer": "adam"}}, [("train.batch_size", False), ("train.optimizer", False)]),
        ({"validate": {"prequential": {"windows": [5]}}}, [("validate.prequential.windows", False)]),
        ({"validate": {"holdout": {"share": 0.1}}}, [("validate.holdout", False)]),
        ({"reactions": [], "drift": []}, [("drift", False), ("reactions", False)]),
        ({"samples": {"features": {"b": "float"}, "label": "y"}}, [("samples.features", False)]),
        ({"source": {"files": {"path": "a.jsonl", "follow": True}}}, [("source.files.follow", False)]),
        ({"source": "stdin"}, [("source", False)]),
    ],
)
def test_each_key_that_differs_is_named(sections: dict[str, Any], keys: list[tuple[str, bool]]) -> None:
    found = changes(settings(), settings(**sections))
    assert [(change.key, change.live) for change in found] == keys


def test_values_are_shown_as_json_holds_them() -> None:
    (change,) = changes(settings(), settings(http={"token_file": "/run/token"}))
    assert change.shown() == {"from": None, "to": "/run/token"}
    (change,) = changes(settings(), settings(checkpoint={"every": {"samples": 7}}))
    assert change.shown() == {"from": {"samples": 50_000, "seconds": 30.0}, "to": {"samples": 7, "seconds": 30.0}}


def test_the_order_of_features_is_a_change() -> None:
    one, other = ({"features": dict.fromkeys(names, "float"), "label": "y"} for names in ("ab", "ba"))
    assert [change.key for change in changes(settings(samples=one), settings(samples=other))] == ["samples.features"]


TEXT = "source: {files: {path: a.jsonl}}\nsamples: {features: {a: float}, label: y}\n"


def test_a_file_that_changes_is_noticed_once_it_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(TEXT)
    file = GivenSettings(path, ["log.level=debug"])
    assert file.read().log.level == "debug"
    assert [file.changed() for _ in range(2)] == [False, False]
    path.write_text(TEXT + "log:")
    assert not file.changed()
    path.write_text(TEXT + "log: {format: jsn}\n")
    assert [file.changed() for _ in range(3)] == [False, True, True]
    with pytest.raises(SettingsError):
        file.read()
    assert not file.changed()  # to read it again would find the same
    path.unlink()
    assert [file.changed() for _ in range(2)] == [False, False]  # whoever writes it anew may be about to
    path.write_text(TEXT)
    assert [file.changed() for _ in range(2)] == [False, True]


def test_a_link_that_leads_to_another_file_is_a_change(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "settings.yaml").write_text(TEXT)
    (tmp_path / "data").symlink_to("one")
    file = GivenSettings(tmp_path / "data" / "settings.yaml", [])
    file.read()
    assert [file.changed() for _ in range(2)] == [False, False]
    (tmp_path / "next").symlink_to("other")
    (tmp_path / "next").rename(tmp_path / "data")
    assert [file.changed() for _ in range(2)] == [False, True]
