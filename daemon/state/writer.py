"""Writes checkpoints on a thread of its own: the loop stops only for the copy to memory.

1. The outputs that the checkpoint covers are made durable.
2. The checkpoint is written, synced and renamed into place.
3. Checkpoints and journal segments that nothing needs any more are removed.

A failure of any step leaves the last good checkpoint and the journal after it, so nothing is lost: it is
reported, training goes on, and the next checkpoint tries again.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import structlog

from learnd.daemon.contracts import Output
from learnd.daemon.errors import StoreError
from learnd.daemon.foundation.failpoints import failpoint
from learnd.daemon.state import retention
from learnd.daemon.state.journal import Journal
from learnd.daemon.state.lock import StateLock
from learnd.daemon.state.settings import CheckpointSettings
from learnd.daemon.state.store import CheckpointStore
from learnd.daemon.values import Arrays, Facts, Positions

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of everything the next call depends on. `seal` computes what takes long, such as the digest."""

    arrays: Arrays
    facts: Facts
    manifest: Facts
    seal: Callable[[Facts], Facts]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a snapshot. `error` is None where the checkpoint is on disk."""

    manifest: Facts
    seconds: float
    size: int
    error: Exception | None = None
    needed_positions: Positions = field(default_factory=dict)  # from where a fallback would read


class CheckpointWriter:
    """A context manager: on leaving, what was submitted has been written."""

    def __init__(
        self,
        settings: CheckpointSettings,
        store: CheckpointStore,
        journal: Journal,
        lock: StateLock,
        outputs: Sequence[Output],
    ) -> None:
        self._settings = settings
        self._store = store
        self._journal = journal
        self._lock = lock
        self._outputs = outputs
        self._jobs: queue.Queue[Snapshot | None] = queue.Queue()
        self._done: queue.Queue[Written] = queue.Queue()
        self._pending = 0
        self._thread = threading.Thread(target=self._work, name="checkpoint-writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._jobs.put(None)
        self._thread.join()

    @property
    def busy(self) -> bool:
        """Whether a snapshot is still being written, or its result not yet taken."""
        return self._pending > 0

    def submit(self, snapshot: Snapshot) -> None:
        self._pending += 1
        self._jobs.put(snapshot)

    def results(self, *, wait: bool = False) -> list[Written]:
        """Return what became of the snapshots since the last call; with `wait`, of every one submitted."""
        results = []
        while self._pending:
            try:
                results.append(self._done.get(block=wait))
            except queue.Empty:
                break
            self._pending -= 1
        return results

    def _work(self) -> None:
        while (snapshot := self._jobs.get()) is not None:
            started = time.monotonic()
            try:
                manifest, size, needed = self._write(snapshot)
                self._done.put(Written(manifest, time.monotonic() - started, size, None, needed))
            except Exception as error:  # noqa: BLE001  (whatever it is, the loop must not wait for ever)
                self._done.put(Written(snapshot.manifest, time.monotonic() - started, 0, error))

    def _write(self, snapshot: Snapshot) -> tuple[Facts, int, Positions]:
        failpoint("writer.outputs.before")
        for output in self._outputs:
            output.sync()
        manifest = snapshot.seal(snapshot.manifest)
        size = self._store.write(snapshot.arrays, snapshot.facts, manifest, self._lock.check)
        self._lock.check()  # overtaken right before the rename: nobody believes what was just published
        failpoint("writer.prune.before")
        return manifest, size, self._prune()

    def _prune(self) -> Positions:
        """Remove what nothing needs. Return the positions of the oldest checkpoint that may have to serve.

        A failure here costs disk space alone.
        """
        try:
            manifests = self._store.manifests()
            names = retention.newest(manifests, self._settings)
            self._store.prune([*names, *retention.best(manifests, self._settings)], self._lock.epoch)
            oldest = manifests[names[-1]]
            self._journal.prune(int(oldest["calls"]))
            return dict(oldest["positions"])
        except (OSError, StoreError) as error:
            log.warning("checkpoints_not_pruned", reason=str(error), consequence="old ones stay on disk")
            return {}
