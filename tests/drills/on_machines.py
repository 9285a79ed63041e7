"""The drills of what a machine gives a daemon: room on a disk, and memory."""

from __future__ import annotations

import os
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from drill import Drill
from live_stream import happened_before
from scene import Scene

from learnd.daemon.control.inbox import Inbox
from learnd.daemon.values import Command

MIB = 1 << 20
_CGROUPS = Path("/sys/fs/cgroup/memory")


def _mount(scene: Scene, megabytes: int) -> None:
    """Give the state a file system of its own."""
    scene.state.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "learnd-drill", scene.state]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs privileges")
    scene.stack.callback(lambda: subprocess.run(["umount", "-l", scene.state], check=True))


def fill_up(scene: Scene) -> None:
    """Use what a new segment of the journal has in advance, by a command with a long reason, and all other room."""
    last = _newest(scene)
    scene.await_(lambda: _newest(scene) > last, "no checkpoint is made")
    Inbox(scene.state).put(Command("", "log", {}, "drill", happened_before(0), "x" * 1_042_000))
    scene.await_(lambda: not list((scene.state / "commands").glob("*")), "commands wait")
    with (scene.state / "dead-letters.jsonl.old").open("ab", buffering=0) as file:
        for size in (65536, 512, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)


def _newest(scene: Scene) -> str:
    return max(path.name for path in (scene.state / "checkpoints").glob("[0-9]*-*"))


def fill_on(scene: Scene) -> None:
    """Take a little more room."""
    with (scene.state / "dead-letters.jsonl.old").open("ab") as file:
        file.write(b"x" * (MIB // 8))


def make_room(scene: Scene) -> None:
    (scene.state / "dead-letters.jsonl.old").unlink()


def see_and_make_room(scene: Scene) -> None:
    assert "there is no room for the journal" in (told := scene.why_not_ready()), told
    make_room(scene)


def limit_memory(scene: Scene) -> None:
    """Put the daemon into a cgroup that has hardly more than what it uses."""
    group = _CGROUPS / f"learnd-drill-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"there is no cgroup of memory to be had: {error}")
    scene.stack.callback(group.rmdir)
    scene.stack.callback(scene.kill)
    (group / "memory.limit_in_bytes").write_text(str(int(_resident(scene.daemon.pid) / 0.94)))
    (group / "cgroup.procs").write_text(str(scene.daemon.pid))


def give_more_memory(scene: Scene) -> None:
    (line,) = [line for line in _text(scene, "cgroup").splitlines() if ":memory:" in line]
    group = _CGROUPS / line.rpartition(":")[2].lstrip("/")
    (group / "memory.limit_in_bytes").write_text(str(2 * _resident(scene.daemon.pid)))


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _text(scene: Scene, name: str) -> str:
    return Path(f"/proc/{scene.daemon.pid}/{name}").read_text()


DRILLS = [
    Drill(
        "LearndJournalBlocked",
        broken_by="a full disk, until the room that the journal has in advance is used",
        mended_by="`curl URL/readyz`, and room: an old `dead-letters.jsonl` goes",
        settings={"checkpoint": {"every": {"samples": 1_000_000, "seconds": 9}}},
        prepare=lambda scene: _mount(scene, 24),
        break_=fill_up,
        mend=see_and_make_room,
        fires_min=10,
        resolves_min=6,
    ),
    Drill(
        "LearndDiskFilling",
        broken_by="a file on the same volume that grows",
        mended_by="the file goes",
        prepare=lambda scene: _mount(scene, 96),
        break_=fill_on,
        again=fill_on,
        mend=make_room,
        fires_min=40,
        resolves_min=60,
    ),
    Drill(
        "LearndMemoryNearLimit",
        broken_by="a limit of the cgroup, little above what it uses",
        mended_by="a higher limit",
        break_=limit_memory,
        mend=give_more_memory,
        fires_min=12,
        resolves_min=12,
    ),
]
