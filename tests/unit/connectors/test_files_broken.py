"""Files that are broken, too long, replaced or gone."""

import gzip
import json
import resource
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from structlog.testing import capture_logs

from learnd.connectors.files.settings import FilesSettings
from learnd.connectors.files.source import FilesSource
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Defect, Note, Positions, RecordBatch, RecordFormat

JSON = RecordFormat("json")
CSV = RecordFormat("csv")
PARQUET = RecordFormat("parquet")


def opened(
    path: Path | str,
    fmt: RecordFormat = JSON,
    positions: Positions | None = None,
    notes: list[Note] | None = None,
    **more: object,
) -> FilesSource:
    source = FilesSource(FilesSettings.model_validate({"path": str(path)} | more), fmt)
    source.open(positions or {}, notes or [])
    return source


def drain(source: FilesSource) -> list[RecordBatch]:
    batches = []
    while not source.exhausted:
        if (batch := source.read(1.0)) is not None:
            batches.append(batch)
    source.close()
    return batches


def records(batches: list[RecordBatch]) -> list[tuple[object, str | None]]:
    found: list[tuple[object, str | None]] = []
    for batch in batches:
        defects = batch.defects or {}
        found += [(value, defects[i].reason if i in defects else None) for i, value in enumerate(batch.values)]
    return found


def defects(batches: list[RecordBatch]) -> list[Defect]:
    return [defect for batch in batches for defect in (batch.defects or {}).values()]


def after(batches: list[RecordBatch]) -> Positions:
    return {batch.partition: int(batch.ends[-1]) for batch in batches}


def notes(batches: list[RecordBatch]) -> list[Note]:
    return [batch.note for batch in batches if batch.note is not None]


def resumed_anywhere_gives_the_rest(path: Path, fmt: RecordFormat = JSON) -> None:
    batches = drain(opened(path, fmt))
    everything = records(batches)
    done = 0
    for batch in batches:
        for row, end in enumerate(batch.ends.tolist()):
            positions = after(batches[: batches.index(batch)]) | {batch.partition: end}
            rest = records(drain(opened(path, fmt, positions, notes(batches))))
            assert rest == everything[done + row + 1 :]
        done += len(batch)


def test_a_line_over_the_limit_is_rejected_and_the_next_one_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n" + b"x" * 5000 + b"\n2\n" + b"y" * 3_000_000 + b"\r\n3\n" + b"z" * 2000)
    batches = drain(opened(path, max_record_bytes=1024))
    assert records(batches) == [
        (b"1", None),
        (b"x" * 1024, "oversized"),
        (b"2", None),
        (b"y" * 1024, "oversized"),
        (b"3", None),
        (b"z" * 1024, "oversized"),
    ]
    assert "5000 bytes" in defects(batches)[0].detail
    assert int(batches[-1].ends[-1]) == path.stat().st_size


def test_an_endless_line_takes_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b"1\n")
        file.truncate(500_000_000)  # sparse
        file.seek(0, 2)
        file.write(b"\n2\n")
    script = f"""
import resource
from learnd.connectors.files.source import FilesSource
from learnd.connectors.files.settings import FilesSettings
from learnd.daemon.values import RecordFormat
source = FilesSource(FilesSettings(path={str(path)!r}), RecordFormat("json"))
source.open({{}}, [])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
values = []
while not source.exhausted:
    batch = source.read(0.2)
    values += batch.values if batch else []
print([len(value) for value in values], (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lengths, grown_mib = done.stdout.rsplit(maxsplit=1)
    assert json.loads(lengths) == [1, 1024, 1]
    assert int(grown_mib) < 20


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_bomb_takes_bounded_memory(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    zeros = bytes(300_000_000)
    path.write_bytes(gzip.compress(zeros, 6) if suffix == ".gz" else zstandard.ZstdCompressor().compress(zeros))
    del zeros
    source = opened(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert [reason for _, reason in records(drain(source))] == ["oversized"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80 * 1024


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_truncated_archive_ends_with_a_defect_and_the_next_file_follows(tmp_path: Path, suffix: str) -> None:
    data = b"".join(b'{"id": %d}\n' % (i * 7919) for i in range(4000))
    pack = gzip.compress if suffix == ".gz" else zstandard.compress
    packed = pack(b'{"id": -1}\n' + data)
    (tmp_path / f"a.jsonl{suffix}").write_bytes(packed[: len(packed) // 2])
    (tmp_path / f"b.jsonl{suffix}").write_bytes(pack(data))
    found = records(drain(opened(tmp_path)))
    lines = [(line, None) for line in data.splitlines()]
    first = [(b'{"id": -1}', None), *lines]
    broken = [index for index, (_, reason) in enumerate(found) if reason]
    assert [found[index][1] for index in broken] == ["truncated"]
    if suffix == ".gz":
        assert broken[0] > 1000
    assert found[: broken[0]] == first[: broken[0]]
    assert found[broken[0] + 1 :] == lines


@pytest.mark.parametrize("damage", ["crc", "middle", "garbage behind"])
def test_a_damaged_gzip_gives_what_comes_before_the_damage(tmp_path: Path, damage: str) -> None:
    lines = [b'{"id": %d}' % (i * 7919) for i in range(4000)]
    packed = bytearray(gzip.compress(b"\n".join(lines) + b"\n"))
    if damage == "crc":
        packed[-8] ^= 1
    elif damage == "middle":
        packed[len(packed) // 2 : len(packed) // 2 + 40] = b"\xff" * 40
    else:
        packed += b"no gzip"
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed)
    found = records(drain(opened(path)))
    assert found[-1][1] == "corrupt"
    assert len(found) > 1000
    good = [value for value, reason in found[:-1]]
    assert good == lines if damage != "middle" else good[:1000] == lines[:1000]


def test_a_damaged_zstd_is_named(tmp_path: Path) -> None:
    packed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(b"1\n2\n" * 5000))
    packed[-1] ^= 1
    (tmp_path / "a.jsonl.zst").write_bytes(packed)
    assert records(drain(opened(tmp_path)))[-1][1] == "corrupt"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"\xef", b"\xef\xbb\xbf1\n\xef\xbb\xbf2"])
def test_odd_little_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    expected = [line for line in content.replace(b"\xef\xbb\xbf", b"").split(b"\n") if line]
    assert [value for value, _ in records(drain(opened(path)))] == expected


@pytest.mark.parametrize(
    ("content", "columns", "rows"),
    [
        (b"", None, []),
        (b"a,b", None, []),
        (b"a,b\n1,2", ("a", "b"), [(b"1,2", None)]),
        (b'"a\nx";b\r\n1;2\r\n', ("a\nx", "b"), [(b"1;2", None)]),
        (b'\n\na;b\n1;"\n', ("a", "b"), [(b'1;"', "corrupt")]),
        (b'a;b\n"1;2\n3;4\n', ("a", "b"), [(b'"1;2', "corrupt"), (b"3;4", None)]),
        (b'a;b\n1;"2\n3;4\n"5";6\n', ("a", "b"), [(b'1;"2', "corrupt"), (b"3;4", None), (b'"5";6', None)]),
        (
            b'a;b\n"1;2\n3;4\n5";6;7\n8;9',
            ("a", "b"),
            [(b'"1;2\n3;4\n5";6;7', None), (b"8;9", None)],
        ),
        (b'a;b\n1;"2\n3;4\n5;"6"', ("a", "b"), [(b'1;"2', "corrupt"), (b"3;4", None), (b'5;"6"', None)]),
        (b'a;b\n1;"x\r\ny"\r\n3;4\r\n', ("a", "b"), [(b'1;"x\r\ny"', None), (b"3;4", None)]),
        (b'a;b\n5" pipe;2\n"x""y\nz";4\n', ("a", "b"), [(b'5" pipe;2', None), (b'"x""y\nz";4', None)]),
    ],
)
def test_csv_headers_and_quotes(
    tmp_path: Path, content: bytes, columns: tuple[str, ...] | None, rows: list[tuple[bytes, str | None]]
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content if b";" in content else content.replace(b",", b";"))
    batches = drain(opened(path, RecordFormat("csv", ";")))
    assert records(batches) == [(value.replace(b",", b";"), reason) for value, reason in rows]
    assert {batch.columns for batch in batches} <= {columns}
    resumed_anywhere_gives_the_rest(path, RecordFormat("csv", ";"))


def test_a_stray_quote_swallows_no_line_and_its_dead_letter_says_where_it_opened(tmp_path: Path) -> None:
    rows = [f'{n},"{n}' if n % 17 == 0 else f'{n},"a, b"' if n % 5 == 0 else f"{n},c" for n in range(1, 1000)]
    path = tmp_path / "a.csv"
    path.write_text("n,t\n" + "\n".join(rows) + "\n")
    batches = drain(opened(path, CSV))
    found = records(batches)
    assert [value for value, _ in found] == [row.encode() for row in rows]
    assert {value for value, reason in found if reason} == {row.encode() for row in rows if row.count('"') == 1}
    detail = defects(batches)[-1].detail
    assert "a quoted cell opens at byte 5 of this record and is not closed as one" in detail
    assert "its line is rejected, and the next one is a record of its own" in detail
    assert "samples.quote: none" in detail
    source = opened(path, CSV, {}, notes(batches))
    ends = [int(end) for batch in batches for end in batch.ends]
    again = [found for start, end in pairwise(ends) for found in source.read_range("file-0", start, end)]
    source.close()
    assert records(again) == found[1:]
    assert defects(again) == defects(batches)


def test_without_quotes_each_line_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"n,t\n1,"x\n"2,y\n3,z"\n')
    fmt = RecordFormat("csv", quoted=False)
    batches = drain(opened(path, fmt))
    assert records(batches) == [(b'1,"x', None), (b'"2,y', None), (b'3,z"', None)]
    assert batches[0].columns == ('"n', "t")
    resumed_anywhere_gives_the_rest(path, fmt)


def test_each_csv_file_has_its_own_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "b.csv").write_text("b,a\n3,4\n")
    assert [batch.columns for batch in drain(opened(tmp_path, CSV))] == [("a", "b"), ("b", "a")]


@pytest.mark.parametrize("cut", [5, 20, 60])
def test_resumes_around_the_defect_of_a_broken_archive(tmp_path: Path, cut: int) -> None:
    packed = gzip.compress(b"".join(b"%d\n" % (i * 7919) for i in range(30)))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed[:cut])
    resumed_anywhere_gives_the_rest(path)
    batches = drain(opened(path))
    source = opened(path, JSON, {}, notes(batches))
    again = [b for batch in batches for b in source.read_range(batch.partition, batch.start, int(batch.ends[-1]))]
    assert records(again) == records(batches)
    assert source.read(0.0) is None
    source.close()


def test_a_file_that_is_not_parquet_is_one_defect(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nonsense PAR1")
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "c.parquet")
    found = records(drain(opened(tmp_path, PARQUET)))
    assert [reason for _, reason in found] == ["truncated", "corrupt", None, None]
    assert found[2:] == [({"a": 1}, None), ({"a": 2}, None)]
    resumed_anywhere_gives_the_rest(tmp_path, PARQUET)


def test_a_damaged_row_group_is_one_defect_and_the_next_one_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"a": [str(i) for i in range(30)]})
    pq.write_table(table, path, row_group_size=10, compression="zstd", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    first = column.data_page_offset
    data[first : first + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)
    found = records(drain(opened(path, PARQUET)))
    assert [value for value, reason in found if reason is None] == [{"a": str(i)} for i in (*range(10), *range(20, 30))]
    assert [reason for _, reason in found if reason] == ["corrupt"]
    resumed_anywhere_gives_the_rest(path, PARQUET)


def test_one_file_that_was_replaced_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("1\n2\n3\n")
    source = opened(path)
    first = source.read(1.0)
    assert first is not None
    source.close()
    path.unlink()
    path.write_text("7\n8\n9\n")
    unfinished = [dict(note, end=None) for note in notes([first])]
    with pytest.raises(SourceError, match=r"a\.jsonl.*offset 2.*when_gone: skip"):
        opened(path, JSON, {"file-0": 2}, unfinished)
    assert [v for v, _ in records(drain(opened(path, JSON, {"file-0": 2}, unfinished, when_gone="skip")))] == [
        b"7",
        b"8",
        b"9",
    ]


def test_a_file_deleted_after_it_was_read_whole_is_not_missed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("1\n")
    batches = drain(opened(tmp_path))
    (tmp_path / "a.jsonl").unlink()
    (tmp_path / "b.jsonl").write_text("2\n")
    rest = drain(opened(tmp_path, JSON, after(batches), notes(batches)))
    assert [(batch.partition, *batch.values) for batch in rest] == [("file-1", b"2")]


def test_the_journal_needs_a_file_that_is_gone(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text(f'"{name}"\n')
    batches = drain(opened(tmp_path))
    (tmp_path / "a.jsonl").unlink()
    source = opened(tmp_path, JSON, {}, notes(batches))
    with pytest.raises(SourceError, match=r"a\.jsonl \(file-0\).*offset 0"):
        list(source.read_range("file-0", 0, 4))
    source.close()


def test_what_was_added_to_a_file_that_had_ended_is_read_by_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("1\n2")
    batches = drain(opened(path))
    with path.open("a") as file:
        file.write("\n3\n")
    rest = drain(opened(path, JSON, after(batches), notes(batches)))
    assert [value for value, _ in records(batches + rest)] == [b"1", b"2", b"3"]


def test_a_directory_that_was_copied_elsewhere_is_found_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a.jsonl").write_text("1\n2\n")
    batches = drain(opened(tmp_path / "old"))
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    shutil.rmtree(tmp_path / "old")
    positions = {"file-0": 2}
    rest = drain(opened(tmp_path / "new", JSON, positions, notes(batches)))
    assert [(batch.partition, *batch.values) for batch in rest] == [("file-0", b"2")]


def test_positions_without_a_note_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("1\n")
    with pytest.raises(SourceError, match="topic-3"):
        opened(tmp_path, JSON, {"topic-3": 5})


def log_of(path: Path, batches: list[RecordBatch], **more: object) -> list[tuple[str, str]]:
    """Return what a start after these records logs: each event and its consequence."""
    with capture_logs() as lines:
        source = opened(path, JSON, after(batches), notes(batches), **more)
        source.close()
    return [(line["event"], line.get("consequence", "")) for line in lines]


@pytest.mark.parametrize("how", ["new inode", "same inode"])
def test_a_file_that_took_the_place_of_one_read_whole_is_told(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("1\n2\n")
    batches = drain(opened(path))
    assert log_of(path, batches) == []
    if how == "new inode":
        path.rename(tmp_path.parent / "kept.jsonl")
    path.write_text("7\n")
    ((event, consequence),) = log_of(path, batches)
    assert event == "files.replaced"
    assert "4 bytes were read" in consequence
    rest = drain(opened(path, JSON, after(batches), notes(batches)))
    assert [(batch.partition, *batch.values) for batch in rest] == [("file-1", b"7")]
    assert log_of(path, batches + rest) == []


def test_another_path_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("1\n2\n")
    batches = drain(opened(tmp_path / "a.jsonl"))
    shutil.copy(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    ((event, consequence),) = log_of(tmp_path / "b.jsonl", batches)
    assert event == "files.others"
    assert "a.jsonl (4 bytes)" in consequence
    assert log_of(tmp_path, batches) == []  # beside the known one, a new one is nothing to warn of


def test_nothing_under_the_path_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("1\n")
    batches = drain(opened(path))
    path.unlink()
    assert [event for event, _ in log_of(path, batches)] == ["files.none"]
    with capture_logs() as lines:
        opened(path, follow=True).close()
    assert [(line["event"], line["reason"]) for line in lines] == [("files.waiting", "no such file")]
    with pytest.raises(SourceError, match=r"a\.jsonl: no such file"):
        opened(path)
    with pytest.raises(SourceError, match="no files in it yet"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("größe,y".encode("latin-1"), "not UTF-8 at byte 2; .*ISO-8859-1"),
        ("size,y".encode("utf-16"), "probably UTF-16"),
        ("size,y".encode("utf-16-be"), "probably UTF-16"),
    ],
)
def test_a_header_that_is_not_utf_8_is_said_to_be(tmp_path: Path, header: bytes, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(header + b"\n1,2\n")
    with pytest.raises(SourceError, match=words):
        drain(opened(path, CSV))
    assert "a.csv: the header is not UTF-8" in (FilesSettings(path=str(path)).glance(CSV).problem or "")


def test_a_glance_sees_the_columns_of_the_first_file_with_a_record(tmp_path: Path) -> None:
    settings = FilesSettings(path=str(tmp_path), follow=True)
    assert settings.glance(CSV).away == "no files in it yet"
    (tmp_path / "a.csv").write_text("")
    (tmp_path / "b.csv").write_text("p,q\n1,2\n")
    seen = settings.glance(CSV)
    assert (Path(seen.where).name, seen.columns) == ("b.csv", ("p", "q"))
    pq.write_table(pa.table({"p": [1], "q": [2]}), tmp_path / "c.parquet")
    assert FilesSettings(path=str(tmp_path / "c.parquet")).glance(PARQUET).columns == ("p", "q")


def test_a_byte_order_mark_before_any_record_is_dropped(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    path = tmp_path / "a.jsonl"
    path.write_bytes(mark + b'{"a":1}\n' + mark + b'{"a":2}\r\n' + mark + b"\n" + mark + b'{"a":"' + mark + b'"}')
    expected: list[object] = [b'{"a":1}', b'{"a":2}', b'{"a":"' + mark + b'"}']
    assert [value for value, _ in records(drain(opened(path)))] == expected
    resumed_anywhere_gives_the_rest(path)
    path = tmp_path / "a.csv"
    path.write_bytes(mark + b"a,b\n1,2\n" + mark + b"3,4\n")
    assert [value for value, _ in records(drain(opened(path, CSV)))] == [b"1,2", b"3,4"]
