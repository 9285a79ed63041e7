"""A model of folders of images, killed within them, comes out the same to the last bit; so do its dead letters."""

import shutil
import subprocess
import sys
from pathlib import Path

from processes import ROOT, Zygote, dead_letters, history, killed, refused, succeeded

COUNT, BROKEN = 240, 6
SHORT = ["train.max_updates_per_call=2", "checkpoint.every.samples=60", "http.listen=null", "validate.holdout.every=80"]
ARGUMENTS = ["learnd.yaml", "--json", *(part for text in SHORT for part in ("--set", text))]


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
