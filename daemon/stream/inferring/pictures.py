"""Settings for a folder of images for each class, and a network to begin with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from learnd.daemon.stream.decoding.image_heads import HEAD_BYTES, is_image
from learnd.daemon.stream.inferring.words import yaml
from learnd.daemon.values import CONTENT, FOLDER, RAW

_NETWORK = "network.py"
_SIZE = 64

_NETWORK_TEXT = '''"""A convolutional network to begin with."""

import keras
from keras import layers


def build(spec):
    """Return a model. `spec` says how large the images are, and how many classes there are."""
    return keras.Sequential(
        [
            keras.Input(spec.inputs[0].shape),
            layers.Rescaling(1 / 255),
            layers.RandomFlip("horizontal"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(spec.task.outputs, activation="softmax"),
        ]
    )
'''


def texts_for_images(path: Path, folders: Mapping[str, Sequence[Path]], output: Path) -> dict[Path, str]:
    """Return what to write for a folder of images of each class: a commented settings file, `output`, and a network,
    unless there is one beside it. None of both if there are no two folders, or if their first files are no images.

    Raises OSError.
    """
    if len(folders) < 2 or not all(_begins_as_image(files[0]) for files in folders.values()):
        return {}
    settings = _settings(path, {name: len(files) for name, files in folders.items()}, output.parent)
    network = output.with_name(_NETWORK)
    return {output: settings, **({} if network.exists() else {network: _NETWORK_TEXT})}


def _settings(path: Path, classes: Mapping[str, int], folder: Path) -> str:
    files = sum(classes.values())
    return f"""# learnd settings, inferred from {files:,} files in the {len(classes)} folders of {path.name}.
# They are guesses: check them.

model:
  build: {_NETWORK}:build
  task: classes

source:
  files:
    path: {yaml(os.path.relpath(path, folder))}
    follow: false                             # true: watch the folders for new files
    max_record_bytes: 16777216                # of a file: a larger one is rejected

samples:
  format: {RAW}                                 # each file is a record
  features:
    image: {{image: {{size: [{_SIZE}, {_SIZE}]}}, field: {CONTENT}}}   # stretched or shrunk to that height and width
  label: {{field: {FOLDER}, classes: [{", ".join(map(yaml, classes))}]}}

train:
  batch_size: 32                              # samples an update

validate:
  holdout: {{share: 0.2, by: key}}              # never trained on: the same files for ever

checkpoint:
  dir: state                                  # where a restart continues from

http:
  listen: "127.0.0.1:9464"                    # a page to look at, metrics, health
"""


def _begins_as_image(file: Path) -> bool:
    with file.open("rb") as opened:
        return is_image(opened.read(HEAD_BYTES))
