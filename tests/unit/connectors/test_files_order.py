"""In which order the files under a glob or in a directory are read: by name, and rotated ones by age."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import pytest

from learnd.connectors.files.discovery import matching
from learnd.connectors.files.settings import FilesSettings
from learnd.connectors.files.source import FilesSource
from learnd.daemon.values import Note, Positions, RecordFormat


def lines(first: int, last: int) -> bytes:
    return b"".join(b'{"id": %d, "x": %d}\n' % (i, i * 7919 % 1000) for i in range(first, last))


def opened(path: Path, positions: Positions, notes: list[Note], *, follow: bool) -> FilesSource:
    source = FilesSource(FilesSettings(path=str(path), follow=follow), RecordFormat("json"))
    source.open(positions, notes)
    return source


def read(path: Path, positions: Positions, notes: list[Note], *, follow: bool, most: int) -> list[object]:
    """Go on from the positions, and read `most` batches at most; the positions and notes go on."""
    source, found = opened(path, positions, notes, follow=follow), []
    for _ in range(most):
        batch = source.read(0.1)
        if batch is None:
            break
        positions[batch.partition] = int(batch.ends[-1])
        notes += [batch.note] if batch.note is not None else []
        found += batch.values
    source.close()
    return found


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize(
    "names",
    [
        ["app.jsonl.10.gz", "app.jsonl.2.gz", "app.jsonl.1", "app.jsonl"],
        ["app.jsonl-20251231.gz", "app.jsonl-20260101", "app.jsonl"],
        ["app.jsonl.2026-01-01", "app.jsonl.2026-01-02", "app.jsonl"],
        ["part.1", "part.10", "part.2"],
        ["sales", "sales.2025", "sales.2026"],
    ],
)
def test_rotated_files_train_from_the_oldest_on(tmp_path: Path, names: list[str], *, follow: bool) -> None:
    for number, name in reversed(list(enumerate(names))):  # so that the times of change are the wrong way round
        data = lines(number * 300, number * 300 + 300)
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    everything = lines(0, 300 * len(names)).splitlines()
    assert read(tmp_path / "*", {}, [], follow=follow, most=9) == everything
    assert read(tmp_path, {}, [], follow=follow, most=9) == everything
    positions: dict[str, int] = {}
    notes: list[Note] = []
    in_lives = [read(tmp_path / "*", positions, notes, follow=follow, most=1) for _ in names]
    assert [value for life in in_lives for value in life] == everything


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "names",
    [
        ["a-20260101T23.59.59.gz", "a-2026010200", "a-20260102000000.zst", "a"],
        ["a.2026-01-02_01", "a.2026-01-03T01-02.123", "a"],
        ["a", "a-202601011", "a-20260101_1", "a-20260101x"],
        [f"a-{'2' * 200}", "a"],
        ["a", f"a-{'2' * 200}x"],
        ["a", f"a-20260101{'-10' * 60}x"],
        ["a", f"a{'-20260101' * 25}x"],
    ],
)
def test_a_time_of_rotation_may_have_any_digits(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert matching(str(tmp_path)) == [str(tmp_path / name) for name in names]


def test_a_rotation_between_two_starts_leaves_the_order_as_it_is(tmp_path: Path) -> None:
    names = ["app.jsonl.3", "app.jsonl.2", "app.jsonl.1", "app.jsonl"]
    for number, name in enumerate(names[1:]):
        (tmp_path / name).write_bytes(lines(number * 300, number * 300 + 300))
    positions: dict[str, int] = {}
    notes: list[Note] = []
    found = read(tmp_path / "app.jsonl*", positions, notes, follow=False, most=1)
    for older, newer in pairwise(names):
        (tmp_path / newer).rename(tmp_path / older)
    (tmp_path / "app.jsonl").write_bytes(lines(900, 1000))
    found += read(tmp_path / "app.jsonl*", positions, notes, follow=False, most=9)
    assert found == lines(0, 1000).splitlines()
