"""Models as graphs: SavedModel, LiteRT and ONNX, which open without Keras."""

from __future__ import annotations

import logging
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from learnd.daemon.errors import ModelError
from learnd.daemon.training.export_formats import GRAPHS
from learnd.daemon.training.runtime import keras, tf

_NOTHING = "Nothing was written."
_COLOURS = re.compile(r"\x1b\[\d*m")


def write_graph(model: Any, path: Path) -> None:
    """Write a model for inference in the format that the path's ending says, in the place of what is there.

    Raises OSError, and ModelError if the format cannot hold the model, or what writes it is not installed.
    """
    name = GRAPHS[path.suffix]
    with TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder, _quiet():
        made = Path(folder, path.name)
        try:
            _write(model, made)
        except OSError:
            raise
        except ImportError as error:
            raise ModelError(f"{path}: {name} takes {error.name}; install learnd[onnx]. {_NOTHING}") from error
        except Exception as error:
            raise ModelError(f"{path}: this model cannot be written as {name}: {_reason(error)} {_NOTHING}") from error
        if path.is_dir():
            shutil.rmtree(path)
        made.replace(path)


def _reason(error: Exception) -> str:
    """Return the first line of an error that says something, as a sentence: Keras begins with where it was."""
    lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines()]
    telling = [line for line in lines if line and not line.startswith("Exception encountered when calling")]
    return f"{(telling or [type(error).__name__])[0].rstrip('.')}."


def _write(model: Any, path: Path) -> None:
    if path.suffix == ".onnx":
        saved = path.with_suffix("")
        model.export(saved, format="tf_saved_model", verbose=False)
        _to_onnx(saved, path)
    elif path.suffix == ".tflite":
        _call_once(model)
        model.export(path, format="litert", verbose=False)
    else:
        model.export(path, format="tf_saved_model", verbose=False)


def _to_onnx(saved: Path, path: Path) -> None:
    """Write a SavedModel as ONNX, with the names of its inputs and outputs.

    Keras' own way leaves the constants of `Normalization` out, which then are inputs without a value.
    """
    import onnx
    import tf2onnx

    loaded = tf.saved_model.load(str(saved))  # its variables live as long as it does
    served = loaded.signatures["serving_default"]
    frozen = convert_variables_to_constants_v2(served)
    names = {tensor.name: tensor.name.partition(":")[0] for tensor in frozen.inputs}
    names |= dict(zip([tensor.name for tensor in frozen.outputs], sorted(served.structured_outputs), strict=True))
    tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=[tensor.name for tensor in frozen.inputs],
        output_names=[tensor.name for tensor in frozen.outputs],
        tensors_to_rename=names,
        output_path=str(path),
    )
    onnx.checker.check_model(str(path))  # what ONNX does not know is written all the same


def _call_once(model: Any) -> None:
    """Call a model that may be a copy: Keras writes no other as LiteRT."""
    if getattr(model, "inputs", None) is not None:
        given = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        model(tf.nest.map_structure(_zeros, given))


def _zeros(tensor: Any) -> Any:
    return tf.zeros([size or 1 for size in tensor.shape], tensor.dtype)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what these packages say of each other."""
    loggers = [logging.getLogger(name) for name in ("tensorflow", "tf2onnx", "absl")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
