"""What every kind of task must do. A kind joins by being in the registry."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from blocks import labels_of
from learners import MIXED, X, call, learner

from learnd.daemon.evaluation.scoreboard import Scoreboard, observe
from learnd.daemon.foundation.counters import Counters
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.tasks.contract import Better, ErrorRange, Scoring, TaskKind
from learnd.daemon.tasks.label import Boolean, Form, Number, OneOf, SomeOf, Vector
from learnd.daemon.tasks.registry import ALL_METRICS, KINDS
from learnd.daemon.tasks.scoring import errors, scoring_of
from learnd.daemon.training.runtime import configure, keras
from learnd.daemon.values import LABEL, Arrays, Float32, RecordBatch, SampleSpec, State, Task

configure(threads=1, seed=7, loops_as_kernels=True)  # the first operation of the process fixes the threads

M = 400
CUTS: tuple[list[int], ...] = ([], [1], [M // 2], [3, 3, 100, 257], list(range(1, M)))
REQUIRED: Mapping[str, Mapping[str, Any]] = {
    "classes": {"classes": ["low", "middle", "high"]},
    "multi_label": {"labels": ["red", "green", "blue"]},
}
"""The keys of the label without which a kind has no task."""


OF_TENSORS = {f"{name} of tensors": name for name, kind in KINDS.items() if kind.of_elements is not None}
"""The kinds whose labels may have a shape, once more with one."""

SHAPE = [2, 3]


@pytest.fixture(params=[*KINDS, *OF_TENSORS])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def kind_of(name: str) -> TaskKind[Any]:
    return KINDS[OF_TENSORS.get(name, name)]


def samples(name: str) -> SamplesSettings:
    shape = {"shape": SHAPE} if name in OF_TENSORS else {}
    label = {"field": "y", **REQUIRED.get(kind_of(name).name, {}), **shape}
    return SamplesSettings.model_validate({"features": {"a": "float"}, "label": label})


def task(name: str) -> Task:
    return samples(name).spec(kind_of(name).name).task


def scoring(name: str) -> Scoring:
    return scoring_of(task(name))


def label_value(form: Form, rng: np.random.Generator, shape: Sequence[int] = ()) -> Any:
    """Return what a field of this form may hold, or tensors of it."""
    if shape:
        return [label_value(form, rng, shape[1:]) for _ in range(shape[0])]
    match form:
        case Boolean():
            return bool(rng.integers(2))
        case Number():
            return float(rng.normal())
        case Vector(size):
            return rng.normal(size=size).tolist()
        case OneOf(values):
            return values[int(rng.integers(len(values)))]
        case SomeOf(names):
            return [name for name in names if rng.integers(2)]


def decoded(name: str, values: Sequence[Any]) -> tuple[Float32, int]:
    """Return the labels (m, ...) of records that hold these values, and how many records are rejected."""
    settings = samples(name)
    records = [json.dumps({"a": 0.5, "y": value}).encode() for value in values]
    batch = RecordBatch("p", 0, np.arange(1, len(records) + 1), records)
    block = SampleDecoder(settings, settings.spec(kind_of(name).name)).decode(batch)
    return labels_of(block), len(block.rejections)


def labels(name: str, count: int = M) -> Float32:
    rng = np.random.default_rng(7)
    form = kind_of(name).form(samples(name).label)
    found, rejected = decoded(name, [label_value(form, rng, task(name).shape) for _ in range(count)])
    assert rejected == 0
    return found


def outputs(name: str, *, finite: bool = True) -> Float32:
    """Return predictions (m, ..., C) as the last activation gives them."""
    rng = np.random.default_rng(8)
    activation = keras.activations.get(kind_of(name).last_activation)
    given = rng.normal(size=(M, *task(name).output_shape)) * 3
    found = np.array(activation(keras.ops.convert_to_tensor(given)), np.float32)
    if not finite:
        found.reshape(M, -1)[::7, -1] = rng.choice([np.nan, np.inf, -np.inf], len(found[::7]))
    return found


def rows(name: str, *, finite: bool = True) -> Arrays:
    return observe(task(name), outputs(name, finite=finite), labels(name))


def counters(name: str) -> dict[str, Any]:
    kind = scoring(name)
    return {"tally": kind.tally(task(name)), **kind.probability_tallies(), **kind.baselines(task(name))}


def state_of(parts: Mapping[str, Counters]) -> State:
    state = State.joined({name: part.state() for name, part in parts.items()})
    assert all(isinstance(array, np.ndarray) for array in state.arrays.values()), "checkpoints take no scalars"
    return state


def follow(parts: Mapping[str, Any], table: Arrays, name: str, cuts: Sequence[int]) -> dict[str, list[Any]]:
    """Give a table to all tallies and baselines, cut into pieces. Return what the baselines predicted."""
    predicted: dict[str, list[Any]] = {baseline: [] for baseline in scoring(name).baselines(task(name))}
    for start, end in pairwise([0, *cuts, len(table["label"])]):
        piece = {column: values[start:end] for column, values in table.items()}
        for baseline in predicted:
            piece[baseline] = parts[baseline].follow(piece["label"])
            predicted[baseline] += piece[baseline].tolist()
        kept = scoring(name).kept(piece)
        parts["tally"].add(kept["predicted"], kept["label"])
        for probability in scoring(name).probability_tallies():
            parts[probability].add(kept["probability"], kept["label"])
    return predicted


def test_its_name_is_that_of_the_registry(name: str) -> None:
    assert kind_of(name).name == task(name).kind == OF_TENSORS.get(name, name)


def test_its_label_decodes(name: str) -> None:
    of_samples = task(name)
    found = labels(name)
    assert found.shape == (M, *of_samples.label_shape)
    assert np.isfinite(found).all()
    assert len(np.unique(found, axis=0)) > 1


@pytest.mark.parametrize("value", [None, {"a": 1}, "no such label", [[1]]])
def test_what_is_no_label_is_rejected(name: str, value: Any) -> None:
    found, rejected = decoded(name, [value])
    assert (len(found), rejected) == (0, 1)


def test_a_label_without_a_field_has_a_problem_or_fields_of_its_own(name: str) -> None:
    settings = samples(name)
    without = settings.model_copy(update={"label": settings.label.model_copy(update={"field": None})})
    assert list(kind_of(name).label_problems(settings.label)) == []
    assert bool(without.label.fields()) != bool(list(kind_of(name).label_problems(without.label)))


def test_metrics_named_are_the_metrics_given(name: str) -> None:
    kind = scoring(name)
    board = Scoreboard(task(name), kind.baselines(task(name)), None)
    table = rows(name)
    for baseline, part in kind.baselines(task(name)).items():
        table[baseline] = part.follow(table["label"])
    board.add(kind.kept(table), first=True)
    assert list(board.scores()) == list(kind.metrics)
    assert all(np.isfinite(list(board.scores().values())))
    for scores in board.baselines().values():
        assert set(scores) <= set(kind.metrics)
        assert scores
    assert set(kind.metrics) <= ALL_METRICS
    assert {*kind.main_metrics, kind.shown_metric} <= set(kind.metrics)


def test_a_perfect_model_has_the_best_score_of_each_main_metric(name: str) -> None:
    kind, truth, of_samples = scoring(name), labels(name), task(name)
    perfect = truth
    if of_samples.outputs > of_samples.label_columns:  # a probability for each class
        each = np.eye(of_samples.outputs, dtype=np.float32)[truth.astype(int)]
        perfect = each.reshape(M, *of_samples.output_shape)
    boards = []
    for predictions in (perfect, outputs(name)):
        board = Scoreboard(of_samples, (), None)
        board.add(kind.kept(observe(of_samples, predictions, truth)), first=True)
        boards.append(board.scores())
    best, other = boards
    for metric in kind.main_metrics:
        assert best[metric] > other[metric] if kind.metrics[metric] is Better.HIGHER else best[metric] < other[metric]
    assert (errors(of_samples, perfect, truth) == 0).all()


@pytest.mark.parametrize("cuts", CUTS, ids=len)
def test_cuts_of_the_stream_leave_no_trace(name: str, cuts: list[int]) -> None:
    whole, cut, table = counters(name), counters(name), rows(name, finite=False)
    assert follow(whole, table, name, []) == follow(cut, table, name, cuts)
    assert state_of(cut) == state_of(whole)
    assert cut["tally"].scores() == whole["tally"].scores()


def test_a_state_goes_out_and_in(name: str) -> None:
    table = rows(name)
    first = {column: values[:150] for column, values in table.items()}
    rest = {column: values[150:] for column, values in table.items()}
    one, other = counters(name), counters(name)
    follow(one, first, name, [])
    for part in one:
        other[part].restore(one[part].state())
    taken = state_of(other)
    assert taken == state_of(one)
    assert follow(one, rest, name, []) == follow(other, rest, name, [])
    assert state_of(other) == state_of(one) != taken


def test_its_baselines_begin_with_no_change_and_predict_a_label(name: str) -> None:
    baselines, label = scoring(name).baselines(task(name)), rows(name)["label"]
    assert next(iter(baselines)) == "no_change"
    assert len(baselines) > 1
    for baseline in baselines.values():
        before = baseline.follow(label)
        assert before.shape == label.shape
        assert baseline.guess().shape == label.shape[1:]
        assert np.isfinite(before).all()


def test_errors_are_in_their_range_and_nan_if_the_prediction_is_not_finite(name: str) -> None:
    predictions = outputs(name, finite=False)
    found = errors(task(name), predictions, labels(name))
    finite = np.isfinite(predictions.reshape(M, -1)).all(axis=1)
    assert found.shape == (M,)
    assert found.dtype == np.float64
    assert (np.isnan(found) == ~finite).all()
    assert len(set(found[finite])) > 1
    assert (found[finite] >= 0).all()
    if scoring(name).error_range is not ErrorRange.UNBOUNDED:
        assert (found[finite] <= 1).all()
    if scoring(name).error_range is ErrorRange.ZERO_OR_ONE:
        assert set(found[finite]) == {0, 1}


def test_what_is_not_finite_is_counted_as_zeros_and_marked(name: str) -> None:
    table = rows(name, finite=False)
    assert (table["scored"] == np.isfinite(outputs(name, finite=False).reshape(M, -1)).all(axis=1)).all()
    assert all(np.isfinite(column).all() for column in table.values())


def test_keras_knows_its_loss_its_activation_and_its_accuracy(name: str) -> None:
    kind = kind_of(name)
    truth, predictions = labels(name), outputs(name)
    assert np.isfinite(np.array(keras.losses.get(kind.loss)(truth, predictions))).all()
    accuracy = keras.metrics.get(kind.accuracy)
    assert 0 <= float(np.array(accuracy(truth, predictions)).mean()) <= 1


@pytest.mark.parametrize("name", KINDS)
def test_a_preset_trains_without_an_update_that_is_not_finite(name: str) -> None:
    spec = SampleSpec.of_columns(MIXED.columns, task(name))
    one = learner(spec, batch_size=4, metrics=["accuracy"], guard={"sigma": None})
    y = np.tile(labels(name), (len(X) // M, 1))
    reports = [one.update(call(start, 25, 4, y=y)) for start in (0, 100)]
    assert not any(report.skipped.any() for report in reports)
    assert all(np.isfinite(report.loss).all() and np.isfinite(report.outputs[LABEL]).all() for report in reports)
    assert reports[0].outputs[LABEL].shape == (25, 4, spec.task.outputs)
