"""Settings for a folder of images or of texts for each class; for images, a network to begin with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from learnd.daemon.errors import not_utf8
from learnd.daemon.stream.decoding.image_heads import HEAD_BYTES, is_image
from learnd.daemon.stream.inferring.prose import text_form
from learnd.daemon.stream.inferring.words import yaml
from learnd.daemon.values import CONTENT, FOLDER, RAW

_NETWORK = "network.py"
_SIZE = 64
_NAMES_OF_TEXTS = (".txt", "")
_LOOKED_AT = 100  # files of a folder, to see how long texts are

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


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the settings of a kind of file have of their own."""

    model: str
    feature: str
    note: str


_IMAGES = _Kind(
    f"build: {_NETWORK}:build",
    f"image: {{image: {{size: [{_SIZE}, {_SIZE}]}}, field: {CONTENT}}}",
    "stretched or shrunk to that height and width",
)


def for_folders(path: Path, folders: Mapping[str, Sequence[Path]], output: Path) -> dict[Path, str]:
    """Return what to write for a folder of images or of texts of each class: a commented settings file, `output`, and
    for images a network, unless there is one beside it. Nothing if there are no two folders, or if their first files
    are of other kinds.

    Raises OSError.
    """
    firsts = [files[0] for files in folders.values()]
    if len(folders) < 2:
        return {}
    if all(map(_begins_as_image, firsts)):
        network = output.with_name(_NETWORK)
        settings = {output: _settings(path, folders, output.parent, _IMAGES)}
        return settings if network.exists() else {**settings, network: _NETWORK_TEXT}
    if all(map(_is_text, firsts)):
        return {output: _settings(path, folders, output.parent, _texts(folders))}
    return {}


def _texts(folders: Mapping[str, Sequence[Path]]) -> _Kind:
    """Return what the settings have for texts that are as long as the first files of each folder."""
    files = chain.from_iterable(files[:_LOOKED_AT] for files in folders.values())
    form = text_form([file.read_bytes().decode(errors="replace") for file in files])
    return _Kind("preset: auto", f"text: {{text: {form}, field: {CONTENT}}}", "so many words, each by its hash")


def _settings(path: Path, folders: Mapping[str, Sequence[Path]], folder: Path, kind: _Kind) -> str:
    files = sum(map(len, folders.values()))
    return f"""# learnd settings, inferred from {files:,} files in the {len(folders)} folders of {path.name}.
# They are guesses: check them.

model:
  {kind.model}
  task: classes

source:
  files:
    path: {yaml(os.path.relpath(path, folder))}
    follow: false                             # true: watch the folders for new files
    max_record_bytes: 16777216                # of a file: a larger one is rejected

samples:
  format: {RAW}                                 # each file is a record
  features:
    {kind.feature}   # {kind.note}
  label: {{field: {FOLDER}, classes: [{", ".join(map(yaml, folders))}]}}

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


def _is_text(file: Path) -> bool:
    """Whether a file is a text of its own, by its name and what it holds: not one of records without an ending."""
    if file.suffix.lower() not in _NAMES_OF_TEXTS:
        return False
    data = file.read_bytes()
    return not not_utf8(data) and not data.lstrip().startswith((b"{", b"["))
