"""Settings that are read again while a daemon runs: taken up as a whole or not at all, and never seen in the model."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answering import asked, metric
from processes import Daemon, Zygote, consumed, dead_letters, history, killed, refused, succeeded, summary
from served import TOKEN
from streams import json_lines, prepare, records, write_settings

FOLLOWING = {"files": {"path": "stream.jsonl", "follow": True}}
RUN = ("run", "learnd.yaml", "--json")
LIVE: dict[str, Any] = {
    "checkpoint": {"every": {"samples": 40}, "keep": 2},
    "dead_letters": {"max_rate": 1, "window": 50},
    "log": {"level": "warning"},
    "shutdown_timeout_s": 20.0,
}
LATE: dict[str, Any] = {
    "log": {"level": "error"},
    "train": {"optimizer": {"sgd": {"learning_rate": 0.1}}},
    "reactions": [],
}
NAMED = "train.optimizer, reactions: they take effect at a restart; nothing was changed."


def written(folder: Path, **sections: Any) -> None:
    http = {"listen": "127.0.0.1:0", "token_file": "token"}
    write_settings(folder, **{"source": FOLLOWING, "http": http, **sections})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = prepare(tmp_path / "run", json_lines(records(300)))
    for name in ("token", "other"):
        (folder / name).write_text(f"{TOKEN}, {name}")
    written(folder)
    return folder


def started(zygote: Zygote, folder: Path, *options: str) -> Daemon:
    daemon = zygote.start(folder, *RUN, *options)
    daemon.wait_for(lambda: "consuming" in daemon.stderr, "to consume")
    return daemon


def reloads(folder: Path) -> list[dict[str, Any]]:
    return [line for line in history(folder / "state", "command") if line["action"] == "reload"]


def by_signal(zygote: Zygote, daemon: Daemon, folder: Path) -> dict[str, Any]:  # noqa: ARG001
    daemon.signal(signal.SIGHUP)
    return {}


def by_ctl(zygote: Zygote, daemon: Daemon, folder: Path) -> dict[str, Any]:  # noqa: ARG001
    told = zygote.run(folder, "ctl", "state", "reload", "--why", "to see")
    if told.code == 0:
        assert told.stdout.startswith("reload: done; changed: checkpoint.every, checkpoint.keep, ")
        return {"outcome": "done", "why": "to see"}
    reason = refused(told, 78).removeprefix("reload was refused: ").removesuffix("\n")
    return {"outcome": "refused", "reason": reason, "why": "to see"}


def by_http(zygote: Zygote, daemon: Daemon, folder: Path) -> dict[str, Any]:  # noqa: ARG001
    status, body = asked(daemon, "reload", token=f"{TOKEN}, token")
    assert (status, body["outcome"]) in [(200, "done"), (409, "refused")], body
    return {key: body[key] for key in ("id", "outcome", "reason", "changed") if key in body}


Way = Callable[[Zygote, Daemon, Path], dict[str, Any]]
SUCCESSFUL = "learnd_settings_reload_successful"
WAYS: list[Way] = [by_signal, by_ctl, by_http]


def told(way: Way, zygote: Zygote, daemon: Daemon, folder: Path) -> dict[str, Any]:
    """Reload, and return what the history says of it."""
    before = len(reloads(folder))
    answer = way(zygote, daemon, folder)
    daemon.wait_for(lambda: len(reloads(folder)) > before, "to reload")
    line = reloads(folder)[-1]
    assert {key: line[key] for key in answer} == answer
    return line


@pytest.mark.parametrize("way", WAYS)
def test_a_good_a_wrong_and_an_impossible_file(way: Way, zygote: Zygote, folder: Path) -> None:
    daemon = started(zygote, folder)
    assert metric(daemon, SUCCESSFUL) == 1

    written(folder, **LATE)
    line = told(way, zygote, daemon, folder)
    assert (line["outcome"], line["reason"]) == ("refused", NAMED)
    assert metric(daemon, SUCCESSFUL) == 0

    written(folder, **LIVE, modle={"preset": "mlp"})
    line = told(way, zygote, daemon, folder)
    assert line["outcome"] == "refused"
    wrong = refused(zygote.run(folder, "validate", "learnd.yaml"), 78)
    assert wrong == f"{line['reason']}\n"
    assert "unknown key modle" in wrong
    recorded = json.loads((folder / "state" / "settings.json").read_text())["given"]
    assert "log" not in recorded
    assert [json.loads(line)["message"] for line in daemon.stderr.splitlines()].count("settings_kept") == 2

    written(folder, **LIVE)
    line = told(way, zygote, daemon, folder)
    assert line["outcome"] == "done"
    assert set(line["changed"]) == {
        "checkpoint.every",
        "checkpoint.keep",
        "dead_letters.max_rate",
        "dead_letters.window",
        "log.level",
        "shutdown_timeout_s",
    }
    assert line["changed"]["dead_letters.max_rate"] == {"from": 0.2, "to": 1.0}
    assert metric(daemon, SUCCESSFUL) == 1
    recorded = json.loads((folder / "state" / "settings.json").read_text())["given"]
    assert recorded["log"] == {"level": "warning"}
    daemon.signal(signal.SIGTERM)
    assert '"stopped"' not in succeeded(daemon.wait()).stderr  # which is said at the level info


def test_what_a_reload_takes_up_acts(zygote: Zygote, folder: Path) -> None:
    daemon = started(zygote, folder)
    http = {"listen": "127.0.0.1:0", "token_file": "other"}
    written(folder, **LIVE, http=http)
    assert told(by_signal, zygote, daemon, folder)["changed"]["http.token_file"]["to"] == str(folder / "other")

    assert asked(daemon, "log", token=f"{TOKEN}, token")[0] == 401
    assert asked(daemon, "log", token=f"{TOKEN}, other")[0] == 200

    def checkpoints() -> list[str]:
        return sorted(path.name for path in (folder / "state" / "checkpoints").glob("[0-9]*"))

    first = checkpoints()
    with (folder / "stream.jsonl").open("ab") as stream:
        stream.write(json_lines(records(500, seed=5)))
    daemon.wait_for(lambda: len(checkpoints()) <= 2 and not set(first) & set(checkpoints()), "to save, and keep two")
    with (folder / "stream.jsonl").open("ab") as stream:
        stream.write(b"rubbish\n" * 200 + json_lines(records(1, seed=6)))
    daemon.wait_for(lambda: len(dead_letters(folder / "state")) == 200, "to reject, and to go on")
    daemon.signal(signal.SIGTERM)
    succeeded(daemon.wait())


def test_what_cannot_be_remembered_is_not_taken_up(zygote: Zygote, folder: Path) -> None:
    """A daemon that runs with other settings than its state directory tells would be finished with the wrong ones."""
    daemon = started(zygote, folder)
    record = folder / "state" / "settings.json"
    record.rename(folder / "kept")
    record.mkdir()  # as unwritable as a file on a full disk, also for root
    written(folder, **LIVE)
    line = told(by_signal, zygote, daemon, folder)
    assert line["outcome"] == "refused"
    assert line["reason"].startswith("the state directory cannot be written: ")
    assert metric(daemon, SUCCESSFUL) == 0
    record.rmdir()
    (folder / "kept").rename(record)
    line = told(by_signal, zygote, daemon, folder)
    assert (line["outcome"], "log.level" in line["changed"], len(line["changed"])) == ("done", True, 6)
    daemon.signal(signal.SIGTERM)
    succeeded(daemon.wait())


@pytest.mark.parametrize("at_once", [True, False])
def test_a_kill_behind_a_reload_leaves_the_model_of_a_run_without_one(
    at_once: bool, zygote: Zygote, tmp_path: Path
) -> None:
    lines = json_lines(records())
    half = lines.index(b"\n", len(lines) // 2) + 1
    whole, reloaded = (prepare(tmp_path / name, lines[:half], source=FOLLOWING) for name in ("whole", "reloaded"))
    for folder in (whole, reloaded):
        daemon = started(zygote, folder)
        if folder is reloaded:
            write_settings(folder, source=FOLLOWING, **LIVE)
            assert told(by_signal, zygote, daemon, folder)["outcome"] == "done"
            write_settings(folder, source=FOLLOWING, **LATE)
            assert told(by_signal, zygote, daemon, folder)["outcome"] == "refused"
            if at_once:
                killed(daemon.kill())
        with (folder / "stream.jsonl").open("ab") as stream:
            stream.write(lines[half:])
        if folder is reloaded and not at_once:
            daemon.wait_for(lambda folder=folder: consumed(folder / "state") > half, "to train on")  # type: ignore[misc]
            killed(daemon.kill())
        if folder is whole:
            daemon.signal(signal.SIGTERM)
            succeeded(daemon.wait())
        else:
            write_settings(folder, source=FOLLOWING, **LIVE, train={"max_updates_per_call": 7})
        succeeded(zygote.run(folder, *RUN, "--set", "source.files.follow=false"))
    assert summary(reloaded / "state") == summary(whole / "state")
    outcomes = [(line["outcome"], line.get("reason")) for line in reloads(reloaded)]
    assert outcomes == [("done", None), ("refused", NAMED)]  # as it was answered then, whatever the file says now


def test_a_changed_file_is_noticed_if_that_is_wanted(zygote: Zygote, folder: Path) -> None:
    """As Kubernetes changes a ConfigMap: the file is a link, and what it leads to is another one at once."""
    for level in ("info", "warning", "error"):
        (folder / level).mkdir()
        written(folder, log={"level": level}, reload_on_change=True)
        (folder / "learnd.yaml").rename(folder / level / "learnd.yaml")
    (folder / "data").symlink_to("info")
    (folder / "learnd.yaml").symlink_to("data/learnd.yaml")
    options = ("--set", "source.files.path=stream.jsonl", "--set", "http.token_file=token", "--state", "state")
    daemon = started(zygote, folder, *options)
    for number, level in enumerate(("warning", "error"), start=1):
        (folder / "next").symlink_to(level)
        (folder / "next").rename(folder / "data")
        daemon.wait_for(lambda number=number: len(reloads(folder)) == number, "to notice")  # type: ignore[misc]
        line = reloads(folder)[-1]
        assert (line["by"], line["outcome"], line["changed"]["log.level"]["to"]) == (
            "change of the file",
            "done",
            level,
        )
    daemon.signal(signal.SIGTERM)
    succeeded(daemon.wait())
