"""What learnd is measured against, the loops that one would write by hand, and the same data as a call of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from learnd.daemon.training.runtime import configure, keras, tf
from learnd.daemon.training.step.fused import kept_apart
from learnd.daemon.values import FEATURES, LABEL, Call, Samples, Span


def data(samples: int, features: int) -> tuple[Any, Any]:
    """Return features (samples, features) and labels (samples, 1)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples, features)).astype(np.float32)
    return x, (x @ rng.normal(size=features) > 0).astype(np.float32)[:, None]


def call(x: Any, y: Any, first: int = 0) -> Call:
    """Return a call on features (n, columns) and labels (n, O) from sample `first` on, one sample an update."""
    samples = Samples({FEATURES: x}, {LABEL: y}, np.ones(len(x), np.float32))
    span = Span("file-0", first, first + len(x))
    return Call((span,), samples.in_batches(len(x), 1), samples[:0], partial=False, records=len(x), first=first)


def mlp(features: int) -> tuple[Any, Any]:
    """Return the network features-64-32-1 and its Adam."""
    configure(threads=1, seed=7, loops_as_kernels=True)
    layers = [
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(1),
    ]
    model = keras.Sequential([keras.Input((features,)), *layers])
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def xla_loop(features: int, updates: int = 256, *, one_kernel: bool = False) -> Any:
    """Return a function that trains on (n, features) and (n, 1), one sample an update, `updates` in a compiled call.

    It is compiled as XLA does by itself, or on request, as learnd has it do, as one kernel.
    """
    model, optimizer = mlp(features)

    @tf.function(jit_compile=True)
    def steps(xs: Any, ys: Any) -> Any:
        outputs = tf.TensorArray(tf.float32, size=updates, element_shape=(1, 1))
        for number in tf.range(updates):
            k = number if one_kernel else kept_apart(number)
            with tf.GradientTape() as tape:
                logits = model(xs[k], training=True)
                loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=ys[k], logits=logits))
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            outputs = outputs.write(k, logits)
        return outputs.stack()

    def train(x: Any, y: Any) -> None:
        for start in range(0, len(x) - updates + 1, updates):
            steps(x[start : start + updates, None], y[start : start + updates, None]).numpy()

    return train


def train_on_batch(features: int) -> Any:
    """Return a function that predicts and then trains each sample by Keras' own methods."""
    model, optimizer = mlp(features)
    model.compile(optimizer=optimizer, loss=keras.losses.BinaryCrossentropy(from_logits=True))

    def train(x: Any, y: Any) -> None:
        for start in range(len(x)):
            model.predict_on_batch(x[start : start + 1])
            model.train_on_batch(x[start : start + 1], y[start : start + 1])

    return train
