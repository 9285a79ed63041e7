"""Mistakes in the settings are said with their place; changes of the settings take effect between two calls."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import ROOT, Zygote, dead_letters, killed, refused, succeeded
from scenarios import SCENARIOS, seen, write_stream
from streams import json_lines, prepare, records

_MISTAKES = """\
modle: {preset: mlp}
source: {files: {path: stream.jsonl}}
samples:
  features: {a: flaot, b: float}
  label: y
train:
  batch_size: 0
  optimizer: {adm: {learning_rate: 0.1}}
checkpoint: {every: {samples: many}}
"""

_BUILDERS = """\
import keras


def fails(spec):
    raise ValueError("no luck")


def leaves():
    raise SystemExit("bye")


NUMBER = 3


def text(spec):
    return "model"


def wide(spec):
    return keras.Sequential([keras.Input((spec.width,)), keras.layers.Dense(2)])


def narrow(spec):
    return keras.Sequential([keras.Input((spec.width,)), keras.layers.Dense(1, name="head")])
"""


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_every_mistake_is_listed_with_its_line(tmp_path: Path, zygote: Zygote) -> None:
    folder = prepare(tmp_path / "run")
    (folder / "learnd.yaml").write_text(_MISTAKES)
    for verb in ("validate", "run"):
        message = refused(zygote.run(folder, verb, "learnd.yaml", "--set", "http.listen=nowhere"), 78)
        for place in (
            "learnd.yaml:1: unknown key modle",
            "learnd.yaml:4:",
            "learnd.yaml:7:",
            "learnd.yaml:9:",
            "http.listen",
        ):
            assert place in message
        for suggestion in ("did you mean 'model'?", "must be float or integer or boolean"):
            assert suggestion in message
    assert not (folder / "state").exists()
    assert "learnd init" in refused(zygote.run(folder, "run", "gone.yaml"), 78)


def test_validating_imports_no_tensorflow_for_what_needs_none(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    valid = python(folder, "-X", "importtime", "-m", "learnd", "validate", "learnd.yaml")
    assert valid.returncode == 0, valid.stderr
    assert "ok" in valid.stdout
    imported = {line.rpartition("|")[2].strip() for line in valid.stderr.splitlines() if "import time:" in line}
    assert "pydantic" in imported
    assert not {"tensorflow", "keras"} & imported


def test_a_failpoint_that_is_none(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    result = python(
        folder,
        "-c",
        "import os; os.environ['LEARND_FAILPOINTS'] = 'x=boom'; import learnd.daemon.foundation.failpoints",
    )
    assert result.returncode == 78
    assert result.stderr.startswith("learnd: LEARND_FAILPOINTS: failpoint 'x=boom': the action is one of kill")


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["model.build=nowhere:model"], ["model.build", "no module 'nowhere'", "current folder"]),
        (["model.build=builders:gone"], ["model.build", "builders.py has no function 'gone'"]),
        (["model.build=builders:fails"], ["model.build", "ValueError: no luck", "builders.py:5"]),
        (["model.build=builders:leaves"], ["model.build", "SystemExit: bye"]),
        (["model.build=builders:NUMBER"], ["model.build", "'NUMBER'", "is not a function but int"]),
        (["model.load=builders.py"], ["model.load", "is not a .keras file"]),
        (["model.build=builders:text"], ["model.build", "must return a keras.Model"]),
        (["model.build=builders:wide"], ["output shape", "samples.label"]),
        (["model.load=stream.jsonl"], ["model.load", "stream.jsonl"]),
        (["train.optimizer=adm"], ["train.optimizer", "adm", "did you mean adam"]),
        (["train.loss=binary_crosentropy"], ["train.loss", "did you mean binary_crossentropy?"]),
        (
            ["train.optimizer={adam: {rate: 1}}"],
            ["{'adam': {'rate': 1}} is rejected by Keras", "rate"],
        ),
        (["train.metrics=[nonsense]"], ["train.metrics", "nonsense"]),
    ],
)
def test_a_model_that_cannot_be_built(zygote: Zygote, tmp_path: Path, overrides: list[str], parts: list[str]) -> None:
    folder = prepare(tmp_path / "run")
    text = (folder / "learnd.yaml").read_text().replace("model:\n  hidden:\n  - 8\n", "")
    (folder / "learnd.yaml").write_text(text)
    (folder / "builders.py").write_text(_BUILDERS)
    options = [argument for override in overrides for argument in ("--set", override)]
    messages = [refused(zygote.run(folder, verb, "learnd.yaml", *options), 78) for verb in ("validate", "run")]
    for part in parts:
        assert part in messages[0]
    told = [[line for line in message.splitlines() if not line.startswith("{")] for message in messages]
    assert told[0] == told[1]  # with the same place, too
    assert not (folder / "state/checkpoints").exists()


def test_a_folder_of_other_things_is_not_taken_for_the_state(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    (folder / "photos").mkdir()
    (folder / "photos/one.jpg").touch()
    for verb in ("validate", "run"):
        told = refused(zygote.run(folder, verb, "learnd.yaml", "--state", "photos"), 78)
        assert told.startswith("--set checkpoint.dir: ")
        assert "one.jpg" in told
    assert [path.name for path in (folder / "photos").iterdir()] == ["one.jpg"]


def test_layers_that_a_build_function_does_not_make_are_found_when_validating(zygote: Zygote, tmp_path: Path) -> None:
    phases = [{"unfreeze": "haed", "until": "command"}, {"learning_rate": {"CosineDecai": {"decay_steps": 10}}}]
    folder = prepare(tmp_path / "run", phases=phases)
    (folder / "builders.py").write_text(_BUILDERS)
    narrow = ("--set", "model={build: builders:narrow}")
    message = refused(zygote.run(folder, "validate", "learnd.yaml", *narrow), 78)
    assert "phases.0.unfreeze: no layer is called 'haed' (did you mean head?)" in message
    message = refused(zygote.run(folder, "validate", "learnd.yaml", *narrow, "--set", "phases.0.unfreeze=head"), 78)
    assert "phases.1.learning_rate: " in message
    assert "did you mean cosine_decay?" in message


def test_a_checkpoint_of_another_model_is_refused(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    killed(zygote.run(folder, "run", "learnd.yaml", failpoints="loop.call.after=kill@20"))
    message = refused(zygote.run(folder, "run", "learnd.yaml", "--set", "model.hidden=[9]"), 74)
    assert "checkpoint belongs to another model" in message
    assert "(8" in message
    assert "--state" in message
    message = refused(zygote.run(folder, "run", "learnd.yaml", "--set", "samples.features.d=float"), 74)
    assert "checkpoint belongs to another model" in message
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--set", "checkpoint.every.samples=300"))
    assert succeeded(zygote.run(folder, "checkpoints", "show", "state", "--json")).json()["digest"] == digest


@pytest.mark.parametrize(
    "change",
    ["train.optimizer={sgd: {learning_rate: 0.001}}", "train.batch_size=32", "source.files.max_record_bytes=4096"],
)
def test_settings_that_change_after_a_kill_hold_from_the_next_call_on(
    zygote: Zygote, tmp_path: Path, change: str
) -> None:
    folder = SCENARIOS["one sample an update"].prepare(tmp_path / "run")
    write_stream(folder)
    overrides = ["--set", "train.xla=false", "--set", "train.optimizer={sgd: {learning_rate: 0.01}}"]
    killed(zygote.run(folder, "run", "learnd.yaml", *overrides, failpoints="loop.updated=kill@30"))
    result = succeeded(zygote.run(folder, "run", "learnd.yaml", *overrides, "--set", change, "--json"))
    assert "finishing_journal" in result.stderr
    assert ("learning_rate_changed" in result.stderr) == ("learning_rate" in change)
    counted = seen(folder / "state")
    given = result.json()
    assert counted.max() == 1
    assert int(counted.sum()) == given["samples_trained"]
    assert (given["updates"] < given["samples_trained"]) == ("batch_size" in change)
    assert len(dead_letters(folder / "state")) == sum(given["samples_rejected"].values()) == 80
    assert np.count_nonzero(counted) + given["samples_held_out"] + 80 == 4000


@pytest.mark.parametrize("change", ["train.threads=2", "train.batch_size=3"])
def test_what_tensorflow_reads_once_changes_after_a_kill_in_a_new_process(
    zygote: Zygote, tmp_path: Path, change: str
) -> None:
    folder = SCENARIOS["one sample an update"].prepare(tmp_path / "run")
    write_stream(folder)
    killed(zygote.run(folder, "run", "learnd.yaml", failpoints="loop.updated=kill@30"))
    changed = zygote.run(folder, "run", "learnd.yaml", "--json", "--set", change)
    counts = [changed.stderr.count(f'"{event}"') for event in ("finishing_journal", "restarting", "consuming")]
    assert counts == [1, 1, 2]
    told = succeeded(changed).json()
    assert (told["updates"] < told["samples_trained"]) == ("batch_size" in change)
    again = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json", "--set", change))
    assert "restarting" not in again.stderr
    assert again.json()["digest"] == told["digest"]
    assert seen(folder / "state").max() == 1


def test_a_reference_longer_than_the_stream_and_what_river_does_not_take_are_mistakes(
    tmp_path: Path, zygote: Zygote
) -> None:
    for number, (watch, words) in enumerate(
        (
            (
                {"watch": "features", "detector": "psi", "reference": 2000},
                "drift.0.reference: 2,000 samples, and the stream has 1,500",
            ),
            ({"watch": "features", "detector": "psi", "columns": ["d"]}, "drift.0.columns.0: 'd' is none"),
            (
                {"watch": "error", "detector": "adwin", "arguments": {"delts": 1}},
                "drift.0.arguments.delts: adwin takes",
            ),
        )
    ):
        folder = prepare(tmp_path / str(number), drift=[watch])
        assert re.search(
            rf"learnd\.yaml:\d+: {re.escape(words)}", refused(zygote.run(folder, "validate", "learnd.yaml"), 78)
        )
    folder = prepare(tmp_path / "fits", drift=[{"watch": "features", "detector": "psi", "reference": 1500}])
    succeeded(zygote.run(folder, "validate", "learnd.yaml"))


@pytest.mark.parametrize(
    ("anchor", "words"),
    [
        (None, "there is no file "),
        ("", "it holds no record"),
        ('{"a": 1}\n', "must hold samples alone"),
    ],
)
def test_an_anchor_file_without_samples_is_found_at_its_line(
    tmp_path: Path, zygote: Zygote, anchor: str | None, words: str
) -> None:
    folder = prepare(tmp_path / "run", validate={"anchor": {"file": "anchor.jsonl"}})
    if anchor is not None:
        (folder / "anchor.jsonl").write_text(anchor)
    told = refused(zygote.run(folder, "validate", "learnd.yaml"), 78)
    line = (folder / "learnd.yaml").read_text().splitlines().index("    file: anchor.jsonl") + 1
    assert f"learnd.yaml:{line}: validate.anchor.file: " in told
    assert words in told


def test_an_anchor_file_with_other_content_is_refused_until_the_journal_is_repeated(
    zygote: Zygote, tmp_path: Path
) -> None:
    folder = prepare(tmp_path / "run", validate={"anchor": {"file": "anchor.jsonl", "every": 100}})
    old, new = (json_lines(records(20, seed=seed)) for seed in (5, 6))
    (folder / "anchor.jsonl").write_bytes(old)
    killed(zygote.run(folder, "run", "learnd.yaml", failpoints="loop.updated=kill@30"))
    (folder / "anchor.jsonl").write_bytes(new)
    told = refused(zygote.run(folder, "run", "learnd.yaml"), 74)
    for part in ("made with other anchor samples", "Nothing was changed", "Start once with the old ones"):
        assert part in told
    (folder / "anchor.jsonl").write_bytes(old)
    succeeded(zygote.run(folder, "run", "learnd.yaml"))
    (folder / "anchor.jsonl").write_bytes(new)
    succeeded(zygote.run(folder, "run", "learnd.yaml"))  # no call is left to repeat
