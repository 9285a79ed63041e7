"""What a state directory is known by: what a daemon leaves there, whether it runs, was killed, or is backed up."""

from __future__ import annotations

from pathlib import Path

from learnd.daemon.state.lock import EPOCHS_FILE, LOCK_FILE

# A kill may leave an empty lock, commands may wait for the first start, and some file systems begin with the last.
_NOT_FOREIGN = {LOCK_FILE, "commands", "lost+found"}


def is_state_directory(root: Path) -> bool:
    """Whether a daemon has ever started there: it has left its number, an epoch or a checkpoint."""
    return (
        _is_lock(root / LOCK_FILE)
        or (root / EPOCHS_FILE).is_file()
        or any(root.glob("checkpoints/[0-9]*-[0-9]*/manifest.json"))
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


def _is_lock(path: Path) -> bool:
    try:
        return path.read_text(encoding="ascii").partition("\n")[0].isdecimal()
    except (OSError, UnicodeDecodeError):
        return False
