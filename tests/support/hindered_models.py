"""A model whose updates take as long as a file says."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from hindrance import hinder


class Hindered(keras.Sequential):  # type: ignore[misc]  # keras is untyped
    """Waits before each update."""

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, weight = data
        with tf.control_dependencies([tf.py_function(hinder, [], [])]), tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True), weight)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}


def build(spec: Any) -> Any:
    return Hindered([keras.Input((spec.width,)), keras.layers.Dense(1, activation="sigmoid")])
