"""A run from the first record to the last, what scripts read of it, and what the other verbs make of its state."""

import json
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
from plain_keras import environment
from processes import ROOT, Result, Zygote, history, refused, succeeded
from streams import RECORDS, json_lines, prepare, records

_PREDICT = """
import json, sys
import keras, numpy as np
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[2], model.predict(np.array(json.load(sys.stdin), np.float32), verbose=0))
"""

_OWN_MODEL = """
import keras
from learnd import RunningStandardization

class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.standardize = RunningStandardization(name="standardize")
        self.last = keras.layers.Dense(1, activation="sigmoid")

    def call(self, inputs, training=False):
        return self.last(self.standardize(inputs, training=training))

def build():
    return Own()
"""


def test_the_summary_is_what_scripts_rely_on(whole: tuple[Path, Result]) -> None:
    folder, result = whole
    given = result.json()
    assert list(given) == [
        "digest",
        "samples_trained",
        "samples_rejected",
        "samples_held_out",
        "updates",
        "updates_skipped",
        "updates_skipped_by_reason",
        "scores",
        "baselines",
        "holdout_scores",
        "holdout_unscored",
        "behind_baselines",
        "stopped_early",
        "contest",
        "seconds",
        "samples",
        "samples_per_second",
    ]
    assert json.loads((folder / "state/summary.json").read_text()) == given
    assert (given["samples_trained"], given["updates"], given["updates_skipped"]) == (RECORDS, RECORDS, 0)
    assert (given["samples_rejected"], given["samples_held_out"]) == ({}, 0)
    assert len(given["digest"]) == 64
    assert given["scores"]["accuracy"] > 0.75 > given["baselines"]["no_change"]["accuracy"]
    assert given["seconds"] > 0
    assert given["samples"] == RECORDS
    assert given["samples_per_second"] == pytest.approx(RECORDS / given["seconds"])


def test_the_history_has_a_line_for_each_score(whole: tuple[Path, Result]) -> None:
    folder, result = whole
    scores = history(folder / "state")
    assert [(line["samples"], line["window"]) for line in scores] == [
        (samples, window) for samples in (500, 1000, 1500) for window in ("all", 200)
    ]
    assert scores[-2]["metrics"] == result.json()["scores"]
    assert scores[-2]["baselines"] == result.json()["baselines"]
    checkpoints = history(folder / "state", "checkpoint")
    counts = [line["samples"] for line in checkpoints]  # one is put off while the one before it is being written
    assert counts == sorted(set(counts))
    assert (counts[0], counts[-1]) == (0, RECORDS)
    assert checkpoints[-1]["digest"] == result.json()["digest"]


def test_standard_error_is_one_json_object_a_line_elsewhere_than_on_a_terminal(whole: tuple[Path, Result]) -> None:
    lines = [json.loads(line) for line in whole[1].stderr.splitlines()]
    assert {"consuming"} <= {line["message"] for line in lines}


def test_checkpoints_are_listed_shown_verified_and_pinned(zygote: Zygote, whole: tuple[Path, Result]) -> None:
    folder, result = whole
    shown = succeeded(zygote.run(folder, "checkpoints", "show", "state", "--json")).json()
    assert {"digest", "sequence", "samples_trained", "positions", "ranges", "scores", "parent"} <= set(shown)
    size = (folder / "stream.jsonl").stat().st_size
    assert shown["digest"] == result.json()["digest"]
    assert shown["samples_trained"] == RECORDS
    assert shown["positions"] == {"file-0": size}
    assert shown["ranges"] == {"file-0": [[0, size]]}
    assert shown["scores"] == result.json()["scores"]
    assert shown["parent"] == shown["sequence"] - 1
    text = succeeded(zygote.run(folder, "checkpoints", "show", "state")).stdout
    assert shown["digest"] in text
    assert f"file         file-0 is {folder / 'stream.jsonl'}\n" in text

    rows = json.loads(succeeded(zygote.run(folder, "checkpoints", "ls", "state", "--json")).stdout)
    counts = [row["samples_trained"] for row in rows]
    assert counts == sorted(set(counts), reverse=True)
    assert counts[0] == RECORDS
    assert rows[0]["digest"] == shown["digest"]
    assert succeeded(zygote.run(folder, "checkpoints", "ls", "state")).stdout.count("\n") == len(rows)

    assert f"{len(rows)} checkpoints verify" in succeeded(zygote.run(folder, "checkpoints", "verify", "state")).stdout
    succeeded(zygote.run(folder, "checkpoints", "pin", "state", str(rows[-1]["sequence"])))
    assert "pinned" in succeeded(zygote.run(folder, "checkpoints", "ls", "state")).stdout.splitlines()[-1]
    succeeded(zygote.run(folder, "checkpoints", "unpin", "state", str(rows[-1]["sequence"])))
    assert "pinned" not in succeeded(zygote.run(folder, "checkpoints", "ls", "state")).stdout


def test_what_is_not_there_is_said_plainly(zygote: Zygote, whole: tuple[Path, Result], tmp_path: Path) -> None:
    folder, _ = whole
    for verb in ("ls", "show", "verify"):
        assert "nowhere" in refused(zygote.run(folder, "checkpoints", verb, "nowhere"), 74)
    for verb in ("show", "verify"):
        assert "no checkpoint" in refused(zygote.run(folder, "checkpoints", verb, tmp_path), 74)
    assert "checkpoints ls" in refused(zygote.run(folder, "checkpoints", "pin", "state", "77"), 74)
    assert "no checkpoint" in refused(zygote.run(folder, "checkpoints", "export", tmp_path, "m.keras"), 74)
    assert ".keras" in refused(zygote.run(folder, "checkpoints", "export", "state", "model.h5"), 74)


def test_the_export_predicts_in_plain_keras_what_the_daemon_does(
    zygote: Zygote, whole: tuple[Path, Result], tmp_path: Path
) -> None:
    from learnd.daemon.config.file import load_settings
    from learnd.daemon.state.look import checkpoint_of
    from learnd.daemon.stream.decoding.decoder import SampleDecoder
    from learnd.daemon.values import FEATURES, LABEL, RecordBatch
    from learnd.daemon.verbs.checkpoints import restored_learner

    folder, _ = whole
    succeeded(zygote.run(folder, "checkpoints", "export", "state", tmp_path / "model.keras"))
    settings = load_settings(folder / "learnd.yaml", [])
    lines = json_lines(records(50, seed=3)).splitlines()
    batch = RecordBatch("p", 0, np.arange(1, 51), lines)
    inputs = SampleDecoder(settings.samples, settings.samples.spec(settings.model.task)).decode(batch).samples.inputs
    subprocess.run(
        [
            environment(tmp_path / "environment"),
            "-I",
            "-c",
            _PREDICT,
            tmp_path / "model.keras",
            tmp_path / "outputs.npy",
        ],
        input=json.dumps(inputs[FEATURES].tolist()),
        text=True,
        check=True,
        cwd=ROOT,
    )
    one = restored_learner(folder / "state", checkpoint_of(folder / "state"))
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), one.predict(inputs)[LABEL], rtol=1e-5, atol=1e-6)
    assert one.traces == 0  # it took no compiled call to get there


def test_an_export_that_needs_more_than_keras_says_so(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", json_lines(records(50)), model={"build": "own:build"})
    (folder / "own.py").write_text(_OWN_MODEL)
    succeeded(zygote.run(folder, "run", "learnd.yaml"))
    result = succeeded(zygote.run(folder, "checkpoints", "export", "state", "model.keras"))
    assert "warning: model.keras does not open in plain Keras" in result.stderr
    assert "standardize (learnd.daemon.training.layers.RunningStandardization)" in result.stderr
    assert (folder / "model.keras").exists()


@pytest.mark.parametrize("override", ["train.max_updates_per_call=1", "train.max_updates_per_call=4096"])
def test_the_digest_is_the_same_at_every_length_of_a_call(
    zygote: Zygote, digest: str, tmp_path: Path, override: str
) -> None:
    folder = prepare(tmp_path / "run")
    result = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json", "--set", override))
    assert result.json()["digest"] == digest


def test_a_replay_gives_the_same_twice_and_as_the_run(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    (folder / "stream.jsonl").rename(tmp_path / "recorded.jsonl")
    replay = ("replay", "learnd.yaml", "--from", "../recorded.jsonl", "--json", "--set", "train.max_updates_per_call=7")
    first = succeeded(zygote.run(folder, *replay))
    second = succeeded(zygote.run(folder, *replay, "--state", "again"))
    assert first.json()["digest"] == second.json()["digest"] == digest
    assert json.loads((folder / "again/summary.json").read_text()) == second.json()
    assert "replay-001" in first.stderr
    assert (folder / "replay-001/summary.json").exists()

    message = refused(zygote.run(folder, *replay, "--state", "again"), 74)
    assert "again is not empty" in message
    assert "--state" in message
    assert json.loads((folder / "again/summary.json").read_text()) == second.json()
    message = refused(zygote.run(folder, "replay", "learnd.yaml", "--from", "gone.jsonl"), 74)
    assert "gone.jsonl" in message
    assert "--from" in message


def test_a_finished_stream_is_not_trained_again(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--set", "checkpoint.dir=elsewhere"))
    again = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json", "--state", "elsewhere")).json()
    assert (again["digest"], again["samples_trained"]) == (digest, RECORDS)
    assert not (folder / "state").exists()


def test_a_model_behind_its_baseline_is_told_once_in_the_log_and_in_the_summary(zygote: Zygote, tmp_path: Path) -> None:
    rng = random.Random(3)
    stream = [record | {"y": int(rng.random() < 0.03)} for record in records()]
    folder = prepare(tmp_path / "run", json_lines(stream), validate={"holdout": {"share": 1e-9}})
    result = succeeded(zygote.run(folder, "run", "learnd.yaml", "--set", "train.optimizer.sgd.learning_rate=0.3"))
    assert "the model is behind what looks at no feature: " in result.stdout
    assert "not scored: no sample was held out" in result.stdout
    (warning,) = [line for line in result.stderr.splitlines() if '"behind_baseline"' in line]
    assert "priors" in warning
