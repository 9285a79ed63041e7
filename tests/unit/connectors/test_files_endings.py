"""A last line without its end: it trains if the file ends there, and never half."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from structlog.testing import capture_logs

from learnd.connectors.files.settings import FilesSettings
from learnd.connectors.files.source import FilesSource
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Note, Positions, RecordBatch, RecordFormat

JSON = RecordFormat("json")
CSV = RecordFormat("csv")
PARQUET = RecordFormat("parquet")
SUFFIXES = ["", ".gz", ".zst"]


class Runs:
    """Runs over the same path, each from where the one before ended, as a state directory would have it."""

    def __init__(self, path: Path, fmt: RecordFormat) -> None:
        self.path, self.fmt = path, fmt
        self.positions: Positions = {}
        self.notes: list[Note] = []

    def __call__(self, **more: object) -> list[object]:
        """Return the records of one run, without the broken ones."""
        source = FilesSource(FilesSettings.model_validate({"path": str(self.path)} | more), self.fmt)
        try:
            source.open(self.positions, self.notes)
            batches: list[RecordBatch] = []
            while not source.exhausted:
                if (batch := source.read(1.0)) is not None:
                    batches.append(batch)
                    self.positions[batch.partition] = int(batch.ends[-1])
                    self.notes += [batch.note] if batch.note is not None else []
        finally:
            source.close()
        return [v for b in batches for i, v in enumerate(b.values) if i not in (b.defects or {})]


def add(path: Path, data: bytes) -> None:
    """Append to a file; to an archive as a member of its own."""
    pack: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstandard.compress}
    with path.open("ab") as file:
        file.write(pack.get(path.suffix, bytes)(data))


def cut_archive(path: Path, data: bytes, shown: int) -> bytes:
    """Write an archive of `data` that can be unpacked to its first `shown` bytes; return the rest of the archive."""
    packed = io.BytesIO()
    if path.suffix == ".gz":
        with gzip.GzipFile(fileobj=packed, mode="wb") as writer:
            writer.write(data[:shown])
            writer.flush()
            length = packed.tell()
            writer.write(data[shown:])
    else:
        frames = zstandard.ZstdCompressor().stream_writer(packed, closefd=False)
        frames.write(data[:shown])
        frames.flush(zstandard.FLUSH_BLOCK)
        length = packed.tell()
        frames.write(data[shown:])
        frames.close()
    path.write_bytes(packed.getvalue()[:length])
    return packed.getvalue()[length:]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("fmt", "whole", "records"),
    [
        (CSV, b"a,b,price\n1,2,100\n4,5,12", [b"1,2,100", b"4,5,12"]),
        (CSV, b'a,b\n1,"x\ny"', [b'1,"x\ny"']),
        (JSON, b'{"a":1}\n{"a":2}', [b'{"a":1}', b'{"a":2}']),
    ],
)
def test_a_file_that_lacks_its_last_line_feed_is_read_whole(
    tmp_path: Path, suffix: str, fmt: RecordFormat, whole: bytes, records: list[bytes]
) -> None:
    path = tmp_path / f"a{suffix}"
    add(path, whole)
    run = Runs(path, fmt)
    assert run() == records
    assert run() == []
    add(path, b"\n7,8,9\n" if fmt is CSV else b'\r\n{"a":3}\n')
    assert run() == ([b"7,8,9"] if fmt is CSV else [b'{"a":3}'])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("fmt", "first", "second"),
    [
        (CSV, b"a,b,price\n1,2,100\n2,3,200\n4,5,12", b"50\n7,8,9\n"),
        (CSV, b"a,b,price\n1,2,100\n4", b"4,5,1250\n7,8,9\n"),
        (CSV, b"a,b,c\n1,2,3\n3,4,5", b'"5"\n7,8,9\n'),
        (CSV, b'a,b,c\n1,2,3\n3,1,"x\n4,5,6\n', b'"\n7,8,9\n'),
        (CSV, b'a,b,c\n1,2,3\n3,1,"x\n4,5,6', b'"\n7,8,9\n'),
        (JSON, b'{"a":1}\n{"a":{"b":2}}', b"x\n7,8,9\n"),
    ],
)
def test_a_line_that_goes_on_after_it_trained_is_refused_or_given_up(
    tmp_path: Path, suffix: str, fmt: RecordFormat, first: bytes, second: bytes
) -> None:
    path = tmp_path / f"a{suffix}"
    add(path, first)
    run = Runs(path, fmt)
    run()
    add(path, second)
    for _ in range(2):
        with pytest.raises(SourceError, match=r"a\S* \(file-0\) goes on in the middle of a line.*when_gone: skip"):
            run()
    assert run(when_gone="skip") == [b"7,8,9"]
    add(path, b"10,11,12\n")
    assert run() == [b"10,11,12"]


@pytest.mark.parametrize("half", [b'{"a":2, "b', b'{"a":2, "b":{"c":3}', b'{"a":2, "b":{"c"', b"{"])
def test_half_a_json_line_is_read_again_when_it_is_whole(tmp_path: Path, half: bytes) -> None:
    line = b'{"a":2, "b":{"c":3}}' if half.startswith(b'{"a":2, "b":{') else b'{"a":2, "b":3}'
    path = tmp_path / "a.jsonl"
    add(path, b'{"a":1}\n' + half)
    run = Runs(path, JSON)
    assert run() == [b'{"a":1}', half]
    assert run() == []
    add(path, line.removeprefix(half) + b'\n{"a":4}\n')
    with capture_logs() as lines:
        assert run() == [line, b'{"a":4}']
    assert [line["event"] for line in lines] == ["files.went_on"]
    assert "read again" in lines[0]["consequence"]
    assert run() == []


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("shown", [25, 26, 32, 33])
def test_an_archive_that_is_completed_later_gives_each_record_once(tmp_path: Path, suffix: str, shown: int) -> None:
    data = b"a,b,price\n1,2,100\n4,5,1250\n6,7,300\n"
    path = tmp_path / f"a.csv{suffix}"
    rest = cut_archive(path, data, shown)
    run = Runs(path, CSV)
    first = run()
    assert run() == []
    with path.open("ab") as file:
        file.write(rest)
    assert first + run() == [b"1,2,100", b"4,5,1250", b"6,7,300"]
    assert run() == []


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_an_archive_cut_within_quotes_gives_no_record_of_what_is_in_them(tmp_path: Path, suffix: str) -> None:
    data = b'a,b\n1,2\n3,"x\n4,5\n6,7\n"\n8,9\n'
    path = tmp_path / f"a.csv{suffix}"
    rest = cut_archive(path, data, data.index(b"6"))
    run = Runs(path, CSV)
    assert run() == [b"1,2"]
    with path.open("ab") as file:
        file.write(rest)
    assert run() == [b'3,"x\n4,5\n6,7\n"', b"8,9"]


def test_a_parquet_file_that_is_completed_later_is_read_from_its_first_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": list(range(5))}), tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    path = tmp_path / "a.parquet"
    path.write_bytes(data[:-20])
    run = Runs(path, PARQUET)
    assert run() == []
    with path.open("ab") as file:
        file.write(data[-20:])
    assert run() == [{"a": i} for i in range(5)]
    assert run() == []


def test_a_file_that_grows_while_its_last_line_is_read_is_not_read_on_within_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    add(path, b"a,b\n1,2\n3,4")
    source = FilesSource(FilesSettings(path=str(path)), CSV)
    source.open({}, [])
    batches = []
    while (batch := source.read(1.0)) is not None:
        batches.append(batch)
        if b"3,4" in list(batch.values):
            add(path, b"5\n6,7\n")
    source.close()
    assert [value for batch in batches for value in batch.values] == [b"1,2", b"3,4"]
    positions = {"file-0": int(batches[-1].ends[-1])}
    again = FilesSource(FilesSettings(path=str(path)), CSV)
    again.open(positions, [batch.note for batch in batches if batch.note is not None])
    with pytest.raises(SourceError, match="in the middle of a line"):
        again.read(1.0)
    again.close()
