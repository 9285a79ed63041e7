"""What hardly can be meant is told when the network is built."""

from pathlib import Path
from typing import Any

import pytest
from learners import NUMBERS, learner
from structlog.testing import capture_logs

from learnd.daemon.training.runtime import keras


def told(folder: Path, layers: list[Any], **train: Any) -> list[tuple[str, str]]:
    """Return the doubtful layers of a model, each with the way out."""
    keras.Sequential([keras.Input((4,)), *layers]).save(folder / "model.keras")
    with capture_logs() as logs:
        learner(NUMBERS, {"load": folder / "model.keras"}, **train)
    return [(line["layer"], line["way_out"]) for line in logs if line["event"] == "model_doubtful"]


def dense(name: str, **arguments: Any) -> Any:
    return keras.layers.Dense(1, name=name, **arguments)


def test_batch_normalization_of_single_samples(tmp_path: Path) -> None:
    layers = [keras.layers.BatchNormalization(name="bn"), dense("last", activation="sigmoid")]
    ((layer, way_out),) = told(tmp_path, layers)
    assert layer == "bn"
    assert "train.batch_size" in way_out
    assert told(tmp_path, layers, batch_size=8) == []


@pytest.mark.parametrize(
    ("activation", "loss", "doubtful"),
    [
        (None, None, True),
        (None, {"binary_crossentropy": {"from_logits": True}}, False),
        (None, "mse", False),
        ("sigmoid", None, False),
    ],
)
def test_logits_for_a_loss_of_probabilities(tmp_path: Path, activation: str | None, loss: Any, doubtful: bool) -> None:
    found = told(tmp_path, [dense("last", activation=activation)], **({"loss": loss} if loss else {}))
    assert [layer for layer, _ in found] == (["last"] if doubtful else [])
    assert all("activation='sigmoid'" in way_out for _, way_out in found)
