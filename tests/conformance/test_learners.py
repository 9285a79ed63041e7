"""What every learner must do: the daemon relies on nothing else. That of its state is in test_states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from learners import KINDS, call
from rig import SPEC
from stateful import KERAS, OF_NETWORKS, STREAM, keras_part

from learnd.daemon.contracts import Adaptable
from learnd.daemon.training.runtime import configure
from learnd.daemon.training.scripted import ScriptedLearner
from learnd.daemon.values import Call, Samples

configure(threads=1, seed=7, loops_as_kernels=True)  # the first operation of the process fixes the threads

PHASE_ENDS = 11  # updates: in the middle of a call


@dataclass(frozen=True)
class Case:
    """A learner whose first phase, if there are several, ends behind `PHASE_ENDS` updates; and its calls."""

    make: Callable[[], Any]
    call: Callable[[int, int], Call]  # of so many updates, behind so many others
    outputs: int = 1
    predicts_otherwise: bool = False  # in the stream: by the last labels, which a record does not say; or unaveraged


def of_keras(name: str, **more: Any) -> Case:
    make, outputs = keras_part(name, **more).make, 4 if KERAS[name].get("spec") is KINDS else 1
    average = KERAS[name].get("average")
    otherwise = name == OF_NETWORKS or (average is not None and "hedge" not in average)
    return Case(make, lambda start, updates: call(3 * start, updates, 3), outputs, otherwise)


def of_script(ends: list[int | str]) -> Case:
    return Case(lambda: ScriptedLearner(SPEC, ends), lambda start, updates: STREAM.call(start, start + updates))


CASES = {
    "scripted": of_script([]),
    "scripted, in phases": of_script([PHASE_ENDS, "command"]),
    **{name: of_keras(name) for name in KERAS},
    "with XLA": of_keras("with dropout, in phases", xla=True, model={"hidden": [8]}),
}
CONTROLS: dict[str, Callable[[Adaptable], object]] = {
    "boost": lambda one: one.boost(5, 30),
    "slow_down": lambda one: one.slow_down(0.5),
    "reset_moments": lambda one: one.reset_moments(),
    "refit_standardization": lambda one: one.refit_standardization(),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def test_it_says_what_it_is(case: Case) -> None:
    one = case.make()
    assert one.trainable_parameters > 0
    assert one.info["model"]
    before = one.state()
    one.compile()
    assert one.state() == before


def test_a_refit_on_trial_changes_nothing(case: Case) -> None:
    one = case.make()
    one.update(case.call(0, 3))
    before, recent = one.state(), Samples.joined([case.call(0, 4).batches.in_a_row()] * one.trial_samples)
    one.refit_helps(recent[: one.trial_samples])
    assert one.state() == before


def test_a_report_has_a_row_for_each_update_and_sample(case: Case) -> None:
    one = case.make()
    for given in (case.call(0, 7), case.call(7, 1), case.call(8, 0)):
        report = one.update(given)
        assert {name: array.shape for name, array in report.outputs.items()} == {
            "label": (given.updates, given.rows, case.outputs)
        }
        assert [len(array) for array in (report.loss, report.gradient_norm, report.skipped)] == [given.updates] * 3


def test_outputs_are_predictions_made_before_the_update(case: Case) -> None:
    one = case.make()
    one.update(case.call(0, 9))
    given = case.call(9, 1)
    before = one.predict(given.batches[0].inputs)
    reported = one.update(given).outputs
    assert before.keys() == reported.keys() == given.batches.targets.keys()
    for name, outputs in before.items() if not case.predicts_otherwise else ():
        np.testing.assert_allclose(reported[name][0], outputs, rtol=1e-5)
    state = one.state()
    one.predict(given.batches[0].inputs)
    assert one.state() == state, "to predict changes nothing"


def test_an_update_is_undone_to_the_bit_also_over_the_end_of_a_phase(case: Case) -> None:
    one, done = case.make(), 0
    for updates in (6, 0, 8, 1, 5):
        before = one.state()
        for _ in range(2):
            one.update(case.call(done, updates))
            one.undo()
            assert one.state() == before
        one.update(case.call(done, updates))
        assert (one.state() == before) == (updates == 0)
        done += updates
    assert done > PHASE_ENDS


def test_what_an_action_changes_is_state(case: Case) -> None:
    one, clone = case.make(), case.make()
    one.update(case.call(0, 9))
    before = one.state()
    for name, control in CONTROLS.items():
        one.restore(before)
        control(one)
        assert one.state() != before, name
        clone.restore(one.state())
        for each in (one, clone):
            each.update(case.call(9, 6))
        assert one.state() == clone.state(), name


def test_phases_follow_each_other_up_to_the_last_one(case: Case) -> None:
    one = case.make()
    one.update(case.call(0, 3))
    numbers = []
    while one.phase_ends_on is not None:
        begun = one.next_phase("command", 9)
        assert (begun.samples, begun.data["cause"], begun.ends_on) == (9, "command", one.phase_ends_on)
        numbers.append(begun.data["number"])
    assert numbers == list(range(1, one.phase + 1))
    before = one.state()
    assert one.next_phase("command", 9) is None
    assert one.state() == before


def test_the_phase_that_a_call_ends_is_told_with_its_sample(case: Case) -> None:
    one = case.make()
    ends_on = one.phase_ends_on
    given = case.call(0, PHASE_ENDS + 4)
    told = [(phase.samples, phase.data["number"]) for phase in one.update(given).phases]
    assert told == ([(PHASE_ENDS * given.rows, 1)] if ends_on == "samples" else [])
