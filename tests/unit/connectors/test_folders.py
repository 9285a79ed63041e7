"""Whole files as records: their order, new ones, and those that go away or change, as real files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from learnd.connectors.files.epochs import EpochsSource
from learnd.connectors.files.folders import FolderSource
from learnd.connectors.files.settings import EpochsSettings, FilesSettings
from learnd.connectors.files.settling import Settling
from learnd.daemon.contracts import Source
from learnd.daemon.errors import SourceError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.holdout import HoldoutRule
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import Note, Positions, RecordBatch, RecordFormat

RAW = RecordFormat("raw")
Opener = Callable[..., FolderSource]


@pytest.fixture
def opened() -> Iterator[Opener]:
    sources: list[FolderSource] = []

    def make(
        path: Path | str, positions: Positions | None = None, notes: Sequence[Note] = (), **more: Any
    ) -> FolderSource:
        source = FolderSource(FilesSettings.model_validate({"path": str(path)} | more))
        sources.append(source)
        source.open(positions or {}, json.loads(json.dumps(notes)))
        return source

    yield make
    for source in sources:
        source.close()


def written(root: Path, *names: str) -> Path:
    """Write files that hold their names."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def many(root: Path, count: int = 600) -> Path:
    return written(root, *(f"{('cat', 'dog')[number * 2 // count]}/{number:04d}.png" for number in range(count)))


def too_deep(folder: Path) -> None:
    """Make folders in folders, until their path is longer than the system takes."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("deep" * 60, dir_fd=at)
        below = os.open("deep" * 60, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def drained(source: Source) -> list[RecordBatch]:
    batches = []
    while (batch := source.read(10)) is not None:
        batches.append(batch)
    return batches


def followed(source: Source, count: int) -> list[str]:
    """Return the names of so many files, as they come."""
    found: list[str] = []
    while len(found) < count and (batch := source.read(10)) is not None:
        found += keys([batch])
    return found


def keys(batches: Sequence[RecordBatch | None]) -> list[str]:
    return [(key or b"").decode() for batch in batches if batch is not None for key in batch.keys or ()]


def notes(batches: Sequence[RecordBatch]) -> list[Note]:
    return [batch.note for batch in batches if batch.note is not None]


def test_each_file_is_a_record_with_its_name_as_the_key(tmp_path: Path, opened: Opener) -> None:
    names = ["cat/1.png", "cat/more/2.png", "dog/1.png", "3.png"]
    hidden = ["cat/.hidden", "_aside/4.png", ".git/x", "dog/_5.png"]
    batches = drained(opened(written(tmp_path, *names, *hidden)))
    assert sorted(keys(batches)) == sorted(names)
    assert [value.decode() for batch in batches for value in batch.values if isinstance(value, bytes)] == keys(batches)


def test_the_folders_are_mixed_the_same_way_everywhere(tmp_path: Path, opened: Opener) -> None:
    found = keys(drained(opened(many(tmp_path / "a"))))
    assert found == keys(drained(opened(many(tmp_path / "elsewhere"))))
    assert len(set(found)) == 600
    cats = np.array([name.startswith("cat") for name in found])
    assert abs(cats[:300].mean() - 0.5) < 0.1
    assert found[:3] == ["dog/0349.png", "dog/0457.png", "cat/0295.png"]


def test_what_is_held_out_is_spread_over_the_order(tmp_path: Path, opened: Opener) -> None:
    batches = drained(opened(many(tmp_path)))
    rule = HoldoutRule(0.2, "key")
    held = np.concatenate([rule.held_out("folder", batch.ends - 1, batch.keys) for batch in batches])
    assert 0.1 < held[:300].mean() < 0.3 > held[300:].mean() > 0.1


def test_a_file_or_a_glob(tmp_path: Path, opened: Opener) -> None:
    written(tmp_path, "cat/1.png", "cat/2.jpg", "dog/3.png", "notes.txt", "_old/4.png", "cat/_5.png", "dog/.6/7.png")
    assert sorted(keys(drained(opened(f"{tmp_path}/*/*.png")))) == ["cat/1.png", "dog/3.png"]
    assert sorted(keys(drained(opened(f"{tmp_path}/**/**/*.png")))) == ["cat/1.png", "dog/3.png"]
    assert keys(drained(opened(tmp_path / "cat" / "1.png"))) == ["1.png"]
    assert keys(drained(opened(tmp_path / "cat" / "_5.png"))) == ["_5.png"]


def test_an_odd_entry_is_left_out(tmp_path: Path, opened: Opener) -> None:
    written(tmp_path, "cat/1.png", "dog/2.png")
    (tmp_path / "cat" / "itself").symlink_to("itself")
    (tmp_path / "cat" / "nowhere").symlink_to("away")
    too_deep(tmp_path / "dog")
    with capture_logs() as logs:
        source = opened(tmp_path, follow=True)
        batch = source.read(10)  # after a second look
    assert batch is not None
    assert sorted(keys([batch])) == ["cat/1.png", "dog/2.png"]
    assert sorted(line["reason"] for line in logs) == ["File name too long", "Too many levels of symbolic links"]


def test_nothing_there(tmp_path: Path, opened: Opener) -> None:
    with pytest.raises(SourceError, match="no files in it yet"):
        opened(tmp_path)
    assert opened(tmp_path, follow=True).read(0.0) is None


def test_new_files_come_behind_those_that_were_found(tmp_path: Path, opened: Opener) -> None:
    source = opened(many(tmp_path, 300), follow=True)
    first = source.read(10)
    assert first is not None
    written(tmp_path, "fox/1.png", "cat/new.png")
    found = keys([first]) + followed(source, 302 - len(first))
    assert sorted(found[300:]) == ["cat/new.png", "fox/1.png"]
    assert source.live
    assert not source.exhausted


@pytest.mark.parametrize("clock", [-3600.0, 0.0, 3600.0])
def test_a_file_that_is_still_written_is_waited_for(tmp_path: Path, clock: float) -> None:
    settling, path = Settling(), written(tmp_path, "1.png") / "1.png"

    def whole(now: float) -> bool:
        return settling.whole([str(path)], now) == {str(path)}

    def write(text: bytes, at: float) -> None:
        path.write_bytes(text)
        os.utime(path, (at + clock, at + clock))  # of a machine with another clock

    write(b"a", 1e9)
    assert [whole(now) for now in (0.0, 0.5, 0.9)] == [False] * 3
    write(b"ab", 1e9)
    assert [whole(now) for now in (1.1, 1.9)] == [False] * 2
    write(b"ac", 1e9 + 1)
    assert [whole(now) for now in (2.2, 3.1, 3.2)] == [False, False, True]


def test_a_new_file_is_read_once_it_is_whole(tmp_path: Path, opened: Opener) -> None:
    source = opened(written(tmp_path, "cat/1.png"), follow=True)
    assert source.read(0.0) is None
    assert source.lag() == {"folder": 1}
    written(tmp_path, "cat/1.png", "dog/2.png")
    assert sorted(followed(source, 2)) == ["cat/1.png", "dog/2.png"]
    assert source.lag() == {"folder": 0}


def test_an_order_that_was_begun_goes_on_whatever_came_since(tmp_path: Path, opened: Opener) -> None:
    source = opened(many(tmp_path))
    first = source.read(10)
    assert first is not None
    rest = keys(drained(source))
    written(tmp_path, *(f"fox/{number}.png" for number in range(50)))
    again = keys(drained(opened(tmp_path, {"folder": len(first)}, notes([first]))))
    assert again[: len(rest)] == rest
    assert len(again) == len(rest) + 50


def test_a_file_that_trained_is_not_read_again(tmp_path: Path, opened: Opener) -> None:
    batches = drained(opened(many(tmp_path, 300)))
    (tmp_path / "cat" / "0000.png").write_bytes(b"another")
    (tmp_path / "cat" / "0001.png").unlink()
    assert drained(opened(tmp_path, {"folder": 300}, notes(batches))) == []


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"another")])
def test_what_the_journal_needs_must_be_what_it_was(
    tmp_path: Path, opened: Opener, change: Callable[[Path], Any]
) -> None:
    (batch,) = drained(opened(many(tmp_path, 200)))
    source = opened(tmp_path, {}, notes([batch]))
    assert keys(list(source.read_range("folder", 0, 100))) == keys([batch])[:100]
    change(tmp_path / keys([batch])[50])
    with pytest.raises(SourceError, match="gone, or holds other content"):
        list(opened(tmp_path, {}, notes([batch])).read_range("folder", 0, 100))


def test_a_file_that_goes_away_before_it_is_read(tmp_path: Path, opened: Opener) -> None:
    first = opened(many(tmp_path)).read(10)
    assert first is not None
    after = {"folder": len(first)}
    found = keys(drained(opened(tmp_path, after, notes([first]))))
    (tmp_path / found[10]).unlink()
    with pytest.raises(SourceError, match="when_gone: skip"):
        drained(opened(tmp_path, after, notes([first])))
    source = opened(tmp_path, after, notes([first]), when_gone="skip")
    rest = drained(source)
    assert keys(rest) == [name for name in found if name != found[10]]
    assert int(rest[-1].ends[-1]) == 599
    told = notes([first, *rest])
    resumed = opened(tmp_path, {"folder": 400}, told)
    assert keys(drained(resumed)) == keys(rest)[400 - len(first) :]
    ranged = opened(tmp_path, after, told)
    assert keys(list(ranged.read_range("folder", len(first), 599))) == keys(rest)


def test_many_that_are_gone_are_a_few_facts(tmp_path: Path, opened: Opener) -> None:
    first = opened(many(tmp_path)).read(10)
    assert first is not None
    for name in keys(drained(opened(tmp_path, {"folder": 256}, notes([first]))))[100:300]:
        (tmp_path / name).unlink()
    rest = drained(opened(tmp_path, {"folder": 256}, notes([first]), when_gone="skip"))
    assert int(rest[-1].ends[-1]) == 400
    assert sum(len(json.dumps(note["current"])) for note in notes(rest) if "current" in note) < 2000
    told = notes([first, *rest])
    assert keys(list(opened(tmp_path, {}, told).read_range("folder", 256, 400))) == keys(rest)


def test_files_in_another_folder_are_others(tmp_path: Path, opened: Opener) -> None:
    told = notes(drained(opened(many(tmp_path / "one", 300))))
    (tmp_path / "one").rename(tmp_path / "moved")
    more = drained(opened(tmp_path / "moved", {"folder": 300}, told))
    assert sorted(keys(more)) == sorted(keys(drained(opened(tmp_path / "moved"))))
    (tmp_path / "one").symlink_to("moved")
    assert drained(opened(tmp_path / "one", {"folder": 600}, told + notes(more))) == []
    assert drained(opened(tmp_path / "one" / "cat", {"folder": 600}, told + notes(more))) == []


@pytest.mark.parametrize("away", ["gone", "empty"])
def test_a_folder_that_is_away_is_waited_for(tmp_path: Path, opened: Opener, away: str) -> None:
    root = many(tmp_path / "photos")
    whole = keys(drained(opened(root)))
    source = opened(root, follow=True)
    first = source.read(10)
    assert first is not None
    root.rename(tmp_path / "aside")
    if away == "empty":
        root.mkdir()
    assert source.read(0.1) is None
    assert not source.connected
    after, told = {"folder": len(first)}, notes([first])
    with pytest.raises(SourceError, match="344 files of it are still to be read"):
        drained(opened(root, after, told, when_gone="skip"))
    resumed, fresh = opened(root, after, told, follow=True), opened(root, follow=True)
    repeated = opened(root, {}, told, follow=True).read_range("folder", 0, len(first))
    assert next(repeated) is resumed.read(0.1) is fresh.read(0.1) is None
    if away == "empty":
        root.rmdir()
    (tmp_path / "aside").rename(root)
    rest = 600 - len(first)
    assert keys(list(repeated)) == whole[:-rest]
    assert [followed(source, rest), followed(resumed, rest), followed(fresh, 600)] == [
        whole[-rest:],
        whole[-rest:],
        whole,
    ]
    for each in (source, resumed):  # which have looked meanwhile
        assert each.connected
        assert each.read(0.0) is None
        assert each.lag() == {"folder": 0}


def test_a_large_file_is_rejected(tmp_path: Path, opened: Opener) -> None:
    written(tmp_path, "cat/1.png")
    (tmp_path / "cat" / "2.png").write_bytes(bytes(5000))
    (batch,) = drained(opened(tmp_path, max_record_bytes=4999))
    (place,) = batch.defects or {}
    assert (batch.defects or {})[place].reason == "oversized"
    assert sorted(map(len, batch.values)) == [9, 1024]


def test_the_dead_letter_of_a_file_has_its_beginning(tmp_path: Path) -> None:
    settings = SamplesSettings.model_validate(
        {"format": "raw", "features": {"photo": {"image": {"size": [4, 4]}, "field": "content"}}, "label": "folder"}
    )
    written(tmp_path, "0/1.png").joinpath("0/1.png").write_bytes(b"no image" * 1000)
    path = {"path": str(tmp_path)}
    sources = FolderSource(FilesSettings.model_validate(path)), EpochsSource(EpochsSettings.model_validate(path), RAW)
    for source in sources:
        source.open({}, [])
        block = SampleDecoder(settings, settings.spec("binary")).decode(drained(source)[0])
        assert [(one.key, one.value) for one in block.rejections] == [(b"0/1.png", b"no image" * 128)]


def test_a_state_of_lines_is_refused(tmp_path: Path, opened: Opener) -> None:
    with pytest.raises(SourceError, match="file-0"):
        opened(many(tmp_path, 10), {"file-0": 100})


def test_epochs_over_files_have_their_names(tmp_path: Path) -> None:
    def fitted(**more: Any) -> EpochsSource:
        source = EpochsSource(EpochsSettings.model_validate({"path": str(tmp_path), "epochs": 2} | more), RAW)
        source.open({}, [])
        return source

    many(tmp_path)
    found = drained(fitted())
    names = keys(found)
    assert sorted(names[:600]) == sorted(names[600:])
    assert names[:600] != names[600:]
    assert [value.decode() for batch in found for value in batch.values if isinstance(value, bytes)] == names
    before = found[0].note
    assert drained(fitted())[0].note == before
    (tmp_path / "cat" / "0000.png").rename(tmp_path / "dog" / "0000.png")
    assert drained(fitted())[0].note != before
