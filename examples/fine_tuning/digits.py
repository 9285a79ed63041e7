"""Pre-trains a network on the digits 0 to 4, and writes the digits 5 to 9 as a stream: `python digits.py [SEED]`.

The digits are scikit-learn's, 8 x 8 pixels each. Of every digit 0 to 4, a fifth is left out of the training and
written to `known.jsonl`, to see what is forgotten. The stream has each digit 5 to 9 once, in random order.
"""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits


def network() -> Any:
    """Return a new network: 64 pixels in, ten probabilities out."""
    return keras.Sequential(
        [
            keras.Input((64,), name="pixels"),
            keras.layers.Reshape((8, 8, 1), name="image"),
            keras.layers.Conv2D(16, 3, activation="relu", name="edges"),
            keras.layers.Conv2D(32, 3, activation="relu", name="strokes"),
            keras.layers.Flatten(name="flat"),
            keras.layers.Dense(64, activation="relu", name="shapes"),
            keras.layers.Dense(10, activation="softmax", name="head"),
        ],
        name="digits",
    )


def split(seed: int) -> dict[str, tuple[Any, Any]]:
    """Return pixels (n, 64), from 0 to 1, and labels (n,) to pre-train on, of known digits kept aside, and new ones."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    pixels, labels = (pixels[order] / 16).astype(np.float32), labels[order]
    known, aside = labels < 5, np.arange(len(labels)) % 5 == 0
    parts = {"trained": known & ~aside, "known": known & aside, "new": ~known}
    return {name: (pixels[rows], labels[rows]) for name, rows in parts.items()}


def pretrained(pixels: Any, labels: Any, seed: int) -> Any:
    """Return the network, trained on the known digits alone."""
    keras.utils.set_random_seed(seed)
    model = network()
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="sparse_categorical_crossentropy")
    model.fit(pixels, labels, batch_size=32, epochs=20, verbose=0)
    return model


def write(path: Path, pixels: Any, labels: Any) -> None:
    """Write a record a line: `{"pixels": [...], "digit": 7}`."""
    with path.open("w") as file:
        for values, label in zip(pixels.tolist(), labels.tolist(), strict=True):
            file.write(json.dumps({"pixels": values, "digit": label}) + "\n")


if __name__ == "__main__":
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    parts = split(seed)
    pretrained(*parts["trained"], seed).save("base.keras")
    write(Path("known.jsonl"), *parts["known"])
    write(Path("stream.jsonl"), *parts["new"])
