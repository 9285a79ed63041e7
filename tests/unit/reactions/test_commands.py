"""What an operator asks for: each action as a command, done or refused with a reason, and a line of the history."""

import io
import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import structlog
from rig import Rig, Stream

from learnd.daemon.actions import ACTIONS
from learnd.daemon.operate.logs import configure_logging
from learnd.daemon.operate.settings import LogSettings
from learnd.daemon.values import Call, Command

BACK = {"on": "update.non_finite", "do": [{"roll_back": {"every": 1000, "times": 0.5, "most": 1}}]}
QUIET = Stream(np.zeros(3000))

LEARNER = [
    ("learning_rate", {"times": 3, "over": 500}, ["boost", 1500, 3, 500]),
    ("learning_rate", {"times": 0.1, "over": None}, ["slow_down", 1500, 0.1]),
    ("reset_moments", {}, ["reset_moments", 1500]),
    ("refit_standardization", {}, ["refit_standardization", 1500]),
    ("next_phase", {"after": 0}, ["next_phase", 1500]),
    ("trial", {"of": "reset_moments", "samples": 70}, ["try reset_moments", 1500, 70]),
]
REFUSED = [
    ("resume", {}, [], "training is not paused"),
    ("reload", {}, [], "this run reads its settings once, at its start. Nothing was changed."),
    ("roll_back", {}, [], "there is no good copy: one is kept only if a rule names roll_back"),
    ("next_phase", {}, [], "no phase follows phase 0, or it has just begun"),
    ("next_phase", {"after": 1}, ["command"], "it was asked for after phase 1, but training is in phase 0"),
]


def rig(*rules: Any, ends: Any = ()) -> Rig:
    return Rig(rules, [], ends).feed(QUIET, [0, 1500])


def test_each_action_is_tried_here() -> None:
    here = {"log", "log_level", "checkpoint", "pause", "reload", "resume", "roll_back", "stop"}
    assert here | {name for name, *_ in LEARNER} == set(ACTIONS)


@pytest.mark.parametrize(("action", "arguments", "done"), LEARNER)
def test_the_learner_is_changed_between_two_calls(action: str, arguments: dict[str, Any], done: list[Any]) -> None:
    run = rig(ends=["command"])
    told = run.command(action, **arguments)
    assert run.learner.done == [done]
    assert (told.samples, told.data) == (
        1500,
        {
            "id": "id 0",
            "action": action,
            "arguments": arguments,
            "outcome": "done",
            "by": "me",
            "asked_at": "now",
            "why": "to see",
        },
    )


def test_a_phase_that_a_command_begins_is_an_event_of_its_own() -> None:
    run = rig(ends=["plateau"])
    run.command("next_phase")
    (phase,) = run.of_kind("phase")
    assert (phase.samples, phase.data["number"], phase.data["cause"]) == (1500, 1, "command")
    assert run.learner.phase == 1


@pytest.mark.parametrize(("action", "arguments", "ends", "reason"), REFUSED)
def test_what_makes_no_sense_is_refused_with_its_reason(
    action: str, arguments: dict[str, Any], ends: list[str], reason: str
) -> None:
    run = rig(ends=ends)
    before = run.learner.state()
    told = run.command(action, **arguments)
    assert (told.data["outcome"], told.data["reason"]) == ("refused", reason)
    assert run.learner.state() == before


def test_a_pause_is_asked_for_with_a_checkpoint_and_ends_with_resume() -> None:
    run = rig()
    assert run.command("pause").data["outcome"] == "done"
    assert run.control.paused == "command at 1,500 samples by me: to see"
    assert (run.saving.wanted, run.saving.take()) == (True, False)
    assert run.command("resume").data["outcome"] == "done"
    assert run.control.paused is None


def test_a_checkpoint_that_is_asked_for_is_pinned() -> None:
    run = rig()
    run.command("checkpoint")
    assert (run.saving.wanted, run.saving.take()) == (True, True)


def test_a_line_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert rig().command("log").data["outcome"] == "done"
    assert "on=command" in capsys.readouterr().out


def test_the_model_goes_back_as_often_as_the_rule_allows() -> None:
    run = rig(BACK)
    told = run.command("roll_back")
    assert told.data["outcome"] == "done"
    (rollback,) = run.of_kind("rollback")
    assert (rollback.samples, rollback.data["samples_taken_back"], rollback.data["reason"]) == (1500, 500, "command")
    assert [(letter.start, letter.end, letter.defect.reason) for letter in run.set_aside] == [
        (1000, 1500, "rolled_back")
    ]
    assert run.learner.done == [["slow_down", 1000, 0.5]]
    again = run.command("roll_back")
    assert again.data["reason"] == "the model was rolled back 1 times, as often as roll_back.most allows"
    run.reactions.check()  # a command never ends the daemon
    run.feed(QUIET, [1500, 3000])
    assert run.progress.ranges() == {"p": [[0, 1000], [1500, 3000]]}


@pytest.mark.parametrize("live", [True, False])
def test_what_was_carried_out_ahead_of_the_journal_is_told_as_it_came_out(live: bool) -> None:
    run = rig()
    became = {"outcome": "refused", "reason": "train: it takes effect at a restart"}
    command = Command("id", "reload", {}, "me", "now", "to see", became)
    call = replace(Stream([]).call(0, 0), commands=(command,))
    if live:
        run.train(call)
    else:
        with run.reactions.repeating():
            run.train(call)
    (told,) = run.of_kind("command")
    assert {name: told.data[name] for name in ("id", "action", "by", *became)} == {
        "id": "id",
        "action": "reload",
        "by": "me",
        **became,
    }


def test_a_command_is_remembered() -> None:
    run = rig()
    run.command("log")
    resumed = Rig([], [])
    resumed.restore(run.state())
    assert resumed.control.state().facts["obeyed"] == ["id 0"]


def test_a_rollback_that_a_rule_waits_for_is_not_done_again() -> None:
    skips = np.zeros(4000)
    skips[1200:1210] = 1
    stream = Stream(np.zeros(4000), skips)
    rule = {"on": "update.non_finite", "after": 10, "do": [{"roll_back": {"every": 1000, "times": 0.5, "most": 3}}]}
    run = Rig([rule]).feed(stream, [0, 1500])
    run.command("roll_back")
    run.feed(stream, [1500, 4000])
    assert [event.samples for event in run.of_kind("rollback")] == [1500]


def test_the_same_command_twice_in_a_call_acts_once() -> None:
    run = rig()
    twice = (Command("one", "log", {}, "me", "now", ""), Command("one", "log", {}, "me", "later", ""))
    call = Stream([]).call(0, 0)
    run.train(Call((), call.batches, call.held, False, 0, run.progress.samples, commands=twice))
    assert [event.data["asked_at"] for event in run.of_kind("command")] == ["now"]


@pytest.mark.parametrize(("action", "arguments"), [("dance", {}), ("learning_rate", {"faster": True})])
def test_what_another_version_has_asked_for_is_refused(action: str, arguments: dict[str, Any]) -> None:
    told = rig().command(action, **arguments)
    assert told.data["outcome"] == "refused"
    assert told.data["reason"]


def test_the_level_of_the_log_changes_at_once() -> None:
    configure_logging(LogSettings(format="json"), stream := io.StringIO())
    log = structlog.get_logger()
    for level, written in (("debug", True), ("warning", False), ("info", False)):
        assert rig().command("log_level", level=level).data["outcome"] == "done"
        log.debug("looked", at_level=level)
        logging.getLogger("learnd").debug("looked at %s", level)
        assert (f'"at_level": "{level}"' in stream.getvalue()) is written
        assert (f"looked at {level}" in stream.getvalue()) is written
    assert rig().command("log_level").data["outcome"] == "refused"


def test_a_level_that_an_earlier_process_was_told_is_not_that_of_this_one() -> None:
    configure_logging(LogSettings(format="json"), stream := io.StringIO())
    run = rig()
    with run.reactions.repeating():
        assert run.command("log_level", level="error").data["outcome"] == "done"
    structlog.get_logger().info("looked")
    assert "looked" in stream.getvalue()


def test_nobody_goes_back_to_before_the_first_sample_by_a_command() -> None:
    run = Rig([BACK], []).feed(QUIET, [0, 900])
    told = run.command("roll_back")
    assert told.data["outcome"] == "refused"
    assert "the first is made at 1,000 samples" in told.data["reason"]
    assert run.progress.samples_trained == 900
