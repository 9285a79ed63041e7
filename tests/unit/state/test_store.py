"""Checkpoints on disk: what verifies is used, what does not is set aside, and nothing is half there."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from learnd.daemon.errors import StoreError
from learnd.daemon.state.store import BrokenCheckpointError, CheckpointStore, pin
from learnd.daemon.values import State


def everyone(_epoch: int, _sequence: int) -> bool:
    return True


def no_fence() -> None:
    pass


def write(store: CheckpointStore, sequence: int) -> None:
    arrays = {"learner/w": np.arange(6, dtype=np.float32).reshape(2, 3) + sequence, "n": np.array(sequence)}
    manifest = {"sequence": sequence, "epoch": 1, "scores": {"accuracy": 0.5}, "positions": {"file-0": sequence}}
    store.write(State(arrays, {"progress": {"calls": sequence}}), manifest, no_fence)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    store = CheckpointStore(tmp_path, everyone)
    write(store, 1)
    write(store, 2)
    return store


def test_what_was_written_is_read_again(store: CheckpointStore) -> None:
    newest = store.newest()
    assert newest is not None
    assert newest.sequence == 2
    assert newest.state.facts == {"progress": {"calls": 2}}
    np.testing.assert_array_equal(newest.state.arrays["learner/w"], np.array([[2, 3, 4], [5, 6, 7]], np.float32))
    assert newest.state.arrays["n"].shape == ()


def regions(path: Path) -> Iterator[tuple[str, int]]:
    """Every file, at its first, last and some bytes between."""
    for file in sorted(path.iterdir()):
        size = file.stat().st_size
        for offset in {0, 1, 7, 8, size // 4, size // 2, size * 3 // 4, size - 2, size - 1}:
            yield file.name, offset


def test_a_flipped_bit_anywhere_is_found_and_the_one_before_serves(store: CheckpointStore) -> None:
    newest = store.paths()[0]
    for name, offset in regions(newest):
        whole = (newest / name).read_bytes()
        for bit in (0, 5):
            broken = bytearray(whole)
            broken[offset] ^= 1 << bit
            (newest / name).write_bytes(broken)
            with pytest.raises(BrokenCheckpointError):
                store.load(newest)
        (newest / name).write_bytes(whole)
    store.load(newest)


def test_every_single_byte_of_a_manifest_counts(store: CheckpointStore) -> None:
    manifest = store.paths()[0] / "manifest.json"
    whole = manifest.read_bytes()
    for offset in range(len(whole)):
        manifest.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        with pytest.raises(BrokenCheckpointError):
            store.manifest(manifest.parent)


@pytest.mark.parametrize("name", ["arrays.safetensors", "facts.json", "manifest.json"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_set_aside(store: CheckpointStore, tmp_path: Path, name: str, keep: float) -> None:
    file = store.paths()[0] / name
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * keep)])
    newest = store.newest()
    assert newest is not None
    assert newest.sequence == 1
    assert [path.name for path in (tmp_path / "broken").iterdir()] == ["00000002-000001"]


@pytest.mark.parametrize("name", ["arrays.safetensors", "facts.json", "manifest.json"])
def test_a_missing_file_is_found(store: CheckpointStore, name: str) -> None:
    (store.paths()[0] / name).unlink()
    newest = store.newest()
    assert newest is not None
    assert newest.sequence == 1


def test_nothing_starts_afresh_by_accident(store: CheckpointStore) -> None:
    for path in store.paths():
        (path / "manifest.json").write_bytes(b"{}")
    with pytest.raises(StoreError, match="no checkpoint verifies"):
        store.newest()
    with pytest.raises(StoreError, match="no checkpoint verifies"):  # nor at the next start
        store.newest()


def test_an_empty_directory_has_no_checkpoint(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path, everyone).newest() is None


def test_a_fenced_writer_publishes_nothing(store: CheckpointStore) -> None:
    def fence() -> None:
        raise StoreError("overtaken")

    with pytest.raises(StoreError, match="overtaken"):
        store.write(State(), {"sequence": 3, "epoch": 1}, fence)
    assert [path.name for path in store.paths()] == ["00000002-000001", "00000001-000001"]
    assert not list(store.paths()[0].parent.glob(".*"))


def test_what_an_ended_epoch_published_is_not_believed(tmp_path: Path) -> None:
    write(CheckpointStore(tmp_path, everyone), 3)
    store = CheckpointStore(tmp_path, lambda epoch, _sequence: epoch == 2)
    assert store.paths() == []


def test_pruning_keeps_what_is_named_or_pinned(store: CheckpointStore) -> None:
    write(store, 3)
    pin(store.paths()[2])
    store.prune(["00000003-000001"], 1)
    assert [path.name for path in store.paths()] == ["00000003-000001", "00000001-000001"]


def test_a_write_that_was_killed_before_leaves_no_trace_after_pruning(store: CheckpointStore) -> None:
    left = store.paths()[0].with_name(".00000009-000001.new")
    left.mkdir()
    (left / "facts.json").write_text("half")
    write(store, 9)
    store.prune([path.name for path in store.paths()], 1)
    assert not list(left.parent.glob(".*"))
    assert json.loads((store.paths()[0] / "manifest.json").read_bytes())["sequence"] == 9


def test_what_cannot_be_read_is_not_taken_for_broken(store: CheckpointStore) -> None:
    manifest = store.paths()[0] / "manifest.json"
    manifest.unlink()
    manifest.mkdir()
    with pytest.raises(StoreError, match="cannot be read: Is a directory"):
        store.newest()
    assert len(store.paths()) == 2


def test_a_format_of_another_version_is_left_alone(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learnd.daemon.state.store._FORMAT", 4)
    with pytest.raises(StoreError, match="has the format 3, but this learnd reads 4"):
        store.newest()
    assert len(store.paths()) == 2


def test_a_broken_one_among_many_is_set_aside(store: CheckpointStore, tmp_path: Path) -> None:
    (store.paths()[1] / "manifest.json").write_text("{}")
    assert list(store.manifests()) == ["00000002-000001"]
    assert [path.name for path in (tmp_path / "broken").iterdir()] == ["00000001-000001"]


def test_the_leftovers_of_who_took_over_are_left_alone(store: CheckpointStore) -> None:
    other = store.paths()[0].with_name(".00000003-000002.new")
    other.mkdir()
    store.prune([path.name for path in store.paths()], 1)
    assert other.exists()
