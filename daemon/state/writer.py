"""The thread that writes checkpoints: the loop waits only for the copy to memory."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from learnd.daemon.foundation.threads import join_within
from learnd.daemon.values import Facts

PATIENCE_S = 600.0  # for one checkpoint, if the loop waits for it


@dataclass(slots=True)
class Commit:
    """A checkpoint being written. `steps` are those of the protocol; `error` is None if the checkpoint is on disk."""

    manifest: Facts
    steps: Iterator[None]
    seconds: float = 0.0
    size: int = 0
    error: Exception | None = None


class CheckpointWriter:
    """Runs the writer's steps of commits on its own thread, one commit after the other."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[Commit | None] = queue.Queue()
        self._done: queue.Queue[Commit] = queue.Queue()
        self._pending = 0
        self._thread = threading.Thread(target=self._work, name="checkpoint-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the submitted commits. Called once, whatever happened before."""
        self._jobs.put(None)
        join_within(self._thread, PATIENCE_S, "the process ends without this checkpoint")

    @property
    def busy(self) -> bool:
        """Whether a commit is still being written, or its result was not taken yet."""
        return self._pending > 0

    def submit(self, commit: Commit) -> None:
        self._pending += 1
        self._jobs.put(commit)

    def results(self, *, wait: bool = False) -> list[Commit]:
        """Return the commits that were written or failed since the last call; with `wait`, all submitted ones.

        If a commit takes longer than PATIENCE_S, this stops waiting, and the writer stays `busy`.
        """
        results = []
        while self._pending:
            try:
                results.append(self._done.get(block=wait, timeout=PATIENCE_S))
            except queue.Empty:
                break
            self._pending -= 1
        return results

    def _work(self) -> None:
        while (commit := self._jobs.get()) is not None:
            started = time.monotonic()
            try:
                next(commit.steps)
            except Exception as error:  # noqa: BLE001  (whatever it is, the loop must not wait forever)
                commit.error = error
            commit.seconds = time.monotonic() - started
            self._done.put(commit)
