"""Looks at the checkpoints of a state directory, and changes nothing: a daemon may be running."""

from __future__ import annotations

from pathlib import Path

from learnd.daemon.errors import StoreError
from learnd.daemon.state.lock import StateLock
from learnd.daemon.state.store import BrokenCheckpointError, Checkpoint, CheckpointStore


def store_of(root: Path) -> CheckpointStore:
    """Return the checkpoints of a state directory. Raises StoreError if there is no such directory."""
    if not root.is_dir():
        raise StoreError(f"{root}: there is no such state directory")
    return CheckpointStore(root, StateLock(root).may_publish)


def checkpoint_of(root: Path, sequence: int | None = None) -> Checkpoint:
    """Return a checkpoint by its number, or the newest that verifies. Raises StoreError."""
    store = store_of(root)
    if sequence is not None:
        return _load(store, path_of(store, root, sequence))
    for path in store.paths():
        try:
            return store.load(path)
        except BrokenCheckpointError:
            continue
    raise StoreError(f"{root}: there is no checkpoint that verifies")


def path_of(store: CheckpointStore, root: Path, sequence: int) -> Path:
    """Return the place of a checkpoint. Raises StoreError if there is none of that number."""
    for path in store.paths():
        if int(path.name.partition("-")[0]) == sequence:
            return path
    raise StoreError(f"{root}: there is no checkpoint {sequence}; see `learnd checkpoints ls {root}`")


def _load(store: CheckpointStore, path: Path) -> Checkpoint:
    try:
        return store.load(path)
    except BrokenCheckpointError as error:
        raise StoreError(f"{path}: broken: {error}") from error
