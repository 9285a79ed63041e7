"""Builds a model that takes a picture and two numbers, and gives a kind and a weight."""

import keras
from keras import layers


def scales() -> keras.Model:
    """Return a model whose inputs and outputs have the names that the settings use."""
    picture, weather = keras.Input((8, 8, 1), name="picture"), keras.Input((2,), name="weather")
    seen = layers.Conv2D(8, 3, activation="relu")(picture)
    seen = layers.Flatten()(layers.MaxPooling2D()(seen))
    both = layers.Dense(32, activation="relu")(layers.Concatenate()([seen, weather]))
    outputs = {
        "kind": layers.Dense(3, activation="softmax", name="kind")(both),
        "grams": layers.Dense(1, name="grams")(layers.Dense(16, activation="relu")(both)),
    }
    model = keras.Model({"picture": picture, "weather": weather}, outputs)
    model.compile(
        keras.optimizers.Adam(0.005),
        loss={"kind": "categorical_crossentropy", "grams": "huber"},
        loss_weights={"kind": 1.0, "grams": 0.5},
        metrics={"kind": ["accuracy"]},
    )
    return model
