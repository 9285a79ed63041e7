"""A learnd that is installed over an older one, whose defaults were others, goes on with the model as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import Result, Zygote, killed, refused, succeeded
from streams import prepare

OLD_BATCH = "train.batch_size=3"  # the default of the older learnd; today's is 1


def leave_out(values: dict[str, Any], section: str, key: str) -> Any:
    return values[section].pop(key)


def make_default(state: Path, section: str, key: str) -> None:
    """Let the record of the settings say that what was given was left out, and that the default was this value."""
    record = json.loads((state / "settings.json").read_bytes())
    record["defaults"][f"{section}.{key}"] = leave_out(record["given"], section, key)
    (state / "settings.json").write_text(json.dumps(record))


def without(folder: Path, section: str, key: str) -> None:
    """Leave a key out of the settings file."""
    settings = yaml.safe_load((folder / "learnd.yaml").read_text())
    leave_out(settings, section, key)
    (folder / "learnd.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


def logged(result: Result, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"] == event]


@pytest.fixture
def upgraded(zygote: Zygote, tmp_path: Path) -> Path:
    """A folder where an older learnd was killed; the settings leave out what its default was."""
    folder = prepare(tmp_path / "run")
    killed(zygote.run(folder, "run", "learnd.yaml", "--set", OLD_BATCH, failpoints="loop.updated=kill@30"))
    make_default(folder / "state", "train", "batch_size")
    without(folder, "train", "batch_size")
    return folder


def test_a_default_that_changed_neither_breaks_a_resume_nor_changes_the_model(
    zygote: Zygote, upgraded: Path, tmp_path: Path
) -> None:
    whole = prepare(tmp_path / "whole")
    expected = succeeded(zygote.run(whole, "run", "learnd.yaml", "--json", "--set", OLD_BATCH)).json()
    warned = succeeded(zygote.run(upgraded, "validate", "learnd.yaml", "--state", "state"))
    assert "learnd: warning: train.batch_size: the default changed since " in warned.stderr
    assert "goes on with 3; to take the new one, 1, write train.batch_size in the settings" in warned.stderr
    resumed = succeeded(zygote.run(upgraded, "run", "learnd.yaml", "--json"))
    assert resumed.json()["digest"] == expected["digest"]
    assert resumed.json()["updates"] == expected["updates"]
    (line,) = logged(resumed, "default_kept")
    assert (line["key"], line["kept"], line["new_default"]) == ("train.batch_size", 3, 1)
    assert line["to_take_the_new_one"] == "write train.batch_size in the settings"
    assert not logged(resumed, "finishing_journal")
    again = succeeded(zygote.run(upgraded, "run", "learnd.yaml"))
    assert len(logged(again, "default_kept")) == 1
    assert "default" not in succeeded(zygote.run(upgraded, "validate", "learnd.yaml", "--state", "other")).stderr


def test_without_the_record_of_its_defaults_a_run_does_not_begin_and_validate_says_so(
    zygote: Zygote, upgraded: Path
) -> None:
    (upgraded / "state" / "settings.json").write_text('{"fingerprint": "a", "given": {}')
    warned = succeeded(zygote.run(upgraded, "validate", "learnd.yaml", "--state", "state"))
    assert "learnd: warning: state/settings.json cannot be read" in warned.stderr.replace(f"{upgraded}/", "")
    assert "Nothing was changed" in refused(zygote.run(upgraded, "run", "learnd.yaml"), 74)


def test_the_new_default_is_taken_where_it_is_written_down(zygote: Zygote, upgraded: Path) -> None:
    taken = succeeded(zygote.run(upgraded, "run", "learnd.yaml", "--json", "--set", "train.batch_size=1"))
    assert not logged(taken, "default_kept")
    assert len(logged(taken, "finishing_journal")) == 1  # under the old one, which its calls were made with
    told = taken.json()
    assert told["samples_trained"] / 3 < told["updates"] < told["samples_trained"]


def test_an_export_builds_the_model_of_its_time(zygote: Zygote, whole: tuple[Path, Result], tmp_path: Path) -> None:
    shutil.copytree(whole[0] / "state", tmp_path / "state")
    make_default(tmp_path / "state", "model", "hidden")
    succeeded(zygote.run(tmp_path, "checkpoints", "export", "state", "model.keras"))
