"""The network of this example: which column goes where is read from the spec, not known by heart."""

from typing import Any

import keras

from learnd import ColumnKind, RunningStandardization, SampleSpec, TakeColumns


def bikes(spec: SampleSpec) -> Any:
    """Return a model from the features, (batch, spec.width), to the label, (batch, spec.task.outputs)."""
    inputs = keras.Input((spec.width,), name="features")
    numbers = [index for index, column in enumerate(spec.columns) if column.kind == ColumnKind.NUMBER]
    parts = [RunningStandardization(name="standardize")(TakeColumns(numbers, name="numbers")(inputs))]
    for index, column in enumerate(spec.columns):
        if column.kind == ColumnKind.CATEGORY:
            category = TakeColumns([index], name=f"{column.name}_index")(inputs)
            one_hot = keras.layers.CategoryEncoding(column.size, output_mode="one_hot", name=column.name)
            parts.append(one_hot(category))
    hidden = keras.layers.Concatenate(name="encoded")(parts)
    hidden = keras.layers.Dense(32, activation="swish", name="hidden_0")(hidden)
    hidden = keras.layers.Dense(32, activation="swish", name="hidden_1")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(spec.task.outputs, name="output")(hidden), name="bikes")
    model.compile(optimizer=keras.optimizers.Adam(0.002), loss="huber")
    return model
