"""What a state directory is known by, and what can be seen of it beside a daemon that runs."""

from __future__ import annotations

from pathlib import Path

from learnd.daemon.errors import StoreError
from learnd.daemon.state.history import HISTORY_FILE
from learnd.daemon.state.journal import Journal
from learnd.daemon.state.lock import EPOCHS_FILE, LOCK_FILE, StateLock
from learnd.daemon.state.settings_record import SETTINGS_RECORD
from learnd.daemon.state.store import BrokenCheckpointError, CheckpointStore
from learnd.daemon.values import Facts

DEAD_LETTERS_FILE = "dead-letters.jsonl"  # unless the settings name another one
OWN_NAMES = frozenset(
    ("checkpoints", "journal", "commands", LOCK_FILE, EPOCHS_FILE, HISTORY_FILE, SETTINGS_RECORD, "summary.json")
)
"""What a daemon writes into its state directory: nothing else may be written under these names."""

# A kill may leave an empty lock, commands may wait for the first start, and some file systems begin with the last.
_NOT_FOREIGN = {LOCK_FILE, "commands", "lost+found"}


def is_state_directory(root: Path) -> bool:
    """Whether a daemon has ever started there: it has left its number, an epoch or a checkpoint. Raises OSError."""
    return (
        _is_lock(root / LOCK_FILE)
        or (root / EPOCHS_FILE).is_file()
        or any(root.glob("checkpoints/[0-9]*-[0-9]*/manifest.json"))
    )


def check_state_directory(root: Path, consequence: str) -> None:
    """Raise StoreError unless a daemon has ever started there."""
    try:
        known = is_state_directory(root)
    except OSError as error:
        raise StoreError(f"{root} cannot be read: {error.strerror}. {consequence}") from error
    if not known:
        raise StoreError(
            f"{root}: no daemon has started there. {consequence} Name the state directory of one: `checkpoint.dir` in "
            "its settings, or the --state that it was started with."
        )


def foreign_files(root: Path) -> list[str]:
    """Return the names in a folder of other things, hidden ones left out; none if it is new or a state directory.

    Raises OSError if it cannot be read.
    """
    if not root.is_dir() or is_state_directory(root):
        return []
    return sorted(
        path.name for path in root.iterdir() if path.name not in _NOT_FOREIGN and not path.name.startswith(".")
    )


def newest_sound_manifest(root: Path) -> Facts | None:
    """Return the manifest of the newest checkpoint that has a sound one; None if there is none. Changes nothing.

    Raises StoreError if one cannot be read.
    """
    store = CheckpointStore(root, StateLock(root).may_publish)
    for path in store.paths():
        try:
            return store.manifest(path)
        except BrokenCheckpointError:
            continue
    return None


def has_consumed(root: Path) -> bool:
    """Whether records were consumed into a state directory, or may have been: something in it cannot be read."""
    try:
        manifest = newest_sound_manifest(root)
        if manifest is not None and manifest["positions"]:
            return True
        return any(entry.spans for entry in Journal(root / "journal").read(0))
    except (StoreError, OSError):
        return True


def _is_lock(path: Path) -> bool:
    try:
        return path.read_text(encoding="ascii").partition("\n")[0].isdecimal()
    except (OSError, UnicodeDecodeError):
        return False
