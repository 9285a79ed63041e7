"""Samples: named tensors, and what the settings say about their names and shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.values.arrays import Arrays, Float32, Int64

FEATURES, LABEL = "features", "label"
"""The names of the input and the target of a sample that has one of each."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples as columns: named tensors, and the weight of each sample in the loss.

    The first dimension of every array is the sample: (m, ...). `in_batches` splits it into two: (K, B, ...).
    """

    inputs: Arrays
    targets: Arrays  # a class is its index, a binary label 0 or 1
    weight: Float32

    @classmethod
    def joined(cls, parts: Sequence[Samples]) -> Samples:
        """Return the samples of all parts, in this order. There must be at least one part."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        inputs = {name: np.concatenate([part.inputs[name] for part in parts]) for name in first.inputs}
        targets = {name: np.concatenate([part.targets[name] for part in parts]) for name in first.targets}
        return cls(inputs, targets, np.concatenate([part.weight for part in parts]))

    @classmethod
    def of_named(cls, arrays: Arrays) -> Samples:
        """Return the samples whose `named` gave these arrays."""

        def of(prefix: str) -> Arrays:
            return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

        return cls(of("inputs/"), of("targets/"), arrays["weight"])

    def named(self) -> Arrays:
        """Return all arrays in one mapping: `inputs/NAME`, `targets/NAME` and `weight`."""
        return {
            **{f"inputs/{name}": array for name, array in self.inputs.items()},
            **{f"targets/{name}": array for name, array in self.targets.items()},
            "weight": self.weight,
        }

    def __len__(self) -> int:
        return len(self.weight)

    def __getitem__(self, rows: int | slice | Int64) -> Samples:
        """Return some samples or batches; with a number, that one batch. A view, but a copy of listed rows."""
        return self._each(lambda array: array[rows])

    def in_batches(self, updates: int, rows: int) -> Samples:
        """Return the same samples as K = `updates` batches of B = `rows`."""
        return self._each(lambda array: array.reshape(updates, rows, *array.shape[1:]))

    def in_a_row(self) -> Samples:
        """Return the samples of all batches, one after the other: (K * B, ...)."""
        return self._each(lambda array: array.reshape(-1, *array.shape[2:]))

    def padded(self, size: int) -> Samples:
        """Return `size` batches: these, then batches of zeros, which are never used."""
        return self if len(self) == size else self._each(lambda array: _padded(array, size))

    def _each(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Samples:
        inputs = {name: change(array) for name, array in self.inputs.items()}
        targets = {name: change(array) for name, array in self.targets.items()}
        return Samples(inputs, targets, change(self.weight))


def _padded(array: NDArray[Any], size: int) -> NDArray[Any]:
    padded = np.zeros((size, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded


@dataclass(frozen=True, slots=True)
class Task:
    """What the label is. `outputs` is C, the units of the model's last layer; `label_columns` is O.

    A label with a `shape` is a tensor: O = 1 and C are those of each of its elements.
    """

    kind: str  # a name in `tasks.registry.KINDS`
    outputs: int
    label_columns: int
    names: tuple[str, ...] = ()  # of the classes, or of the labels
    learnt: bool = False  # whether the stream tells the names of the classes, one after the other
    shape: tuple[int, ...] = ()  # of a tensor

    @property
    def label_shape(self) -> tuple[int, ...]:
        """The shape of one sample's label."""
        return self.shape or (self.label_columns,)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of what the model gives for one sample: that of the label, with an axis more for classes."""
        return self.shape if self.shape and self.outputs == 1 else (*self.shape, self.outputs)


class ColumnKind(IntEnum):
    NUMBER = 0
    CATEGORY = 1  # an index in [0, size), exact in float32


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an input that is a matrix of features."""

    name: str
    kind: ColumnKind
    size: int = 0  # of a category: the number of indices
    values: tuple[str, ...] = ()  # of a category whose values are listed: the values, in the order of their indices
    two_values: bool = False  # a number that is 0 or 1
    clock: bool = False  # tells the time: on a slow stream it is never as it was, and that says nothing


@dataclass(frozen=True, slots=True)
class Window:
    """The latest records of a key, oldest first, as one sample. Zeros stand for records from before the first: negative
    ones, which tell them from records of zeros, and are as good as any others for a model.
    """

    length: int  # records
    ahead: int = 0  # how many records the one with the label comes behind the last of the window; 0: it is the last
    season: int | None = None  # records after which labels come again

    @property
    def kept(self) -> int:
        """How many records of a key must be known for the next one."""
        return self.length - 1 + self.ahead


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a model: (m, *shape) of `dtype`. `columns` says what each number of it is, row by row; of a window,
    what each number of each record is. It is empty for an image, whose pixels are of `uint8` up to the model, which
    gets them as float32, and for a text, whose words are ids of `int32` in [0, `vocabulary_size`), 0 behind the last
    one.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    columns: tuple[Column, ...] = ()
    vocabulary_size: int = 0  # of a text: the number of ids
    vocabulary: tuple[str, ...] = ()  # of a text whose words are listed: the words, in the order of their ids
    window: Window | None = None  # (length, columns): the latest records of a key

    @classmethod
    def of_columns(cls, name: str, columns: Sequence[Column], shape: Sequence[int] = ()) -> InputSpec:
        """Return the spec of a matrix of columns, or of a tensor of another shape that the columns fill row by row."""
        return cls(name, tuple(shape) or (len(columns),), columns=tuple(columns))

    @property
    def is_image(self) -> bool:
        return not self.columns and not self.vocabulary_size

    @property
    def described(self) -> str:
        """What a sample of it is, in words."""
        if self.window is not None:
            return f"a window of {self.window.length} records of {len(self.columns)} columns"
        if self.columns:
            return f"{len(self.columns)} columns"
        if self.vocabulary_size:
            return f"a text of {self.shape[0]} words"
        return f"an image of {' × '.join(map(str, self.shape))}"


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """One target of a model: (m, O) float32, or (m, *shape) of a task with a shape; its task, and the weight of its
    loss in the sum of all losses.
    """

    name: str
    task: Task
    loss_weight: float = 1.0
    of_input: str | None = None  # the input that is the label itself; None if a record has a label
    in_window: int | None = None  # the column of a window that holds the labels of its records, if one does

    @property
    def columns(self) -> int:
        """How many columns of a table of records it takes."""
        return 0 if self.of_input is not None else math.prod(self.task.label_shape)


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """The names and shapes of a sample's tensors, handed to build functions."""

    inputs: tuple[InputSpec, ...]
    targets: tuple[TargetSpec, ...]

    @classmethod
    def of_columns(cls, columns: Sequence[Column], task: Task) -> SampleSpec:
        """Return the spec of a matrix of features and one label."""
        return cls((InputSpec.of_columns(FEATURES, columns),), (TargetSpec(LABEL, task),))

    @property
    def window(self) -> Window | None:
        """The window that is the input, if it is one."""
        return self.inputs[0].window

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the feature matrix, which has a row for each record."""
        return tuple(column for spec in self.inputs for column in spec.columns)

    @property
    def width(self) -> int:
        """The number of columns of the feature matrix."""
        return len(self.columns)

    def split(self, matrix: NDArray[Any], alone: Arrays) -> Arrays:
        """Return the inputs (n, *shape) whose columns stand side by side in a matrix (n, width), and those that stand
        `alone`, since they have none.
        """
        parts, start = {}, 0
        for spec in self.inputs:
            end = start + len(spec.columns)
            columns = matrix[:, start:end].reshape(-1, *spec.shape).astype(spec.dtype) if spec.columns else None
            parts[spec.name] = alone[spec.name] if columns is None else columns
            start = end
        return parts

    def split_targets(self, matrix: NDArray[Any], inputs: Arrays) -> Arrays:
        """Return the targets (n, ...) whose columns stand side by side in a matrix, and those that are `inputs`, all
        as float32.
        """
        ends = np.cumsum([spec.columns for spec in self.targets])
        parts = np.split(matrix.astype(np.float32), ends[:-1], axis=1) if self.targets else []
        return {
            spec.name: part.reshape(-1, *spec.task.label_shape)
            if spec.of_input is None
            else inputs[spec.of_input].astype(np.float32, copy=False)
            for spec, part in zip(self.targets, parts, strict=True)
        }

    def matrix(self, inputs: Arrays) -> Float32:
        """Return the columns of the inputs (n, *shape), side by side: (n, width). What `split` has split; of windows,
        their last records.
        """
        if self.window is not None:
            return inputs[self.inputs[0].name][:, -1]
        parts = [inputs[spec.name].reshape(-1, len(spec.columns)) for spec in self.inputs if spec.columns]
        if not parts:
            return np.empty((len(inputs[self.inputs[0].name]), 0), np.float32)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def naive(self, target: str, inputs: Arrays) -> Arrays:
        """Return what may be forecast of a target without a model, by name, (m, 1) each: `naive`, the last value that
        the window of each sample (m, ...) has, and `seasonal_naive`, the value of one season before.

        There are none if windows do not have its values. Source: Hyndman, Athanasopoulos, "Forecasting: Principles and
        Practice" (2021), section 5.2.
        """
        window = self.window
        column = next(spec.in_window for spec in self.targets if spec.name == target)
        if window is None or column is None or not window.ahead:
            return {}
        given = inputs[self.inputs[0].name]
        found = {"naive": given[:, -1, column, None]}
        if window.season is not None:
            row = given[:, window.ahead - 1 - window.season]
            missing = (row[:, :1] == 0) & np.signbit(row[:, :1])  # it is from before the first record
            found["seasonal_naive"] = np.where(missing, found["naive"], row[:, column, None])
        return found

    @property
    def task(self) -> Task:
        """The task of the first target. Most models have only one."""
        return self.targets[0].task

    @property
    def bytes_a_sample(self) -> int:
        """The size of one sample in bytes: its inputs, and the targets that are tensors."""
        tensors = sum(4 * math.prod(spec.task.shape) for spec in self.targets if spec.task.shape)
        return tensors + sum(np.dtype(spec.dtype).itemsize * int(np.prod(spec.shape)) for spec in self.inputs)

    def zeros(self, *leading: int) -> Samples:
        """Return samples of zeros; `leading` are the dimensions before those of one sample."""
        inputs = {spec.name: np.zeros((*leading, *spec.shape), spec.dtype) for spec in self.inputs}
        targets = {spec.name: np.zeros((*leading, *spec.task.label_shape), np.float32) for spec in self.targets}
        return Samples(inputs, targets, np.zeros(leading, np.float32))
