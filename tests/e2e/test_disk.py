"""Disks that are full, broken or gone: training goes on where it can, and nothing is lost where it cannot."""

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from processes import Zygote, history, killed, refused, succeeded
from streams import prepare

_MOST_SAMPLES = {"checkpoint": {"every": {"samples": 100}}}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "learnd-test", folder]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a file system needs privileges")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path) -> Path:
    """Take all the room that is left."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (65536, 512, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
    assert os.statvfs(disk).f_bavail == 0
    return path


def test_training_outlasts_checkpoints_that_fail(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", checkpoint={"every": {"samples": 100}})
    failing = "checkpoint.write=enospc@3,checkpoint.manifest.before=eio@2,history.sync=eio@4,history.write=enospc@4"
    result = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json", failpoints=failing))
    assert result.json()["digest"] == digest
    for failpoint in ("checkpoint.write", "checkpoint.manifest.before"):
        assert f"(failpoint {failpoint})" in result.stderr
    assert "scores.jsonl: history cannot be synced" in result.stderr
    assert "output_not_written" in result.stderr
    assert result.stderr.count("training goes on; a restart would repeat more") == 3
    assert "Traceback" not in result.stderr
    assert [line["samples"] for line in history(folder / "state")] == [500, 500, 1000, 1000, 1500, 1500]


def test_a_full_journal_waits_for_room_and_a_broken_one_stops(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    message = refused(zygote.run(folder, "run", "learnd.yaml", failpoints="journal.write=eio@20"), 74)
    assert "journal cannot be written" in message
    assert "start again" in message
    result = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json", failpoints="journal.write=enospc@20"))
    assert "make room" in result.stderr
    assert result.json()["digest"] == digest


def test_a_last_checkpoint_that_fails_is_an_error_and_the_next_start_makes_up_for_it(
    zygote: Zygote, digest: str, tmp_path: Path
) -> None:
    folder = prepare(tmp_path / "run", checkpoint={"every": {"samples": 10_000}})
    message = refused(zygote.run(folder, "run", "learnd.yaml", failpoints="checkpoint.write=eio@3"), 74)
    assert "last checkpoint could not be written" in message
    assert os.strerror(errno.EIO) in message
    assert not (folder / "state/summary.json").exists()
    assert succeeded(zygote.run(folder, "run", "learnd.yaml", "--json")).json()["digest"] == digest


def test_a_file_system_that_is_full_for_a_while(zygote: Zygote, digest: str, tmp_path: Path, small_disk: Path) -> None:
    folder = prepare(tmp_path / "run", checkpoint={"dir": str(small_disk / "state"), "every": {"samples": 100}})
    failpoints = "loop.call.after=stop@20,loop.updated=stop@60"
    daemon = zygote.start(folder, "run", "learnd.yaml", "--json", failpoints=failpoints)
    daemon.wait_until_stopped()
    filler = fill(small_disk)
    daemon.signal(signal.SIGCONT)
    daemon.wait_for(lambda: "checkpoint_failed" in daemon.stderr, "to report a checkpoint that failed")
    daemon.wait_until_stopped()
    filler.unlink()
    daemon.signal(signal.SIGCONT)
    assert succeeded(daemon.wait()).json()["digest"] == digest


def test_a_file_system_that_stays_full(zygote: Zygote, digest: str, tmp_path: Path, small_disk: Path) -> None:
    folder = prepare(tmp_path / "run", checkpoint={"dir": str(small_disk / "state"), "every": {"samples": 100}})
    daemon = zygote.start(folder, "run", "learnd.yaml", failpoints="loop.call.after=stop@20")
    daemon.wait_until_stopped()
    filler = fill(small_disk)
    daemon.signal(signal.SIGCONT)
    result = daemon.wait()
    message = refused(result, 74)
    assert "last checkpoint could not be written" in message
    assert "No space left" in message
    before = succeeded(zygote.run(folder, "checkpoints", "show", small_disk / "state", "--json")).json()
    assert before["samples_trained"] < 400

    assert "No space left" in refused(zygote.run(folder, "run", "learnd.yaml"), 74)
    filler.unlink()
    assert succeeded(zygote.run(folder, "run", "learnd.yaml", "--json")).json()["digest"] == digest


def test_broken_checkpoints_are_set_aside(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", **_MOST_SAMPLES)
    checkpoints = folder / "state/checkpoints"
    killed(zygote.run(folder, "run", "learnd.yaml", failpoints="loop.call.after=kill@60"))
    newest = max(checkpoints.glob("[0-9]*"))
    damage(newest / "arrays.safetensors")
    assert newest.name in refused(zygote.run(folder, "checkpoints", "verify", "state"), 74)
    result = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    assert result.json()["digest"] == digest
    assert "checkpoint_broken" in result.stderr
    assert (folder / "state/broken" / newest.name).is_dir()

    for path in checkpoints.glob("[0-9]*"):
        damage(path / "facts.json")
    for _ in range(2):
        message = refused(zygote.run(folder, "run", "learnd.yaml"), 74)
        assert "no checkpoint verifies" in message
        assert "--state" in message


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_state_directory_that_cannot_be_one(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    (folder / "file").touch()
    for state in ("file", "file/state", "/proc/state"):
        message = refused(zygote.run(folder, "run", "learnd.yaml", "--state", state), 74)
        assert state in message
        assert "Nothing was trained" in message
    (folder / "state").mkdir()
    (folder / "state/lock").write_text("1\n")  # left by a daemon before
    (folder / "state/dead-letters.jsonl").mkdir()
    assert "dead-letters.jsonl" in refused(zygote.run(folder, "run", "learnd.yaml"), 74)
