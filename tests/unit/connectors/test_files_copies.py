"""Copies of what was read: rotation under a glob or in a directory, files that are copied, packed, or put back."""

import gzip
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard
from structlog.testing import capture_logs

from learnd.connectors.files.settings import FilesSettings
from learnd.connectors.files.source import FilesSource
from learnd.daemon.values import Note, Positions, RecordFormat

JSON = RecordFormat("json")
CSV = RecordFormat("csv")
Tick = Callable[[], None]


def lines(first: int, last: int) -> bytes:
    return b"".join(b'{"id": %d, "x": %d}\n' % (i, i * 7919 % 1000) for i in range(first, last))


class Reader:
    """A daemon's view of a path: it reads what is there, and can be killed and started again."""

    def __init__(self, path: Path, fmt: RecordFormat = JSON, *, follow: bool = True) -> None:
        self.settings = FilesSettings(path=str(path), follow=follow)
        self.fmt = fmt
        self.positions: Positions = {}
        self.notes: list[Note] = []
        self.values: list[bytes] = []
        self.source = FilesSource(self.settings, fmt)
        self.source.open({}, [])

    def restart(self) -> None:
        self.source.close()
        self.source = FilesSource(self.settings, self.fmt)
        self.source.open(self.positions, self.notes)

    def read(self, until: int = 0) -> list[bytes]:
        """Read until there are so many values and nothing more for now; return what was new.

        A busy file system may report a change later than `read` waits for one.
        """
        before, deadline = len(self.values), time.monotonic() + 60
        while not self.source.exhausted:
            batch = self.source.read(0.12)
            if batch is None and len(self.values) < until:
                assert time.monotonic() < deadline, f"{len(self.values)} of {until} values came"
                continue
            if batch is None:
                break
            self.positions[batch.partition] = int(batch.ends[-1])
            self.notes += [batch.note] if batch.note is not None else []
            self.values += [value for value in batch.values if isinstance(value, bytes)]
        return self.values[before:]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Callable[..., Reader]]:
    made: list[Reader] = []

    def make(name: str = "", fmt: RecordFormat = JSON, *, follow: bool = True) -> Reader:
        made.append(Reader(tmp_path / name, fmt, follow=follow))
        return made[-1]

    yield make
    for each in made:
        each.source.close()


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def packed(path: Path, tick: Tick, suffix: str = ".gz") -> None:
    """Compress a file as gzip does: the archive grows beside the file, which is deleted at the end."""
    data = path.read_bytes()
    whole = gzip.compress(data) if suffix == ".gz" else zstandard.compress(data)
    with path.with_name(path.name + suffix).open("wb") as file:
        file.write(whole[: len(whole) // 2])
        file.flush()
        tick()
        file.write(whole[len(whole) // 2 :])
    tick()
    path.unlink()


def move_up(path: Path) -> None:
    """Free the name `.1`."""
    old = sorted(path.parent.glob(f"{path.name}.*"), key=lambda old: -int(old.name.split(".")[2]))
    for name in old:
        base, number, *suffix = name.name.removeprefix(path.name).split(".")
        del base
        name.rename(path.with_name(".".join([path.name, str(int(number) + 1), *suffix])))


def copytruncate(path: Path, tick: Tick) -> None:
    move_up(path)
    tick()
    shutil.copy(path, path.with_name(path.name + ".1"))
    tick()
    os.truncate(path, 0)


def copytruncate_and_pack(path: Path, tick: Tick) -> None:
    copytruncate(path, tick)
    tick()
    packed(path.with_name(path.name + ".1"), tick)


def rename(path: Path, tick: Tick) -> None:
    move_up(path)
    tick()
    path.rename(path.with_name(path.name + ".1"))
    tick()
    path.touch()


def rename_and_pack_the_one_before(path: Path, tick: Tick) -> None:
    rename(path, tick)
    with suppress(FileNotFoundError):
        packed(path.with_name(path.name + ".2"), tick)


def rename_and_pack(path: Path, tick: Tick) -> None:
    rename(path, tick)
    packed(path.with_name(path.name + ".1"), tick, ".zst")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["app.jsonl*", ""])
@pytest.mark.parametrize(
    "rotate", [copytruncate, copytruncate_and_pack, rename, rename_and_pack_the_one_before, rename_and_pack]
)
def test_each_record_of_a_rotated_log_is_read_once(
    tmp_path: Path, reader: Callable[..., Reader], rotate: Callable[[Path, Tick], None], name: str, seed: int
) -> None:
    """At each step of a rotation the daemon may have read everything, nothing, or be killed and started again."""
    rng = random.Random(f"{rotate.__name__} {name} {seed}")
    path = tmp_path / "app.jsonl"
    append(path, lines(0, 150))
    daemon = reader(name)

    def tick() -> None:
        for step in rng.choices([daemon.read, daemon.restart, lambda: None], k=2):
            step()

    total = 150
    for _ in range(4):
        tick()
        count = rng.choice([20, 150, 900])
        append(path, lines(total, total + count))
        total += count
        tick()
        daemon.read(total)  # rotation under a reader that lags behind for two turns may lose records; this one does not
        rotate(path, tick)
        tick()
        append(path, lines(total, total + 150))
        total += 150
        daemon.read(total)
    daemon.restart()
    daemon.read()
    assert sorted(daemon.values, key=lambda value: int(value.split(b",")[0].split()[1])) == lines(0, total).splitlines()


def test_what_the_copy_holds_that_was_not_read_before_the_cut_is_read_there(
    tmp_path: Path, reader: Callable[..., Reader]
) -> None:
    path = tmp_path / "app.jsonl"
    append(path, lines(0, 100))
    daemon = reader("app.jsonl*")
    daemon.read()
    append(path, lines(100, 200))
    shutil.copy(path, tmp_path / "app.jsonl.1")
    os.truncate(path, 0)
    append(path, lines(200, 250))
    assert daemon.read() == lines(100, 250).splitlines()
    daemon.restart()
    assert daemon.read() == []


def test_what_was_read_after_the_copy_and_before_the_cut_is_in_no_file_and_not_read_again(
    tmp_path: Path, reader: Callable[..., Reader]
) -> None:
    path = tmp_path / "app.jsonl"
    append(path, lines(0, 100))
    daemon = reader("app.jsonl*")
    shutil.copy(path, tmp_path / "app.jsonl.1")
    append(path, lines(100, 120))
    assert daemon.read() == lines(0, 120).splitlines()
    os.truncate(path, 0)
    append(path, lines(120, 150))
    assert daemon.read() == lines(120, 150).splitlines()
    daemon.restart()
    assert daemon.read() == []


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_run_that_was_down_goes_on_in_the_packed_copy(
    tmp_path: Path, reader: Callable[..., Reader], suffix: str
) -> None:
    path = tmp_path / "app.jsonl"
    append(path, lines(0, 100))
    daemon = reader("app.jsonl*")
    daemon.read()
    append(path, lines(100, 2000))
    path.rename(tmp_path / "app.jsonl.1")
    if suffix:
        packed(tmp_path / "app.jsonl.1", lambda: None, suffix)
    append(path, lines(2000, 2100))
    daemon.restart()
    again = [batch for batch in daemon.source.read_range("file-0", 0, daemon.positions["file-0"]) if batch is not None]
    assert [value for batch in again for value in batch.values] == lines(0, 100).splitlines()
    assert daemon.read() == lines(100, 2100).splitlines()
    daemon.restart()
    assert daemon.read() == []


def test_an_export_that_holds_the_one_before_gives_only_what_is_new(
    tmp_path: Path, reader: Callable[..., Reader]
) -> None:
    header = b"id,x\n"
    rows = [b"%d,%d\n" % (i, i * 31 % 997) for i in range(400)]
    append(tmp_path / "monday.csv", header + b"".join(rows[:300]))
    runs = reader("", CSV, follow=False)
    assert runs.read() == [row.strip() for row in rows[:300]]
    append(tmp_path / "tuesday.csv", header + b"".join(rows))
    runs.restart()
    with capture_logs() as log:
        assert runs.read() == [row.strip() for row in rows[300:]]
    assert [(line["event"], Path(line["file"]).name) for line in log] == [("files.copy", "tuesday.csv")]
    (tmp_path / "wednesday.csv.gz").write_bytes(gzip.compress(header + b"".join(rows)))
    runs.restart()
    assert runs.read() == []


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("name", ["app.csv.1", "other.csv"])
def test_files_that_begin_alike_are_no_copies(
    tmp_path: Path, reader: Callable[..., Reader], name: str, follow: bool
) -> None:
    """A long header is the same in both, and so are the first rows; one row differs, near the end or the start."""
    header = (",".join(f"a_long_name_of_a_column_{i}" for i in range(100)) + "\n").encode()
    rows = [b",".join(b"%d" % (i * j) for j in range(100)) + b"\n" for i in range(1, 60)]
    other = [*rows[:-1], b",".join(b"7" for _ in range(100)) + b"\n"]
    append(tmp_path / "app.csv", header + b"".join(rows))
    append(tmp_path / name, header + b"".join(other))
    append(tmp_path / "short.csv", header + rows[0] + other[-1])
    daemon = reader("", CSV, follow=follow)
    assert sorted(daemon.read()) == sorted(row.strip() for row in [*rows, *other, rows[0], other[-1]])
    daemon.restart()
    assert daemon.read() == []


def test_a_restart_compares_all_that_was_read_with_an_original_that_is_there(
    tmp_path: Path, reader: Callable[..., Reader]
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(lines(0, 85))  # about 2 KB: the notes hold the digest of the first one
    run = reader(folder)
    assert len(run.read()) == 85
    run.source.close()
    (folder / "b.jsonl").write_bytes(lines(0, 70) + lines(70, 85).replace(b'"x": ', b'"x":  '))
    run.restart()
    (folder / "c.jsonl").write_bytes(lines(0, 85))
    assert len(run.read()) == 85  # those of b, which differ from the 70th on
    assert set(run.positions) == {"file-0", "file-1"}


def test_a_big_file_that_differs_behind_what_is_digested_is_no_copy(
    tmp_path: Path, reader: Callable[..., Reader]
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    same = b"".join(b'{"id": %d, "pad": "%s"}\n' % (i, b"z" * 9_980) for i in range(1_700))
    for name, last in (("a.jsonl", 1), ("b.jsonl", 2)):
        (folder / name).write_bytes(same + b'{"id": 0, "x": %d}\n' % last)
    run = reader(folder, follow=False)
    assert len(run.read()) == 2 * 1_701


def test_the_same_rows_under_another_header_are_no_copy(tmp_path: Path, reader: Callable[..., Reader]) -> None:
    rows = b"".join(b"%d,%d\n" % (i, i * 31 % 997) for i in range(300))
    append(tmp_path / "a.csv", b"p,q\n" + rows)
    append(tmp_path / "b.csv", b"q,p\n" + rows)
    assert reader("", CSV, follow=False).read() == rows.splitlines() * 2


def test_small_files_that_are_equal_are_no_copies(tmp_path: Path, reader: Callable[..., Reader]) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        append(tmp_path / name, b'{"x": 1}\n')
    assert len(reader("", follow=False).read()) == 2


def test_a_small_rotated_log_is_known_by_its_name_too(tmp_path: Path, reader: Callable[..., Reader]) -> None:
    append(tmp_path / "app.jsonl", b'{"x": 1}\n{"x": 2}\n')
    daemon = reader("app.jsonl*")
    assert len(daemon.read()) == 2
    (tmp_path / "app.jsonl").rename(tmp_path / "app.jsonl.1")
    append(tmp_path / "app.jsonl", b'{"x": 3}\n')
    packed(tmp_path / "app.jsonl.1", lambda: None)
    assert daemon.read() == [b'{"x": 3}']
    daemon.restart()
    assert daemon.read() == []


def test_a_file_of_another_name_that_is_still_being_copied_is_waited_for(
    tmp_path: Path, reader: Callable[..., Reader]
) -> None:
    append(tmp_path / "a.jsonl", lines(0, 1000))
    daemon = reader("")
    assert len(daemon.read()) == 1000
    append(tmp_path / "b.jsonl", lines(0, 500))
    assert daemon.read() == []
    append(tmp_path / "b.jsonl", lines(500, 1000))
    assert daemon.read() == []
    append(tmp_path / "c.jsonl", lines(1000, 1500))
    daemon.read()
    os.truncate(tmp_path / "c.jsonl", 0)  # so that a shorter file cannot be compared with all of it
    append(tmp_path / "d.jsonl", lines(1000, 1400))
    assert daemon.read() == []
    long_ago = time.time() - 60
    os.utime(tmp_path / "d.jsonl", (long_ago, long_ago))
    assert daemon.read() == lines(1000, 1400).splitlines()


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("left", [1, 12, 500])
@pytest.mark.parametrize("whole", [1000, 20])
def test_a_file_that_is_cut_and_put_back_gives_its_records_once(
    tmp_path: Path, reader: Callable[..., Reader], follow: bool, left: int, whole: int
) -> None:
    """Whether what is left of it is more or less than a kilobyte, and whatever the half of a line behind it is."""
    path = tmp_path / "a.jsonl"
    append(path, lines(0, whole))
    daemon = reader("a.jsonl", follow=follow)
    assert len(daemon.read()) == whole
    with capture_logs() as log:
        path.write_bytes(lines(0, min(left, whole)) + (lines(left, left + 1)[:9] if left < whole else b""))
        daemon.read() if follow else daemon.restart()
    if left < whole:
        assert [line["event"] for line in log] == ["files.truncated" if follow else "files.replaced"]
    assert daemon.read() == []
    path.write_bytes(lines(0, whole))
    for _ in range(2):
        daemon.restart()
        assert daemon.read() == []
    append(path, lines(whole, whole + 10))
    daemon.restart()
    assert daemon.read() == lines(whole, whole + 10).splitlines()


@pytest.mark.parametrize("follow", [True, False])
def test_new_content_that_begins_as_the_old_one_is_read_from_its_start(
    tmp_path: Path, reader: Callable[..., Reader], follow: bool
) -> None:
    """As a log does that begins with the same line each time."""
    path = tmp_path / "a.jsonl"
    append(path, lines(0, 100))
    daemon = reader("a.jsonl", follow=follow)
    assert len(daemon.read()) == 100
    path.write_bytes(lines(0, 1))
    daemon.restart()
    assert daemon.read() == []
    append(path, lines(500, 502))
    daemon.restart()
    assert daemon.read(until=103) == [*lines(0, 1).splitlines(), *lines(500, 502).splitlines()]


def test_a_small_file_that_takes_the_inode_of_another_is_read(tmp_path: Path, reader: Callable[..., Reader]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(lines(0, 2))
    daemon = reader("in", follow=False)
    assert len(daemon.read()) == 2
    (folder / "a.jsonl").rename(folder / "b.jsonl")  # the same inode under another name, as if it had been freed
    (folder / "b.jsonl").write_bytes(lines(0, 1))
    daemon.restart()
    assert daemon.read() == lines(0, 1).splitlines()


def test_what_is_compared_of_a_big_file_is_bounded(tmp_path: Path, reader: Callable[..., Reader]) -> None:
    big = lines(0, 1_000_000)
    assert len(big) > 1 << 24
    append(tmp_path / "a.jsonl", big)
    daemon = reader("", follow=False)
    assert len(daemon.read()) == 1_000_000
    assert max(length for note in daemon.notes for length, _ in note["prints"]) == 1 << 24
    shutil.copy(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    daemon.restart()
    assert daemon.read() == []
