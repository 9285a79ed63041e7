"""JSON arrays of objects, read element by element."""

import gzip
import json
import os
import random
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from learnd.connectors.files.arrays import ArrayStream
from learnd.connectors.files.settings import FilesSettings
from learnd.connectors.files.source import FilesSource
from learnd.daemon.stream.decoding.parsing import json_object
from learnd.daemon.values import Note, Positions, RecordBatch, RecordFormat

JSON = RecordFormat("json")
ROWS = [{"id": i, "text": f'say "{i}", [ok] \\ {{}}\n', "in": {"list": [1, [2, {"x": i}]]}} for i in range(700)]


def source(path: Path, positions: Positions, notes: list[Note], *, follow: bool = False) -> FilesSource:
    opened = FilesSource(FilesSettings(path=str(path), follow=follow), JSON)
    opened.open(positions, notes)
    return opened


def read(opened: FilesSource) -> list[RecordBatch]:
    found = []
    while not opened.exhausted and (batch := opened.read(0.2)) is not None:
        found.append(batch)
    return found


def objects(batches: list[RecordBatch]) -> list[Any]:
    return [json.loads(value) for batch in batches for value in batch.values if isinstance(value, bytes)]


def indented(rows: list[Any]) -> str:
    return json.dumps(rows, indent=2)


def a_line_each(rows: list[Any]) -> str:
    return "[" + ",\n".join(map(json.dumps, rows)) + "]\n"


SHAPES: list[Callable[[list[Any]], str]] = [json.dumps, indented, a_line_each]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_each_element_is_a_record_wherever_a_restart_cuts(
    tmp_path: Path, shape: Callable[[list[Any]], str], mark: bytes, name: str
) -> None:
    content = mark + shape(ROWS).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    batches = read(source(tmp_path / name, {}, []))
    assert objects(batches) == ROWS
    assert not any(batch.defects for batch in batches)
    ends = [int(end) for batch in batches for end in batch.ends]
    notes = [batch.note for batch in batches if batch.note is not None]
    for count in (1, 511, 512, 699, 700):
        resumed = source(tmp_path / name, {"file-0": ends[count - 1]}, notes)
        (again,) = list(resumed.read_range("file-0", ends[count - 2], ends[count - 1])) if count > 1 else [batches[0]]
        assert again.ends[-1] == ends[count - 1] or count == 1
        assert objects(read(resumed)) == ROWS[count:]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab"\\[]{},\n \t\u00e9'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


class Pieces:
    """A stream in memory that gives pieces of any size."""

    unpacks = False
    complete = True
    consumed = 0

    def __init__(self, data: bytes, seed: int) -> None:
        self._data, self._random = BytesIO(data), random.Random(seed)

    def read(self, size: int) -> bytes:
        return self._data.read(min(size, self._random.randint(1, 9)))

    def seek(self, offset: int) -> int:
        return self._data.seek(offset)


rows_of_all_kinds = st.lists(st.dictionaries(st.text(max_size=3), values, max_size=3), max_size=6)


@given(rows_of_all_kinds, st.integers(0, 99), st.booleans())
def test_any_array_is_lines_of_the_same_length(rows: list[Any], seed: int, indent: bool) -> None:
    data = json.dumps(rows, indent=1 if indent else None, ensure_ascii=False).encode()
    stream = ArrayStream(Pieces(data, seed))
    found = b"".join(iter(lambda: stream.read(64), b""))
    assert len(found) == len(data)
    assert stream.complete
    assert [json.loads(line) for line in found.split(b"\n") if line] == rows
    for offset in (len(data) // 2, 0, len(data)):
        assert stream.seek(offset) == offset
        assert b"".join(iter(lambda: stream.read(64), b"")) == found[offset:]


def test_a_broken_element_is_one_rejected_record(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'[{"id": 1}, {"id": }, {"id": 3}]')
    (batch,) = read(source(tmp_path / "a.json", {}, []))
    assert list(batch.values) == [b'{"id": 1}', b'{"id": }', b'{"id": 3}']


@pytest.mark.parametrize(
    "content",
    [
        b'[{"id": 1}}, {"id": 2}, {"id": 3}]',
        b'[{"id": 1}, {"id": 2, {"id": 3}]',
        b'[{"id": 1}, {"id": "2}, {"id": 3}]',
    ],
)
def test_where_brackets_or_quotes_do_not_match_nothing_wrong_is_made_up(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    values: list[Any] = [value for batch in read(source(tmp_path / "a.json", {}, [])) for value in batch.values]
    sound = [found for value in values if isinstance(found := json_object(value), dict)]
    assert sound in ([], [{"id": 1}])
    assert len(sound) < len(values)


@pytest.mark.parametrize("content", [b"[]", b"[\n]\n", b" [ ] "])
def test_an_empty_array_has_no_records(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert read(source(tmp_path / "a.json", {}, [])) == []


def test_arrays_and_lines_may_follow_each_other_whenever_they_are_read(tmp_path: Path) -> None:
    """As when a program writes an array a flush: what it is must not depend on how much is there when it is opened."""
    parts = [b'[{"id": 1}, {"id": 2}]\n', b'[{"id": 3}]\n', b'{"id": 4, "in": {"a": [1, 2]}}\n', b'[{"id": 5}]\n']
    expected = [{"id": 1}, {"id": 2}, {"id": 3}, {"id": 4, "in": {"a": [1, 2]}}, {"id": 5}]
    (tmp_path / "whole.json").write_bytes(b"".join(parts))
    assert objects(read(source(tmp_path / "whole.json", {}, []))) == expected
    path, found = tmp_path / "grown.json", []
    path.touch()
    following = source(path, {}, [], follow=True)
    for part in parts:
        with path.open("ab") as file:
            file.write(part)
        found += objects(read(following))
    following.close()
    assert found == expected


@pytest.mark.parametrize("rows", [5, 60])
def test_an_array_that_is_written_again_with_more_gives_the_rest(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "a.json"
    path.write_text(indented(ROWS[:rows]))
    batches = read(source(path, {}, []))
    (tmp_path / "new").write_text(indented(ROWS[: rows + 3]))
    (tmp_path / "new").replace(path)
    notes = [batch.note for batch in batches if batch.note is not None]
    assert objects(read(source(path, {"file-0": int(batches[-1].ends[-1])}, notes))) == ROWS[rows : rows + 3]


def test_an_array_that_stops_short_says_so_and_goes_on_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    content = indented(ROWS).encode()
    path.write_bytes(content[: len(content) // 2])
    batches = read(source(path, {}, []))
    (defect,) = [defect for batch in batches for defect in (batch.defects or {}).values()]
    assert (defect.reason, "before its end" in defect.detail) == ("truncated", True)
    count = sum(map(len, batches)) - 1
    path.write_bytes(content)
    position = {"file-0": int(batches[-1].ends[-1])}
    notes = [batch.note for batch in batches if batch.note is not None]
    assert objects(read(source(path, position, notes))) == ROWS[count:]


def test_an_array_that_is_being_written_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.touch()
    following = source(path, {}, [], follow=True)
    assert following.read(0.05) is None
    content = indented(ROWS).encode()
    found: list[Any] = []
    with capture_logs() as log:
        for start in range(0, len(content), 20_000):
            with path.open("ab") as file:
                file.write(content[start : start + 20_000])
            found += objects(read(following))
    following.close()
    assert found == ROWS
    assert log == []


def test_a_copy_of_an_array_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(indented(ROWS))
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(indented(ROWS).encode()))
    os.utime(tmp_path / "a.json", (1, 1))
    assert objects(read(source(tmp_path, {}, []))) == ROWS
