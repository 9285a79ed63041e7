"""`learnd ctl`: a command is left as it was meant, or refused in words before anything is left."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from learnd.daemon.cli import app
from learnd.daemon.control.inbox import Inbox
from learnd.daemon.errors import SettingsError, StoreError
from learnd.daemon.state.lock import StateLock
from learnd.daemon.state.settings_record import write_settings_record
from learnd.daemon.verbs.ctl import ask


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    phases = [{"until": "command"}, {}, {}]
    lock = StateLock(tmp_path)
    lock.acquire()
    lock.release()
    write_settings_record(tmp_path, {"fingerprint": "f", "given": {"phases": phases}, "defaults": {}})
    return tmp_path


def test_it_is_left_with_its_arguments(trained: Path) -> None:
    command, path = ask(trained, "learning_rate", ["times=0.5", "over=300"], "to see")
    assert Inbox(trained).waiting() == (command,)
    assert (command.action, command.arguments, command.why) == ("learning_rate", {"times": 0.5, "over": 300}, "to see")
    assert command.id in path.name


def test_an_argument_in_braces_is_yaml(trained: Path) -> None:
    ask(trained, "trial", ["of={learning_rate: {times: 3}}", "samples=500"], "")
    (command,) = Inbox(trained).waiting()
    assert command.arguments["of"]["learning_rate"]["times"] == 3
    with pytest.raises(SettingsError, match="what is in braces is no YAML"):
        ask(trained, "trial", ["of={learning_rate: }}"], "")


@pytest.mark.parametrize("action", ["pause", "next_phase"])
def test_a_daemon_that_has_just_started_is_commanded_too(tmp_path: Path, action: str) -> None:
    lock = StateLock(tmp_path / "state")
    lock.acquire()
    ask(tmp_path / "state", action, [], "")
    (command,) = Inbox(tmp_path / "state").waiting()
    assert command.arguments == ({"after": 0} if action == "next_phase" else {})
    lock.release()


def test_a_directory_where_no_daemon_has_started_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no daemon has started there"):
        ask(tmp_path, "pause", [], "")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SettingsError, match="did you mean 'pause'"):
        ask(tmp_path, "pauze", [], "")
    with pytest.raises(SettingsError) as refused:
        ask(tmp_path, "bogus", [], "")
    assert " stop" not in str(refused.value)


@pytest.mark.parametrize(
    ("action", "arguments", "problem"),
    [
        ("stop", [], "stop: rules alone may do it; there are log, checkpoint, "),
        ("paus", [], "unknown action 'paus': did you mean 'pause'? There are log, checkpoint, "),
        ("learning_rate", ["times"], "name=value"),
        ("learning_rate", ["times=["], "learning_rate: times: must be a number, not '['"),
        ("learning_rate", ["times=-1"], "learning_rate: times: must be greater than 0, not -1"),
        ("learning_rate", ["times=2", "ovr=3"], "learning_rate: unknown key ovr: did you mean 'over'?"),
        ("learning_rate", [], "learning_rate: times: missing, and there is no default"),
        ("pause", ["for=5"], "pause: it takes no arguments"),
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


@pytest.mark.parametrize(
    ("outcome", "code", "told"),
    [
        ({"outcome": "done"}, 0, "pause: done"),
        ({"outcome": "done", "changed": {"log.level": {}, "log.format": {}}}, 0, "changed: log.level, log.format"),
        ({"outcome": "done", "changed": {}}, 0, "changed: nothing"),
        ({"outcome": "refused", "reason": "it makes no sense"}, 78, "pause was refused: it makes no sense"),
        (None, 0, "asked: pause acts ahead"),
    ],
)
def test_it_tells_what_a_daemon_that_runs_has_made_of_it(
    outcome: dict[str, Any] | None, code: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = StateLock(tmp_path)
    lock.acquire()  # a daemon runs

    def obey() -> None:
        while not (waiting := Inbox(tmp_path).waiting()):
            time.sleep(0.01)
        if outcome is not None:
            Inbox(tmp_path).remove(waiting)
            line = {"samples": 0, "event": "command", "id": waiting[0].id, "action": "pause", **outcome}
            (tmp_path / "scores.jsonl").write_text(json.dumps(line) + "\n")

    if outcome is None:
        monkeypatch.setattr("learnd.daemon.verbs.ctl._WAIT_S", 0.1)
    daemon = threading.Thread(target=obey)
    daemon.start()
    result = CliRunner().invoke(app, ["ctl", str(tmp_path), "pause"])
    daemon.join()
    lock.release()
    text = str(result.exception) if code else result.stdout
    assert (result.exit_code, getattr(result.exception, "exit_code", 0)) == ((1, 78) if code else (0, 0))
    assert told in text
