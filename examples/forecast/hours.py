"""Builds a model that takes a day of two numbers an hour, and gives the next six hours of them."""

import keras
from keras import layers


def ahead() -> keras.Model:
    """Return a model from (24, 2) to (6, 2)."""
    past = keras.Input((24, 2))
    hidden = layers.Dense(32, activation="relu")(layers.Flatten()(past))
    return keras.Model(past, layers.Reshape((6, 2))(layers.Dense(12)(hidden)))
