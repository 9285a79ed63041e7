"""A model with a step and a second optimizer of its own, killed, comes out the same to the last bit."""

from pathlib import Path

import pytest
from processes import Zygote, killed, succeeded
from streams import json_lines, prepare, records

STREAM = json_lines(records(400))
FUNCTION = """
import keras
def build(spec):
    layers = [keras.layers.Dense(4, activation="relu", name="hidden"), keras.layers.Dense(1, activation="sigmoid")]
    return keras.Sequential([keras.Input((spec.width,)), *layers])
"""


def digest(zygote: Zygote, folder: Path) -> str:
    result: str = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json")).json()["digest"]
    return result


@pytest.mark.parametrize("build", ["two_optimizers", "memory"])
def test_a_killed_model_with_a_step_of_its_own_is_the_same(zygote: Zygote, tmp_path: Path, build: str) -> None:
    def prepared(name: str) -> Path:
        more = {"train": {"batch_size": 4, "max_updates_per_call": 8}, "checkpoint": {"every": {"samples": 100}}}
        return prepare(tmp_path / name, STREAM, model={"build": f"own_steps:{build}"}, **more)

    whole, folder = prepared("whole"), prepared("killed")
    expected = digest(zygote, whole)
    for failpoints in ("loop.updated=kill@3", "loop.call.after=kill@4"):
        killed(zygote.run(folder, "run", "learnd.yaml", failpoints=failpoints))
    assert digest(zygote, folder) == expected


def test_a_build_function_that_changed_after_a_kill_repeats_nothing(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", STREAM, model={"build": "changing.py:build"})
    (folder / "changing.py").write_text(FUNCTION)
    killed(zygote.run(folder, "run", "learnd.yaml", failpoints="loop.call.after=kill@5"))
    (folder / "changing.py").write_text(FUNCTION.replace("relu", "tanh"))
    refused = zygote.run(folder, "run", "learnd.yaml")
    assert refused.code == 74
    assert "calls to repeat" in refused.stderr
    assert "hidden/config/activation: 'relu' before, 'tanh' now" in refused.stderr
    (folder / "changing.py").write_text(FUNCTION)
    digest(zygote, folder)
