"""The drills of a daemon that follows a file."""

from __future__ import annotations

import json
import signal
import time

from drill import Drill
from live_stream import Record, happened_before
from scene import Scene

HINDERED = {"model": {"build": "hindered_models:build", "task": "binary"}, "train": {"max_updates_per_call": 4}}
AMOUNTS = {
    "model": {"hidden": [8], "task": "regression"},
    "samples": {"features": {"a": "float", "b": "float"}, "label": "amount", "event_time": "at"},
}
WITHOUT_TIMES = {"features": {"a": "float", "b": "float"}, "label": "y"}
"""Samples whose age is unknown, so that LearndStale does not depend on what was unread at the moment of the fault."""


def look_and_start(scene: Scene) -> None:
    assert "not running" in (told := scene.tool("status", "state")), told
    scene.start()


def kill_and_start(scene: Scene) -> None:
    scene.daemon.wait_for(lambda: "consuming" in scene.daemon.stderr, "to consume")
    time.sleep(1.5)  # it is scraped
    scene.kill()
    scene.start()


def stall(scene: Scene) -> None:
    scene.hinder(None)


def restart_a_stalled_one(scene: Scene) -> None:
    scene.unhinder()
    scene.stop()
    scene.start()


def slow_down(scene: Scene) -> None:
    scene.hinder(0.2)


def spoil_clock(record: Record) -> None:
    record["at"] = happened_before(-3600)


class Turning:
    """Turns the sign of a feature every thirty records, before a model has learned what it means now."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, record: Record) -> None:
        self._count += 1
        record["a"] *= -1 if self._count // 30 % 2 == 0 else 1


def spoil_label(record: Record) -> None:
    record["amount"] *= 1e30


class Poison:
    """Leaves every fifth record without a feature."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, record: Record) -> None:
        self._count += 1
        if self._count % 5 == 0:
            record["a"] = None


def well(record: Record) -> None:
    """Leave a record as it is."""


def correct_the_producer(scene: Scene) -> None:
    scene.stream.spoil = well


def look_at_dead_letters_and_correct(scene: Scene) -> None:
    last = json.loads((scene.state / "dead-letters.jsonl").read_text().splitlines()[-1])
    assert last["reason"] == "null", last
    assert "$.a" in last["detail"], last
    correct_the_producer(scene)


def pause_correct_and_resume(scene: Scene) -> None:
    scene.tool("ctl", "state", "pause", "--why", "labels diverge")
    correct_the_producer(scene)
    scene.tool("ctl", "state", "resume")


def break_checkpoints(scene: Scene) -> None:
    (scene.state / "checkpoints").rename(scene.state / "away")
    (scene.state / "checkpoints").touch()


def mend_checkpoints(scene: Scene) -> None:
    assert "no checkpoint can be made" in scene.why_not_ready()
    (scene.state / "checkpoints").unlink()
    (scene.state / "away").rename(scene.state / "checkpoints")


def reload_a_mistake(scene: Scene) -> None:
    """Have the daemon read a file with a key that is none."""
    with (scene.folder / "learnd.yaml").open("a") as settings:
        settings.write("modle: {}\n")
    scene.daemon.signal(signal.SIGHUP)


def correct_the_settings_and_reload(scene: Scene) -> None:
    path = scene.folder / "learnd.yaml"
    assert "settings_kept" in scene.daemon.stderr
    path.write_text(path.read_text().removesuffix("modle: {}\n"))
    scene.tool("validate", "learnd.yaml")
    scene.tool("ctl", "state", "reload")


def pause(scene: Scene) -> None:
    scene.tool("ctl", "state", "pause", "--why", "a drill")


def see_why_and_resume(scene: Scene) -> None:
    assert "a drill" in (told := scene.tool("status", "state")), told
    scene.tool("ctl", "state", "resume")


def take_directory_away(scene: Scene) -> None:
    scene.stream.hold()
    scene.await_(lambda: scene.prometheus.query("instance:learnd_source_lag:sum == 0") != [], "records wait")
    scene.directory.rename(scene.folder / "away")


def bring_directory_back(scene: Scene) -> None:
    assert "the source cannot be reached" in (told := scene.tool("status", "state")), told
    (scene.folder / "away").rename(scene.directory)
    scene.stream.flows = True


DOWN = Drill(
    "LearndDown",
    broken_by="`kill -9`",
    mended_by="`learnd status DIR`, and a start",
    break_=Scene.kill,
    mend=look_and_start,
    fires_min=6,
    resolves_min=3,
)
DRILLS = [
    DOWN,
    Drill(
        "LearndCrashLooping",
        broken_by="`kill -9`, a few seconds behind each start",
        mended_by="it is not killed any more",
        break_=lambda _: None,
        mend=lambda _: None,
        again=kill_and_start,
        fires_min=15,
        resolves_min=40,
    ),
    Drill(
        "LearndStalled",
        broken_by="an update that does not end",
        mended_by="a restart",
        settings={**HINDERED, "samples": WITHOUT_TIMES},
        break_=stall,
        mend=restart_a_stalled_one,
        fires_min=16,
        resolves_min=20,
    ),
    Drill(
        "LearndSourceAway",
        broken_by="the directory of the files is gone",
        mended_by="`learnd status DIR`, and the directory is back",
        settings={"samples": WITHOUT_TIMES},
        prepare=Scene.use_directory,
        break_=take_directory_away,
        mend=bring_directory_back,
        fires_min=12,
        resolves_min=8,
    ),
    Drill(
        "LearndStale",
        broken_by="updates that take 200 ms, with 20 records a second in a file",
        mended_by="updates that are as quick as before",
        settings=HINDERED,
        break_=slow_down,
        mend=Scene.unhinder,
        fires_min=20,
        resolves_min=40,
    ),
    Drill(
        "LearndClockAhead",
        broken_by="events of an hour ahead",
        mended_by="the right time in the events",
        break_=lambda scene: setattr(scene.stream, "spoil", spoil_clock),
        mend=correct_the_producer,
        fires_min=16,
        resolves_min=7,
    ),
    Drill(
        "LearndRejectingMany",
        broken_by="a fifth of the records lacks a feature",
        mended_by="a look at the dead letters, and a correct producer",
        break_=lambda scene: setattr(scene.stream, "spoil", Poison()),
        mend=look_at_dead_letters_and_correct,
        fires_min=13,
        resolves_min=20,
    ),
    Drill(
        "LearndNotSaving",
        broken_by="the directory of the checkpoints cannot be written",
        mended_by="it can be written again",
        break_=break_checkpoints,
        mend=mend_checkpoints,
        fires_min=21,
        resolves_min=8,
    ),
    Drill(
        "LearndDiverging",
        broken_by="labels that are 10³⁰ times as large",
        mended_by="`learnd ctl DIR pause`, a correct producer, `learnd ctl DIR resume`",
        settings=AMOUNTS,
        break_=lambda scene: setattr(scene.stream, "spoil", spoil_label),
        mend=pause_correct_and_resume,
        fires_min=3,
        resolves_min=80,
    ),
    Drill(
        "LearndNoBetterThanBaseline",
        broken_by="a feature whose sign turns again and again",
        mended_by="the feature is what it was",
        break_=lambda scene: setattr(scene.stream, "spoil", Turning()),
        mend=correct_the_producer,
        fires_min=36,
        resolves_min=20,
    ),
    Drill(
        "LearndReloadFailed",
        broken_by="a mistake in the settings file, and SIGHUP",
        mended_by="`learnd validate`, a file without it, `learnd ctl DIR reload`",
        break_=reload_a_mistake,
        mend=correct_the_settings_and_reload,
        fires_min=7,
        resolves_min=3,
    ),
    Drill(
        "LearndPausedForLong",
        broken_by="`learnd ctl DIR pause`",
        mended_by="`learnd status DIR`, and `learnd ctl DIR resume`",
        break_=pause,
        mend=see_why_and_resume,
        fires_min=67,
        resolves_min=2,
    ),
]
