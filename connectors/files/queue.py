"""Which file is read next: the files in the order in which they were found."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from learnd.connectors.files.partition import FilePartition, partition_name

_OPEN_FILES = 64


class Queue:
    """The files that may have something to read, and those that were read to their end so far."""

    def __init__(self) -> None:
        self.ready: deque[FilePartition] = deque()  # in order
        self.parked: deque[FilePartition] = deque()  # open, the longest ago first

    def put(self, file: FilePartition) -> None:
        """Queue a file for reading, before the files that were found after it."""
        if file in self.parked:
            self.parked.remove(file)
        if not self.ready or self.ready[-1].order < file.order:
            self.ready.append(file)
        elif file not in self.ready:
            self.ready = deque(sorted((*self.ready, file), key=lambda known: known.order))

    def park(self, file: FilePartition) -> None:
        """Keep a file open for what is still written to it."""
        self.drop(file)
        self.parked.append(file)
        if len(self.parked) > _OPEN_FILES:
            self.parked.popleft().close()

    def drop(self, file: FilePartition) -> None:
        """Forget a file, until it is put here again."""
        if self.ready and self.ready[0] is file:
            self.ready.popleft()
        elif file in self.ready:
            self.ready.remove(file)
        if file in self.parked:
            self.parked.remove(file)


def lag_of(files: Iterable[FilePartition], next_ordinal: int) -> Mapping[str, int]:
    """Return how much of each file is unread. Files without a name get the names that they will have."""
    lag = {}
    for file in files:
        name = file.name or partition_name(next_ordinal)
        next_ordinal += file.name is None
        if unread := file.unread():
            lag[name] = unread
    return lag
