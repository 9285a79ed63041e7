"""Commands over HTTP: off without a token, and left, once, where `learnd ctl` leaves them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import TOKEN, Served, wait_for

from learnd.daemon.actions import COMMANDS
from learnd.daemon.control.inbox import Inbox
from learnd.daemon.errors import SettingsError
from learnd.daemon.http import control
from learnd.daemon.state.history import History
from learnd.daemon.values import Command, Event


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(control, "_WAIT_S", 0.1)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with Served(tmp_path / "state", token_file=tmp_path / "token") as served:
        yield served


def waiting(tmp_path: Path) -> tuple[Command, ...]:
    return Inbox(tmp_path / "state").waiting()


def obeyed(command: Command, **outcome: Any) -> Event:
    """Return the line that the history has of a command."""
    data = {"id": command.id, "action": command.action, "arguments": command.arguments, **outcome}
    return Event("command", 700, {**data, "by": command.by, "asked_at": command.at, "why": command.why})


def test_without_a_token_file_nothing_can_be_changed(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        for token in (TOKEN, None):
            status, body = served.post("/v1/control/pause", token)
            assert status == 403
            assert "set http.token_file" in body["error"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer ü"]
)
def test_a_wrong_token_is_refused(served: Served, tmp_path: Path, given: str) -> None:
    for method, path in (("POST", "/v1/control/pause"), ("GET", "/v1/control/1")):
        status, body, _ = served.get(path, method, Authorization=given)
        assert status == 401
        assert "the token is missing or wrong" in json.loads(body)["error"]
    assert waiting(tmp_path) == ()


def test_a_renewed_token_serves_at_once_and_one_that_is_gone_serves_nobody(served: Served, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("another token of this test")
    assert served.post("/v1/control/pause")[0] == 401
    assert served.post("/v1/control/pause", "another token of this test")[0] == 202
    (tmp_path / "token").unlink()
    status, body = served.post("/v1/control/pause")
    assert (status, "cannot be read" in body["error"]) == (503, True)


@pytest.mark.parametrize(
    ("content", "what"), [(None, "cannot be read"), (b"short", "no token"), (b"\xff" * 20, "text")]
)
def test_a_file_without_a_token_ends_the_start(tmp_path: Path, content: bytes | None, what: str) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(SettingsError, match=rf"http\.token_file: .*{what}") as refused:
        Served(token_file=tmp_path / "token")
    assert refused.value.exit_code == 78


def test_a_command_is_left_with_who_and_why_and_waits_to_act(served: Served, tmp_path: Path) -> None:
    asked = {"arguments": {"times": 0.5, "over": 300}, "why": "to see", "by": "me"}
    status, body = served.post("/v1/control/learning_rate", **asked)
    (command,) = waiting(tmp_path)
    assert (command.action, command.arguments, command.by, command.why) == (
        "learning_rate", {"times": 0.5, "over": 300}, "me", "to see",
    )  # fmt: skip
    ask = f"/v1/control/{command.id}"
    assert (status, body) == (202, {"id": command.id, "action": "learning_rate", "outcome": None, "ask": ask})
    assert served.get(ask, Authorization=f"Bearer {TOKEN}")[0] == 202
    served.live.happened([obeyed(command, outcome="done")])
    status, text, _ = served.get(ask, Authorization=f"Bearer {TOKEN}")
    assert (status, json.loads(text)["outcome"], json.loads(text)["samples"]) == (200, "done", 700)


@pytest.mark.parametrize("action", [name for name in COMMANDS if name not in {"learning_rate", "next_phase"}])
def test_every_action_of_the_table_can_be_asked_for(served: Served, tmp_path: Path, action: str) -> None:
    arguments = {"log_level": {"level": "debug"}, "trial": {"of": "reset_moments"}}.get(action, {})
    assert served.post(f"/v1/control/{action}", arguments=arguments)[0] == 202
    (command,) = waiting(tmp_path)
    assert (command.action, command.by) == (action, "http 127.0.0.1")


@pytest.mark.parametrize(
    ("action", "body", "status", "what"),
    [
        ("paus", {}, 404, "there is no action 'paus'"),
        ("learning_rate", {}, 400, "times: missing"),
        ("learning_rate", {"arguments": {"times": -1}}, 400, "must be greater than 0"),
        ("pause", {"arguments": {"for": 1}}, 400, "it takes no arguments"),
        ("roll_back", {"arguments": {"times": 0.1}}, 400, "as its rule in the settings says"),
        ("pause", {"arguments": []}, 400, "arguments"),
        ("pause", {"whom": "x"}, 400, "unknown key whom"),
        ("pause", {"id": "a/b"}, 400, "id: must have the form"),
        ("pause", {"id": "a" * 65}, 400, "id: must have the form"),
        ("pause", {"why": "a" * 1001}, 400, "at most 1000 characters"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    served: Served, tmp_path: Path, action: str, body: dict[str, Any], status: int, what: str
) -> None:
    answered, told = served.post(f"/v1/control/{action}", **body)
    assert answered == status
    assert what in told["error"]
    assert "Nothing was asked for." in told["error"]
    assert waiting(tmp_path) == ()


def test_the_outcome_is_answered_when_it_is_known(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_WAIT_S", 30.0)

    def obey() -> None:
        wait_for(lambda: bool(waiting(tmp_path)), "a command")
        (command,) = waiting(tmp_path)
        served.live.happened([obeyed(command, outcome="refused", reason="training is not paused")])

    daemon = threading.Thread(target=obey)
    daemon.start()
    status, body = served.post("/v1/control/resume")
    daemon.join()
    assert (status, body["outcome"], body["reason"]) == (409, "refused", "training is not paused")


def test_one_id_is_one_command_wherever_it_is(served: Served, tmp_path: Path) -> None:
    history = History(tmp_path / "state" / "scores.jsonl")
    history.open(None)
    rate: dict[str, Any] = {"id": "a-1", "arguments": {"times": 2}}

    def asked() -> tuple[int, Any]:
        status, body = served.post("/v1/control/learning_rate", **rate)
        return status, body.get("outcome")

    assert asked() == asked() == (202, None)
    (command,) = waiting(tmp_path)
    Inbox(tmp_path / "state").remove([command])  # a call has it, and has not run
    assert asked() == (202, None)
    history.write([obeyed(Command("a-2", "pause", why='"id": "a-1"'), outcome="done")], 0.0)
    history.write([obeyed(command, outcome="done")], 0.0)  # as of an earlier process
    assert asked() == (200, "done")
    served.live.happened([obeyed(command, outcome="done")])
    assert asked() == (200, "done")
    for action, arguments in (
        ("learning_rate", {"times": 3}),
        ("pause", {}),
        ("learning_rate", {"times": 2, "over": 9}),
    ):
        status, body = served.post(f"/v1/control/{action}", id="a-1", arguments=arguments)
        assert (status, "it was another command, learning_rate" in body["error"]) == (409, True)
    assert waiting(tmp_path) == ()


def test_an_unknown_id_is_not_found(served: Served) -> None:
    for given in ("nobody", '"', "%00", "a%0Ab"):
        assert served.get(f"/v1/control/{given}", Authorization=f"Bearer {TOKEN}")[0] == 404


def test_a_full_disk_is_told(served: Served, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    status, body = served.post("/v1/control/pause")
    assert (status, "The command was not given" in body["error"]) == (503, True)
