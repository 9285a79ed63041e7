"""What detectors take: all that the settings let through runs, and the rest is refused with its key."""

import inspect
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from learnd.daemon.drift.sequential import SequentialWatch, make_detector
from learnd.daemon.drift.settings import SEQUENTIAL, DriftWatch

ERRORS = np.repeat([0.0, 1.0, 0.0], 200)
ARGUMENTS = [
    (detector, name)
    for detector in SEQUENTIAL
    for name in inspect.signature(type(make_detector(detector, {}))).parameters
    if name not in {"mode", "window"}  # no numbers
]
VALUES = (-1, 0, 1e-300, 0.5, 0.9999999999, 1, 2, 10, 20, 50, 59, 60, 1000, 5e5, 1e6, 1e9, 2**32 - 1, 1e20)


@pytest.mark.parametrize(("detector", "name"), ARGUMENTS)
def test_river_runs_with_whatever_is_let_through(detector: str, name: str) -> None:
    ran = 0
    for value in VALUES:
        try:
            settings = DriftWatch.model_validate({"watch": "error", "detector": detector, "arguments": {name: value}})
        except ValidationError:
            continue
        SequentialWatch(settings).scan(ERRORS, 1 + np.arange(len(ERRORS)))
        ran += 1
    assert 0 < ran < len(VALUES)


@pytest.mark.parametrize(
    ("watch", "told"),
    [
        ({"arguments": {"delt": 0.1}}, r"arguments\.delt: adwin takes no such argument: did you mean 'delta'\?; it"),
        ({"arguments": {"clock": 0}}, r"arguments\.clock: must be a whole number from 1 to 1,000,000,000, not 0"),
        ({"arguments": {"clock": 1.5}}, r"arguments\.clock: must be a whole number"),
        ({"arguments": {"delta": 7}}, r"arguments\.delta: must be above 0 and below 1, not 7"),
        ({"arguments": {"delta": -1}}, r"arguments\.delta: must be above 0"),
        ({"arguments": {"delta": float("nan")}}, "finite"),
        ({"warn": "ddm", "warn_arguments": {"delta": 0.1}}, r"warn_arguments\.delta: ddm takes no such argument"),
        ({"detector": "kswin", "arguments": {"window_size": 59}}, "at least twice its stat_size"),
        ({"detector": "kswin", "arguments": {"seed": float("inf")}}, "finite"),
    ],
)
def test_what_a_detector_does_not_take_is_refused(watch: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        DriftWatch.model_validate({"watch": "error", "detector": "adwin", **watch})


def test_every_mistake_in_arguments_is_told() -> None:
    mistakes = {"arguments": {"clock": 0, "delt": 1}, "warn": "ddm", "warn_arguments": {"warm_start": 0}}
    with pytest.raises(ValidationError) as caught:
        DriftWatch.model_validate({"watch": "error", "detector": "adwin", **mistakes})
    (error,) = caught.value.errors()
    told = str(error["ctx"]["error"]).splitlines()
    assert [line.partition(":")[0] for line in told] == [
        "arguments.clock",
        "arguments.delt",
        "warn_arguments.warm_start",
    ]
