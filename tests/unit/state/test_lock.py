"""One writer a directory, and only the last one is believed."""

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from learnd.daemon.errors import FencedError, LockedError, StoreError
from learnd.daemon.state.lock import Holder, StateLock, holder_of


def held(root: Path) -> StateLock:
    lock = StateLock(root)
    lock.acquire()
    return lock


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    first = held(tmp_path)
    script = (
        "import sys, pathlib; from learnd.daemon.state.lock import StateLock\n"
        "from learnd.daemon.errors import LockedError\n"
        "try: StateLock(pathlib.Path(sys.argv[1])).acquire()\n"
        "except LockedError as error: print(error); sys.exit(error.exit_code)"
    )
    second = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert second.returncode == 74
    assert "another daemon (process " in second.stdout
    assert "--take-over" in second.stdout
    first.release()
    held(tmp_path).release()


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal, sys; from learnd.daemon.state.lock import StateLock\n"
        "lock = StateLock(pathlib.Path(sys.argv[1])); lock.acquire(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    held(tmp_path).release()


def test_who_was_overtaken_is_fenced(tmp_path: Path) -> None:
    old, new = held(tmp_path), StateLock(tmp_path)
    old.begin_epoch(1)
    old.check()
    with pytest.raises(LockedError):
        new.acquire()
    new.acquire(take_over=True)
    old.check()  # not before the new one takes charge
    new.begin_epoch(4)
    with pytest.raises(FencedError, match="took over"):
        old.check()
    new.check()


def test_each_sequence_number_belongs_to_one_epoch(tmp_path: Path) -> None:
    lock = held(tmp_path)
    lock.begin_epoch(1)
    lock.begin_epoch(4)  # restarted after checkpoint 3
    lock.begin_epoch(4)  # and again, before it wrote one
    assert lock.epoch == 3
    assert [lock.may_publish(1, sequence) for sequence in (1, 3, 4, 9)] == [True, True, False, False]
    assert [lock.may_publish(2, sequence) for sequence in (1, 3, 4, 9)] == [False, False, False, False]
    assert [lock.may_publish(3, sequence) for sequence in (1, 3, 4, 9)] == [False, False, True, True]


def test_a_fallback_ends_the_epoch_that_wrote_what_was_broken(tmp_path: Path) -> None:
    lock = held(tmp_path)
    lock.begin_epoch(1)
    lock.begin_epoch(5)
    lock.begin_epoch(3)  # 4 and 3 did not verify
    assert lock.may_publish(1, 2)
    assert not lock.may_publish(1, 3)
    assert lock.may_publish(3, 3)
    assert lock.may_publish(3, 6)


def test_a_damaged_epochs_file_is_an_error(tmp_path: Path) -> None:
    lock = held(tmp_path)
    (tmp_path / "epochs.json").write_text("[[1,")
    with pytest.raises(StoreError, match="damaged"):
        lock.check()


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        StateLock(tmp_path / "file" / "state").acquire()


def test_an_epoch_is_never_used_twice_although_the_file_was_removed(tmp_path: Path) -> None:
    lock = held(tmp_path)
    lock.begin_epoch(1, seen=7)
    assert lock.epoch == 8


def test_whoever_looks_learns_who_holds_it_and_where_it_answers(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
    lock = held(tmp_path)
    assert holder_of(tmp_path) == Holder(os.getpid())
    lock.announce("http://127.0.0.1:1234")
    assert holder_of(tmp_path) == Holder(os.getpid(), "http://127.0.0.1:1234")
    lock.release()
    assert holder_of(tmp_path) is None
    lock = held(tmp_path)
    assert holder_of(tmp_path) == Holder(os.getpid())  # the address of the one before is gone
    lock.release()


def test_somebody_who_looks_does_not_keep_a_daemon_out(tmp_path: Path) -> None:
    held(tmp_path).release()
    with (tmp_path / "lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        timer = threading.Timer(0.1, fcntl.flock, (looking, fcntl.LOCK_UN))
        timer.start()
        held(tmp_path).release()
        timer.join()
