"""Builds an autoencoder: a network that gives its input back, through fewer numbers than it has."""

import keras
from keras import layers


def narrow() -> keras.Model:
    """Return a model of eight numbers that has to say them by two."""
    sensors = keras.Input((8,))
    hidden = layers.Dense(2)(layers.Dense(16, activation="tanh")(sensors))
    given_back = layers.Dense(8)(layers.Dense(16, activation="tanh")(hidden))
    model = keras.Model(sensors, given_back)
    model.compile(keras.optimizers.Adam(0.005), "mae")
    return model
