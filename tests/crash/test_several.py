"""Models of several inputs and outputs, and of labels that are tensors, killed, come out the same to the last bit."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT, Zygote, whole_and_killed
from scenarios import predictions

SHORT = ["train.max_updates_per_call=8", "checkpoint.every.samples=150", "http.listen=null"]
EXAMPLES = {
    "several": ("fruit.jsonl", {"kind.accuracy", "grams.mae"}, "kind.accuracy"),
    "autoencoder": ("machine.jsonl", {"mae", "rmse", "r2"}, "mae"),
    "forecast": ("hours.jsonl", {"mae", "rmse", "r2"}, "rmse"),
}
"""By folder: the stream, scores that there are, and one that a constant has, too."""


def prepared(folder: Path, example: str, stream: str) -> Path:
    shutil.copytree(ROOT / "examples" / example, folder)
    made = subprocess.run([sys.executable, "stream.py", "1500"], cwd=folder, capture_output=True, check=True)
    (folder / stream).write_bytes(made.stdout)
    return folder


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_killed_comes_out_the_same(example: str, zygote: Zygote, tmp_path: Path) -> None:
    stream, scores, of_constant = EXAMPLES[example]
    arguments = ["run", "learnd.yaml", "--json", *(part for text in SHORT for part in ("--set", text))]
    whole, folder = (prepared(tmp_path / name, example, stream) for name in ("whole", "killed"))
    at = ("loop.updated=kill@3", "checkpoint.rename.before=kill@1", "loop.call.after=kill@2")
    expected, found = whole_and_killed(zygote, whole, folder, *at, command=arguments)
    assert found["digest"] == expected["digest"]
    assert found["scores"] == expected["scores"]
    assert predictions(folder / "state") == predictions(whole / "state")
    assert scores <= found["scores"].keys()
    assert any(of_constant in each for each in found["baselines"].values())
