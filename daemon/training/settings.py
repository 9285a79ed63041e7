"""Settings of the model and of its training. No TensorFlow here: `learnd validate` stays quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from daemon.section import Section

KerasObject = str | dict[str, Any]
TaskName = Literal["binary", "classes", "regression", "multi_label"]


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
    """What the label is: `binary`, `classes`, `regression` or `multi_label`."""

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
