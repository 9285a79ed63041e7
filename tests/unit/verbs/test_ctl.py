"""`learnd ctl`: a command is left as it was meant, or refused in words before anything is left."""

import json
from pathlib import Path

import pytest

from learnd.daemon.control.inbox import Inbox
from learnd.daemon.errors import SettingsError, StoreError
from learnd.daemon.state.settings_record import write_settings_record
from learnd.daemon.verbs.ctl import ask


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    phases = [{"until": "command"}, {}, {}]
    write_settings_record(tmp_path, {"fingerprint": "f", "given": {"phases": phases}, "defaults": {}})
    return tmp_path


def test_it_is_left_with_its_arguments(trained: Path) -> None:
    told = ask(trained, "learning_rate", ["times=0.5", "over=300"], "to see")
    (command,) = Inbox(trained).waiting()
    assert (command.action, command.arguments, command.why) == ("learning_rate", {"times": 0.5, "over": 300}, "to see")
    assert command.id in told


def test_a_directory_where_nothing_was_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no daemon has trained there yet"):
        ask(tmp_path, "pause", [], "")


@pytest.mark.parametrize(
    ("action", "arguments", "problem"),
    [
        ("paus", [], "did you mean 'pause'"),
        ("learning_rate", ["times"], "name=value"),
        ("learning_rate", ["times=["], "not YAML"),
        ("learning_rate", ["times=-1"], "times"),
        ("pause", ["for=5"], "for"),
        ("roll_back", ["times=0.1"], "as its rule in the settings says"),
    ],
)
def test_what_makes_no_sense_is_refused(trained: Path, action: str, arguments: list[str], problem: str) -> None:
    with pytest.raises(SettingsError, match="Nothing was asked for") as refused:
        ask(trained, action, arguments, "")
    assert problem in str(refused.value)
    assert Inbox(trained).waiting() == ()


def test_a_user_without_a_name_commands_too(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nameless)
    ask(trained, "pause", [], "")
    (command,) = Inbox(trained).waiting()
    assert command.by.isdecimal()


def test_the_phase_that_ends_is_read_from_the_whole_lines_of_the_history(trained: Path) -> None:
    lines = [json.dumps({"samples": n, "event": "phase", "number": n}) + "\n" for n in (0, 1)]
    (trained / "scores.jsonl").write_text("".join(lines) + lines[1][:20])
    ask(trained, "next_phase", [], "")
    (command,) = Inbox(trained).waiting()
    assert command.arguments == {"after": 1}
