"""What the source remembers of partitions, as notes: where they started, of which topic they are, what is gone."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from connectors.kafka.client import Fetched, Topic
from connectors.kafka.starts import join_name
from daemon.errors import SourceError
from daemon.values import Defect, Note, Positions, RecordBatch

_KEPT_BYTES = 1024  # of a value that is too long
_TOMBSTONE = Defect("tombstone", "the value is null")
_AFRESH = "start afresh in another state directory (--state)"


class Book:
    """Notes that were journaled, and those that are still to be. For any thread.

    A note has up to three parts: `starts` {partition: the first offset to be read}, `topics` {topic: id}, and `lost`
    {partition: [from, to]}, a gap that was skipped, which the stream holds as one rejected record.
    """

    def __init__(self, positions: Positions, notes: Sequence[Note]) -> None:
        """Raises SourceError where a position has no start: it was made from another kind of source."""
        self._lock = threading.Lock()
        self._topics: dict[str, str] = {}
        self._lost: dict[str, dict[int, int]] = {}
        self._news: dict[str, dict[str, Any]] = {}
        self.starts: Positions = {}
        for note in notes:
            self.starts.update(note["starts"])
            self._topics.update(note["topics"])
            for name, (first, end) in note["lost"].items():
                self._lost.setdefault(name, {})[first] = end
        unknown = sorted(set(positions) - set(self.starts))
        if unknown:
            raise SourceError(
                f"{', '.join(unknown)}: the state holds a position but no note says where it started. It was made from "
                f"another kind of source, or is not whole: {_AFRESH}."
            )
        self.began = bool(self.starts)  # what is found from now on was added later

    def start_at(self, starts: Positions) -> None:
        """Remember where partitions start, and with the next batch have it noted."""
        with self._lock:
            self.starts.update(starts)
            self._news.setdefault("starts", {}).update(starts)

    def know(self, topics: Mapping[str, Topic]) -> None:
        """Remember which topics these are. Raises SourceError where one is another than it was."""
        with self._lock:
            for name, topic in topics.items():
                known = self._topics.get(name)
                if known and topic.id and known != topic.id:
                    raise SourceError(
                        f"the topic {name} was deleted and made again: what the positions of the state stand for is "
                        f"gone, and its offsets now mean other records. Name another topic, or {_AFRESH}."
                    )
                if known is None:
                    self._topics[name] = topic.id
                    self._news.setdefault("topics", {})[name] = topic.id

    def knows(self, topic: str) -> bool:
        """Whether the topic has been read before."""
        return topic in self._topics

    @property
    def topics(self) -> Sequence[str]:
        """The topics that were read, here or before."""
        with self._lock:
            return sorted(self._topics)

    def lose(self, partition: str, first: int, end: int) -> RecordBatch:
        """Remember a gap, and return the batch that stands for it."""
        with self._lock:
            self._lost.setdefault(partition, {})[first] = end
        return replace(gap(partition, first, end), note={"starts": {}, "topics": {}, "lost": {partition: [first, end]}})

    def gap_at(self, partition: str, position: int) -> int | None:
        """Return where the gap ends that begins at a position, if one does."""
        return self._lost.get(partition, {}).get(position)

    def next_gap(self, partition: str, position: int) -> int | None:
        """Return where the first gap behind a position begins."""
        begins = sorted(self._lost.get(partition, {}))
        index = bisect_right(begins, position)
        return begins[index] if index < len(begins) else None

    def noted(self, batch: RecordBatch) -> RecordBatch:
        """Return the batch with everything that is still to be noted: it is about to be handed out."""
        with self._lock:
            if not self._news:
                return batch
            news, self._news = self._news, {}
        lost = batch.note["lost"] if batch.note is not None else {}
        return replace(batch, note={"starts": news.get("starts", {}), "topics": news.get("topics", {}), "lost": lost})


def gap(partition: str, first: int, end: int) -> RecordBatch:
    """Return the batch of one rejected record that stands for records that were deleted before they were read."""
    what = f"the records at offsets {first} to {end - 1} were deleted before they were read"
    return RecordBatch(partition, first, np.array([end], np.int64), [b""], defects={0: Defect("lost", what)})


def to_batch(fetched: Fetched, start: int, max_record_bytes: int) -> RecordBatch:
    """Return fetched records as a batch from position `start`: the gaps before records belong to their spans."""
    values = [b"" if value is None else value for value in fetched.values]
    defects = {index: _TOMBSTONE for index, value in enumerate(fetched.values) if value is None}
    if max(map(len, values)) > max_record_bytes:
        for index in [index for index, value in enumerate(values) if len(value) > max_record_bytes]:
            what = f"a value of {len(values[index])} bytes is over the limit of {max_record_bytes} bytes"
            defects[index] = Defect("oversized", what)
            values[index] = values[index][:_KEPT_BYTES]
    timed = bool((fetched.timestamps_ms >= 0).all())
    return RecordBatch(
        fetched.partition,
        start,
        fetched.offsets + 1,
        values,
        keys=fetched.keys,
        headers=fetched.headers,
        timestamps_s=fetched.timestamps_ms / 1000 if timed else None,
        defects=defects or None,
    )


def partitions_of(topics: Mapping[str, Topic]) -> list[str]:
    """Return the names of all partitions of these topics, in order."""
    return [join_name(name, number) for name, topic in sorted(topics.items()) for number in range(topic.partitions)]
