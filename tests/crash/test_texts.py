"""A model of texts beside numbers, killed, comes out the same to the last bit; so do its dead letters."""

import json
import random
from pathlib import Path

from processes import Zygote, dead_letters, history, whole_and_killed

RECORDS, BROKEN = 1200, 24

SETTINGS = """
model: {preset: mlp, task: binary}
source: {files: {path: stream.jsonl}}
samples:
  features: {review: {text: {length: 12, hash: 300}}, stars: float, shop: {hash: 5}}
  label: y
train: {batch_size: 2, max_updates_per_call: 16}
validate: {holdout: {share: 0.1, size: 50, every: 300}, prequential: {windows: [200], every: 300}}
checkpoint: {every: {samples: 200, seconds: 1000}}
http: {listen: null}
"""


def prepared(folder: Path) -> Path:
    """Write a stream in which a word says what is learnt, and some texts have no word."""
    folder.mkdir()
    rng = random.Random(4)
    lines = []
    for number in range(RECORDS):
        words = [f"Word{rng.randrange(60)}" for _ in range(rng.randrange(1, 16))]
        good = rng.random() < 0.5
        words[rng.randrange(len(words))] = "Good!" if good else "bad"
        review = rng.choice(["", "...", 7]) if number % (RECORDS // BROKEN) == 9 else " ".join(words)
        stars, shop = rng.gauss(0, 1), rng.choice("abcdefg")
        lines.append(json.dumps({"review": review, "stars": stars, "shop": shop, "y": int(good)}))
    (folder / "stream.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "learnd.yaml").write_text(SETTINGS)
    return folder


def test_killed_within_a_stream_of_texts_it_comes_out_the_same(zygote: Zygote, tmp_path: Path) -> None:
    whole, folder = prepared(tmp_path / "whole"), prepared(tmp_path / "killed")
    at = ("journal.append.after=kill@7", "loop.updated=kill@9", "checkpoint.rename.before=kill@1")
    expected, found = whole_and_killed(zygote, whole, folder, *at)
    for key in ("digest", "scores", "samples_rejected"):
        assert found[key] == expected[key], key
    assert sum(found["samples_rejected"].values()) == BROKEN
    assert found["scores"]["accuracy"] > 0.7, "the words are seen"
    assert dead_letters(folder / "state") == dead_letters(whole / "state")
    assert history(folder / "state", "score") == history(whole / "state", "score")
