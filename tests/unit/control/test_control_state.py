"""What commands leave behind: a pause and its reason, and which of them have acted."""

import pytest

from learnd.daemon.control.control_state import ControlState
from learnd.daemon.values import Command


def test_the_reason_of_the_first_pause_stays_until_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    control = ControlState()
    assert not control.resume()
    control.pause("a drift")
    control.pause("a plateau")
    assert control.paused == "a drift"
    assert capsys.readouterr().out.count("paused") == 1
    assert control.resume()
    assert control.paused is None


def test_a_pause_and_what_was_obeyed_outlive_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    before, after = ControlState(), ControlState()
    before.pause("a drift")
    before.obeyed(Command("a", "pause"))
    capsys.readouterr()
    after.restore(before.state())
    assert after.paused == "a drift"
    assert capsys.readouterr().out.count("paused") == 1, "the daemon that starts says why it does not train"
    assert after.has_obeyed(Command("a", "resume"))
    assert not after.has_obeyed(Command("b", "pause"))


def test_the_last_thousand_are_remembered() -> None:
    control = ControlState()
    for number in range(1500):
        control.obeyed(Command(str(number), "log"))
    resumed = ControlState()
    resumed.restore(control.state())
    for one in (control, resumed):
        assert one.has_obeyed(Command("1499", "log"))
        assert not one.has_obeyed(Command("499", "log"))
    assert resumed.state() == control.state()
