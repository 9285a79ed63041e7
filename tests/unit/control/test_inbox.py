"""The inbox of commands: each acts once, in its turn, however often its file comes back."""

import errno
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from learnd.daemon.control.control_state import ControlState
from learnd.daemon.control.inbox import Inbox
from learnd.daemon.errors import StoreError
from learnd.daemon.values import Command

PAUSE = Command("a1", "pause", {}, "me", "2026-01-01T10:00:00.000+00:00", "to look")
RATE = Command("a0", "learning_rate", {"times": 2.5, "over": 100}, "you", "2026-01-01T10:00:01.000+00:00")


def test_commands_wait_in_the_order_of_their_times_until_they_are_removed(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    assert inbox.waiting() == ()
    inbox.put(RATE)
    path = inbox.put(PAUSE)
    assert path.parent == tmp_path / "commands"
    assert Inbox(tmp_path).waiting() == inbox.waiting() == (PAUSE, RATE)
    inbox.remove([PAUSE])
    assert not path.exists()
    assert inbox.waiting() == (RATE,)


def test_a_command_without_an_id_is_given_one_of_its_own(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    for _ in range(2):
        inbox.put(replace(PAUSE, id=""))
    first, second = inbox.waiting()
    assert first.id != second.id != ""


def test_one_that_has_acted_is_removed_when_its_file_comes_back(tmp_path: Path) -> None:
    inbox, control = Inbox(tmp_path), ControlState()
    control.obeyed(PAUSE)
    for _ in range(2):
        path = inbox.put(PAUSE)
        inbox.put(RATE)
        assert inbox.new(control) == (RATE,)
        assert not path.exists()


def test_one_that_was_put_back_is_the_same_command(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    for _ in range(2):
        inbox.put_back([RATE, PAUSE])
    assert inbox.waiting() == (PAUSE, RATE)


def test_a_file_that_vanishes_between_two_looks_is_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = Inbox(tmp_path)
    path = inbox.put(PAUSE)
    inbox.put(RATE)
    files = inbox._files()
    monkeypatch.setattr(inbox, "_files", lambda: files)
    path.unlink()
    assert inbox.waiting() == (RATE,)
    inbox.remove([PAUSE, RATE])
    assert inbox.waiting() == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        "7",
        '"text"',
        json.dumps({**asdict(PAUSE), "action": "halt"}),
        json.dumps({**asdict(PAUSE), "action": ["pause"]}),
        json.dumps({**asdict(PAUSE), "arguments": {"over": 1}}),
        json.dumps({**asdict(PAUSE), "arguments": 7}),
        json.dumps({**asdict(RATE), "arguments": {"times": -1}}),
        json.dumps({**asdict(PAUSE), "who": "me"}),
        json.dumps({**asdict(PAUSE), "id": "another"}),
        json.dumps({**asdict(PAUSE), "at": 7}),
    ],
)
def test_what_is_no_command_is_refused_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    inbox = Inbox(tmp_path)
    path = inbox.put(PAUSE)
    path.write_text(text)
    assert inbox.waiting() == ()
    assert not path.exists()
    told = capsys.readouterr().out
    assert "command_refused" in told
    assert "it is removed" in told


def test_a_file_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    path = inbox.put(PAUSE)
    path.rename(path.with_name(f".{path.name}.new"))
    assert inbox.waiting() == ()


def test_a_command_that_cannot_be_left_is_told(tmp_path: Path) -> None:
    (tmp_path / "commands").write_text("no folder")
    with pytest.raises(StoreError, match=r"cannot be written: .* The command was not given"):
        Inbox(tmp_path).put(PAUSE)


def test_what_can_be_neither_read_nor_removed_is_left_and_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inbox, control = Inbox(tmp_path), ControlState()
    inbox.put(RATE)
    (tmp_path / "commands" / "folder.json").mkdir()
    for _ in range(3):
        assert inbox.new(control) == (RATE,)
    assert capsys.readouterr().out.count("command_left") == 1


def test_one_that_cannot_be_read_yet_acts_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, control = Inbox(tmp_path), ControlState()
    path = inbox.put(PAUSE)
    with monkeypatch.context() as broken:

        def fail(*_: Path) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

        broken.setattr(Path, "read_bytes", fail)
        assert inbox.new(control) == ()
    assert path.exists()
    assert inbox.new(control) == (PAUSE,)


def test_one_that_has_acted_and_cannot_be_removed_does_not_act_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, control = Inbox(tmp_path), ControlState()
    inbox.put(PAUSE)
    control.obeyed(PAUSE)

    def fail(*_: Path, **__: bool) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", fail)
    inbox.remove([PAUSE])
    assert inbox.new(control) == ()
