"""The default optimizer: RMSprop that takes its weights back, a little with each update, to where they started."""

from __future__ import annotations

from typing import Any

from learnd.daemon.training.runtime import keras


@keras.saving.register_keras_serializable("learnd")
class RegenerativeRMSprop(keras.optimizers.Optimizer):
    """RMSprop with bias correction, as in Adam (Kingma and Ba 2015) with `beta_1` 0, and a pull to the initial weights.

    With gradient g, update t = 1, 2, ..., learning rate r and n = `early_updates`:

        v = beta_2 v + (1 - beta_2) g²
        w = w - r (1 + 2 n / (n + t)) (sqrt(1 - beta_2^t) g / (sqrt(v) + epsilon) + pull (w - w_0))

    Momentum is left out since it acts on gradients of a stream as it was. The first updates are up to three times as
    long, for streams of a few hundred samples. Without the pull, a network that learns one task after the other learns
    each of them worse than the one before (L2 Init: Kumar, Marklund, Van Roy 2023; here apart from the gradient, so
    that v does not scale it, as AdamW does with weight decay). w_0 is the value at which a variable was when the
    optimizer was built; it is saved with the optimizer. Embeddings are not pulled: a rare category would be forgotten
    from one of its samples to the next.
    """

    def __init__(
        self,
        learning_rate: Any = 0.003,
        beta_2: float = 0.999,
        pull: float = 0.03,
        early_updates: int = 100,
        epsilon: float = 1e-7,
        name: str = "regenerative_rmsprop",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_2 = beta_2
        self.pull = pull
        self.early_updates = early_updates
        self.epsilon = epsilon

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        self._velocities = self.add_optimizer_variables(variables, "velocity")
        self.origins: dict[int, Any] = {}  # by the index of their variables
        for index, variable in enumerate(variables):
            if self.pull and variable.name != "embeddings":  # the name that Keras gives to the weights of an Embedding
                self.origins[index] = self.add_variable_from_reference(variable, "origin")
                self.origins[index].assign(variable.value)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index, dtype = self._get_variable_index(variable), variable.dtype
        velocity, origin = self._velocities[index], self.origins.get(index)
        gradient = keras.ops.cast(gradient, dtype)
        updates = keras.ops.cast(self.iterations + 1, dtype)
        correction = keras.ops.sqrt(1 - keras.ops.power(keras.ops.cast(self.beta_2, dtype), updates))
        early = 1 + 2 * self.early_updates / (self.early_updates + updates)
        self.assign_add(velocity, (keras.ops.square(gradient) - velocity) * (1 - self.beta_2))
        direction = correction * gradient / (keras.ops.sqrt(velocity) + self.epsilon)
        if origin is not None:
            direction = direction + self.pull * (variable - origin)
        self.assign_sub(variable, keras.ops.cast(learning_rate, dtype) * early * direction)

    def get_config(self) -> dict[str, Any]:
        own = {
            "beta_2": self.beta_2,
            "pull": self.pull,
            "early_updates": self.early_updates,
            "epsilon": self.epsilon,
        }
        return {**super().get_config(), **own}


def origins_of(optimizer: Any) -> list[Any]:
    """Return the variables of an optimizer that no update changes and no reset: where the weights started."""
    return list(optimizer.origins.values()) if isinstance(optimizer, RegenerativeRMSprop) else []
