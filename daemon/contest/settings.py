"""Settings of challengers: the section `challengers`. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Annotated, Self, TypeVar

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from learnd.daemon.foundation.section import Section
from learnd.daemon.tasks.settings import TaskName
from learnd.daemon.training.settings import NOT_OF_MIXTURES, ModelSettings, TrainSettings, problems_with_training

Own = TypeVar("Own", bound=Section)

_ORIGINS = {"preset", "build", "load"}
# What all models of a process share, or what says how the stream is cut into updates.
_COMMON = ("batch_size", "max_wait_ms", "max_updates_per_call", "threads")


class ChallengerSettings(Section):
    """Another model on the same stream, which takes the place of the one that leads if it proves to be better."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
    """What it is called in metrics, in the history and in checkpoints: small letters, digits, `-` and `_`."""

    model: ModelSettings | None = None
    """What of `model` is otherwise. With a `preset`, `build` or `load` of its own, it takes nothing but the task from
    there, and has no phases."""

    train: TrainSettings | None = None
    """What of `train` is otherwise. The batch size and the threads are those of all. With `preset: auto` it takes
    neither `average` nor `memory` from there."""

    warm_up: NonNegativeInt = 1_000
    """Samples that it trains on before it is compared: it begins with nothing learnt."""

    samples: PositiveInt = 100_000
    """How many samples it has, then, to prove itself. If that is not decided by then, it is dropped."""

    level: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """The chance, at most, that it takes the lead without having been better on average."""

    @model_validator(mode="after")
    def _otherwise(self) -> Self:
        if self.name in _TAKEN:
            raise ValueError(f"name: {self.name} is the name of {_TAKEN[self.name]}; give another")
        if self.model is None and self.train is None:
            raise ValueError("give model or train: it would be the same as the one that it challenges")
        common = [key for key in _COMMON if self.train is not None and key in self.train.model_fields_set]
        if common:
            raise ValueError(f"train.{common[0]}: it is that of all models on the stream; set it in `train` alone")
        return self

    @property
    def has_own_layers(self) -> bool:
        """Whether it is built in another way than the one that it challenges."""
        return self.model is not None and bool(self.model.model_fields_set & _ORIGINS)

    def of(self, model: ModelSettings, train: TrainSettings) -> tuple[ModelSettings, TrainSettings]:
        """Return the settings that it is built with, given those that it challenges. Raises ValidationError.

        A mixture takes no averages and no memory from there, since it has none but its own.
        """
        base = ModelSettings(task=model.task) if self.has_own_layers else model
        own = _with(base, self.model)
        return own, _with(train, self.train, without=NOT_OF_MIXTURES if own.mixes else ())


LEADER = "model"
"""What the model of the settings is called among its challengers."""

TRIAL = "trial"
"""What a changed copy of the model is called."""

_TAKEN = {LEADER: "the one that it challenges", TRIAL: "what the action trial tries"}


def _with(base: Own, changes: Own | None, without: Collection[str] = ()) -> Own:
    given = {} if changes is None else {name: getattr(changes, name) for name in changes.model_fields_set}
    own = {name: getattr(base, name) for name in base.model_fields_set if name not in without}
    return type(base).model_validate({**own, **given})


def problems_with_challengers(
    challengers: Sequence[ChallengerSettings],
    model: ModelSettings,
    train: TrainSettings,
    of_training: Callable[[TrainSettings], Iterable[str]],
) -> Iterator[str]:
    """Yield what is wrong with challengers of these settings.

    `of_training` yields what in a `train` of theirs does not fit the labels.
    """
    names = [challenger.name for challenger in challengers]
    for index, challenger in enumerate(challengers):
        if challenger.name in names[:index]:
            yield f"challengers.{index}.name: {challenger.name} is another one's name; give each its own"
        if challenger.model is not None and _other_task(challenger.model, model.task):
            yield f"challengers.{index}.model.task: the labels are of the task {model.task}; leave it out"
        try:
            own_model, own_train = challenger.of(model, train)
            problems = [*problems_with_training(own_model, own_train)]
            if challenger.train is not None and challenger.train.class_weight is not None:
                problems += of_training(own_train)
            yield from (f"challengers.{index}.{problem}" for problem in problems)
        except ValidationError as error:
            yield from (f"challengers.{index}: {found['msg']}" for found in error.errors())


def _other_task(model: ModelSettings, task: TaskName) -> bool:
    return "task" in model.model_fields_set and model.task != task
