"""Detectors on errors: when they find what, each drift once, and the same after a restore."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from river.drift import ADWIN

from learnd.daemon.drift.sequential import Rise, SequentialWatch
from learnd.daemon.drift.settings import SEQUENTIAL, DriftWatch
from learnd.daemon.errors import StateMismatchError
from learnd.daemon.values import State

DETECTORS = [*SEQUENTIAL, "adwin warned of by hddm_w"]


def watch(detector: str, **settings: Any) -> SequentialWatch:
    name, _, warn = detector.partition(" warned of by ")
    whole = {"watch": "error", "detector": name, **({"warn": warn} if warn else {}), **settings}
    return SequentialWatch(DriftWatch.model_validate(whole))


def bernoulli(*parts: tuple[int, float], seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.random(length) < rate for length, rate in parts]).astype(np.float64)


def scanned(looking: SequentialWatch, errors: Any, cuts: Sequence[int] = (), before: int = 0) -> list[Any]:
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(errors)], strict=True):
        found += looking.scan(errors[start:end], before + 1 + np.arange(start, end))
    return found


@pytest.mark.parametrize("detector", DETECTORS)
def test_what_is_found_depends_on_no_cut(detector: str) -> None:
    errors = bernoulli((700, 0.2), (500, 0.6), (400, 0.2))
    whole = scanned(watch(detector), errors)
    assert whole
    assert scanned(watch(detector), errors, range(1, len(errors))) == whole
    assert scanned(watch(detector), errors, [3, 699, 700, 1000]) == whole


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("at", [0, 350, 790, 1300])
def test_one_that_was_restored_goes_on_as_if_it_had_never_stopped(detector: str, at: int) -> None:
    errors = bernoulli((700, 0.2), (500, 0.6), (400, 0.2))
    first = watch(detector)
    found = scanned(first, errors[:at])
    state = first.state()
    second = watch(detector)
    second.restore(State(state.arrays, json.loads(json.dumps(state.facts, allow_nan=False))))
    found += scanned(second, errors[at:], before=at)
    assert found == scanned(watch(detector), errors)
    whole = watch(detector)
    scanned(whole, errors)
    assert second.state() == whole.state()


def test_adwin_finds_a_rise_within_two_hundred_errors_and_once() -> None:
    delays = []
    for seed in range(20):
        (drift,) = scanned(watch("adwin"), bernoulli((5000, 0.2), (1500, 0.4), seed=seed))
        count, level, data = drift
        assert level == "confirmed"
        assert data["mean_before"] == pytest.approx(0.2, abs=0.03)
        assert data["mean_after"] > 0.3
        delays.append(count - 5000)
    assert np.median(delays) <= 200


@pytest.mark.parametrize("detector", ["adwin", "hddm_w", "page_hinkley", "ddm"])
def test_a_model_that_gets_better_is_no_drift(detector: str) -> None:
    found = scanned(watch(detector), bernoulli((3000, 0.5), (3000, 0.1)))
    assert [drift for drift in found if drift[1] == "confirmed" and drift[0] > 3000] == []


def test_a_stationary_stream_has_no_drift() -> None:
    assert scanned(watch("adwin"), bernoulli((50_000, 0.2))) == []


def test_a_warning_comes_first_and_once() -> None:
    found = scanned(watch("adwin warned of by hddm_w", quiet=4000), bernoulli((3000, 0.1), (1500, 0.4)))
    levels = [level for count, level, _ in found if count > 3000]
    assert levels in (["warning", "confirmed"], ["confirmed"])
    assert levels.count("confirmed") == 1


def test_the_same_drift_is_reported_once_however_often_it_is_found() -> None:
    rising = bernoulli((3000, 0.05), (400, 0.3), (400, 0.6), (400, 0.95))
    assert len(scanned(watch("adwin", quiet=5000), rising)) == 1
    assert len(scanned(watch("adwin", quiet=1), rising)) > 1


def test_what_is_not_finite_is_left_out() -> None:
    errors = bernoulli((1000, 0.2), (1000, 0.6))
    holes = np.insert(errors, [10, 500, 1200], np.nan)
    assert len(scanned(watch("adwin"), holes)) == len(scanned(watch("adwin"), errors)) == 1


def test_the_state_of_another_detector_is_refused() -> None:
    state = watch("ddm").state()
    with pytest.raises(StateMismatchError, match="Nothing was changed"):
        watch("adwin").restore(state)


@pytest.mark.parametrize("cut", [1, 7, 1000, 9000])
def test_adwin_finds_what_rivers_does_whatever_is_scanned_at_once(cut: int) -> None:
    values = bernoulli((2000, 0.1), (1500, 0.5), (700, 0.2), (4800, 0.9))
    rivers, ours = ADWIN(), Rise("adwin", {})
    expected: list[int] = []
    found: list[int] = []
    for index, value in enumerate(values.tolist()):
        rivers.update(value)
        expected += [index] * rivers.drift_detected
    for start in range(0, len(values), cut):
        found += [start + index for index in ours._detections(values[start : start + cut], [])]
    assert found == expected
    assert len(found) == 3
    assert (ours._detector.width, ours._detector.total) == (rivers.width, rivers.total)
