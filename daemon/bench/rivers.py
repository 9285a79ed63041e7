"""Learners of River (https://riverml.xyz), the library for learning from streams in Python.

Each gets parsed values: a dict of features by name, numbers as floats and categories as texts. What scales, scales by
running statistics, as River's own examples do; linear models, also in the leaves of trees, get categories one-hot.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from river import compose, forest, linear_model, preprocessing

from learnd.daemon.bench.contestants import ContestantError, Maker, Watch
from learnd.daemon.bench.ran import Observed, Ran
from learnd.daemon.bench.recorded import Recorded
from learnd.daemon.values import Column, ColumnKind, Float32, SampleSpec, Task

Features: TypeAlias = dict[str, Any]
Probabilities: TypeAlias = dict[Any, float]
"""The probability of each label."""

Predict: TypeAlias = Callable[[Any, Features], tuple[Any, Probabilities]]

_CHUNK = 50  # samples between two looks at whether to stop
_SEED = 1
_NO_VALUE = 0  # stands for a prediction that is none, which does not count


@dataclass(frozen=True, slots=True)
class RiverContestant:
    """One of River's learners. Its time is that of predicting and `learn_one` alone.

    A classifier takes one pass to predict: its class is the most likely one, as that of `predict_one` is in all of
    River's that are built here.
    """

    name: str
    build: Callable[[], Any]
    maker: Maker = "river"

    def run(self, recorded: Recorded, watch: Watch) -> Ran | None:
        model, labels, task = self.build(), recorded.labels, recorded.task
        values = _values_of(task.kind, labels)
        inputs, columns = recorded.inputs, recorded.spec.columns
        observed = None if task.kind == "regression" else Observed(recorded)
        predict = _number if observed is None else _likely
        guesses: list[Any] = []
        seconds = 0.0
        for start in range(0, len(values), _CHUNK):
            if watch.stop():
                return None
            rows = slice(start, start + _CHUNK)
            features = dicts(inputs[rows], columns)
            began = time.perf_counter()
            said = self._said(predict, model, features, values[rows])
            seconds += time.perf_counter() - began
            guesses += [guess for guess, _ in said]
            if observed is not None:
                observed.add(_outputs([each for _, each in said], task), recorded.targets[rows])
            watch.advance(len(features))
        ran = _ran(guesses, labels, seconds)
        return ran if observed is None else _with_probabilities(ran, observed.ran())

    def _said(
        self, predict: Predict, model: Any, features: Sequence[Features], values: Sequence[Any]
    ) -> list[tuple[Any, Probabilities]]:
        try:
            with np.errstate(all="ignore"):
                return [_step(predict, model, x, y) for x, y in zip(features, values, strict=True)]
        except Exception as error:  # whatever the code of others raises, the rest can still be compared
            raise ContestantError(f"{type(error).__name__}: {error}") from error


def _ran(guesses: Sequence[Any], labels: NDArray[Any], seconds: float) -> Ran:
    """Return guesses, of which some may be none, in the form of the labels. Numbers may be too large for 32 bits."""
    scored = np.array([guess is not None and math.isfinite(guess) for guess in guesses])
    values = np.array([guess if good else _NO_VALUE for guess, good in zip(guesses, scored.tolist(), strict=True)])
    if not np.issubdtype(labels.dtype, np.floating):
        values = values.astype(labels.dtype)
    return Ran(values.reshape(labels.shape), scored, len(guesses), seconds)


def _with_probabilities(ran: Ran, observed: Ran) -> Ran:
    """Return what was guessed with its probabilities. One that is not finite is no prediction, whatever was guessed."""
    scored = ran.scored & observed.scored
    return replace(ran, scored=scored, probability=observed.probability, squares=observed.squares)


def _step(predict: Predict, model: Any, features: Features, label: Any) -> tuple[Any, Probabilities]:
    said = predict(model, features)
    model.learn_one(features, label)
    return said


def _number(model: Any, features: Features) -> tuple[Any, Probabilities]:
    return model.predict_one(features), {}


def _likely(model: Any, features: Features) -> tuple[Any, Probabilities]:
    """Return what `predict_one` gives, None if it knows no label yet, and the probabilities that it takes it from."""
    given = model.predict_proba_one(features)
    return max(given, key=given.get) if given else None, given


def _outputs(given: Sequence[Probabilities], task: Task) -> Float32:
    """Return probabilities as a model of the task gives them (m, C)."""
    if task.kind == "binary":
        return np.array([[each.get(True, 0.0)] for each in given], np.float32)
    outputs = np.zeros((len(given), task.outputs), np.float32)
    for row, each in zip(outputs, given, strict=True):
        row[list(each)] = list(each.values())
    return outputs


def _values_of(kind: str, labels: Any) -> list[Any]:
    """Return labels (m,) or (m, 1) as River takes them: booleans, integers, floats."""
    values: list[Any] = labels.reshape(len(labels)).tolist()
    return list(map(float, values)) if kind == "regression" else values


def dicts(matrix: Float32, columns: Sequence[Column]) -> list[Features]:
    """Return the rows of features (m, width) as River takes them."""
    names = [column.name for column in columns]
    rows = zip(*(_cells(matrix[:, index], column) for index, column in enumerate(columns)), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _cells(values: Float32, column: Column) -> list[Any]:
    if column.kind is ColumnKind.NUMBER:
        numbers: list[Any] = values.tolist()
        return numbers
    indices = values.astype(np.int64).tolist()
    return [column.values[index] if index < len(column.values) else str(index) for index in indices]


def rivers(spec: SampleSpec) -> list[RiverContestant]:
    """Return the learners for a task, the linear one first; none for labels of several values, or without columns."""
    if not spec.columns or spec.task.label_columns > 1 or spec.task.kind not in _BY_KIND:
        return []
    numeric = all(column.kind is ColumnKind.NUMBER for column in spec.columns)
    return [
        RiverContestant(name, partial(build, spec.columns))
        for name, (build, numbers_alone) in _BY_KIND[spec.task.kind].items()
        if numeric or not numbers_alone
    ]


def _scaled(columns: Sequence[Column], last: Any) -> Any:
    """Return a pipeline that scales numbers and gives a column to each value of a category."""
    scaler = preprocessing.StandardScaler()
    one_hot = _one_hot(columns, drop_zeros=True)
    return (scaler if one_hot is None else (_numbers(columns) | scaler) + one_hot) | last


def _forest_of_numbers(columns: Sequence[Column]) -> Any:
    """Return a forest whose leaves are linear models, which take no texts."""
    forest_ = forest.ARFRegressor(seed=_SEED)
    one_hot = _one_hot(columns, drop_zeros=False)
    return forest_ if one_hot is None else (_numbers(columns) + one_hot) | forest_


def _numbers(columns: Sequence[Column]) -> Any:
    return compose.Discard(*_categories(columns))


def _one_hot(columns: Sequence[Column], *, drop_zeros: bool) -> Any:
    """Return what gives a column to each value of a category; None if there is no category.

    Zeros make no difference to a linear model but that of time; a tree needs them, to split by.
    """
    names = _categories(columns)
    return compose.Select(*names) | preprocessing.OneHotEncoder(drop_zeros=drop_zeros) if names else None


def _categories(columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns if column.kind is ColumnKind.CATEGORY]


def _linear_regression(columns: Sequence[Column]) -> Any:
    return _scaled(columns, preprocessing.TargetStandardScaler(linear_model.LinearRegression()))


# By task and name: what builds it, given the columns, and whether it takes numbers alone.
_BY_KIND: dict[str, dict[str, tuple[Callable[[Sequence[Column]], Any], bool]]] = {
    "binary": {
        "River LogisticRegression": (lambda columns: _scaled(columns, linear_model.LogisticRegression()), False),
        "River ALMAClassifier": (lambda columns: _scaled(columns, linear_model.ALMAClassifier()), False),
        "River ARFClassifier": (lambda _: forest.ARFClassifier(seed=_SEED), False),
        "River AMFClassifier": (lambda columns: _scaled(columns, forest.AMFClassifier(seed=_SEED)), True),
    },
    "classes": {
        "River SoftmaxRegression": (lambda columns: _scaled(columns, linear_model.SoftmaxRegression()), False),
        "River ARFClassifier": (lambda _: forest.ARFClassifier(seed=_SEED), False),
        "River AMFClassifier": (lambda columns: _scaled(columns, forest.AMFClassifier(seed=_SEED)), True),
    },
    "regression": {
        "River LinearRegression": (_linear_regression, False),
        "River ARFRegressor": (_forest_of_numbers, False),
        "River AMFRegressor": (lambda columns: _scaled(columns, forest.AMFRegressor(seed=_SEED)), True),
    },
}
