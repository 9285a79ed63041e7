"""The model: what a day was like, to what comes next."""

import keras

import learnd


def forecaster(spec: learnd.SampleSpec) -> keras.Model:
    """Return a model from a window of readings, (24, 1), to the next one."""
    given = keras.Input(spec.inputs[0].shape, name="features")
    last = keras.layers.Cropping1D((spec.inputs[0].shape[0] - 1, 0))(given)
    change = keras.layers.Subtract()([given, last])  # a day as it differs from its last hour
    day = keras.layers.GRU(32)(change)
    step = keras.layers.Dense(1, kernel_initializer="zeros")(day)  # at first the forecast is the last value
    return keras.Model(given, keras.layers.Add()([keras.layers.Flatten()(last), step]))
