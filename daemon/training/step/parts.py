"""The model, optimizer, losses and other parts that an update uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learnd.daemon.training.guard import Guard
from learnd.daemon.training.runtime import tf
from learnd.daemon.training.step.ensemble import Ensemble
from learnd.daemon.values import Arrays, SampleSpec


@dataclass(frozen=True, slots=True)
class Parts:
    """Model, optimizer and what belongs to them: the same in every phase."""

    model: Any
    optimizer: Any
    losses: Mapping[str, Any]  # of each target
    metrics: Sequence[Any]  # of the first target
    guard: Guard | None
    clip_norm: float | None  # gradients are scaled down to this global norm
    spec: SampleSpec
    infer: Callable[[Arrays], Mapping[str, Any]]
    ensemble: Ensemble | None  # what of the model changes behind an update
    weighs_classes: bool  # whether a sample's weight in the loss has a factor beside its own
    by_own_step: bool  # whether updates are made by the model's own `train_step`
    kept: Callable[[], Mapping[str, Any]]  # the variables that a checkpoint holds, by their names

    def outputs(self, inputs: Mapping[str, Any], *, training: bool) -> dict[str, Any]:
        """Return what the model gives for each target, (B, C)."""
        found = self.model(as_keras(inputs), training=training)
        names = [target.name for target in self.spec.targets]
        return dict(zip(names, tf.nest.flatten(found), strict=True)) if len(names) == 1 else found

    def probabilities(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs as probabilities or values, in case the loss takes logits."""
        return {name: link(self.losses[name])(output) for name, output in outputs.items()}


def as_keras(named: Mapping[str, Any]) -> Any:
    """Return the one tensor alone, if there is one, as users of Keras expect; else all by name."""
    return next(iter(named.values())) if len(named) == 1 else dict(named)


def link(loss: Any) -> Any:
    """Return the function from the model's outputs to probabilities: the identity, unless the loss takes logits."""
    if not getattr(loss, "_fn_kwargs", {}).get("from_logits", False):
        return tf.identity
    return tf.nn.softmax if "Categorical" in type(loss).__name__ else tf.math.sigmoid
