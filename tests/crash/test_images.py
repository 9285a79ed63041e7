"""A model of folders of images, killed within them, comes out the same to the last bit; so do its dead letters."""

import shutil
import subprocess
import sys
from pathlib import Path

from pictures import write_folders
from processes import ROOT, Zygote, dead_letters, history, killed, refused, succeeded, whole_and_killed

COUNT, BROKEN = 240, 6
SHORT = ["train.max_updates_per_call=2", "checkpoint.every.samples=60", "http.listen=null", "validate.holdout.every=80"]
ARGUMENTS = ["learnd.yaml", "--json", *(part for text in SHORT for part in ("--set", text))]
FIT = ("fit", "learnd.yaml", "--epochs", "3", "--json")
NETWORK = """
import keras
def build(spec):
    layers = [keras.Input((12, 12, 3), name="photo"), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dropout(0.2), keras.layers.Dense(2, activation="softmax")])
"""
SMALL = """
model: {build: "network.py:build", task: classes}
source: {files: {path: photos}}
samples:
  format: raw
  features: {photo: {image: {size: [12, 12]}, field: content}}
  label: {field: folder, classes: [cat, dog]}
train: {batch_size: 4, max_updates_per_call: 2}
validate: {holdout: {share: 0.2, by: key, every: 40}, prequential: {windows: [20], every: 40}}
checkpoint: {every: {samples: 30, seconds: 1000}}
http: {listen: null}
"""


def prepared(folder: Path) -> Path:
    """Copy the example, make its pictures, and cut some of them off."""
    shutil.copytree(ROOT / "examples" / "images", folder)
    subprocess.run([sys.executable, "pictures.py", "photos", str(COUNT), "1"], cwd=folder, check=True)
    for path in sorted(folder.glob("photos/*/*"))[:: COUNT // BROKEN]:
        path.write_bytes(path.read_bytes()[:-60])
    return folder


def test_killed_within_a_folder_it_comes_out_the_same(zygote: Zygote, tmp_path: Path) -> None:
    whole, folder = prepared(tmp_path / "whole"), prepared(tmp_path / "killed")
    expected = succeeded(zygote.run(whole, "run", *ARGUMENTS)).json()
    for failpoints in ("loop.updated=kill@2", "checkpoint.rename.before=kill@1", "loop.call.after=kill@3"):
        killed(zygote.run(folder, "run", *ARGUMENTS, failpoints=failpoints))
    (folder / "photos").rename(folder / "aside")
    assert "photos" in refused(zygote.run(folder, "run", *ARGUMENTS), 74)
    (folder / "aside").rename(folder / "photos")
    found = succeeded(zygote.run(folder, "run", *ARGUMENTS)).json()
    assert found["digest"] == expected["digest"]
    assert found["scores"] == expected["scores"]
    assert found["samples_rejected"] == {"bad_image": BROKEN}
    assert found["samples_trained"] + found["samples_held_out"] == COUNT - BROKEN
    assert dead_letters(folder / "state") == dead_letters(whole / "state")
    assert history(folder / "state", "score") == history(whole / "state", "score")


def prepared_to_fit(folder: Path) -> Path:
    """Write small pictures into a folder for each class, one of them cut off."""
    broken, *_ = sorted(write_folders(folder / "photos", 60).glob("*/*"))
    broken.write_bytes(broken.read_bytes()[:-60])
    (folder / "network.py").write_text(NETWORK)
    (folder / "learnd.yaml").write_text(SMALL)
    return folder


def test_fitted_over_class_folders_and_killed_in_any_epoch_it_comes_out_the_same(
    zygote: Zygote, tmp_path: Path
) -> None:
    whole, folder = prepared_to_fit(tmp_path / "whole"), prepared_to_fit(tmp_path / "killed")
    at = ("loop.updated=kill@4", "checkpoint.rename.before=kill@2", "loop.call.after=kill@5")
    expected, found = whole_and_killed(zygote, whole, folder, *at, command=FIT)
    for key in ("digest", "scores", "holdout_scores", "samples_rejected"):
        assert found[key] == expected[key], key
    assert found["samples_trained"] == 3 * (59 - found["samples_held_out"])
    assert dead_letters(folder / "state") == dead_letters(whole / "state")
    assert history(folder / "state") == history(whole / "state")
