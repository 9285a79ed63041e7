"""The model, optimizer, losses and other parts that an update uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learnd.daemon.training.guard import Guard
from learnd.daemon.training.runtime import tf
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
    kept: Callable[[], Mapping[str, Any]]  # the variables that a checkpoint holds, by their names

    def outputs(self, inputs: Mapping[str, Any], *, training: bool) -> dict[str, Any]:
        """Return the model's outputs (B, C) for each target. A model with one input gets it as a plain tensor."""
        given = next(iter(inputs.values())) if len(inputs) == 1 else dict(inputs)
        found = self.model(given, training=training)
        names = [target.name for target in self.spec.targets]
        if isinstance(found, dict):
            return {name: found[name] for name in names}
        return dict(zip(names, found if isinstance(found, list | tuple) else [found], strict=True))

    def probabilities(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs as probabilities or values, in case the loss takes logits."""
        return {name: link(self.losses[name])(output) for name, output in outputs.items()}


def link(loss: Any) -> Any:
    """Return the function from the model's outputs to probabilities: the identity, unless the loss takes logits."""
    if not getattr(loss, "_fn_kwargs", {}).get("from_logits", False):
        return tf.identity
    return tf.nn.softmax if "Categorical" in type(loss).__name__ else tf.math.sigmoid
