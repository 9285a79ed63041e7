"""The optimizer, kept as it was given: of the settings, of a compiled model, or the default.

learnd takes two things out of it: the learning rate, which each update sets, and a global clip norm, since the step
knows the norm of the gradients already. All else is Keras' own, wrappers around other optimizers included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from learnd.daemon.errors import ModelError
from learnd.daemon.training.compiled import go_on, optimizer_of, tell_replaced, updates_of
from learnd.daemon.training.objects import create
from learnd.daemon.training.rate import Base, OfUpdates
from learnd.daemon.training.regenerative import RegenerativeRMSprop, origins_of
from learnd.daemon.training.runtime import keras
from learnd.daemon.training.settings import TrainSettings

_EXCLUSIONS = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")  # which no configuration holds


@dataclass(frozen=True, slots=True)
class Optimizing:
    """A built optimizer, and what learnd has taken out of it."""

    optimizer: Any
    rate: Any  # the variable that holds the learning rate of the next update
    own_rate: Base
    clip_norm: float | None  # gradients are scaled down to this global norm before the optimizer gets them

    @property
    def averages(self) -> list[tuple[Any, Any]]:
        """Each variable of the model with its moving average (`use_ema`), which takes its place in predictions."""
        return [
            (variable, average)
            for one in plain_optimizers(self.optimizer)
            if one.use_ema
            for variable, average in zip(one._trainable_variables, one._model_variables_moving_average, strict=True)  # noqa: SLF001
            if average is not None
        ]

    @property
    def loss_scale(self) -> Any:
        """What the loss is multiplied by for small gradients of float16; None if it is not."""
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            return self.optimizer.dynamic_scale.value
        return self.optimizer.loss_scale_factor

    @property
    def kept_when_skipped(self) -> list[Any]:
        """The variables that a skipped update does not put back: the rate, a loss scale, and where the weights began.

        Gradients that are not finite make the loss scale smaller: else all later ones would not be finite either.
        """
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        return [self.rate, *(_of_scale(self.optimizer) if scaled else []), *origins(self.optimizer)]

    @property
    def written_when_skipped(self) -> list[Any]:
        """Those of them that updates write."""
        begun = {id(origin) for origin in origins(self.optimizer)}
        return [variable for variable in self.kept_when_skipped if id(variable) not in begun]

    def start_averages(self) -> None:
        """Let the averages of an optimizer that has made no update be the weights."""
        for variable, average in self.averages:
            average.assign(variable.value)

    def reset(self) -> None:
        """Reset moments and the count of iterations, which corrects the bias of young moments. Where the weights
        started stays, and so do the rates.
        """
        kept = {id(variable) for variable in self.kept_when_skipped}
        for one in plain_optimizers(self.optimizer):
            fresh = type(one).from_config({**one.get_config(), "learning_rate": 1.0})
            fresh.build(one._trainable_variables)  # noqa: SLF001
            mine, theirs = _without_rate(one), _without_rate(fresh)
            for variable, initial in zip(mine, theirs, strict=True):
                if id(variable) not in kept:
                    variable.assign(initial.value)
        self.start_averages()


def create_optimizer(settings: TrainSettings, model: Any, trained: Sequence[Any], *, clips: bool) -> Optimizing:
    """Return the optimizer, built for the variables `trained`. That of a compiled model goes on where its training
    ended. With `clips`, the step clips gradients to a global norm. Raises SettingsError and ModelError.
    """
    earlier = optimizer_of(model)
    compiled = settings.optimizer is None and earlier is not None
    if compiled:
        optimizer = earlier if _fits(earlier, trained) else _copy(earlier)
    else:
        optimizer = _scaled(_of_settings(settings), model)
    rate, own_rate = _take_rate(optimizer, trained)
    if not optimizer.built:
        optimizer.build(list(trained))
    found = Optimizing(optimizer, rate, own_rate, _take_clip_norm(optimizer) if clips else None)
    if compiled and optimizer is not earlier:
        go_on(optimizer, earlier, rate)
    elif not compiled and earlier is not None:
        tell_replaced(optimizer, earlier)
    if not updates_of(optimizer):
        found.start_averages()
    if compiled and callable(own_rate):
        return Optimizing(optimizer, rate, OfUpdates(own_rate), found.clip_norm)
    return found


def plain_optimizers(optimizer: Any) -> list[Any]:
    """Return the optimizers that update variables: those within another one, or this one alone."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return plain_optimizers(optimizer.inner_optimizer)
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        return [one for one in optimizer.optimizers if one.built]
    return [optimizer]


def origins(optimizer: Any) -> Iterator[Any]:
    """Yield the variables that no update changes and no reset: where the weights started."""
    for one in plain_optimizers(optimizer):
        yield from origins_of(one)


class _Times(keras.optimizers.schedules.LearningRateSchedule):
    """A rate of an optimizer within a MultiOptimizer, times a factor for all of them."""

    def __init__(self, own: Any, factor: Any) -> None:
        self._own, self._factor = own, factor

    def __call__(self, step: Any) -> Any:
        rate = self._own(step) if callable(self._own) else self._own
        return rate * self._factor.value

    def get_config(self) -> dict[str, Any]:
        return {}


def _of_settings(settings: TrainSettings) -> Any:
    if settings.optimizer is None:
        return RegenerativeRMSprop()
    return create("train.optimizer", settings.optimizer, keras.optimizers)


def _scaled(optimizer: Any, model: Any) -> Any:
    """Return the optimizer with a loss scale if the model needs one, as Keras' `compile` does."""
    if model.dtype_policy.name != "mixed_float16" or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale_optimizer")


def _fits(optimizer: Any, trained: Sequence[Any]) -> bool:
    """Whether an optimizer of a compiled model can be used as it is: it is built for nothing else."""
    if not optimizer.built:
        return True
    built_for = [id(variable) for variable in optimizer._trainable_variables]  # noqa: SLF001
    return built_for == [id(variable) for variable in trained]


def _copy(optimizer: Any) -> Any:
    """Return an optimizer of the same settings that is not built."""
    try:
        copied = type(optimizer).from_config(optimizer.get_config())
    except Exception as error:
        raise ModelError(
            f"model: its optimizer, {optimizer.name}, was built for other layers than will train, and cannot be made "
            f"anew from its configuration: {error}. Nothing was trained. Give the class a get_config, and register it "
            "and its schedule with keras.saving.register_keras_serializable, or name an optimizer in train.optimizer."
        ) from error
    for one, other in zip(_all_within(copied), _all_within(optimizer), strict=True):
        for name in _EXCLUSIONS:
            if hasattr(other, name):
                setattr(one, name, getattr(other, name))
    return copied


def _all_within(optimizer: Any) -> list[Any]:
    inner = getattr(optimizer, "inner_optimizer", None)
    return [optimizer] if inner is None else [optimizer, *_all_within(inner)]


def _take_rate(optimizer: Any, trained: Sequence[Any]) -> tuple[Any, Any]:
    """Return the variable that holds the learning rate from now on, and the optimizer's own: a number or a schedule."""
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        return _take_factor(optimizer, trained), 1.0
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return _take_rate(optimizer.inner_optimizer, trained)
    own = _own_rate(optimizer)
    if isinstance(own, float):
        return optimizer.learning_rate, own
    with keras.name_scope(optimizer.name):
        # Keras refuses to set a rate in the place of a schedule.
        optimizer._learning_rate = keras.Variable(1.0, trainable=False, name="learning_rate")  # noqa: SLF001
    return optimizer.learning_rate, own


def _take_factor(optimizer: Any, trained: Sequence[Any]) -> Any:
    """Return a variable by which the rates of all inner optimizers are multiplied: each has its own."""
    if not optimizer.built:
        optimizer.build(list(trained))  # which may make them
    factor = optimizer._learning_rate  # noqa: SLF001  (it is of no use to Keras, which hides it)
    for one in optimizer.optimizers:
        one.learning_rate = _Times(_own_rate(one), factor)
    return factor


def _own_rate(optimizer: Any) -> Any:
    own = optimizer._learning_rate  # noqa: SLF001  (the public one is the value of a schedule)
    if isinstance(own, keras.Variable):
        return float(own)
    if isinstance(own, keras.optimizers.schedules.LearningRateSchedule):
        return own
    raise ModelError(
        f"model: the learning rate of its optimizer, {optimizer.name}, is a function, whose state no checkpoint would "
        "hold. Nothing was trained. Give a number, or one of keras.optimizers.schedules."
    )


def _take_clip_norm(optimizer: Any) -> float | None:
    """Take the global clip norm away and return it, if it is of the gradients of each update."""
    clip_norm = optimizer.global_clipnorm
    if clip_norm is None or optimizer.gradient_accumulation_steps or optimizer.loss_scale_factor:
        return None
    optimizer.global_clipnorm = None
    return float(clip_norm)


def _of_scale(optimizer: Any) -> list[Any]:
    return [optimizer.step_counter, optimizer.dynamic_scale]


def _without_rate(optimizer: Any) -> list[Any]:
    rate = optimizer._learning_rate  # noqa: SLF001
    return [variable for variable in optimizer._variables if variable is not rate]  # noqa: SLF001
