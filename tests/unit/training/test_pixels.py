"""Images come to the learner as bytes, and to the model as numbers: what trains is the same as from numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from any_model import learner_of
from learners import call

from learnd.daemon.training.runtime import keras
from learnd.daemon.values import FEATURES, LABEL, InputSpec, SampleSpec, TargetSpec, Task

rng = np.random.default_rng(3)
PIXELS = rng.integers(0, 256, (48, 6, 6, 3), np.uint8)
LABELS = (PIXELS.mean(axis=(1, 2, 3)) > 127).astype(np.float32)[:, None]


def spec(dtype: str) -> SampleSpec:
    return SampleSpec((InputSpec(FEATURES, (6, 6, 3), dtype),), (TargetSpec(LABEL, Task("binary", 1, 1)),))


class Subclassed(keras.Model):  # type: ignore[misc]
    """Has no input of a known type."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.said = keras.layers.Conv2D(2, 3), keras.layers.Dense(1, activation="sigmoid")

    def call(self, given: Any) -> Any:
        return self.said(keras.layers.Flatten()(self.seen(given / 255)))


class OwnStep(keras.Sequential):  # type: ignore[misc]
    """Its updates are its own."""

    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


def sequential(of: type = keras.Sequential) -> Any:
    head = [keras.layers.Rescaling(1 / 255), keras.layers.RandomFlip(seed=1), keras.layers.Conv2D(2, 3)]
    return of([keras.Input((6, 6, 3)), *head, keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")])


MODELS: dict[str, Callable[[SampleSpec], Any]] = {
    "sequential": lambda _: sequential(),
    "subclassed": lambda _: Subclassed(),
    "own step": lambda _: sequential(OwnStep),
}


@pytest.mark.parametrize("name", MODELS)
def test_as_from_numbers(name: str) -> None:
    more: dict[str, Any] = {"memory": {"size": 20, "per_update": 2}} if name == "sequential" else {}
    ends = []
    for dtype in ("uint8", "float32"):
        keras.utils.set_random_seed(5)
        one = learner_of(MODELS[name], spec(dtype), batch_size=4, loss="binary_crossentropy", **more)
        report = one.update(call(0, 12, 4, 6, x=PIXELS.astype(dtype), y=LABELS))
        predicted = one.predict({FEATURES: PIXELS[:5].astype(dtype)})[LABEL]
        ends.append([report.loss, predicted, *(weight.numpy() for weight in one.model.weights)])
    assert np.isfinite(ends[0][0]).all()
    for mine, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(mine, other)
