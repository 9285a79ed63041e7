"""Builds the network of many tutorials on texts: an embedding of the words, their mean, a dense layer."""

import keras
from keras import layers

from learnd import SampleSpec


def small(spec: SampleSpec) -> keras.Model:
    """Return a model of the ids of words; 0 is behind the last one, and counts for nothing."""
    (text,) = spec.inputs
    model = keras.Sequential(
        [
            keras.Input(text.shape, dtype="int32"),
            layers.Embedding(text.vocabulary_size, 16, mask_zero=True),
            layers.GlobalAveragePooling1D(),
            layers.Dropout(0.2),
            layers.Dense(16, activation="relu"),
            layers.Dense(spec.task.outputs, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
