"""Settings of the model and of its training. No TensorFlow here: `learnd validate` stays quick."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from learnd.daemon.foundation.section import Section
from learnd.daemon.tasks.settings import TaskName

KerasObject = str | dict[str, Any]


class ModelSettings(Section):
    """Which network learns: a preset, a build function of yours, or a saved Keras model."""

    preset: Literal["linear", "mlp"] | None = None
    """A network made for the samples as declared. `mlp` where neither `build` nor `load` is given."""

    build: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = None
    """A function, as `package.module:function`, that takes a `SampleSpec` (or nothing) and returns a Keras model.
    A compiled model brings its own loss and optimizer."""

    load: Path | None = None
    """A `.keras` file to start from. Treat a file from elsewhere as code: opening one can run what its author wrote."""

    task: TaskName = "binary"
    """What the label means; it decides which keys `samples.label` has."""

    hidden: Annotated[list[PositiveInt], Field(max_length=16)] = [64, 32]
    """Units of each hidden layer of the `mlp` preset."""

    activation: str = "relu"
    """Activation of the hidden layers, by its Keras name."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of hidden units dropped while training."""

    embedding: PositiveInt = 8
    """Dimensions of the embedding of a category; at most as many as it has values."""

    standardize: bool = True
    """Standardise numbers by their running mean and variance, kept inside the model."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if sum(origin is not None for origin in (self.preset, self.build, self.load)) > 1:
            raise ValueError("give one of preset, build and load")
        return self


class TrainSettings(Section):
    """How the model is updated."""

    batch_size: PositiveInt = 1
    """Samples an update."""

    max_wait_ms: Annotated[int, Field(ge=0)] = 50
    """How long samples wait for a full batch on a slow stream before they train as a partial one, in milliseconds."""

    optimizer: KerasObject | None = None
    """A Keras optimizer: its name, `{name: {argument: value}}`, or its Keras configuration. Default: that of a
    compiled model, else stochastic gradient descent at a learning rate of 0.1 with gradients clipped to norm 1."""

    loss: KerasObject | None = None
    """A Keras loss, in the same forms. Default: that of a compiled model, else the usual one of the task."""

    metrics: list[KerasObject] = []
    """Keras metrics, in the same forms, updated with each prediction before its update, beside learnd's own scores."""

    seed: int = 7
    """Seed of the initial weights and of every random layer."""

    step: Literal["fused", "train_on_batch"] = "fused"
    """`fused` runs many exact updates in one compiled call. `train_on_batch` calls the model's own `train_step`,
    for models that override it, at some hundred updates a second."""

    xla: bool | None = None
    """Compile with XLA. Default: where the model compiles; graph mode where it does not."""

    max_updates_per_call: Annotated[int, Field(ge=1, le=65536)] = 4096
    """The most updates in one compiled call. The call grows with the backlog, up to this."""

    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Threads inside one TensorFlow operation. More help large layers only; the last bits depend on the number."""

    @property
    def updates_by_one(self) -> bool:
        """Whether an update is of one sample, so that most products are of a vector and a matrix."""
        return self.batch_size == 1

    @property
    def of_a_process(self) -> tuple[int, bool]:
        """What TensorFlow reads once in the life of a process."""
        return self.threads, self.updates_by_one


class GuardSettings(Section):
    """Which updates are skipped for being far outside of what is usual. What is not finite is skipped in any case."""

    sigma: Annotated[float, Field(gt=0, le=100)] | None = 6.0
    """An update is skipped where its loss or the norm of its gradients lies more than so many standard deviations
    above the recent mean, in logarithms of the recent maximum (see the page on exactness). `null` turns it off."""

    warm_up: Annotated[int, Field(ge=2)] = 20
    """Updates before it acts, at the start and after a change of phase."""


class LayerType(Section):
    """Layers by their class."""

    type: str
    """The name of a Keras layer class: `Dense`, `Conv2D`."""


def _check_choice(value: Any) -> Any:
    """Raise ValueError where layers are named in none of the forms. What a mapping holds is checked later."""
    for item in value if isinstance(value, list) and value else [value]:
        counts = isinstance(item, int) and not isinstance(item, bool) and item > 0
        if not (counts or (item and isinstance(item, str | dict | LayerType))):
            raise ValueError(
                "must be a name or pattern of layers (output, hidden_*), how many from the end (1 or more), "
                f"{{type: Dense}}, or a list of these, not {item!r}"
            )
    return value


LayerItem = str | PositiveInt | LayerType
LayerChoice = Annotated[LayerItem | list[LayerItem], BeforeValidator(_check_choice)]


class SamplesEnd(Section):
    """A phase that ends after a number of samples."""

    samples: PositiveInt
    """Samples that go through updates in the phase; it ends with the update that reaches them."""


class GroupSettings(Section):
    """Layers that train at a learning rate of their own."""

    layers: LayerChoice
    """Which, in the forms of `unfreeze`."""

    times: PositiveFloat
    """What the learning rate is multiplied by for them."""


class PhaseSettings(Section):
    """Which layers train, until when, and at which learning rates."""

    unfreeze: LayerChoice | None = None
    """The layers that train, all others being frozen. A text is a pattern of names (`output`, `block_5*`,
    `base/conv_?`, `*` for all), a number counts layers with weights from the end, `{type: Dense}` names a class; or a
    list of these. Default: the layers train as the model was built."""

    freeze: LayerChoice | None = None
    """The layers that do not train, in the same forms."""

    until: SamplesEnd | Literal["plateau", "drift", "command"] | None = None
    """When the next phase begins: after `{samples: N}` in this one, at a plateau of the score, at a confirmed drift,
    or by the command `learnd ctl DIR next_phase`, which ends any. The last phase has no end."""

    learning_rate: PositiveFloat | dict[str, Any] | None = None
    """The learning rate of the phase: a number, or a Keras schedule, `{name: {argument: value}}`, which counts the
    samples of the phase. Default: that of the optimizer."""

    groups: list[GroupSettings] = []
    """Layers that train faster or slower than that."""

    warm_up: NonNegativeInt = 1000
    """Samples over which the learning rate rises from 0 when the phase follows another one: layers that train for
    the first time have no moments yet."""

    batch_normalization: Literal["inference", "training"] = "inference"
    """Whether BatchNormalization layers stay as they are, statistics, scale and shift, or train where chosen."""

    def choices(self) -> list[tuple[str, LayerChoice]]:
        """Return what names layers, each with its key."""
        own = [("unfreeze", self.unfreeze), ("freeze", self.freeze)]
        groups = [(f"groups.{number}.layers", group.layers) for number, group in enumerate(self.groups)]
        return [(key, choice) for key, choice in [*own, *groups] if choice is not None]


def check_ends(phases: Sequence[PhaseSettings]) -> Sequence[PhaseSettings]:
    """Raise ValueError where a phase has no end, or the last one has one."""
    problems = []
    for number, phase in enumerate(phases):
        if phase.until is None and number < len(phases) - 1:
            problems.append(f"{number}: it has no `until`, so that the next one never begins")
        if phase.until is not None and number == len(phases) - 1:
            problems.append(f"{number}.until: the last phase has no end, since no phase follows")
    if problems:
        raise ValueError("\n".join(problems))
    return phases


PhasesSettings = Annotated[tuple[PhaseSettings, ...], AfterValidator(check_ends)]
