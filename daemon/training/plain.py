"""A model as plain Keras has it: built-in layers in place of learnd's own, and not compiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learnd.daemon.training.export_formats import KERAS
from learnd.daemon.training.graphs import write_graph
from learnd.daemon.training.layers import StreamLayer
from learnd.daemon.training.runtime import keras, tf


def write_plain(model: Any, path: Path) -> list[str]:
    """Write the model for inference, in the format that the path's ending says, and return what it needs beside Keras:
    empty for most models.

    Only models whose layers Keras knows, functional ones and `Sequential`, can be made plain; what is built otherwise
    is written as it is. Raises OSError, and ModelError if the format cannot hold the model.
    """
    return _written(_plain(model), path)


def write_mixed(copies: Mapping[str, Any], shares: Sequence[float], path: Path) -> list[str]:
    """Write one model that gives the mean of what copies of a model give, each by its share, as `write_plain` does."""
    first = next(iter(copies.values()))
    inputs = tf.nest.map_structure(_input_like, first.input)
    named = [_graph(copy, f"{copy.name}_{name}") for name, copy in copies.items()]
    said = [
        tf.nest.map_structure(keras.layers.Rescaling(float(share), dtype="float32"), copy(inputs))
        for copy, share in zip(named, shares, strict=True)
    ]
    added = [
        keras.layers.Add(name=name, dtype="float32")(list(each))
        for name, *each in zip(_output_names(first), *map(tf.nest.flatten, said), strict=True)
    ]
    outputs = tf.nest.pack_sequence_as(said[0], added)
    return _written(keras.Model(inputs, outputs, name=first.name), path)


def copied(model: Any) -> Any:
    """Return a copy of a model as it is now, of built-in layers as far as possible.

    Raises ValueError, or what code of the model's raises, if Keras cannot copy it.
    """
    plain = _plain(model)
    graph = None if getattr(plain, "inputs", None) is None else _graph(plain, plain.name)
    if graph is None or type(plain).call not in (keras.Sequential.call, type(graph).call):
        raise ValueError(f"{type(model).__name__} has a call of its own")
    copy = keras.models.clone_model(graph, call_function=_called)
    copy.set_weights(plain.get_weights())
    return copy


def problem_with_copy(model: Any) -> str | None:
    """Return why a model cannot be copied; None if it can."""
    try:
        copied(model)
    except Exception as error:  # noqa: BLE001  (code of the user's)
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return None


def _graph(model: Any, name: str) -> Any:
    """Return a functional model of this name that shares the layers of one with inputs."""
    ends = (model.inputs[0], model.outputs[0]) if isinstance(model, keras.Sequential) else (model.input, model.output)
    return keras.Model(*ends, name=name)


def _input_like(tensor: Any) -> Any:
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)


def _output_names(model: Any) -> list[str | None]:
    """Return the names of a model's outputs, in which they are told apart; of one there is no need."""
    flat = tf.nest.flatten(model.output)
    return [None] if len(flat) == 1 else list(model.output_names)


def _written(plain: Any, path: Path) -> list[str]:
    if path.suffix != KERAS:
        write_graph(plain, path)
        return []
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
        same = keras.Sequential([*map(_input_like, layer.inputs), *map(_plain, layer.layers)], name=layer.name)
    else:
        same = keras.models.clone_model(_graph(layer, layer.name), clone_function=_plain, call_function=_called)
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
