"""Settings of the model and its training. Imports no TensorFlow, so that `learnd validate` stays quick."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

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
from learnd.daemon.tasks.label import name_of
from learnd.daemon.tasks.settings import TaskName

KerasObject = str | dict[str, Any]


def _by_name(value: Any) -> Any:
    """Return weights by the text of the class: for YAML, 0 and true are no text."""
    return {name_of(key): weight for key, weight in value.items()} if isinstance(value, dict) else value


_OF_ONE_NETWORK = ("hidden", "activation", "dropout")

ClassWeight = Literal["balanced"] | Annotated[dict[str, PositiveFloat], BeforeValidator(_by_name)]


def _check_function(value: Path) -> Path:
    """Raise ValueError if it is not the name of a function in a module."""
    if not re.fullmatch(r"[\w.]+:\w+", value.name):
        raise ValueError(f"must have the form package.module:function or file.py:function, not {value.name!r}")
    return value


UserFunction = Annotated[Path, AfterValidator(_check_function)]


class ModelSettings(Section):
    """The model to train: a preset, your own build function, or a saved Keras model."""

    preset: Literal["auto", "linear", "mlp"] | None = None
    """A network that fits the declared samples; `auto` is a mixture of some. Default: `mlp`, if neither `build` nor
    `load` is given."""

    build: UserFunction | None = None
    """A function, as `package.module:function` or `file.py:function`, that takes a `SampleSpec` (or nothing) and
    returns a Keras model. A module is looked for in the current folder, among the installed packages, and beside the
    settings file. A compiled model brings its own loss, optimizer and metrics."""

    load: Path | None = None
    """A `.keras` file to start from. Treat a file from others like code: opening it can run what its author wrote."""

    task: TaskName = "binary"
    """What the label means; it decides which keys `samples.label` has."""

    hidden: Annotated[list[PositiveInt], Field(max_length=16)] = [64, 32]
    """Units of each hidden layer of the `mlp` preset."""

    activation: str = "relu"
    """Activation of the hidden layers, by its Keras name."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of hidden units dropped while training."""

    embedding: PositiveInt = 8
    """Dimensions of the embedding of a category, but at most as many as it has values."""

    lags: bool = True
    """Of the `auto` preset: one of its networks sees the last labels that are known, beside the features. What is
    predicted for records outside of the stream does without it."""

    standardize: bool = True
    """Standardise numbers, and the label of a regression, by their running mean and variance, which are kept in the
    model. The label only if the loss is of the difference between output and label alone: `mean_squared_error`,
    `mean_absolute_error`, `huber` or `log_cosh`."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if sum(origin is not None for origin in (self.preset, self.build, self.load)) > 1:
            raise ValueError("give one of preset, build and load")
        return self

    @model_validator(mode="after")
    def _nothing_idle(self) -> Self:
        if self.mixes and (idle := [key for key in _OF_ONE_NETWORK if key in self.model_fields_set]):
            raise ValueError(
                f"{idle[0]} has no meaning for preset: auto, which has networks of its own; it is for preset: mlp, on "
                "the command line --set model.preset=mlp"
            )
        if "lags" in self.model_fields_set and not self.mixes:
            raise ValueError("lags has no meaning without preset: auto")
        return self

    @property
    def mixes(self) -> bool:
        """Whether the model is a mixture of networks."""
        return self.preset == "auto"


class AverageSettings(Section):
    """Running averages of the weights, which `predict`, exports and the holdout use in place of the weights."""

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.997
    """What stays of an average with each update. An average reaches back over about 1 / (1 - decay) updates; over all
    of them, until there are so many."""

    hedge: bool = False
    """Predict with the weights and with their averages, and mix both predictions, in the stream as outside of it. Each
    counts by how good its predictions were lately. An update takes another pass through the model."""


class MemorySettings(Section):
    """Samples of the stream that are kept, and train again beside new ones."""

    kind: Literal["balanced", "reservoir", "ring"] = "balanced"
    """Which samples are kept: `balanced`, as many of each class as come, drawn evenly from all of them so far;
    `reservoir`, drawn evenly from the whole stream; `ring`, the latest. Where the first label has no classes,
    `balanced` is a reservoir."""

    size: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Samples in the memory. They are part of every checkpoint."""

    per_update: Annotated[int, Field(ge=1, le=4096)] = 8
    """Samples drawn from the memory for each update."""

    distill: PositiveFloat | None = 0.5
    """How much it counts that the model still gives a sample the logits, or values, that it gave when it was new: a
    factor of the mean squared difference. `null` turns this off."""


class TrainSettings(Section):
    """How the model is updated."""

    harmless: ClassVar[Mapping[str, str]] = {"max_updates_per_call": "how fast updates run, never what they do"}

    batch_size: PositiveInt = 1
    """Samples per update."""

    max_wait_ms: Annotated[int, Field(ge=0)] = 50
    """How long samples on a slow stream wait for a full batch, in milliseconds. Then they train as a partial one."""

    optimizer: KerasObject | None = None
    """A Keras optimizer: its name, `{name: {argument: value}}`, or its Keras configuration. Default: the optimizer of a
    compiled model, else `regenerative_rmsprop`: RMSprop with bias correction (Adam with `beta_1` 0), a learning rate of
    0.003 and up to three times that in the first few hundred updates, and a pull of the weights to where they started,
    without which a network gets slower to learn with each task that it has learnt. Its arguments: `learning_rate`,
    `beta_2`, `pull`, `early_updates`, `epsilon`, and those of every Keras optimizer."""

    loss: KerasObject | None = None
    """A Keras loss, in the same forms. Default: the loss of a compiled model, else the usual one for the task."""

    class_weight: ClassWeight | None = None
    """Of a binary task or of classes: how much a sample weighs in the loss by its class, `{"yes": 5, "no": 1}`, as a
    factor of its own weight; 1 for a class that is not named. A class is named by any word that is read as its label.
    `balanced`: so that each class has the same part in the loss, by counts of the stream before the sample; a factor
    is at most 1,000. Scores and metrics do not change."""

    average: AverageSettings | None = None
    """Running averages of the weights, which `predict`, exports and the holdout use in place of the weights; `{}` for
    the usual ones. Default: none."""

    memory: MemorySettings | None = None
    """A memory of the stream, from which samples train again; `{}` for the usual one. Default: none."""

    metrics: list[KerasObject] = []
    """Keras metrics, in the same forms, in addition to learnd's own scores. They see the predictions made before each
    update."""

    seed: int = 7
    """Seed of the initial weights and of every random layer."""

    step: Literal["fused", "train_on_batch"] | None = None
    """`fused` runs many exact updates in one compiled call. `train_on_batch` calls the model's `train_step`, at a few
    hundred updates per second. Default: `fused`, unless the model overrides `train_step` or `compute_loss`."""

    xla: bool | None = None
    """Compile with XLA. Default: XLA if the model compiles with it and has no large convolutions, else graph mode."""

    max_updates_per_call: Annotated[int, Field(ge=1, le=65536)] = 10_000
    """The most updates in one compiled call. Calls grow with the backlog, up to this and to about a second: a clean
    stop waits for the end of one."""

    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Threads inside one TensorFlow operation. More threads help large layers only; the last bits depend on the
    number."""

    @property
    def updates_by_one(self) -> bool:
        """Whether an update has one sample, so that most products are of a vector and a matrix."""
        return self.batch_size == 1


NOT_OF_MIXTURES = ("average", "memory")
"""Keys of `train` that a mixture of networks does not go with."""


def problems_with_training(model: ModelSettings, train: TrainSettings) -> Iterator[str]:
    """Yield a problem for each way of training that does not go together with the model, or with `train.step`."""
    return problems_of_training(train, mixes=model.mixes, by_own_step=train.step == "train_on_batch")


def problems_of_training(train: TrainSettings, *, mixes: bool, by_own_step: bool) -> Iterator[str]:
    """Yield a problem for each way of training that does not go together with a mixture of networks, or with a
    `train_step` of the model that makes the updates.
    """
    if mixes:
        yield from _problems_of_mixture(train, by_own_step=by_own_step)
    elif by_own_step:
        yield from _problems_of_own_step(train)


def _problems_of_own_step(train: TrainSettings) -> Iterator[str]:
    way_out = "leave it out, or train with step: fused and without a train_step of the model"
    if train.average is not None and train.average.hedge:
        yield (
            "train.average.hedge: the model's own train_step makes the updates, and learnd does not see the loss of "
            f"each prediction; {way_out}"
        )
    if train.memory is not None:
        yield (
            "train.memory: the model's own train_step makes the updates, by a loss that learnd cannot add to; "
            f"{way_out}"
        )


def _problems_of_mixture(train: TrainSettings, *, by_own_step: bool) -> Iterator[str]:
    if by_own_step:
        yield (
            "train.step: a mixture trains each of its networks by a loss of its own, which train_on_batch does not do; "
            "leave it out, or take preset: mlp"
        )
    if train.average is not None:
        yield "train.average: a mixture has averages of its own; leave it out, or take preset: mlp"
    if train.memory is not None:
        yield (
            "train.memory: a mixture follows the stream by its last labels and shares, which samples of long ago do "
            "not have; leave it out, or take preset: mlp"
        )


class GuardSettings(Section):
    """Updates far outside the usual range are skipped. Those that are not finite are skipped in any case."""

    sigma: Annotated[float, Field(gt=0, le=100)] | None = 6.0
    """An update is skipped if its loss or the norm of its gradients lies more than this many standard deviations above
    the recent mean, in logarithms of the recent maximum (see the page on exactness). `null` turns this off."""

    warm_up: Annotated[int, Field(ge=2)] = 20
    """Updates before the guard acts, at the start and after a change of phase."""


class LayerType(Section):
    """Layers by their class."""

    type: str
    """The name of a Keras layer class: `Dense`, `Conv2D`."""


def _check_choice(value: Any) -> Any:
    """Raise ValueError if a layer is not named in one of the forms. The content of a mapping is checked later."""
    for item in value if isinstance(value, list) and value else [value]:
        counts = isinstance(item, int) and not isinstance(item, bool) and item > 0
        if not (counts or (item and isinstance(item, str | dict | LayerType))):
            raise ValueError(
                "must be a name or pattern of layers (output, hidden_*), a number of layers from the end (1 or more), "
                f"{{type: Dense}}, or a list of these, not {item!r}"
            )
    return value


LayerItem = str | PositiveInt | LayerType
LayerChoice = Annotated[LayerItem | list[LayerItem], BeforeValidator(_check_choice)]


class SamplesEnd(Section):
    """A phase that ends after a number of samples."""

    samples: PositiveInt
    """Samples of the phase, including those of skipped updates. It ends with the update that reaches this number."""


class GroupSettings(Section):
    """Layers that train at a learning rate of their own."""

    layers: LayerChoice
    """The layers, in the forms of `unfreeze`."""

    times: PositiveFloat
    """Factor for the learning rate of these layers."""


class PhaseSettings(Section):
    """Which layers train, until when, and with which learning rates."""

    unfreeze: LayerChoice | None = None
    """The layers that train; all others are frozen. A string is a pattern of names (`output`, `block_5*`,
    `base/conv_?`, `*` for all), a number counts layers with weights from the end, and `{type: Dense}` names a class. A
    list combines them. Default: the layers train as the model was built."""

    freeze: LayerChoice | None = None
    """The layers that do not train, in the same forms."""

    until: SamplesEnd | Literal["plateau", "drift", "command"] | None = None
    """When the next phase begins: after `{samples: N}` in this one, at a plateau of the score, at a confirmed drift,
    or by the command `learnd ctl DIR next_phase`, which ends any. The last phase has no end."""

    learning_rate: PositiveFloat | dict[str, Any] | None = None
    """The learning rate of the phase: a number, or a Keras schedule `{name: {argument: value}}`, which counts the
    samples of the phase. Default: the optimizer's learning rate."""

    groups: list[GroupSettings] = []
    """Layers that train faster or slower than the rest."""

    warm_up: NonNegativeInt = 1000
    """Samples over which the learning rate rises from 0, if the phase follows another one: layers that train for the
    first time have no moments yet."""

    batch_normalization: Literal["inference", "training"] = "inference"
    """Whether BatchNormalization layers keep their statistics, scale and shift, or train if they are chosen."""

    def choices(self) -> list[tuple[str, LayerChoice]]:
        """Return the choices of layers in this phase, each with its key."""
        own = [("unfreeze", self.unfreeze), ("freeze", self.freeze)]
        groups = [(f"groups.{number}.layers", group.layers) for number, group in enumerate(self.groups)]
        return [(key, choice) for key, choice in [*own, *groups] if choice is not None]


def check_ends(phases: Sequence[PhaseSettings]) -> Sequence[PhaseSettings]:
    """Raise ValueError if a phase before the last has no end, or the last one has one."""
    problems = []
    for number, phase in enumerate(phases):
        if phase.until is None and number < len(phases) - 1:
            problems.append(f"{number}: it has no `until`, so the next one would never begin")
        if phase.until is not None and number == len(phases) - 1:
            problems.append(f"{number}.until: the last phase has no end, since no phase follows")
    if problems:
        raise ValueError("\n".join(problems))
    return phases


PhasesSettings = Annotated[tuple[PhaseSettings, ...], AfterValidator(check_ends)]


def problems_with_ends(phases: Sequence[PhaseSettings], signals: Sequence[str]) -> Iterator[str]:
    """Yield a problem for each phase that ends at a drift which is in none of the watched signals."""
    for index, phase in enumerate(phases):
        if phase.until == "drift" and "error" not in signals:
            yield f"phases.{index}.until: at a drift of the error, and nothing under drift watches it"
