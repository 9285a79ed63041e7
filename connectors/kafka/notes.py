"""What the source notes about partitions: where they started, the ids of their topics, what was lost or left out."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.connectors.kafka.clients.contract import Fetched, Topic
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Defect, Float64, Int64, Note, Positions, RecordBatch

_AFRESH = "start afresh in another state directory (--state)"


class PartitionNotes:
    """The notes in the journal, and those that still have to get there with a batch. For any thread.

    A note has some of these parts:

    - `starts` {partition: the first offset to read}
    - `topics` {topic: id}
    - `lost` {partition: [from, to]}: a gap that was skipped; the stream has one rejected record for it
    - `schemas` {partition: [[from, to, numbers]]}: Avro schemas that were unknown, for records with these ends
    - `skipped` {partition: [[from, to, share]]}: ranges of which only a share was kept; with `skipped_records`
    - `truncated` {partition: position}: before it brokers may now hold other records than were read
    - `current` {partition: epoch}: the leader epoch of the last record that was read; brokers that lost records
      write others in a later epoch
    - `until` {partition: position}, in a note without `starts` and `topics`: from there on its ranges are not needed

    A thread that hung and was given up may wake up later: what it wants to note then is ignored.
    """

    def __init__(self, positions: Positions, notes: Sequence[Note]) -> None:
        """Raises SourceError if a position has no start: it was made from another kind of source."""
        self._lock = threading.Lock()
        self._topics: dict[str, str] = {}
        self._lost: dict[str, dict[int, int]] = {}
        self._skips: dict[str, list[tuple[int, int, float]]] = {}
        self._news: dict[str, Any] = {}
        self.reader: object = None  # the only one that may note anything, except by `know`
        self.starts: Positions = {}
        self.epochs: dict[str, int] = {}  # negative if unknown
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
                f"another kind of source, or is incomplete: {_AFRESH}."
            )
        self.began = bool(self.starts)  # partitions that are found from now on were added later

    def start_at(self, starts: Positions, *, by: object = None) -> None:
        """Remember where partitions start."""
        with self._lock:
            if by is not self.reader:
                return
            self.starts.update(starts)
            self._news.setdefault("starts", {}).update(starts)

    def lead(self, partition: str, epoch: int, *, by: object = None) -> None:
        """Remember the leader epoch of the last record that was read."""
        with self._lock:
            if by is not self.reader or self.epochs.get(partition, -1) == epoch:
                return
            self.epochs[partition] = epoch
            self._news.setdefault("current", {})[partition] = epoch

    def truncate(self, partition: str, position: int, *, by: object = None) -> None:
        """Remember that brokers lost records before a position, and may have written others in their place."""
        self.lead(partition, -1, by=by)
        with self._lock:
            if by is self.reader:
                self._truncated[partition] = position
                self._news.setdefault("truncated", {})[partition] = position

    def still_holds(self, fetched: Fetched) -> bool:
        """Whether records that were read before are still the same, as far as is known."""
        known = self.epochs.get(fetched.partition, -1)
        truncated = fetched.offsets[0] < self._truncated.get(fetched.partition, 0)
        return not truncated and not fetched.epoch > known >= 0

    def know(self, topics: Mapping[str, Topic]) -> None:
        """Remember the ids of topics. Raises SourceError if one differs from what it was."""
        with self._lock:
            for name, topic in topics.items():
                known = self._topics.get(name)
                if known and topic.id and known != topic.id:
                    raise SourceError(
                        f"the topic {name} was deleted and made again: the records that the state has positions of are "
                        f"gone, and their offsets now mean other records. Name another topic, or {_AFRESH}."
                    )
                if known is None or (not known and topic.id):
                    self._topics[name] = topic.id
                    self._news.setdefault("topics", {})[name] = topic.id

    def knows(self, topic: str) -> bool:
        """Whether the topic has been read before."""
        return topic in self._topics

    @property
    def topics(self) -> Mapping[str, str]:
        """The ids of the topics that were read, now or before."""
        with self._lock:
            return dict(sorted(self._topics.items()))

    def gap_at(self, partition: str, position: int) -> int | None:
        """Return the end of the gap that begins at a position; None if there is none."""
        return self._lost.get(partition, {}).get(position)

    def next_gap(self, partition: str, position: int) -> int | None:
        """Return where the first gap after a position begins; None if there is none."""
        begins = sorted(self._lost.get(partition, {}))
        index = bisect_right(begins, position)
        return begins[index] if index < len(begins) else None

    def skip(self, partition: str, first: int, end: int, share: float, *, by: object = None) -> None:
        """Remember that only a share of these offsets is kept; none if it is 0."""
        with self._lock:
            if by is not self.reader:
                return
            self._skips.setdefault(partition, []).append((first, end, share))
            self._news.setdefault("skipped", {}).setdefault(partition, []).append([first, end, share])
            records = round((end - first) * (1 - share))
            self._news["skipped_records"] = self._news.get("skipped_records", 0) + records

    def skips(self, partition: str, position: int) -> bool:
        """Whether the position is in a range of which records are left out."""
        return any(first <= position < end for first, end, _ in self._skips.get(partition, ()))

    def jump(self, partition: str, position: int) -> int:
        """Return where to read on from a position: after ranges of which nothing is kept."""
        for first, end, share in self._skips.get(partition, ()):
            if share == 0 and first <= position < end:
                position = end
        return position

    def kept(self, fetched: Fetched) -> Fetched | None:
        """Return the records that are kept; None if none is."""
        offsets = fetched.offsets
        kept = np.ones(len(offsets), np.bool_)
        for first, end, share in self._skips.get(fetched.partition, ()):
            if first <= offsets[-1] and offsets[0] < end:
                kept &= (offsets < first) | (offsets >= end) | (_draws(offsets) < share)
        if kept.all():
            return fetched
        return fetched.rows(kept) if kept.any() else None

    def missed_schema(self, partition: str, number: int, ends: Int64) -> NDArray[np.bool_]:
        """Return, for each record by its end, whether the schema was unknown when it was read."""
        ranges = self._missed.get(partition, {}).get(number)
        if ranges is None:
            return np.zeros(len(ends), np.bool_)
        last = np.searchsorted(ranges[:, 0], ends, side="right") - 1
        found: NDArray[np.bool_] = (last >= 0) & (ends <= ranges[last, 1])
        return found

    def forget(self, positions: Positions) -> None:
        """Forget ranges before these positions: a checkpoint covers them."""
        with self._lock:
            for name, ranges in self._skips.items():
                self._skips[name] = [one for one in ranges if one[1] > positions.get(name, 0)]

    def noted(self, batch: RecordBatch) -> RecordBatch:
        """Return the batch with everything that is still to be noted. It must be handed out then."""
        with self._lock:
            news, self._news = self._news, {}
        if not news and batch.note is None:
            return batch
        note = {**news, **(batch.note or {})}
        if not note.keys() & {"starts", "topics"}:
            note["until"] = _until(note)
        return replace(batch, note=note)


def _until(note: Mapping[str, Any]) -> Positions:
    """Return the positions from which on the ranges of a note are not needed any more."""
    until: Positions = dict(note.get("truncated", {}))
    for name, (_, end) in note.get("lost", {}).items():
        until[name] = max(until.get(name, 0), end)
    for part in ("schemas", "skipped"):
        for name, ranges in note.get(part, {}).items():
            until[name] = max(until.get(name, 0), *(end for _, end, _ in ranges))
    return until


def gap(partition: str, first: int, end: int) -> RecordBatch:
    """Return a batch of one rejected record, which stands for records that were deleted before they were read."""
    what = f"the records at offsets {first} to {end - 1} were deleted before they were read"
    return RecordBatch(partition, first, np.array([end], np.int64), [b""], defects={0: Defect("lost", what)})


def lose(partition: str, first: int, end: int) -> RecordBatch:
    """Return the same batch for a gap that has just been found, with the note of it."""
    return replace(gap(partition, first, end), note={"lost": {partition: [first, end]}})


def _draws(offsets: Int64) -> Float64:
    """Return a number in [0, 1) for each offset: evenly spread, and the same every time (Knuth, TAOCP 3, 6.4)."""
    scattered = offsets.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (scattered >> np.uint64(11)).astype(np.float64) / 2.0**53
