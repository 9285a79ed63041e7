"""A model as plain Keras has it: built-in layers in place of learnd's own, and not compiled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learnd.daemon.training.layers import StreamLayer
from learnd.daemon.training.runtime import keras


def write_plain(model: Any, path: Path) -> list[str]:
    """Write the model for inference as a `.keras` file, and return what it needs beside Keras: empty for most models.

    Only models whose layers Keras knows, functional ones and `Sequential`, can be made plain; what is built otherwise
    is written as it is. Raises OSError.
    """
    plain = _plain(model)
    with _not_compiled(plain):
        plain.save(path)
    return list(_foreign(plain))


def _plain(layer: Any) -> Any:
    """Return a layer or a model with built-in layers only, as far as possible. It shares all other layers."""
    if isinstance(layer, StreamLayer):
        parts = layer.frozen()
        return parts[0] if isinstance(parts[0], keras.Model) else keras.Sequential(parts, name=layer.name)
    if not isinstance(layer, keras.Model) or getattr(layer, "inputs", None) is None:
        return layer
    if isinstance(layer, keras.Sequential):
        inputs = [keras.Input(batch_shape=one.shape, dtype=one.dtype, name=one.name) for one in layer.inputs]
        same = keras.Sequential([*inputs, *map(_plain, layer.layers)], name=layer.name)
    else:
        graph = keras.Model(layer.input, layer.output, name=layer.name)
        same = keras.models.clone_model(graph, clone_function=_plain, call_function=_called)
    return same if type(layer).call is type(same).call else layer  # a `call` of its own need not follow the layers


def _called(layer: Any, given: Any, *more: Any, **named: Any) -> Any:
    """Call a layer in the graph. One in place of a mixture takes only the first inputs: the others it does not ask."""
    if isinstance(layer, keras.Model) and isinstance(given, list):
        given = given[: len(layer.inputs)]
    return layer(given, *more, **named)


@contextmanager
def _not_compiled(model: Any) -> Iterator[None]:
    """Hide from a file how the model was compiled: its loss may be one that only learnd can import."""
    compiled, model.compiled = model.compiled, False
    try:
        yield
    finally:
        model.compiled = compiled


def _foreign(model: Any) -> Iterator[str]:
    """Yield each layer, and the model itself, whose class is not of Keras."""
    for layer in model._flatten_layers():  # noqa: SLF001  (Keras has no other way)
        cls = type(layer)
        if cls.__module__.partition(".")[0] != "keras":
            yield f"{layer.name} ({cls.__module__}.{cls.__qualname__})"
