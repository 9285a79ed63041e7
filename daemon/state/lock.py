"""One writer per state directory: a lock keeps a second daemon out, and an epoch keeps an old daemon out.

The lock is enough on one machine while nobody forces it. `take_over` forces it, if a daemon hangs or its machine is
gone. If that daemon wakes up, its epoch is no longer the last one. It may still write, and may even rename a checkpoint
into place after it has checked the epoch. So the file of epochs also says which sequence numbers each epoch may
publish, and whatever an older epoch publishes afterwards is ignored.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from learnd.daemon.errors import FencedError, LockedError, StoreError
from learnd.daemon.foundation.files import replace_synced
from learnd.daemon.values import canonical_json

LOCK_FILE, EPOCHS_FILE = "lock", "epochs.json"

_TRIES, _PAUSE_S = 10, 0.05  # whoever asks for the holder has the lock for a moment


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a state directory, and where it answers over HTTP."""

    process: int
    url: str | None = None


def holder_of(root: Path) -> Holder | None:
    """Return who holds the state directory now; None if nobody does. Raises StoreError if that cannot be told."""
    path = root / LOCK_FILE
    try:
        with path.open(encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                process, _, url = file.read().partition("\n")
                return Holder(int(process), url.strip() or None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}, so it is not known whether a daemon runs") from error
    return None


class StateLock:
    """Holds the directory `root` from `acquire` to `release`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / LOCK_FILE
        self._epochs_path = root / EPOCHS_FILE
        self._descriptor: int | None = None
        self.epoch = 0

    def acquire(self, *, take_over: bool = False) -> None:
        """Take the lock. Raises LockedError if another process holds it, StoreError if it cannot be written."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            if take_over:
                self._path.unlink(missing_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            _lock(self._descriptor)
            self._write("")
        except BlockingIOError as error:
            holder = self._path.read_text().partition("\n")[0] or "unknown"
            self.release()
            raise LockedError(
                f"{self._root}: another daemon (process {holder}) holds this state directory. Nothing was changed. "
                "Stop it first. If it hangs or its machine is gone, start with --take-over."
            ) from error
        except OSError as error:
            raise StoreError(
                f"{self._root}: the state directory cannot be written: {error.strerror}. Nothing was trained."
            ) from error

    def announce(self, url: str) -> None:
        """Let those who look at the directory know where this daemon answers over HTTP, if there is room for it."""
        with suppress(OSError):
            self._write(f"{url}\n")

    def begin_epoch(self, first_sequence: int, seen: int = 0) -> None:
        """Start a new epoch, which publishes from `first_sequence` on. Earlier epochs end there.

        `seen` is the highest epoch found in the directory, in case the file of epochs was removed.
        """
        epochs = [entry for entry in self._epochs() if entry[1] < first_sequence]
        self.epoch = max([seen, *[epoch for epoch, _ in self._epochs()]]) + 1
        replace_synced(self._epochs_path, canonical_json([*epochs, [self.epoch, first_sequence]]))

    def check(self) -> None:
        """Raise FencedError if another daemon took over."""
        last = max((epoch for epoch, _ in self._epochs()), default=0)
        if last != self.epoch:
            raise FencedError(
                f"{self._root}: another daemon took over this state directory (its epoch is {last}, this one's "
                f"{self.epoch}). This daemon stops without publishing; the other goes on from the last checkpoint."
            )

    def may_publish(self, epoch: int, sequence: int) -> bool:
        """Whether `epoch` was in charge of the checkpoint with that sequence number."""
        owners = [owner for owner, first in self._epochs() if first <= sequence]
        return not owners or epoch == max(owners)

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, more: str) -> None:
        assert self._descriptor is not None, "acquire comes first"
        data = f"{os.getpid()}\n{more}".encode()
        os.pwrite(self._descriptor, data, 0)
        os.ftruncate(self._descriptor, len(data))

    def _epochs(self) -> list[tuple[int, int]]:
        """Return (epoch, first sequence) pairs, oldest first."""
        try:
            return [(epoch, first) for epoch, first in json.loads(self._epochs_path.read_bytes())]
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise StoreError(
                f"{self._epochs_path} is damaged. Nothing was changed. Make sure that no other daemon uses this "
                "directory, then remove the file: every checkpoint that verifies is accepted again."
            ) from error


def _lock(descriptor: int) -> None:
    """Raises BlockingIOError if another process holds it for longer than a moment."""
    for left in reversed(range(_TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not left:
                raise
            time.sleep(_PAUSE_S)
        else:
            return
