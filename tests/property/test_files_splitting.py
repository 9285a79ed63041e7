"""What becomes a record depends on the bytes alone: not on the pieces they arrive in, nor on where a resume begins."""

import csv
import io
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from learnd.connectors.files.splitters import CsvSplitter, LineSplitter, Records

LIMIT = 40
Make = Callable[[int, int], LineSplitter]
Row = tuple[int, int, object, str | None, int]
JSON_LIKE = st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"{}", b'{"a":1}', b"x" * 39, b"y" * 41, b" "])).map(
    b"".join
)
CSV_PARTS = [b"\n", b"\r\n", b",", b'"', b'""', b'","', b" ", b"a", b"1.5", b"z" * 30]
CSV_LIKE = st.lists(st.sampled_from(CSV_PARTS)).map(b"".join)
CUTS = st.lists(st.integers(0, 400), max_size=12)


def split(data: bytes, cuts: list[int], make: Make, position: int = 0) -> list[Row]:
    """Feed `data` from `position` on, cut at these offsets; return start, end, value, reason, lines of each record."""
    splitter = make(position, position)
    edges = [position, *sorted({cut for cut in cuts if position < cut < len(data)}), len(data)]
    runs: list[Records] = []
    for first, last in pairwise(edges):
        runs += splitter.feed(data[first:last])
    runs += splitter.finish()
    return [record for run in runs for record in as_tuples(run)]


def as_tuples(run: Records) -> list[Row]:
    starts = [run.start, *run.ends[:-1].tolist()]
    defects = run.defects or {}
    reasons = [defects[i].reason if i in defects else None for i in range(len(run))]
    return list(zip(starts, run.ends.tolist(), run.values, reasons, run.lines or [1] * len(run), strict=True))


def lines(position: int, offset: int) -> LineSplitter:
    return LineSplitter(position, offset, LIMIT)


def rows(position: int, offset: int) -> LineSplitter:
    return CsvSplitter(position, offset, LIMIT, ",")


def oracle(data: bytes) -> list[Row]:
    """The same records, a line at a time."""
    found: list[Row] = []
    offset = start = 0
    for line in io.BytesIO(data):
        offset += len(line)
        body = line.removesuffix(b"\n")
        value = body.removesuffix(b"\r")
        if len(body) > LIMIT:
            found.append((start, offset, body[:LIMIT], "oversized", 1))
        elif value:
            found.append((start, offset, value, None, 1))
        else:
            continue
        start = offset
    return found


@given(JSON_LIKE, CUTS)
@example(b"y" * 41 + b"\r\nx", [41, 42])
@example(b"x\r\n\r\n\r\ny", [2, 3])
def test_lines_are_those_of_a_plain_loop_however_they_arrive(data: bytes, cuts: list[int]) -> None:
    assert split(data, cuts, lines) == oracle(data)


@given(CSV_LIKE, CUTS)
@example(b'a"b,"c"\n"d\ne"\n', [5])
@example(b'"' + b"\na" * 30 + b'\n"x"\n', [7, 20, 43])
def test_csv_records_do_not_depend_on_the_pieces(data: bytes, cuts: list[int]) -> None:
    assert split(data, cuts, rows) == split(data, [], rows)


def csv_oracle(data: bytes) -> list[Row]:
    """The same rows of CSV, a byte at a time. `data` ends in a line feed."""
    found: list[Row] = []
    begin = start = 0
    while begin < len(data):
        end, stray = record_end(data, begin)
        body = data[begin:end]
        if len(body) > LIMIT:
            found.append((start, end + 1, body[:LIMIT], "oversized", body.count(b"\n") + 1))
        elif value := body.removesuffix(b"\r"):
            found.append((start, end + 1, value, "corrupt" if stray else None, body.count(b"\n") + 1))
        begin = end + 1
        start = begin if found and found[-1][1] == begin else start
    return found


def record_end(data: bytes, begin: int) -> tuple[int, bool]:
    """Return the line feed that ends a record, and whether that is the line of a stray quote."""
    at = begin
    while True:
        if data[at : at + 1] == b'"':
            closing = closing_quote(data, at)
            if b"\n" in data[at:closing]:
                behind = data[closing + 1 : begin + LIMIT + 1].lstrip(b" \t")
                if not behind.startswith((b",", b"\n", b"\r\n")):
                    return data.index(b"\n", at), True
            at = closing + 1
        while data[at : at + 1] not in (b",", b"\n"):
            at += 1
        if data[at : at + 1] == b"\n":
            return at, False
        at += 1


def closing_quote(data: bytes, at: int) -> int:
    """Return the index of the quote that closes the one at `at`; the length of the data if none does."""
    at += 1
    while at < len(data):
        if data[at : at + 2] == b'""':
            at += 2
        elif data[at : at + 1] == b'"':
            return at
        else:
            at += 1
    return at


@given(CSV_LIKE)
@example(b'1,"hello\n7,8,9\nbye",3,4\n')
@example(b'1,"a\nb","c\n2,3\n4,"d"\n')
@example(b'1,"a\nb" \t,2\n"c\nd" x\n')
@example(b'"a\nb",' + b"z" * 60 + b"\n1,2\n")
@example(b'"a\n' + b"z" * 36 + b'"\n1,2\n')
@example(b'"a\n' + b"z" * 37 + b'"\n1,2\n')
def test_rows_are_those_of_a_plain_loop(data: bytes) -> None:
    assert split(data + b"\n", [], rows) == csv_oracle(data + b"\n")


@given(CSV_LIKE, CUTS, st.data())
def test_reading_on_from_any_position_gives_the_rest(data: bytes, cuts: list[int], draw: st.DataObject) -> None:
    for make in (lines, rows):
        whole = split(data, cuts, make)
        for index in range(len(whole)) if len(whole) < 6 else [draw.draw(st.integers(0, len(whole) - 1))]:
            assert split(data, cuts, make, whole[index][1]) == whole[index + 1 :]


@given(CSV_LIKE, st.data())
def test_a_range_cut_out_of_the_stream_holds_the_same_records(data: bytes, draw: st.DataObject) -> None:
    for make in (lines, rows):
        whole = split(data, [], make)
        if whole:
            first = draw.draw(st.integers(0, len(whole) - 1))
            last = draw.draw(st.integers(first, len(whole) - 1))
            start, end = whole[first][0], whole[last][1]
            assert split(data[:end], [], make, start) == whole[first : last + 1]


@given(CSV_LIKE, CUTS)
def test_every_byte_is_in_one_span_and_spans_touch(data: bytes, cuts: list[int]) -> None:
    for make in (lines, rows):
        spans = [(start, end) for start, end, *_ in split(data, cuts, make)]
        assert all(start < end for start, end in spans)
        assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]
        rest = data[spans[-1][1] :] if spans else data
        assert not rest.strip(b"\r\n")


@given(st.lists(st.lists(st.text("ab,\"\n 'é", max_size=6), min_size=2, max_size=4), min_size=1, max_size=8), CUTS)
def test_what_the_csv_module_writes_comes_back_row_by_row(table: list[list[str]], cuts: list[int]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(table)
    data = text.getvalue().encode()
    found = split(data, cuts, lambda position, offset: CsvSplitter(position, offset, 1000, ","))
    read = [next(csv.reader(io.StringIO(value.decode(), newline=""))) for _, _, value, *_ in found]
    assert read == table


@given(st.integers(1, 5000), st.integers(1, 1500))
def test_runs_are_cut_to_size_without_a_seam(count: int, size: int) -> None:
    run = Records(5, np.arange(10, 10 + count), [b"%d" % i for i in range(count)])
    pieces = run.slices(size)
    assert [record for piece in pieces for record in as_tuples(piece)] == as_tuples(run)
    assert max(map(len, pieces)) <= size
