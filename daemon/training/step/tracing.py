"""What a traced update uses, and why one cannot be traced.

A resumed model is the same only if all that an update reads and writes is in the checkpoint: so its variables must be
known, and its random numbers must come from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from learnd.daemon.errors import ModelError
from learnd.daemon.training.runtime import tf

DOES_NOT_COMPILE = (tf.errors.OpError, ValueError, TypeError, NotImplementedError)
"""What TensorFlow and Keras raise while they trace or compile a model that does not let them."""

_DRAWS = frozenset(
    {
        "Multinomial",
        "ParameterizedTruncatedNormal",
        "RandomGamma",
        "RandomPoisson",
        "RandomPoissonV2",
        "RandomShuffle",
        "RandomStandardNormal",
        "RandomUniform",
        "RandomUniformInt",
        "TruncatedNormal",
    }
)  # operations that keep the state of a generator to themselves
_WRITES_A_TABLE = re.compile("LookupTable(Insert|Import|Remove)")
_COLOUR = re.compile(r"\x1b\[\d+m")
_RAISED = re.compile(r"\w*(Error|Exception): ")


def captured(function: Any) -> list[Any]:
    """Return the handles of the variables that a traced function reads or writes.

    Look-up tables are resources too, but only variables tell the shape of what they hold.
    """
    resources = [one for one in function.captured_inputs if one.dtype == tf.resource]
    return [one for one in resources if getattr(one._handle_data, "is_set", False)]  # noqa: SLF001


def handle_of(variable: Any) -> int:
    """Return what tells the handle of a Keras variable from any other."""
    return id(variable.value.handle)


def check_kept(function: Any, kept: Iterable[Any]) -> None:
    """Raise ModelError if an update depends on what no checkpoint would hold. One holds the variables `kept`."""
    known = {handle_of(variable) for variable in kept}
    if stray := [handle for handle in captured(function) if id(handle) not in known]:
        raise ModelError(
            f"model: its updates use {len(stray)} variables that do not belong to the model{_named(function, stray)}: "
            "no checkpoint would hold them, and a resumed model would differ. Nothing was trained. Make them weights "
            "of a layer, or optimizers and metrics that are attributes of the model; for random numbers, give the "
            "layer its own keras.random.SeedGenerator and pass it as seed."
        )
    if any(_WRITES_A_TABLE.match(node.op) for node in _nodes(function)):
        raise ModelError(
            "model: its updates write into a look-up table, which no checkpoint would hold, and a resumed model would "
            "differ. Nothing was trained. Give the layer its vocabulary in the build function."
        )
    if draws := sorted({node.op for node in _nodes(function) if node.op in _DRAWS}):
        raise ModelError(
            f"model: its updates draw random numbers by {', '.join(draws)}, whose state no checkpoint would hold, and "
            "a resumed model would differ. Nothing was trained. Use the functions of keras.random, with a "
            "keras.random.SeedGenerator of the layer's own as seed."
        )


def reason(error: Exception, most: int = 3) -> str:
    """Return what went wrong, without the stack frames of traced functions and after Keras' mention of the layer."""
    lines = [_COLOUR.sub("", line).strip() for line in str(error).splitlines()]
    told = [line for line in lines if line]
    if raised := [index for index, line in enumerate(told) if _RAISED.match(line)]:
        return " ".join(told[raised[-1] :][:most])
    return " ".join(told[: 2 if told and told[0].startswith("Exception encountered") else 1])


def _named(function: Any, handles: Iterable[Any]) -> str:
    """Return the names of the variables behind handles, in brackets; nothing if none is known."""
    names = {id(variable.handle): variable.name for variable in function.graph.variables}
    known = [names[id(handle)] for handle in handles if id(handle) in names]
    return f" ({', '.join(known)})" if known else ""


def _nodes(function: Any) -> list[Any]:
    graph = function.graph.as_graph_def()
    return [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
