"""State and scores are a function of the samples alone: any cutting into calls, any points of save and restore."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from calls import made_call, made_report, samples
from hypothesis import given, settings
from hypothesis import strategies as st

from learnd.daemon.evaluation.certainty.settings import CertaintySettings
from learnd.daemon.evaluation.evaluation import Evaluation
from learnd.daemon.evaluation.settings import AnchorSettings, HoldoutSettings, PrequentialSettings, ValidateSettings
from learnd.daemon.foundation.counters import running_sum
from learnd.daemon.training.scripted import ScriptedLearner
from learnd.daemon.values import (
    FEATURES,
    LABEL,
    Arrays,
    Call,
    Column,
    ColumnKind,
    Event,
    Float32,
    Report,
    SampleSpec,
    State,
    Task,
)

WIDTH = 3
SETTINGS = ValidateSettings(
    prequential=PrequentialSettings(windows=(7, 40), every=50),
    holdout=HoldoutSettings(size=20, every=60),
    anchor=AnchorSettings(file="anchor.jsonl", every=80),
)
CERTAINTY = CertaintySettings.model_validate(
    {"coverage": 0.8, "calibrate": "temperature", "decide": {"cost": {"false_positive": 1, "false_negative": 3}}}
)
TASKS = {
    "binary": Task("binary", 1, 1, ("no", "yes")),
    "classes": Task("classes", 4, 1, tuple("abcd")),
    "regression": Task("regression", 2, 2),
    "multi_label": Task("multi_label", 3, 3),
    "masks": Task("binary", 1, 1, ("no", "yes"), shape=(2, 3)),
    "tags": Task("classes", 4, 1, tuple("abcd"), shape=(5,)),
    "sequences": Task("regression", 1, 1, shape=(3, 2)),
}


@dataclass(frozen=True)
class Stream:
    """m samples in order, and held-out ones, each standing before the trained sample at its place."""

    x: Float32
    y: Float32
    outputs: Float32
    held_x: Float32
    held_y: Float32
    places: np.ndarray[Any, np.dtype[np.int64]]


def labels_of(task: Task, rng: np.random.Generator, count: int) -> Float32:
    shape = (count, *task.label_shape)
    if task.kind == "classes":
        return rng.choice(task.outputs, shape, p=[0.4, 0.4, 0.15, 0.05]).astype(np.float32)
    if task.kind == "regression":
        sizes = 10.0 ** rng.integers(-3, 7, (count, *[1] * len(task.label_shape)))
        return (rng.normal(size=shape) * sizes + 1e4).astype(np.float32)
    return (rng.random(shape) < 0.4).astype(np.float32)


def outputs_of(task: Task, rng: np.random.Generator, count: int) -> Float32:
    outputs = rng.random((count, *task.output_shape)) ** 8
    if task.kind == "classes":
        outputs /= outputs.sum(axis=-1, keepdims=True)
    if task.kind == "regression":
        outputs = rng.normal(size=outputs.shape) * 1e3
    outputs = outputs.astype(np.float32)
    outputs[rng.random(count) < 0.05, -1] = rng.choice([np.nan, np.inf, -np.inf])
    return outputs


def stream_of(task: Task, seed: int, count: int) -> Stream:
    rng = np.random.default_rng(seed)
    held = count // 5
    return Stream(
        x=rng.normal(size=(count, WIDTH)).astype(np.float32),
        y=labels_of(task, rng, count),
        outputs=outputs_of(task, rng, count),
        held_x=rng.normal(size=(held, WIDTH)).astype(np.float32),
        held_y=labels_of(task, rng, held),
        places=np.sort(rng.integers(0, count, held)),
    )


def call_of(stream: Stream, start: int, end: int, batch: int) -> tuple[Call, Report]:
    """Return the samples from `start` up to `end` in one call, as updates of `batch` samples if they divide by it."""
    count = end - start
    shape = (count // batch, batch) if count % batch == 0 else (1, count)
    held = (stream.places >= start) & (stream.places < end)
    x, y, outputs = (
        array[start:end].reshape(*shape, *array.shape[1:]) for array in (stream.x, stream.y, stream.outputs)
    )
    call = made_call(x, y, held=samples(stream.held_x[held], stream.held_y[held]), first=start)
    return call, made_report(outputs)


def spec_of(task: Task) -> SampleSpec:
    return SampleSpec.of_columns([Column(f"f{i}", ColumnKind.NUMBER) for i in range(WIDTH)], task)


def evaluation_of(task: Task) -> Evaluation:
    anchor = stream_of(task, 99, 300)
    return Evaluation(SETTINGS, spec_of(task), samples(anchor.x, anchor.y), certainty=CERTAINTY)


class Trained(ScriptedLearner):
    """A model whose outputs follow from the features and from how many samples have trained it."""

    def predict(self, inputs: Arrays) -> Arrays:
        (target,) = self._spec.targets
        x = inputs[FEATURES]
        assert x.shape == (256, WIDTH)
        scale = np.float32(1 + self.samples / 100)
        shape = target.task.output_shape
        outputs = 1 / (1 + np.exp(-np.repeat(x.sum(axis=1) * scale, math.prod(shape)).reshape(len(x), *shape)))
        return {LABEL: (outputs / np.arange(1, shape[-1] + 1)).astype(np.float32)}


def trained(task: Task, samples: int) -> Trained:
    learner = Trained(spec_of(task))
    learner.samples = samples
    return learner


def whole_bytes(state: State) -> tuple[dict[str, tuple[str, tuple[int, ...], bytes]], str]:
    content = {name: (str(array.dtype), array.shape, array.tobytes()) for name, array in state.arrays.items()}
    return content, json.dumps(state.facts, allow_nan=False)


def run(
    task: Task, stream: Stream, cuts: list[int], restores: set[int], batch: int
) -> tuple[Evaluation, list[Event], list[Any]]:
    """Feed the stream cut at `cuts` and, as the loop does, at each period; restore into a new one after `restores`.

    Return what has scored it, the events, and what was said with each prediction.
    """
    evaluation = evaluation_of(task)
    count = len(stream.y)
    bounds = {0, count, *(cut for cut in cuts if cut < count)}
    for period in evaluation.periods:
        bounds |= set(range(0, count, period))
    ordered = sorted(bounds)
    events: list[Event] = []
    told: list[Any] = []
    for index, (start, end) in enumerate(pairwise(ordered)):
        call, report = call_of(stream, start, end, batch)
        scores, saying = evaluation.update(call, report, trained(task, end))
        events += scores
        for said in saying.values():
            told += [(row, repr(given)) for row, given in zip(said.rows(), said.outputs.tolist(), strict=True)]
        if index in restores:
            state = evaluation.state()
            evaluation = evaluation_of(task)
            evaluation.restore(State(state.arrays, json.loads(json.dumps(state.facts))))
    return evaluation, events, told


@pytest.mark.parametrize("name", TASKS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_cuts_and_restores_leave_no_trace(name: str, data: st.DataObject) -> None:
    task = TASKS[name]
    count = data.draw(st.integers(1, 260))
    stream = stream_of(task, data.draw(st.integers(0, 2**16)), count)
    cuts = data.draw(st.lists(st.integers(1, count), max_size=30))
    restores = data.draw(st.sets(st.integers(0, 40), max_size=4))
    batch = data.draw(st.sampled_from([1, 2, 5]))

    uncut, uncut_events, uncut_told = run(task, stream, [], set(), 1)
    cut, cut_events, cut_told = run(task, stream, cuts, restores, batch)

    assert whole_bytes(cut.state()) == whole_bytes(uncut.state())
    assert cut_events == uncut_events
    assert cut_told == uncut_told
    assert len(cut_told) == (count if name in ("binary", "classes", "regression") else 0)
    assert cut.scores() == uncut.scores()
    assert cut.baselines() == uncut.baselines()
    assert [cut.window_scores(window) for window in (7, 40)] == [uncut.window_scores(window) for window in (7, 40)]
    assert cut.holdout_scores() == uncut.holdout_scores()
    assert cut.latest(trained(task, count)) == uncut.latest(trained(task, count))


@pytest.mark.parametrize("name", TASKS)
def test_one_by_one_is_the_same_as_all_at_once(name: str) -> None:
    task = TASKS[name]
    stream = stream_of(task, 3, 500)
    whole, whole_events, whole_told = run(task, stream, [], set(), 1)
    single, single_events, single_told = run(task, stream, list(range(500)), {100, 400}, 1)
    assert whole_bytes(single.state()) == whole_bytes(whole.state())
    assert single_events == whole_events
    assert single_told == whole_told
    scores = [event.data for event in whole_events if event.kind == "score"]
    assert {score["set"] for score in scores} == {"prequential", "holdout", "anchor"}
    assert whole.latest(trained(task, 500))[0].data["unscored"] > 0


@pytest.mark.parametrize("name", TASKS)
def test_prequential_scores_do_not_need_calls_cut_at_the_period(name: str) -> None:
    task = TASKS[name]
    stream = stream_of(task, 5, 230)
    evaluation = evaluation_of(task)
    uncut, _ = evaluation.update(*call_of(stream, 0, 230, 1), trained(task, 230))
    _, cut, _ = run(task, stream, [], set(), 1)
    assert [event for event in uncut if event.data.get("set") == "prequential"] == [
        event for event in cut if event.data.get("set") == "prequential"
    ]


@given(
    values=st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=200),
    cut=st.integers(0, 200),
    carry=st.floats(-1e300, 1e300),
)
def test_a_running_sum_adds_one_by_one(values: list[float], cut: int, carry: float) -> None:
    expected = [carry]
    for value in values:
        expected.append(expected[-1] + value)
    array = np.array(values)
    with np.errstate(over="ignore", invalid="ignore"):
        first = running_sum(np.array(carry), array[:cut])
        rest = running_sum(first[-1], array[cut:])
    np.testing.assert_array_equal(np.concatenate((first, rest[1:])), expected)
