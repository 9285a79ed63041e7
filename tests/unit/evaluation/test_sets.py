"""Sets that are never trained on: the model sees each sample once, in calls of one shape."""

from __future__ import annotations

import numpy as np
import pytest

from learnd.daemon.evaluation.sets import CHUNK, SetScores, predict_all
from learnd.daemon.tasks.baselines import MajorityLabel
from learnd.daemon.values import Arrays, Task


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_the_model_sees_one_shape_and_each_sample_once(count: int) -> None:
    shapes = []

    def predict(inputs: Arrays) -> Arrays:
        shapes.append(inputs["x"].shape)
        assert not (inputs["x"] == 0).any()  # padding is a real sample, not an input that the stream never has
        return {"y": inputs["x"][:, :1] * np.float32(2)}

    x = np.arange(1, 2 * count + 1, dtype=np.float32).reshape(count, 2)
    assert predict_all(predict, {"x": x})["y"].tolist() == (x[:, :1] * 2).tolist()
    assert set(shapes) == {(CHUNK, 2)}


def test_a_set_is_scored_beside_the_constants_learned_so_far() -> None:
    outputs = np.array([[0.9], [0.2], [0.8], [np.nan]], np.float32)
    labels = np.array([[1], [0], [0], [1]], np.float32)
    majority = MajorityLabel(())
    majority.follow(np.array([True]))
    scores = SetScores(Task("binary", 1, 1), {"majority": majority}, ("accuracy", "kappa_temporal"))
    for rows in (slice(1), slice(1, None)):
        scores.add(outputs[rows], labels[rows])
    assert scores.board.summary() == {
        "scored": 3,
        "unscored": 1,
        "metrics": {"accuracy": 2 / 3},
        "baselines": {"majority": {"accuracy": 1 / 3}},
    }
