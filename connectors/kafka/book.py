"""What the source remembers of partitions, as notes: where they started, of which topic they are, what is gone."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.connectors.kafka.client import Fetched, Topic
from learnd.connectors.kafka.starts import join_name
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Defect, Float64, Int64, Note, Positions, RecordBatch

_AFRESH = "start afresh in another state directory (--state)"


class Book:
    """Notes that were journaled, and those that are still to be. For any thread.

    A note has up to seven parts: `starts` {partition: the first offset to be read}, `topics` {topic: id}, `lost`
    {partition: [from, to]}, a gap that was skipped, which the stream holds as one rejected record, and `schemas`
    {partition: [[from, to, numbers]]}, the Avro schemas that could not be found for records that end there,
    `skipped` {partition: [[from, to, share]]}, ranges of which a share alone was kept, beside `skipped_records`,
    `truncated` {partition: position}, up to which brokers may have other records by now than were read, and
    `current` {partition: epoch}, the leader epoch of what was read last: brokers that lost records write others in a
    later one.
    One of neither starts nor topics says `until` when the ranges in it are needed.

    A thread that hung, and was given up, may wake up once more: what it would write then is not taken.
    """

    def __init__(self, positions: Positions, notes: Sequence[Note]) -> None:
        """Raises SourceError where a position has no start: it was made from another kind of source."""
        self._lock = threading.Lock()
        self._topics: dict[str, str] = {}
        self._lost: dict[str, dict[int, int]] = {}
        self._skips: dict[str, list[tuple[int, int, float]]] = {}
        self._news: dict[str, Any] = {}
        self.reader: object = None  # who may write, but for what `know` learns
        self.starts: Positions = {}
        self.epochs: dict[str, int] = {}  # negative where unknown
        self._truncated: Positions = {}
        missed: dict[str, dict[int, list[tuple[int, int]]]] = {}
        for note in notes:
            self.starts.update(note.get("starts", {}))
            self._topics.update(note.get("topics", {}))
            self.epochs.update(note.get("current", {}))
            self._truncated.update(note.get("truncated", {}))
            for name, (first, end) in note.get("lost", {}).items():
                self._lost.setdefault(name, {})[first] = end
            for name, ranges in note.get("schemas", {}).items():
                for low, high, ids in ranges:
                    for number in ids:
                        missed.setdefault(name, {}).setdefault(number, []).append((low, high))
            for name, skips in note.get("skipped", {}).items():
                self._skips.setdefault(name, []).extend((first, end, share) for first, end, share in skips)
        self._missed = {
            name: {number: np.array(sorted(ranges), np.int64) for number, ranges in of_number.items()}
            for name, of_number in missed.items()
        }
        unknown = sorted(set(positions) - set(self.starts))
        if unknown:
            raise SourceError(
                f"{', '.join(unknown)}: the state holds a position but no note says where it started. It was made from "
                f"another kind of source, or is not whole: {_AFRESH}."
            )
        self.began = bool(self.starts)  # what is found from now on was added later

    def start_at(self, starts: Positions, *, by: object = None) -> None:
        """Remember where partitions start, and with the next batch have it noted."""
        with self._lock:
            if by is not self.reader:
                return
            self.starts.update(starts)
            self._news.setdefault("starts", {}).update(starts)

    def lead(self, partition: str, epoch: int, *, by: object = None) -> None:
        """Remember the leader epoch of what comes before the next record, and with the next batch have it noted."""
        with self._lock:
            if by is not self.reader or self.epochs.get(partition, -1) == epoch:
                return
            self.epochs[partition] = epoch
            self._news.setdefault("current", {})[partition] = epoch

    def truncate(self, partition: str, position: int, *, by: object = None) -> None:
        """Remember that brokers have lost records before a position, and perhaps written others in their place."""
        self.lead(partition, -1, by=by)
        with self._lock:
            if by is self.reader:
                self._truncated[partition] = position
                self._news.setdefault("truncated", {})[partition] = position

    def still_holds(self, fetched: Fetched) -> bool:
        """Whether records that were read before are the same now, by all that is known."""
        known = self.epochs.get(fetched.partition, -1)
        truncated = fetched.offsets[0] < self._truncated.get(fetched.partition, 0)
        return not truncated and not fetched.epoch > known >= 0

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
                if known is None or (not known and topic.id):
                    self._topics[name] = topic.id
                    self._news.setdefault("topics", {})[name] = topic.id

    def knows(self, topic: str) -> bool:
        """Whether the topic has been read before."""
        return topic in self._topics

    @property
    def topics(self) -> Mapping[str, str]:
        """The ids of the topics that were read, here or before."""
        with self._lock:
            return dict(sorted(self._topics.items()))

    def gap_at(self, partition: str, position: int) -> int | None:
        """Return where the gap ends that begins at a position, if one does."""
        return self._lost.get(partition, {}).get(position)

    def next_gap(self, partition: str, position: int) -> int | None:
        """Return where the first gap behind a position begins."""
        begins = sorted(self._lost.get(partition, {}))
        index = bisect_right(begins, position)
        return begins[index] if index < len(begins) else None

    def skip(self, partition: str, first: int, end: int, share: float, *, by: object = None) -> None:
        """Remember that of these offsets a share alone is read, none of them where it is 0."""
        with self._lock:
            if by is not self.reader:
                return
            self._skips.setdefault(partition, []).append((first, end, share))
            self._news.setdefault("skipped", {}).setdefault(partition, []).append([first, end, share])
            records = round((end - first) * (1 - share))
            self._news["skipped_records"] = self._news.get("skipped_records", 0) + records

    def skips(self, partition: str, position: int) -> bool:
        """Whether records at this position are left out, all of them or some."""
        return any(first <= position < end for first, end, _ in self._skips.get(partition, ()))

    def jump(self, partition: str, position: int) -> int:
        """Return where to read on from a position: behind a range of which nothing is kept."""
        for first, end, share in self._skips.get(partition, ()):
            if share == 0 and first <= position < end:
                position = end
        return position

    def kept(self, fetched: Fetched) -> Fetched | None:
        """Return what is kept of records; None where that is nothing."""
        offsets = fetched.offsets
        kept = np.ones(len(offsets), np.bool_)
        for first, end, share in self._skips.get(fetched.partition, ()):
            if first <= offsets[-1] and offsets[0] < end:
                kept &= (offsets < first) | (offsets >= end) | (_draws(offsets) < share)
        if kept.all():
            return fetched
        return fetched.rows(kept) if kept.any() else None

    def missed_schema(self, partition: str, number: int, ends: Int64) -> NDArray[np.bool_]:
        """Return, for each record that ends there, whether that schema could not be found for it."""
        ranges = self._missed.get(partition, {}).get(number)
        if ranges is None:
            return np.zeros(len(ends), np.bool_)
        last = np.searchsorted(ranges[:, 0], ends, side="right") - 1
        found: NDArray[np.bool_] = (last >= 0) & (ends <= ranges[last, 1])
        return found

    def forget(self, positions: Positions) -> None:
        """Drop what is known of records before these positions: a checkpoint covers them."""
        with self._lock:
            for name, ranges in self._skips.items():
                self._skips[name] = [one for one in ranges if one[1] > positions.get(name, 0)]

    def noted(self, batch: RecordBatch) -> RecordBatch:
        """Return the batch with everything that is still to be noted: it is about to be handed out."""
        with self._lock:
            news, self._news = self._news, {}
        if not news and batch.note is None:
            return batch
        note = {**news, **(batch.note or {})}
        if not note.keys() & {"starts", "topics"}:
            note["until"] = _until(note)
        return replace(batch, note=note)


def _until(note: Mapping[str, Any]) -> Positions:
    """Return the positions from which on a note of ranges is of no more use."""
    until: Positions = dict(note.get("truncated", {}))
    for name, (_, end) in note.get("lost", {}).items():
        until[name] = max(until.get(name, 0), end)
    for part in ("schemas", "skipped"):
        for name, ranges in note.get(part, {}).items():
            until[name] = max(until.get(name, 0), *(end for _, end, _ in ranges))
    return until


def gap(partition: str, first: int, end: int) -> RecordBatch:
    """Return the batch of one rejected record that stands for records that were deleted before they were read."""
    what = f"the records at offsets {first} to {end - 1} were deleted before they were read"
    return RecordBatch(partition, first, np.array([end], np.int64), [b""], defects={0: Defect("lost", what)})


def lose(partition: str, first: int, end: int) -> RecordBatch:
    """Return the batch that stands for a gap that has just been found, and notes it."""
    return replace(gap(partition, first, end), note={"lost": {partition: [first, end]}})


def _draws(offsets: Int64) -> Float64:
    """Return a number from 0 to 1 for each offset, spread evenly and always the same (Knuth, TAOCP 3, 6.4)."""
    scattered = offsets.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (scattered >> np.uint64(11)).astype(np.float64) / 2.0**53


def partitions_of(topics: Mapping[str, Topic]) -> list[str]:
    """Return the names of all partitions of these topics, in order."""
    return [join_name(name, number) for name, topic in sorted(topics.items()) for number in range(topic.partitions)]
