"""All watches together, on what calls and reports hold."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from learnd.daemon.drift.settings import DriftWatch
from learnd.daemon.drift.signals import Signals, chosen_columns
from learnd.daemon.drift.watch import Drift
from learnd.daemon.errors import StateMismatchError
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.tasks.scoring import errors
from learnd.daemon.values import Column, ColumnKind, Event, SampleSpec, State, Task

REGRESSION = SamplesSettings.model_validate({"features": {"a": "float", "v": {"vector": 2}}, "label": "y"}).spec(
    "regression"
)


def watches(*given: dict[str, Any]) -> list[DriftWatch]:
    return [DriftWatch.model_validate(watch) for watch in given]


ALL = watches(
    {"watch": "error", "detector": "adwin"},
    {"watch": "loss", "detector": "page_hinkley", "arguments": {"threshold": 20}},
    {"watch": "features", "detector": "psi", "reference": 500, "window": 200, "columns": ["v"]},
    {"watch": "predictions", "detector": "ks", "reference": 500, "window": 200},
)


def stream(updates: int = 2000, rows: int = 2) -> Signals:
    """Return signals of which each changes at the half, and the first column all the time."""
    rng = np.random.default_rng(3)
    count = updates * rows
    late = np.arange(count) >= count // 2
    features = rng.normal(size=(count, 3)) + np.stack([np.arange(count) / 100, late * 0, late * 3], axis=1)
    error = np.abs(rng.normal(size=count)) * (1 + 9 * late)
    outputs = rng.normal(size=(count, 1)) + 3 * late[:, None]
    loss = error.reshape(updates, rows).mean(axis=1)
    table = features.astype(np.float32)
    return Signals(updates, error, loss, table, outputs.astype(np.float32), table[:, :1])


def scanned(drift: Drift, signals: Signals, ends: list[int], first: int = 0) -> list[Event]:
    found: list[Event] = []
    for start, end in zip([first, *ends[:-1]], ends, strict=True):
        found += drift.scan(signals, slice(start, end), start * 2)
    return found


def test_each_signal_that_changes_is_reported_once_and_no_other() -> None:
    found = scanned(Drift(ALL, REGRESSION), stream(), [2000])
    assert sorted(event.data["signal"] for event in found) == ["error", "features", "loss", "predictions"]
    assert all(2000 < event.samples < 2800 for event in found)
    (moved,) = [event.data["columns"] for event in found if event.data["signal"] == "features"]
    assert list(moved) == ["v.1"]
    assert [event.samples for event in found] == sorted(event.samples for event in found)


@pytest.mark.parametrize("at", [1, 260, 1013, 1100])
def test_cuts_and_restores_change_nothing(at: int) -> None:
    signals = stream()
    whole = scanned(Drift(ALL, REGRESSION), signals, [2000])
    first, second = Drift(ALL, REGRESSION), Drift(ALL, REGRESSION)
    found = scanned(first, signals, [at])
    state = first.state()
    second.restore(State(state.arrays, json.loads(json.dumps(state.facts, allow_nan=False))))
    assert found + scanned(second, signals, [at + 37, 1400, 2000], at) == whole


def test_a_watch_whose_settings_changed_begins_anew_and_the_others_go_on() -> None:
    signals = stream()
    first = Drift(ALL, REGRESSION)
    scanned(first, signals, [900])
    other = [ALL[0].model_copy(update={"quiet": 7}), *ALL[1:]]
    second = Drift(other, REGRESSION)
    second.restore(first.state())
    found = scanned(second, signals, [2000], 900)
    assert {event.data["signal"] for event in found} >= {"features", "loss", "predictions"}


def test_a_state_of_other_columns_is_refused() -> None:
    first = Drift(ALL[2:3], REGRESSION)
    wider = SamplesSettings.model_validate({"features": {"v": {"vector": 3}}, "label": "y"}).spec("regression")
    with pytest.raises(StateMismatchError, match="2 columns"):
        Drift(ALL[2:3], wider).restore(first.state())


def test_of_very_many_columns_every_so_many_is_watched() -> None:
    columns = [Column(f"x{index}", ColumnKind.NUMBER) for index in range(1000)]
    assert len(chosen_columns(columns, ())) == 250
    assert chosen_columns(columns, ("x7",)) == [7]


def test_columns_that_tell_the_time_are_watched_only_if_they_are_named() -> None:
    features = {"at": {"timestamp": ["hour", "weekday"]}, "x": "float"}
    columns = SamplesSettings.model_validate({"features": features, "label": "y"}).spec("binary").columns
    assert [columns[index].name for index in chosen_columns(columns, ())] == ["x"]
    named = [columns[index].name for index in chosen_columns(columns, ("at.hour.sin", "x"))]
    assert named == ["at.hour.sin", "x"]
    assert len(chosen_columns(columns, ("at",))) == 4


def test_with_nothing_but_the_time_no_feature_is_watched() -> None:
    spec = SamplesSettings.model_validate({"features": {"at": {"timestamp": ["hour"]}}, "label": "y"}).spec(
        "regression"
    )
    signals = stream()
    narrow = replace(signals, features=signals.features[:, :2])
    drift = Drift([DriftWatch(watch="features", detector="psi", reference=1000)], spec)
    assert scanned(drift, narrow, [900, 2000]) == []
    assert drift.clocks == ["at.hour.sin", "at.hour.cos"]


def test_a_counter_is_named_with_each_reference_as_a_column_that_is_not_watched() -> None:
    watch = DriftWatch(watch="features", detector="psi", reference=1000, window=200)
    found = scanned(Drift([watch], REGRESSION), stream(), [2000])
    assert [(event.kind, event.samples, list(event.data["columns"])) for event in found] == [
        ("drift.unwatched", 1000, ["a"]),
        ("drift", 2200, ["v.1"]),
        ("drift.unwatched", 3200, ["a"]),
    ]


@pytest.mark.parametrize(
    ("kind", "outputs", "labels", "expected"),
    [
        ("binary", [[0.9], [0.2], [np.nan]], [[1], [1], [0]], [0, 1, np.nan]),
        ("classes", [[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], [[1], [2]], [0, 1]),
        ("multi_label", [[0.9, 0.9], [0.1, 0.1]], [[1, 0], [0, 0]], [0.5, 0]),
        ("regression", [[1.5], [np.inf]], [[1], [2]], [0.5, np.nan]),
    ],
)
def test_an_error_is_what_the_task_makes_of_it(kind: str, outputs: Any, labels: Any, expected: Any) -> None:
    spec = SampleSpec.of_columns((), Task(kind, len(outputs[0]), len(labels[0])))
    found = errors(spec.task, np.array(outputs, np.float32), np.array(labels, np.float32))
    np.testing.assert_array_equal(found, expected)


def test_how_far_the_features_were_when_a_window_was_last_full_can_be_looked_at() -> None:
    drift = Drift(ALL, REGRESSION)
    scanned(drift, stream(), [200])
    assert drift.feature_distances() == {}
    scanned(drift, stream(), [2000])
    assert set(drift.feature_distances()) == {"v.0", "v.1"}
    assert drift.feature_distances()["v.0"]["psi"] < 0.1 < drift.feature_distances()["v.1"]["psi"]
