"""The contract of a model whose prediction is not what trains: a mixture of networks, or one with averaged weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Ensemble(Protocol):
    """What of a model changes behind an update: averages of its weights, shares in a mixture, labels before.

    It must never keep anything but in `variables`, which are variables of the model, or write these elsewhere than in
    `follow`: a skipped update gives them back their values. All methods are traced.
    """

    @property
    def variables(self) -> list[Any]:
        """What `follow` writes. A pass of the model in training leaves it alone."""

    def outputs(self, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """Return the prediction for each target (B, C), in training, and what of the same pass `lesson` needs.

        It is the prediction that is scored: nothing in the model may give other values in training than outside of it,
        but for what the stream alone knows.
        """

    def lesson(self, said: Any, targets: Mapping[str, Any], weight: Any) -> tuple[Any, Any]:
        """Return the loss that trains, a number, and what `follow` needs. `weight` (B,) is that in the loss."""

    def losses_alone(self, inputs: Mapping[str, Any], targets: Mapping[str, Any]) -> Any:
        """Return the loss (m, networks) of each network that sees a sample alone, for samples of before.

        It changes nothing in the model.
        """

    def follow(self, lesson: Any) -> None:
        """Change the variables, behind an update on these samples. The weights that train are already its own."""
