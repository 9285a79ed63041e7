"""Models for five columns. Some multiply vectors, some multiply matrices."""

from typing import Any

from learnd.daemon.training.runtime import keras


def dense(spec: Any) -> Any:
    return _model(spec, keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.2))


def normalized(spec: Any) -> Any:
    return _model(spec, keras.layers.Dense(6), keras.layers.BatchNormalization(), keras.layers.LayerNormalization())


def recurrent(spec: Any) -> Any:
    return _model(spec, keras.layers.Reshape((5, 1)), keras.layers.GRU(4))


def convolution(spec: Any) -> Any:
    return _model(spec, keras.layers.Reshape((5, 1)), keras.layers.Conv1D(3, 2), keras.layers.Flatten())


def steps(spec: Any) -> Any:
    return _model(spec, keras.layers.Reshape((5, 1)), keras.layers.Dense(3), keras.layers.Flatten())


def attention(spec: Any) -> Any:
    given = keras.Input((spec.width,))
    items = keras.layers.Reshape((5, 1))(given)
    mixed = keras.layers.MultiHeadAttention(2, 2)(items, items)
    return keras.Model(given, keras.layers.Dense(1)(keras.layers.Flatten()(mixed)))


def _model(spec: Any, *layers: Any) -> Any:
    return keras.Sequential([keras.Input((spec.width,)), *layers, keras.layers.Dense(1)])
