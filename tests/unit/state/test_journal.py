"""The journal: what was appended is read again, to the last whole line, and by the daemon in charge."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from calls import made_call
from hypothesis import given
from hypothesis import strategies as st

from learnd.daemon.errors import StoreError
from learnd.daemon.state.journal import Journal
from learnd.daemon.values import Command, JournalEntry, Span

NOW = {"settings": "now"}
THEN = {"settings": "then"}


def entry(number: int) -> JournalEntry:
    span = Span("file-0", number * 10, number * 10 + 10)
    command = Command("an id", "learning_rate", {"times": 2.5}, "me", "2026-01-01T00:00:00", "to see")
    return JournalEntry(number, (span,), 5, 2, ({"ordinal": number},), (command,) if number == 1 else (), NOW)


def never() -> bool:
    return False


def filled(root: Path, first: int, count: int, sequence: int = 0, epoch: int = 1) -> Journal:
    journal = Journal(root)
    journal.start_segment(sequence, epoch, first, NOW)
    for number in range(first, first + count):
        journal.append(entry(number), never)
    return journal


def numbers(root: Path, first_call: int = 0) -> list[int]:
    return [entry.number for entry in Journal(root).read(first_call)]


def test_entries_come_back_as_they_were(tmp_path: Path) -> None:
    filled(tmp_path, 0, 3)  # not closed: as after a kill
    assert Journal(tmp_path).read(0) == [entry(0), entry(1), entry(2)]
    assert Journal(tmp_path).read(2) == [entry(2)]


def test_an_entry_tells_a_call() -> None:
    command = Command("an id", "pause")
    call = made_call(np.zeros((1, 3, 2)), np.zeros((1, 3, 1)), spans=(Span("file-0", 3, 9),), partial=True)
    call = replace(call, records=4, notes=({"a": 1},), commands=(command,))
    assert JournalEntry.of(7, call) == JournalEntry(7, (Span("file-0", 3, 9),), 1, 3, ({"a": 1},), (command,))


def test_segments_follow_each_other(tmp_path: Path) -> None:
    journal = filled(tmp_path, 0, 2)
    journal.start_segment(1, 1, 2, NOW)
    journal.append(entry(2), never)
    journal.close()
    assert numbers(tmp_path) == [0, 1, 2]
    Journal(tmp_path).prune(2)
    assert len(list(tmp_path.iterdir())) == 1
    assert numbers(tmp_path, 2) == [2]


def test_a_new_epoch_overrules_what_an_old_one_goes_on_to_write(tmp_path: Path) -> None:
    old = filled(tmp_path, 0, 3)
    filled(tmp_path, 3, 2, epoch=2)
    for number in range(3, 9):
        old.append(entry(number), never)
    assert numbers(tmp_path) == [0, 1, 2, 3, 4]


def test_after_a_fallback_the_repeated_calls_are_not_read_twice(tmp_path: Path) -> None:
    journal = filled(tmp_path, 0, 4, sequence=4)
    journal.start_segment(5, 1, 4, NOW)
    journal.append(entry(4), never)
    filled(tmp_path, 5, 2, sequence=4, epoch=2)  # checkpoint 5 was broken: repeated 0 to 4 from checkpoint 4
    assert numbers(tmp_path) == [0, 1, 2, 3, 4, 5, 6]
    assert numbers(tmp_path, 5) == [5, 6]


def test_calls_behind_a_gap_are_not_repeated(tmp_path: Path) -> None:
    journal = filled(tmp_path, 0, 3)
    journal.start_segment(1, 1, 3, NOW)
    journal.append(entry(3), never)
    first = min(tmp_path.iterdir())
    whole = first.read_bytes().rstrip(b"\0")
    first.write_bytes(whole.replace(b'"n":1', b'"n":7'))
    assert numbers(tmp_path) == [0]
    assert numbers(tmp_path, 3) == [3]


def test_a_journal_whose_beginning_is_gone_is_not_repeated_on_a_fresh_model(tmp_path: Path) -> None:
    filled(tmp_path, 4, 3)
    with pytest.raises(StoreError, match="begins with call 4"):
        numbers(tmp_path)
    assert numbers(tmp_path, 2) == []  # nor on a checkpoint that is older than what is left of the journal


def test_what_a_fallback_may_need_is_never_pruned(tmp_path: Path) -> None:
    journal = filled(tmp_path, 0, 3)
    journal.start_segment(1, 1, 3, NOW)
    journal.append(entry(3), never)
    journal.prune(2)
    assert numbers(tmp_path) == [0, 1, 2, 3]
    journal.prune(1 << 40)  # the segment that is written stays, whatever comes
    assert numbers(tmp_path, 3) == [3]


def test_an_entry_knows_what_its_segment_was_trained_with(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start_segment(0, 1, 0, THEN)
    journal.append(entry(0), never)
    assert [one.trained_with for one in Journal(tmp_path).read(0)] == [THEN]
    assert Journal(tmp_path).highest_epoch == 1


@given(st.data())
def test_any_torn_tail_leaves_the_whole_lines_before_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("journal")
    filled(root, 0, 4).close()
    (path,) = root.iterdir()
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == 10][1:]
    cut = data.draw(st.integers(len(whole) // 4, len(whole)))
    path.write_bytes(whole[:cut] + b"\0" * data.draw(st.integers(0, 50)))
    assert numbers(root) == list(range(sum(end <= cut for end in ends)))


@given(st.integers(0, 3), st.integers(0, 7), st.data())
def test_what_follows_a_flipped_bit_is_not_used(
    tmp_path_factory: pytest.TempPathFactory, line: int, bit: int, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("journal")
    filled(root, 0, 4).close()
    (path,) = root.iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    offset = data.draw(st.integers(0, len(lines[line + 1]) - 1))
    flipped = bytearray(lines[line + 1])
    flipped[offset] ^= 1 << bit
    path.write_bytes(b"".join([*lines[: line + 1], bytes(flipped), *lines[line + 2 :]]))
    assert numbers(root) == list(range(line))


def test_it_is_allocated_ahead_and_given_back(tmp_path: Path) -> None:
    journal = filled(tmp_path, 0, 1)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == 1 << 20
    journal.close()
    assert path.stat().st_size < 200


def test_it_grows_past_what_was_allocated(tmp_path: Path) -> None:
    filled(tmp_path, 0, 13_000).close()
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size > 1 << 20
    assert numbers(tmp_path) == list(range(13_000))


def test_a_disk_error_stops_before_the_call_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = filled(tmp_path, 0, 1)

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", fail)
        with pytest.raises(StoreError, match="The call did not run"):
            journal.append(entry(1), never)
    journal.append(entry(1), never)
    assert numbers(tmp_path) == [0, 1]


def test_a_command_is_on_the_disk_before_its_file_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = filled(tmp_path, 0, 1)
    synced: list[int] = []
    monkeypatch.setattr("os.fdatasync", synced.append)
    for number in range(1, 4):  # the first of them has a command
        journal.append(entry(number), never)
    assert len(synced) == 1


def test_a_segment_that_was_only_allocated_is_not_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path, 0, 2).close()
    (tmp_path / "000002-00000001.log").write_bytes(b"\0" * 4096)
    journal = filled(tmp_path, 2, 1, sequence=2, epoch=3)
    journal.prune(2)
    assert numbers(tmp_path, 2) == [2]
    assert "journal_damaged" not in capsys.readouterr().out
