"""A model of several inputs and outputs, killed, comes out the same to the last bit."""

import shutil
import subprocess
import sys
from pathlib import Path

from processes import ROOT, Zygote, killed, succeeded

SHORT = ["train.max_updates_per_call=8", "checkpoint.every.samples=150", "http.listen=null"]


def prepared(folder: Path) -> Path:
    shutil.copytree(ROOT / "examples" / "several", folder)
    made = subprocess.run([sys.executable, "stream.py", "1500"], cwd=folder, capture_output=True, check=True)
    (folder / "fruit.jsonl").write_bytes(made.stdout)
    return folder


def test_several_inputs_and_outputs_killed_come_out_the_same(zygote: Zygote, tmp_path: Path) -> None:
    arguments = ["run", "learnd.yaml", "--json", *(part for text in SHORT for part in ("--set", text))]
    expected = succeeded(zygote.run(prepared(tmp_path / "whole"), *arguments)).json()
    folder = prepared(tmp_path / "killed")
    for failpoints in ("loop.updated=kill@3", "checkpoint.rename.before=kill@1", "loop.call.after=kill@2"):
        killed(zygote.run(folder, *arguments, failpoints=failpoints))
    found = succeeded(zygote.run(folder, *arguments)).json()
    assert found["digest"] == expected["digest"]
    assert found["scores"] == expected["scores"]
    assert {"kind.accuracy", "grams.mae"} <= found["scores"].keys()
    assert "kind.accuracy" in found["baselines"]["majority"]
