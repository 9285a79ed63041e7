"""An operator's commands, and kills around them: a killed copy of a state directory ends as an unkilled copy does."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from processes import Zygote, history, killed, succeeded, summary
from reacting import prepare
from scenarios import assert_same

from learnd.daemon.control.inbox import Inbox
from learnd.daemon.values import Command

KINDS = ("command", "phase", "rollback", "reaction", "drift", "score")
RUN = ("run", "learnd.yaml", "--json")
ROUNDS: list[tuple[str, list[tuple[str, dict[str, Any]]]]] = [  # where to die, and what is asked for ahead of that
    ("inbox.remove.before=kill@1", [("learning_rate", {"times": 3, "over": 400})]),
    ("journal.append.before=kill@1", [("next_phase", {"after": 0}), ("reset_moments", {}), ("reload", {})]),
    ("journal.append.after=kill@1", [("refit_standardization", {}), ("resume", {})]),
    ("loop.updated=kill@12", [("roll_back", {}), ("reload", {}), ("log", {})]),
    ("loop.call.after=kill@9", [("pause", {}), ("resume", {}), ("next_phase", {"after": 0})]),
    ("checkpoint.rename.before=kill@1", [("checkpoint", {}), ("learning_rate", {"times": 0.5})]),
]


def made(folder: Path) -> Path:
    """Write stream and settings, with rules that keep a good copy, and a phase that a command ends."""
    prepare(folder, "fragile", 1, xla=True)
    with (folder / "learnd.yaml").open("a") as settings:
        settings.write('phases: [{unfreeze: 1, until: command}, {unfreeze: "*"}]\n')
    return folder


def ask(state: Path, number: int, action: str, arguments: dict[str, Any]) -> None:
    Inbox(state).put(Command(f"{number}", action, arguments, "me", f"2026-01-01T00:00:{number:02}", "to see"))


@pytest.mark.parametrize("rounds", [ROUNDS[:3], ROUNDS[3:]], ids=["three", "three others"])
def test_commands_and_kills(
    rounds: list[tuple[str, list[tuple[str, dict[str, Any]]]]], zygote: Zygote, tmp_path: Path
) -> None:
    folder, asked = made(tmp_path / "run"), 0
    state = folder / "state"
    killed(zygote.run(folder, *RUN, failpoints="loop.call.after=kill@16"))  # there is a good copy by then
    for number, (failpoint, commands) in enumerate(rounds):
        for action, arguments in commands:
            ask(state, asked, action, arguments)
            asked += 1
        unkilled, resumed = tmp_path / f"unkilled-{number}", tmp_path / f"resumed-{number}"
        shutil.copytree(folder, unkilled)
        killed(zygote.run(folder, *RUN, failpoints=failpoint))
        shutil.copytree(folder, resumed)
        for each in (unkilled, resumed):
            succeeded(zygote.run(each, *RUN))
            told = history(each / "state", "command")
            assert [line["id"] for line in told] == [f"{n}" for n in range(asked)], "each acts once, in its turn"
            assert not list((each / "state" / "commands").iterdir())
        assert_same(resumed / "state", unkilled / "state", KINDS)
    outcomes = {(line["action"], line["outcome"]) for line in history(resumed / "state", "command")}
    expected = {action: "done" for _, commands in rounds for action, _ in commands}
    assert {("roll_back", "done"), ("checkpoint", "done")} <= outcomes or ("resume", "refused") in outcomes
    assert {action for action, _ in outcomes} == set(expected)
    if "checkpoint" in expected:
        assert list((resumed / "state" / "checkpoints").glob("[0-9]*/pinned"))


def test_commands_change_the_model(zygote: Zygote, tmp_path: Path) -> None:
    digests = set()
    for action in ("log", "reset_moments", "learning_rate", "next_phase", "refit_standardization"):
        folder = made(tmp_path / action)
        ask(folder / "state", 1, action, {"times": 3} if action == "learning_rate" else {})
        succeeded(zygote.run(folder, *RUN, "--set", "challengers=[]"))  # one that wins knows nothing of commands
        digests.add(summary(folder / "state")["digest"])
    assert len(digests) >= 4  # ahead of the first record there are no moments to reset, and no statistics to refit


def test_a_pause_outlives_a_kill_and_leaves_no_trace_in_the_model(zygote: Zygote, tmp_path: Path) -> None:
    states = []
    for name in ("whole", "paused", "killed"):
        folder = made(tmp_path / name)
        states.append(folder / "state")
        if name == "whole":
            succeeded(zygote.run(folder, *RUN))
            continue
        killed(zygote.run(folder, *RUN, failpoints="loop.call.after=kill@9"))
        ask(folder / "state", 1, "pause", {})
        daemon = zygote.start(folder, *RUN)
        daemon.wait_for(lambda daemon=daemon: "paused" in daemon.stderr, "to pause")  # type: ignore[misc]
        if name == "killed":
            daemon.kill()
            daemon = zygote.start(folder, *RUN)
            daemon.wait_for(lambda daemon=daemon: "consuming" in daemon.stderr, "to consume")  # type: ignore[misc]
        daemon.wait_until_running()
        ask(folder / "state", 2, "resume", {})
        succeeded(daemon.wait())
        assert [line["outcome"] for line in history(folder / "state", "command")] == ["done", "done"]
    for state in states[1:]:
        assert summary(state) == summary(states[0])
