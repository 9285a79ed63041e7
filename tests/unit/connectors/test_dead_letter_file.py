import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from learnd.connectors.outputs.dead_letter_file import DeadLetterFile
from learnd.daemon.values import Defect, Rejection


def rejection(number: int = 0, value: bytes = b"{") -> Rejection:
    return Rejection("file-0", number, number + 1, Defect("bad_json", "it ends too soon"), value)


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[DeadLetterFile]:
    made = DeadLetterFile(tmp_path / "state" / "dead.jsonl")
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "dead.jsonl"


def written(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_letter_says_what_why_and_where(letters: DeadLetterFile, path: Path) -> None:
    letters.open(0)
    full = Rejection(
        "file-3", 10, 25, Defect("bad_json", "x"), b"\xff\x00", b"k\xc3\xa9y", [("h", b"v"), ("b", b"\xfe")], 1.5
    )
    letters.write([rejection(7, 'é"\n'.encode()), full])
    assert written(path) == [
        {
            "reason": "bad_json",
            "detail": "it ends too soon",
            "partition": "file-0",
            "start": 7,
            "end": 8,
            "value": 'é"\n',
        },
        {
            "reason": "bad_json",
            "detail": "x",
            "partition": "file-3",
            "start": 10,
            "end": 25,
            "value_base64": "/wA=",
            "key": "kéy",
            "headers": [{"name": "h", "value": "v"}, {"name": "b", "value_base64": "/g=="}],
            "timestamp": 1.5,
        },
    ]


def test_a_resume_drops_what_was_written_after_the_mark(letters: DeadLetterFile, path: Path) -> None:
    letters.open(0)
    letters.write([rejection(1)])
    mark = letters.mark()
    letters.write([rejection(2)])
    letters.close()
    letters.open(mark)
    letters.write([rejection(3)])
    assert [letter["start"] for letter in written(path)] == [1, 3]
    assert letters.mark() == path.stat().st_size


def test_nothing_to_write_writes_nothing(letters: DeadLetterFile, path: Path) -> None:
    letters.open(0)
    letters.write([])
    assert letters.mark() == path.stat().st_size == 0
