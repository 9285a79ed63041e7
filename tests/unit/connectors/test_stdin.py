"""Standard input: real pipes, and daemons that are killed while they read them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from learnd.connectors.files import stdin as stdin_module
from learnd.connectors.files.settings import StdinSettings
from learnd.connectors.files.stdin import StdinSource
from learnd.daemon.errors import SettingsError, SourceError
from learnd.daemon.values import Note, Positions, RecordBatch, RecordFormat

JSON = RecordFormat("json")
CSV = RecordFormat("csv")


class Pipe:
    """A pipe whose writing end is fed by the test."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()

    def write(self, data: bytes) -> None:
        os.write(self._writing, data)

    def feed(self, data: bytes) -> None:
        """Write from another thread, and close."""

        def run() -> None:
            with os.fdopen(self._writing, "wb") as writing:
                writing.write(data)

        threading.Thread(target=run, daemon=True).start()

    def close(self) -> None:
        os.close(self._writing)


def opened(
    pipe: Pipe,
    state: Path,
    positions: Positions | None = None,
    notes: list[Note] | None = None,
    fmt: RecordFormat = JSON,
) -> StdinSource:
    source = StdinSource(StdinSettings(max_record_bytes=1024), fmt, state, pipe.reading)
    source.open(positions or {}, notes or [])
    return source


def drain(source: StdinSource, until: Callable[[list[RecordBatch]], bool] = lambda _: False) -> list[RecordBatch]:
    """Read to the end, or until enough has arrived."""
    batches: list[RecordBatch] = []
    deadline = time.monotonic() + 20
    while not source.exhausted and not until(batches) and time.monotonic() < deadline:
        if (batch := source.read(0.05)) is not None:
            batches.append(batch)
    return batches


def values(batches: list[RecordBatch]) -> list[bytes]:
    return [value for batch in batches for value in batch.values if isinstance(value, bytes)]


def after(batches: list[RecordBatch]) -> Positions:
    return {batch.partition: int(batch.ends[-1]) for batch in batches}


def notes(batches: list[RecordBatch]) -> list[Note]:
    return [batch.note for batch in batches if batch.note is not None]


def count(number: int) -> Callable[[list[RecordBatch]], bool]:
    return lambda batches: sum(map(len, batches)) >= number


def test_reads_a_pipe_to_its_end_and_its_last_line_without_a_feed(tmp_path: Path) -> None:
    pipe = Pipe()
    pipe.feed(b"1\n\n2\n3")
    source = opened(pipe, tmp_path)
    assert values(drain(source)) == [b"1", b"2", b"3"]
    assert source.exhausted
    source.close()


def test_the_same_pipe_goes_on_in_the_middle_of_a_line(tmp_path: Path) -> None:
    pipe = Pipe()
    pipe.write(b"1\n2")
    source = opened(pipe, tmp_path)
    batches = drain(source, count(1))
    assert source.read(0.05) is None
    source.close()
    pipe.write(b"2\n3\n")
    pipe.close()
    again = opened(pipe, tmp_path, after(batches), notes(batches))
    batches += drain(again)
    again.close()
    assert values(batches) == [b"1", b"22", b"3"]
    assert len(list((tmp_path / "spool").iterdir())) == 1


def test_another_pipe_begins_another_segment(tmp_path: Path) -> None:
    first, second = Pipe(), Pipe()
    first.write(b"1\nunfinished")
    source = opened(first, tmp_path)
    batches = drain(source, count(1))
    source.close()
    second.feed(b"2\n")
    again = opened(second, tmp_path, after(batches), notes(batches))
    batches += drain(again)
    again.close()
    assert values(batches) == [b"1", b"unfinished", b"2"]
    assert [batch.partition for batch in batches] == ["file-0", "file-0", "file-1"]


def test_what_was_spooled_and_not_trained_comes_again(tmp_path: Path) -> None:
    pipe = Pipe()
    pipe.feed(b"".join(b"%d\n" % i for i in range(5000)))
    source = opened(pipe, tmp_path)
    batches = drain(source)
    source.close()
    again = opened(pipe, tmp_path, {"file-0": int(batches[1].ends[-1])}, notes(batches))
    repeated = list(again.read_range("file-0", int(batches[1].ends[-1]), int(batches[2].ends[-1])))
    rest = drain(again)
    again.close()
    assert values(repeated) == values(batches[2:3])
    assert values(rest) == values(batches[3:])


@pytest.mark.parametrize("fmt", [JSON, CSV], ids=["json", "csv"])
def test_long_streams_go_through_segments_that_are_deleted_when_they_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fmt: RecordFormat
) -> None:
    monkeypatch.setattr(stdin_module, "SEGMENT_BYTES", 10_000)
    monkeypatch.setattr(stdin_module, "_PIECE_BYTES", 7_001)
    lines = [b'{"id": %d}' % i if fmt is JSON else b'%d,"two\nlines"' % i for i in range(8000)]
    pipe = Pipe()
    pipe.feed(b"\n".join([b"id,text", *lines] if fmt is CSV else lines))
    source = opened(pipe, tmp_path, fmt=fmt)
    batches = drain(source)
    assert values(batches) == lines
    assert not any(batch.defects for batch in batches)
    names = sorted(path.name for path in (tmp_path / "spool").iterdir())
    assert len(names) > 3
    middle = batches[: len(batches) // 2]
    source.commit(after(batches), after(middle))
    left = sorted(path.name for path in (tmp_path / "spool").iterdir())
    assert 1 < len(left) < len(names)
    assert left == names[-len(left) :]
    source.close()
    again = opened(pipe, tmp_path, after(middle), notes(middle), fmt)
    assert values(drain(again)) == lines[len(values(middle)) :]
    again.close()


def test_a_kill_between_two_segments_is_mended(tmp_path: Path) -> None:
    pipe = Pipe()
    pipe.write(b"1\n" * 1000 + b"hal")
    source = opened(pipe, tmp_path)
    batches = drain(source, count(1000))
    source.close()
    segment = next((tmp_path / "spool").iterdir())
    number, tag, _ = segment.stem.split("-")
    (tmp_path / "spool" / f"{int(number) + 1:06d}-{tag}-2000.jsonl").write_bytes(b"hal")
    (tmp_path / "spool" / "000003-x-0.new").write_bytes(b"h")
    pipe.write(b"f\n")
    pipe.close()
    again = opened(pipe, tmp_path, after(batches), notes(batches))
    assert values(drain(again)) == [b"half"]
    again.close()


def test_a_writer_waits_while_the_spool_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdin_module, "SEGMENT_BYTES", 100_000)
    monkeypatch.setattr(stdin_module, "_PIECE_BYTES", 10_000)
    pipe = Pipe()
    lines = [b"%06d" % i for i in range(200_000)]
    pipe.feed(b"\n".join(lines))
    source = opened(pipe, tmp_path)
    batches = []
    for _ in range(20):
        if (batch := source.read(0.05)) is not None:
            batches.append(batch)
        assert sum(source.lag().values()) <= 100_000 + 10_000
    batches += drain(source)
    source.close()
    assert values(batches) == lines


def test_input_that_is_no_pipe_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"1\n2\n")
    stream = os.open(path, os.O_RDONLY)
    source = StdinSource(StdinSettings(), JSON, tmp_path, stream)
    source.open({}, [])
    assert values(drain(source)) == [b"1", b"2"]
    source.close()
    os.close(stream)


def test_parquet_is_refused() -> None:
    with pytest.raises(SettingsError, match="Parquet"):
        StdinSource(StdinSettings(), RecordFormat("parquet"), Path("state"))


def test_a_spool_that_is_gone_is_named(tmp_path: Path) -> None:
    pipe = Pipe()
    pipe.feed(b"1\n2\n")
    source = opened(pipe, tmp_path)
    batches = drain(source)
    source.close()
    for segment in (tmp_path / "spool").iterdir():
        segment.unlink()
    with pytest.raises(SourceError, match="spool"):
        opened(pipe, tmp_path, {"file-0": 2}, notes(batches))


CHILD = """
import json, sys
from pathlib import Path
from learnd.connectors.files.settings import StdinSettings
from learnd.connectors.files.stdin import StdinSource
from learnd.daemon.values import RecordFormat
root = Path(sys.argv[1])
journal = root / "journal"
entries = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
source = StdinSource(StdinSettings(), RecordFormat("json"), root)
source.open({e["partition"]: e["end"] for e in entries}, [e["note"] for e in entries if e["note"]])
with journal.open("a") as log:
    while not source.exhausted:
        batch = source.read(0.05)
        if batch is not None:
            values = [value.decode() for value in batch.values]
            entry = {"partition": batch.partition, "end": int(batch.ends[-1]), "note": batch.note, "values": values}
            log.write(json.dumps(entry) + "\\n")
            log.flush()
source.close()
"""


def test_no_record_is_lost_or_torn_by_kills(tmp_path: Path) -> None:
    """One pipe, outliving the daemons that read it, each killed while bytes are on their way."""
    reading, writing = os.pipe()
    number = 60_000
    stop_after = threading.Event()

    def feed() -> None:
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            data = b"".join(b'{"id": %d}\n' % i for i in range(number))
            for first in range(0, len(data), 997):
                pipe.write(data[first : first + 997])
                stop_after.wait(0.0005)

    threading.Thread(target=feed, daemon=True).start()
    for life in range(6):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdin=reading)
        if life < 5:
            grown_from = journal_size(tmp_path)
            while child.poll() is None and journal_size(tmp_path) <= grown_from:
                time.sleep(0.005)
            child.send_signal(signal.SIGKILL)
            child.wait()
            cut_torn_entry(tmp_path / "journal")
        else:
            stop_after.set()
            assert child.wait() == 0
    os.close(reading)
    entries = [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()]
    found = [json.loads(value)["id"] for entry in entries for value in entry["values"]]
    assert found == list(range(number))


def journal_size(root: Path) -> int:
    path = root / "journal"
    return path.stat().st_size if path.exists() else 0


def cut_torn_entry(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: data.rfind(b"\n") + 1])


def test_a_pipe_that_is_written_again_after_it_ended_in_a_line_begins_another_line(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    batches: list[RecordBatch] = []
    for text in (b"1\n2", b"3\n4", b"5\n"):
        pipe = Pipe()
        pipe.close()
        os.close(pipe.reading)
        pipe.reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        with fifo.open("wb") as writing:
            writing.write(text)
        source = opened(pipe, tmp_path, after(batches), notes(batches))
        batches += drain(source)
        source.close()
        os.close(pipe.reading)
    assert values(batches) == [b"1", b"2", b"3", b"4", b"5"]
