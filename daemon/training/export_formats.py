"""The formats in which a model goes out, by the ending of the file's name. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

KERAS = ".keras"

GRAPHS: Mapping[str, str] = {"": "a SavedModel", ".tflite": "LiteRT", ".onnx": "ONNX"}
"""Formats that need no Keras to open, by endings. A SavedModel is a directory, whose name has none."""


def problem_with_name(path: Path) -> str | None:
    """Return why the name of a file says no format; None if it does."""
    if path.suffix in {KERAS, *GRAPHS}:
        return None
    return (
        f"{path.suffix} says no format; give a name that ends in .keras, .onnx or .tflite (LiteRT), or has no ending "
        "for a SavedModel, which is a directory"
    )


def problem_with_directory(path: Path, *, force: bool) -> str | None:
    """Return why a directory that is there is not to be written: it has something in it that is not to be replaced."""
    if not path.is_dir() or not any(path.iterdir()):
        return None
    if not Path(path, "saved_model.pb").is_file():
        return "it is a directory with other things in it; give another name"
    return None if force else "it exists; give another name, or --force to overwrite it"


def needs_of(path: Path) -> str | None:
    """Return what a graph needs that not every reader of its format has; None if nothing."""
    if path.suffix == ".tflite" and b"Flex" in path.read_bytes():
        return "operators of TensorFlow itself, which LiteRT has with its Flex delegate alone"
    return None
