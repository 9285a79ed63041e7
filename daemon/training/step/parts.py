"""The model, optimizer, losses and other parts that an update uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learnd.daemon.training.averaging import RunningAverages
from learnd.daemon.training.guard import Guard
from learnd.daemon.training.hedge import Hedge
from learnd.daemon.training.losses import TargetLoss
from learnd.daemon.training.memory.memory import Memory
from learnd.daemon.training.metrics import Measure
from learnd.daemon.training.optimizers import Optimizing
from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.training.step.ensemble import Ensemble
from learnd.daemon.training.step.head_start import HeadStart
from learnd.daemon.training.step.replay import Replay
from learnd.daemon.values import Arrays, Float32, SampleSpec


@dataclass(frozen=True, slots=True)
class Parts:
    """Model, optimizer and what belongs to them: the same in every phase."""

    model: Any
    optimizing: Optimizing
    losses: Mapping[str, TargetLoss]  # of each target
    metrics: Sequence[Measure]  # of the first target
    guard: Guard | None
    spec: SampleSpec
    infer: Callable[[Arrays], Mapping[str, Any]]
    ensemble: Ensemble | None  # what of the model changes behind an update
    averages: RunningAverages | None  # of the weights, beside the model
    hedge: Hedge | None  # what predictions with the weights and with their averages count
    replay: Replay | None  # what trains beside the samples of an update
    head_start: HeadStart | None  # what does so in a mixture, at the start of the stream
    weighs_classes: bool  # whether a sample's weight in the loss has a factor beside its own
    by_own_step: bool  # whether updates are made by the model's own `train_step`
    kept: Callable[[], Mapping[str, Any]]  # the variables that a checkpoint holds, by their names

    def outputs(self, inputs: Mapping[str, Any], *, training: bool) -> dict[str, Any]:
        """Return what the model gives for each target, (B, ..., C)."""
        found: dict[str, Any] = by_name(self.model(as_input(inputs), training=training), self.model, self.spec)
        return found

    def predicted(self, inputs: Mapping[str, Any], *, averaged: bool = False) -> dict[str, Any]:
        """Return what the model gives for each target in inference mode, (B, ..., C), with the averages of its weights
        if the optimizer keeps some, or if it is to be `averaged`. What inference writes, such as the state of a random
        layer, is dropped.
        """
        with keras.StatelessScope(self.served if averaged else self.optimizing.averages):
            return self.outputs(inputs, training=False)

    def inference(self, inputs: Mapping[str, Any], *, served: bool) -> dict[str, Any]:
        """Return what `predicted` does, or what is `served`, as probabilities or values, float32."""
        outputs = self.predicted(inputs, averaged=served)
        if served and self.hedge is not None:
            outputs = self.hedge.mixed(self.predicted(inputs), outputs)
        return self.probabilities({name: tf.cast(output, tf.float32) for name, output in outputs.items()})

    @property
    def served(self) -> list[tuple[Any, Any]]:
        """Each weight with the average that takes its place, or stands beside it, in what is served; none without."""
        return self.optimizing.averages if self.averages is None else self.averages.pairs

    @property
    def memories(self) -> list[Memory]:
        """Where samples are kept that train again."""
        return [one.memory for one in (self.replay, self.head_start) if one is not None]

    def probabilities(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs as probabilities or values, in case the loss takes logits."""
        return {name: self.losses[name].link(output) for name, output in outputs.items()}

    def loss(self, targets: Mapping[str, Any], outputs: Mapping[str, Any], weight: Any) -> tuple[Any, dict[str, Any]]:
        """Return the loss of a batch, and the parts of it that are of the targets."""
        of_targets = {name: loss.value(targets[name], outputs[name], weight) for name, loss in self.losses.items()}
        return self.total(of_targets), of_targets

    def total(self, of_targets: Mapping[str, Any]) -> Any:
        """Return the sum of the targets' losses, and of what layers add to it."""
        return tf.add_n([*of_targets.values(), *(tf.cast(penalty, tf.float32) for penalty in self.model.losses)])

    def weights(self, weight: Float32) -> Any:
        """Return the weight (B,) of each sample as the model's `train_step` takes it.

        Keras multiplies the losses (B, T) of sequences by (B,) crosswise, so that with tensors each target gets weights
        of the rank of its outputs.
        """
        if not any(target.task.shape for target in self.spec.targets):
            return weight
        ranks = {target.name: len(target.task.output_shape) for target in self.spec.targets}
        return as_keras({name: weight.reshape(-1, *[1] * rank) for name, rank in ranks.items()})

    def labels(self, targets: Mapping[str, Any]) -> dict[str, Any]:
        """Return the targets as their losses take them."""
        return {name: loss.labels(targets[name]) for name, loss in self.losses.items()}


def by_name(found: Any, model: Any, spec: SampleSpec) -> Any:
    """Return what a model gives by the names of the targets; as it is, if it does not fit them.

    The one output is that of the one target; those in a list have the names that Keras gives them: of their layers.
    """
    names, flat = [target.name for target in spec.targets], tf.nest.flatten(found)
    if len(names) == len(flat) == 1:
        return {names[0]: flat[0]}
    if isinstance(found, list | tuple):
        found = dict(zip(getattr(model, "output_names", ()), found, strict=False)) or found
    return {name: found[name] for name in names} if isinstance(found, dict) and set(found) == set(names) else found


def as_input(inputs: Mapping[str, Any]) -> Any:
    """Return inputs as a model is given them: pixels, which are kept as bytes, as float32."""
    pixels = [name for name, one in inputs.items() if tf.as_dtype(one.dtype) == tf.uint8]
    return as_keras({**inputs, **{name: tf.cast(inputs[name], tf.float32) for name in pixels}})


def as_keras(named: Mapping[str, Any]) -> Any:
    """Return the one tensor alone, if there is one, as users of Keras expect; else all by name."""
    return next(iter(named.values())) if len(named) == 1 else dict(named)
