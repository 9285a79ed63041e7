"""Growing, rotated, truncated and late files, as real files and renames."""

import gzip
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from learnd.connectors.files.settings import FilesSettings
from learnd.connectors.files.source import FilesSource
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Note, Positions, RecordBatch, RecordFormat

JSON = RecordFormat("json")
Opener = Callable[..., FilesSource]


@pytest.fixture
def opened() -> Iterator[Opener]:
    sources = []

    def make(
        path: Path | str, positions: Positions | None = None, notes: list[Note] | None = None, **more: object
    ) -> FilesSource:
        settings = FilesSettings.model_validate({"path": str(path), "follow": True} | more)
        source = FilesSource(settings, JSON)
        sources.append(source)
        source.open(positions or {}, notes or [])
        return source

    yield make
    for source in sources:
        source.close()


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def read(source: FilesSource, count: int, timeout_s: float = 10.0) -> list[RecordBatch]:
    """Read until `count` records have arrived."""
    batches: list[RecordBatch] = []
    deadline = time.monotonic() + timeout_s
    while sum(map(len, batches)) < count and time.monotonic() < deadline:
        if (batch := source.read(0.05)) is not None:
            batches.append(batch)
    return batches


def values(batches: list[RecordBatch]) -> list[str]:
    return [value.decode() for batch in batches for value in batch.values if isinstance(value, bytes)]


def where(batches: list[RecordBatch]) -> list[str]:
    return [batch.partition for batch in batches]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (no paths wanted)


def nothing(source: FilesSource) -> bool:
    return source.read(0.1) is None


def notes(batches: list[RecordBatch]) -> list[Note]:
    return [batch.note for batch in batches if batch.note is not None]


def test_waits_for_a_file_and_for_the_end_of_its_last_line(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    source = opened(path)
    assert nothing(source)
    append(path, "1\n2")
    assert values(read(source, 1)) == ["1"]
    assert nothing(source)
    append(path, "2\n")
    assert values(read(source, 1)) == ["22"]
    assert not source.exhausted


def test_a_missing_file_stops_a_run_to_the_end(opened: Opener, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        opened(tmp_path / "a.jsonl", follow=False)


def test_a_renamed_file_is_read_to_its_end_before_its_successor(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append(path, "1\n")
    source = opened(path)
    first = read(source, 1)
    writer = path.open("a")
    path.rename(tmp_path / "a.jsonl.1")
    path.touch()
    writer.write("2\n3")
    writer.flush()
    second = read(source, 1)
    assert nothing(source)
    writer.write("3\n4")
    writer.close()
    append(path, "5\n")
    third = read(source, 3)
    assert values(first + second + third) == ["1", "2", "33", "4", "5"]
    assert where(third)[-1] == "file-1"
    assert {*where(first + second), *where(third)[:-1]} == {"file-0"}


def test_what_a_writer_adds_late_to_a_rotated_file_is_not_lost(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append(path, "1\n")
    source = opened(path)
    read(source, 1)
    writer = path.open("a")
    path.rename(tmp_path / "a.jsonl.1")
    append(path, "2\n")
    read(source, 1)
    writer.write("late\n")
    writer.close()
    late = read(source, 1)
    assert (values(late), where(late)) == (["late"], ["file-0"])


def test_a_last_line_closed_by_rotation_goes_on_as_a_partition_of_its_own(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append(path, "1\nhalf")
    source = opened(path)
    batches = read(source, 1)
    writer = path.open("a")
    path.rename(tmp_path / "a.jsonl.1")
    append(path, "2\n")
    batches += read(source, 2)
    assert values(batches) == ["1", "half", "2"]
    writer.write("other half\n")
    writer.close()
    batches += read(source, 1)
    assert values(batches)[-1] == "halfother half"  # half a line is no JSON: it did not train, so it is read again
    assert where(batches) == ["file-0", "file-0", "file-1", "file-2"]
    assert batches[-1].start == len("1\n")
    positions = {batch.partition: int(batch.ends[-1]) for batch in batches}
    assert nothing(opened(path, positions, notes(batches)))
    again = opened(path, {}, notes(batches))
    repeated = [b for batch in batches for b in again.read_range(batch.partition, batch.start, int(batch.ends[-1]))]
    assert values(repeated) == values(batches)


def test_what_goes_on_behind_a_line_closed_by_rotation_is_skipped_to_the_next_line(
    opened: Opener, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    append(path, '{"a":1}\n{"a":{"b":2}')
    append(path, "}")
    source = opened(path)
    batches = read(source, 1)
    writer = path.open("a")
    path.rename(tmp_path / "a.jsonl.1")
    append(path, '{"a":3}\n')
    batches += read(source, 2)
    writer.write(" and ")
    writer.flush()
    assert nothing(source)
    writer.write('more\n{"a":4}\n')
    writer.close()
    batches += read(source, 1)
    assert values(batches) == ['{"a":1}', '{"a":{"b":2}}', '{"a":3}', '{"a":4}']
    assert where(batches)[-1] == "file-2"


def test_a_truncated_file_begins_anew_as_the_next_partition(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append(path, "1\n2\n")
    source = opened(path)
    read(source, 2)
    os.truncate(path, 0)
    assert nothing(source)
    append(path, "3\n")
    after = read(source, 1)
    assert (values(after), where(after), after[0].start) == (["3"], ["file-1"], 0)


def test_a_file_overwritten_to_the_same_length_is_seen(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append(path, "1\n2\n")
    source = opened(path)
    read(source, 2)
    path.write_text("7\n8\n9\n")
    after = read(source, 3)
    assert (values(after), set(where(after))) == (["7", "8", "9"], {"file-1"})


def test_copytruncate_loses_nothing_where_the_copy_is_at_hand(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [f'{{"id": {i}, "text": "{"x" * 100}"}}' for i in range(100)]
    append(path, "\n".join(lines[:50]) + "\n")
    source = opened(path)
    batches = read(source, 50)
    append(path, "\n".join(lines[50:]) + "\n")
    (tmp_path / "a.jsonl.1").write_bytes(path.read_bytes())
    os.truncate(path, 0)
    append(path, "new\n")
    batches += read(source, 51)
    assert values(batches) == [*lines, "new"]
    assert where(batches)[-1] == "file-1"
    again = opened(path, {}, notes(batches))
    assert values(list(again.read_range("file-0", 0, int(batches[-2].ends[-1])))) == lines


def test_truncation_while_nothing_ran_is_met_with_the_new_content(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append(path, "1\n2\n")
    first = read(opened(path), 2)
    os.truncate(path, 0)
    append(path, "3\n")
    after = read(opened(path, {"file-0": 4}, notes(first)), 1)
    assert (values(after), where(after)) == (["3"], ["file-1"])


def test_a_file_that_appears_late_is_read_whatever_its_name(opened: Opener, tmp_path: Path) -> None:
    append(tmp_path / "b.jsonl", "1\n")
    source = opened(tmp_path)
    batches = read(source, 1)
    append(tmp_path / "c.jsonl", "2\n")
    batches += read(source, 1)
    append(tmp_path / "a.jsonl", "3\n")
    batches += read(source, 1)
    append(tmp_path / "b.jsonl", "4\n")
    batches += read(source, 1)
    assert values(batches) == ["1", "2", "3", "4"]
    assert where(batches) == ["file-0", "file-1", "file-2", "file-0"]
    positions = {batch.partition: int(batch.ends[-1]) for batch in batches}
    append(tmp_path / "aa.jsonl", "5\n")
    rest = read(opened(tmp_path, positions, notes(batches)), 1)
    assert (values(rest), where(rest)) == (["5"], ["file-3"])


def test_a_directory_that_is_not_there_yet_is_waited_for(opened: Opener, tmp_path: Path) -> None:
    source = opened(tmp_path / "in" / "*.jsonl")
    assert nothing(source)
    (tmp_path / "in").mkdir()
    append(tmp_path / "in" / "a.jsonl", "1\n")
    assert values(read(source, 1)) == ["1"]


def test_below_a_glob_of_folders_new_files_are_found(opened: Opener, tmp_path: Path) -> None:
    source = opened(tmp_path / "**" / "*.jsonl")
    assert nothing(source)
    (tmp_path / "x" / "y").mkdir(parents=True)
    append(tmp_path / "x" / "y" / "a.jsonl", "1\n")
    assert values(read(source, 1)) == ["1"]


def test_a_glob_over_rotated_names_reads_each_file_once(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append(path, "1\n")
    source = opened(tmp_path / "a.jsonl*")
    batches = read(source, 1)
    for turn in range(2, 6):
        for old in sorted(tmp_path.glob("a.jsonl.*"), reverse=True):
            old.rename(tmp_path / f"a.jsonl.{int(old.suffix[1:]) + 1}")
        path.rename(tmp_path / "a.jsonl.1")
        append(path, f"{turn}\n")
        batches += read(source, 1)
    assert values(batches) == ["1", "2", "3", "4", "5"]
    positions = {batch.partition: int(batch.ends[-1]) for batch in batches}
    assert nothing(opened(tmp_path / "a.jsonl*", positions, notes(batches)))


def test_an_unfinished_line_of_an_older_quiet_file_is_a_record(opened: Opener, tmp_path: Path) -> None:
    append(tmp_path / "a.jsonl", "1\n2")
    append(tmp_path / "b.jsonl", "3\n")
    source = opened(tmp_path)
    assert values(read(source, 2)) == ["1", "3"]
    assert nothing(source)
    long_ago = time.time() - 60
    os.utime(tmp_path / "a.jsonl", (long_ago, long_ago))
    assert values(read(source, 1)) == ["2"]


def test_an_archive_that_is_still_being_copied_is_waited_for(opened: Opener, tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(b"%d\n" % (i * 7919) for i in range(3000)))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed[:3000])
    source = opened(path)
    batches = read(source, 100)
    assert batches
    assert not any(batch.defects for batch in batches)
    with path.open("ab") as file:
        file.write(packed[3000:])
    batches += read(source, 3000 - sum(map(len, batches)))
    assert values(batches) == [str(i * 7919) for i in range(3000)]


def test_the_note_grows_with_the_head_of_a_file(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append(path, "1\n")
    source = opened(path)
    batches = read(source, 1)
    append(path, ("x" * 99 + "\n") * 20)
    batches += read(source, 20)
    append(path, "2\n")
    batches += read(source, 1)
    assert [note["head_bytes"] for note in notes(batches)] == [2, 1024]


def test_follows_more_files_than_it_keeps_open(opened: Opener, tmp_path: Path) -> None:
    for index in range(150):
        append(tmp_path / f"{index:03d}.jsonl", f"{index}\n")
    before = open_descriptors()
    source = opened(tmp_path)
    assert values(read(source, 150)) == [str(index) for index in range(150)]
    assert open_descriptors() - before < 100
    append(tmp_path / "003.jsonl", "more\n")
    late = read(source, 1)
    assert (values(late), where(late)) == (["more"], ["file-3"])


@pytest.mark.parametrize("pattern", ["in/stream.jsonl", "in/*.jsonl", "in"])
def test_a_source_is_away_until_its_directory_is_there_and_when_that_goes(
    opened: Opener, tmp_path: Path, pattern: str
) -> None:
    source = opened(tmp_path / pattern)
    assert source.read(0.2) is None
    assert not source.connected
    (tmp_path / "in").mkdir()
    stream = tmp_path / "in" / "stream.jsonl"
    stream.touch()
    append(stream, '{"a": 1}\n')
    assert len(values(read(source, 1))) == 1
    assert source.connected
    stream.rename(tmp_path / "in" / "stream.old")  # it is rotated, and nothing was written since
    assert source.read(0.3) is None
    assert source.connected
    (tmp_path / "in").rename(tmp_path / "away")
    deadline = time.monotonic() + 10
    while source.connected and time.monotonic() < deadline:
        source.read(0.1)
    assert not source.connected
    (tmp_path / "away").rename(tmp_path / "in")
    append(stream, '{"a": 2}\n')
    assert len(values(read(source, 1))) == 1
    assert source.connected
