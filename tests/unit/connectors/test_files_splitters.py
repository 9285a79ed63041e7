"""The work of cutting CSV: each byte is looked at as often as it is fed, however its quotes stand."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Self

import pytest

from learnd.connectors.files.splitters import CsvSplitter, Cuts, Records

MIB = 1 << 20


class Counting(CsvSplitter):
    """Counts the bytes that are searched for the ends of records."""

    searched = 0

    def _cuts(self, data: bytes, *, final: bool = False) -> Cuts:
        self.searched += len(data)
        return super()._cuts(data, final=final)


class Calls:
    """Counts the calls of functions, those of C as well."""

    count = 0

    def __enter__(self) -> Self:
        sys.setprofile(self._take)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _take(self, _frame: FrameType, event: str, _arg: object) -> None:
        self.count += event in {"call", "c_call"}


def some_too_wide(count: int) -> list[str]:
    return [f'{n},"two\nlines",3{",4" if n % 20 == 0 else ""}' for n in range(count)]


def all_too_wide(count: int) -> list[str]:
    return [f'{n},"two\nlines",3,4' for n in range(count)]


def stray_in_each(count: int) -> list[str]:
    return [f'{n},"x,3' for n in range(count)]


def stray_behind_a_cell(count: int) -> list[str]:
    return [f'"{n}\n","x"' if n % 2 else f'"{n}' for n in range(count)]


def closed_and_opened_again(count: int) -> list[str]:
    return ['1,"a', *['b","c'] * count, 'd" e']


def doubled_behind_a_stray(count: int) -> list[str]:
    return ['1,"a', *['""x,""'] * count, *['1,"a', '""""'] * count]


SHAPES = [
    some_too_wide,
    all_too_wide,
    stray_in_each,
    stray_behind_a_cell,
    closed_and_opened_again,
    doubled_behind_a_stray,
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("piece", [1 << 17, 1 << 12])
def test_the_work_is_in_proportion_to_the_data(shape: Callable[[int], list[str]], piece: int) -> None:
    data = "\n".join([*shape(2000), ""]).encode()
    splitter = Counting(0, 0, 1 << 12, ",")
    found: list[Records] = []
    with Calls() as calls:
        for start in range(0, len(data), piece):
            found += splitter.feed(data[start : start + piece])
        found += splitter.finish()
    assert int(found[-1].ends[-1]) == len(data)
    assert sum(sum(run.lines or [1] * len(run)) for run in found) == data.count(b"\n") - data.count(b"\n\n")
    assert splitter.searched <= 2 * len(data) + (1 << 12)
    assert calls.count <= 30 * data.count(b"\n") + 200 * (len(data) // piece + 2)


def test_two_strays_in_one_record_are_two_rejects_that_say_where_each_opened() -> None:
    data = b'1,"a\nb","c\n2,3\n4,"d\n5,6\n'
    (run, last) = (splitter := CsvSplitter(0, 0, MIB, ",")).feed(data), splitter.finish()
    records = [*run, *last]
    assert [value for part in records for value in part.values] == [b'1,"a\nb","c', b"2,3", b'4,"d', b"5,6"]
    details = [defect.detail for part in records for _, defect in sorted((part.defects or {}).items())]
    assert [detail.split(" of this record")[0] for detail in details] == [
        "a quoted cell opens at byte 9",
        "a quoted cell opens at byte 3",
    ]


@pytest.mark.parametrize(("delimiter", "blank"), [(",", b" "), (",", b"\t"), ("\t", b" "), ("§", b" ")])
def test_blanks_may_come_behind_a_closing_quote(delimiter: str, blank: bytes) -> None:
    mark = delimiter.encode()
    for end in (mark + b"2", b"\r", b""):
        splitter = CsvSplitter(0, 0, MIB, delimiter)
        row = b'1%b"a\nb"%b%b' % (mark, blank * 3, end)
        found = [*splitter.feed(row + b"\n"), *splitter.finish()]
        assert [list(part.values) for part in found] == [[row.removesuffix(b"\r")]]
        assert found[0].defects is None
        assert found[0].lines == [2]
