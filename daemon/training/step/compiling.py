"""The compiled calls of a phase: of full batches, with XLA if the model compiles, and of partial ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import structlog

from learnd.daemon.errors import ModelError
from learnd.daemon.training.runtime import loops_are_kernels, tf
from learnd.daemon.training.settings import TrainSettings
from learnd.daemon.training.step.by_batch import TrainOnBatch
from learnd.daemon.training.step.fused import Results, Updates
from learnd.daemon.training.step.parts import Parts
from learnd.daemon.training.step.tracing import DOES_NOT_COMPILE, check_kept, reason
from learnd.daemon.values import Float32, Samples, SampleSpec

log = structlog.get_logger()

_SMALL_CALL = 32
_CALL_BYTES = 8 << 20  # of the inputs of one call
_PRODUCTS = ("MatMul", "Einsum", "Conv")  # in the names of operations
_CONVOLUTIONS = (  # those of one axis are of two, too
    "Conv2D",
    "Conv3D",
    "Conv2DBackpropInput",
    "Conv3DBackpropInputV2",
    "DepthwiseConv2dNative",  # counted as if it were a full one: with XLA it is as slow
)
_AXES_OF_FILTERS = 3  # or more
_MOST_CONVOLVED = 500_000  # multiplications of an update with XLA


Mode: TypeAlias = Literal["one kernel", "kernel by kernel", "graph mode"]
"""How the loop over updates runs, the fastest mode first. Each mode rounds differently."""


class Step(Protocol):
    """A compiled call. It gives the same results as `Updates`."""

    @property
    def traces(self) -> int:
        """The number of call lengths that it was compiled for."""

    def __call__(self, batches: Samples, rates: Float32, updates: int, factors: Float32 | None = None) -> Results: ...


class CompiledSteps:
    """Compiles at once, so that no record waits for it. The call for partial batches is compiled at its first use."""

    def __init__(
        self, parts: Parts, train: TrainSettings, max_updates: int, times: Mapping[int, float], *, at_best: Mode
    ) -> None:
        """`times` are the factors for the steps of variables, by their ids. No faster mode than `at_best` is tried.

        Raises ModelError if the model does not compile.
        """
        self._parts = parts
        self._train = train
        self._max_updates = max_updates
        self._times = times
        self._partial: Step | None = None
        self.full: Step
        self.mode: Mode = "graph mode" if train.xla is False else at_best
        if parts.by_own_step:
            self.mode, self.full = "graph mode", TrainOnBatch(parts, times, rows=train.batch_size)
        else:
            self.full = self._compiled()

    @property
    def partial(self) -> Step:
        """The call for batches of another size than B. It runs in graph mode, which takes any size without padding."""
        if self._partial is None:
            if self._parts.by_own_step:
                self._partial = TrainOnBatch(self._parts, self._times, rows=None)
            else:
                self._partial = Updates(self._parts, self._times, xla=False)
        return self._partial

    @property
    def traces(self) -> int:
        return self.full.traces + (self._partial.traces if self._partial else 0)

    def _compiled(self) -> Step:
        if self.mode == "graph mode":
            return self._in_graph_mode()
        try:
            full = self._with_xla()
        except tf.errors.ResourceExhaustedError:
            raise
        except DOES_NOT_COMPILE as error:
            if self._train.xla:
                raise ModelError(
                    f"train.xla: the model does not compile with XLA: {reason(error)}\n"
                    "  Nothing was trained. Remove train.xla to run it in graph mode."
                ) from error
            self.mode, full = "graph mode", self._in_graph_mode()
            log.warning(
                "graph_mode", reason=reason(error), consequence="updates are slower; the last bits differ from XLA's"
            )
        return full

    def _with_xla(self) -> Step:
        """Raises what TensorFlow does if the model does not compile."""
        if self.mode == "one kernel" and self._may_be_one_kernel():
            try:
                return self._warmed_up(xla=True, one_kernel=True)
            except tf.errors.ResourceExhaustedError:  # this says nothing about the model
                raise
            except DOES_NOT_COMPILE as error:
                log.debug("kernel_by_kernel", reason=reason(error))
        self.mode = "kernel by kernel"
        return self._warmed_up(xla=True)

    def _may_be_one_kernel(self) -> bool:
        """With a memory, an update multiplies by as many rows as are drawn: slower in one kernel."""
        if self._parts.replay is not None:
            return False
        return self._train.updates_by_one and loops_are_kernels() and multiplies_vectors(self._parts)

    def _in_graph_mode(self) -> Step:
        try:
            return self._warmed_up(xla=False)
        except DOES_NOT_COMPILE as error:
            raise ModelError(
                f"model: its update does not compile: {reason(error)}\n"
                "  Nothing was trained. Fix the model, or the loss if it is your own."
            ) from error

    def _warmed_up(self, *, xla: bool, one_kernel: bool = False) -> Step:
        """Compile now, by calls without updates. They change only the learning rate, which every call sets."""
        step = Updates(self._parts, self._times, xla=xla, one_kernel=one_kernel, rows=self._train.batch_size)
        check_kept(step.function, self._parts.kept().values())
        for size in sorted({call_size(1, self._max_updates), call_size(self._max_updates, self._max_updates)}):
            step(self._parts.spec.zeros(size, self._train.batch_size), np.zeros(size + 1, np.float32), 0)
        return step


def best_mode(parts: Parts, train: TrainSettings) -> Mode:
    """Return the best mode to try.

    XLA has no fast gradients of convolutions on a CPU. Measured against graph mode, by the multiplications of a pass in
    the convolutions of an update: 1.6 to 4 times as fast up to 160,000, .8 times at a million, .2 times at 20 millions.
    """
    if train.xla is None and not parts.by_own_step and train.batch_size * _in_convolutions(parts) > _MOST_CONVOLVED:
        log.info("graph_mode", reason="its convolutions are large", consequence="updates are faster than with XLA")
        return "graph mode"
    return "one kernel"


def _in_convolutions(parts: Parts) -> int:
    """Return how many multiplications the convolutions take in the model's pass over one sample."""
    if all(len(variable.shape) < _AXES_OF_FILTERS for variable in parts.model.variables):
        return 0  # to trace it takes a tenth of a second
    return sum(map(_multiplications, _pass_over_one(parts).get_operations()))


def _multiplications(operation: Any) -> int:
    if operation.type not in _CONVOLUTIONS:
        return 0
    filters, walked = operation.inputs[1].shape, operation.outputs[0].shape
    if operation.type.endswith("BackpropInput"):  # a transposed one walks over its input
        walked = operation.inputs[2].shape
    return int((walked.num_elements() or 0) * (filters.num_elements() or 0) // filters[-1])


def _pass_over_one(parts: Parts) -> Any:
    """Return the graph of the model's pass over one sample, in inference mode."""
    inputs = {spec.name: tf.TensorSpec((1, *spec.shape), spec.dtype) for spec in parts.spec.inputs}
    function = tf.function(lambda given: parts.outputs(given, training=False), autograph=False)
    return function.get_concrete_function(inputs).graph


def longest_call(train: TrainSettings, spec: SampleSpec) -> int:
    """Return the most updates of one compiled call: calls of images are shorter than calls of ten numbers a sample."""
    return max(1, min(train.max_updates_per_call, _CALL_BYTES // (spec.bytes_a_sample * train.batch_size)))


def call_size(updates: int, most: int) -> int:
    """Return the length of the compiled call that runs `updates` updates, given at most `most`.

    It is never 1: XLA would then drop the loop, and round differently.
    """
    return max(2, min(_SMALL_CALL, most) if updates <= _SMALL_CALL else most)


def multiplies_vectors(parts: Parts) -> bool:
    """Whether all matrix products in the model's pass over one sample are of one row by a matrix."""
    graph = _pass_over_one(parts).as_graph_def(add_shapes=True)
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return all(_has_one_row(node) for node in nodes if any(word in node.op for word in _PRODUCTS))


def _has_one_row(product: Any) -> bool:
    shapes = product.attr["_output_shapes"].list.shape
    return product.op == "MatMul" and bool(shapes) and len(shapes[0].dim) == 2 and shapes[0].dim[0].size == 1
