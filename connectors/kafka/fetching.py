"""Reads ahead on a thread of its own, which its owner can give up on: no call of a client may hang the daemon."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

import structlog

from learnd.connectors.kafka.book import Book, lose, partitions_of
from learnd.connectors.kafka.client import (
    FORGIVEN,
    RETRY_S,
    BehindEndError,
    CorruptError,
    Fetched,
    OutOfRangeError,
    Reading,
    RefusedError,
    StuckError,
    TruncatedError,
)
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.kafka.starts import Age, Earliest, Latest, Offsets, Since, Start, parse_start, split_name
from learnd.connectors.kafka.trouble import TROUBLE
from learnd.connectors.kafka.upkeep import Upkeep, refused
from learnd.connectors.kafka.values import Values
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Positions, RecordBatch

_POLL_S = 0.1
_BATCHES_AHEAD = 8
_LOOK_EVERY_S = 1.0
_CLOSE_S = 5.0

log = structlog.get_logger()


class Fetching:
    """One reading thread, from `positions` on. What it finds, and at the last an error, is in `found`."""

    def __init__(
        self,
        settings: KafkaSettings,
        book: Book,
        values: Values,
        upkeep: Upkeep,
        connect: Callable[[], Reading],
        positions: Positions,
        idle_s: float,
    ) -> None:
        """`idle_s` is how long a partition may stand still before it is asked whether there really is nothing."""
        self._settings = settings
        self._book = book
        self._values = values
        self._upkeep = upkeep
        self._connect = connect
        self._reading: Reading | None = None
        self._idle_s = idle_s
        self._held_s = 0.0  # waited for room in the queue, since partitions were last asked
        self._next = dict(positions)  # after what is in the queue
        self._fetched: Positions = {}  # after what was fetched; that may have been left out
        self._ended = False
        self.found: queue.Queue[RecordBatch | SourceError] = queue.Queue(_BATCHES_AHEAD)
        self.assigned = False
        self.ends: Positions = {}  # as of about a second ago
        self.reached: Positions = {}  # likewise: all before it is in the queue, or was handed out
        self.beat_s = time.monotonic()
        book.reader = self
        self._thread = threading.Thread(target=self._run, name="kafka-fetch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait a moment for what is under way."""
        self._ended = True
        self._thread.join(_CLOSE_S)

    def give_up(self) -> None:
        """Leave a thread that hangs to itself; whatever it still finds is dropped."""
        self._ended = True
        reading = self._reading
        if reading is not None:
            threading.Thread(target=reading.close, name="kafka-close", daemon=True).start()

    def _run(self) -> None:
        failures = 0
        while not self._ended:
            started_s = time.monotonic()
            try:
                self._session()
            except SourceError as error:
                self._put(error)
                return
            except RefusedError as error:
                self._put(refused(self._settings, error))
                return
            except TruncatedError as error:
                self._await_topics()  # it may be that the topic was made again: that is told first
                if self._settings.on_data_loss == "stop":
                    self._put(_truncated(error))
                    return
                self._go_on_behind(error)
            except Exception as error:  # noqa: BLE001  (whatever a client throws, it is built anew)
                failures = 1 if time.monotonic() - started_s > self._idle_s else failures + 1
                if failures > FORGIVEN and (final := self._final(error)) is not None:
                    self._put(final)
                    return
                self._report(error)
                self._pause(RETRY_S[min(failures, len(RETRY_S)) - 1])

    def _session(self) -> None:
        """Read with one connection until it is time to stop, or something is wrong with it."""
        outages = self._await_topics()
        if self._ended:
            return
        reading = self._reading = self._connect()
        try:
            looked_s = asked_s = time.monotonic()
            names: Sequence[str] = []
            stood: dict[str, tuple[int, int]] = {}
            self._held_s = 0.0
            while not self._ended:
                self.beat_s = now = time.monotonic()
                if names != (wanted := partitions_of(self._upkeep.topics)):
                    names = wanted
                    self._assign(reading, names)
                    self._catch_up(reading, names)
                    stood = {name: (self._fetched[name], self.ends[name]) for name in names}
                for fetched in reading.poll(_POLL_S):
                    self._add(fetched)
                if now - looked_s >= _LOOK_EVERY_S:
                    looked_s = now
                    self._look(reading, names)
                    self._catch_up(reading, names)
                if now - asked_s - self._held_s >= self._idle_s:
                    asked_s, self._held_s = now, 0.0
                    stood = self._ask(reading, names, stood)
                if self._upkeep.connected and self._upkeep.outages != outages:
                    return  # after an outage the brokers may be others
        finally:
            self._reading = None
            self.assigned = False
            reading.close()

    def _await_topics(self) -> int:
        """Wait until it is known which topics there are now: under the same name there may be another one."""
        self._upkeep.look_again()
        while not self._upkeep.found.wait(_POLL_S) and not self._ended:
            self._beat()
        return self._upkeep.outages

    def _add(self, fetched: Fetched) -> None:
        name, start = fetched.partition, self._next[fetched.partition]
        first = int(fetched.offsets[0])
        assert first >= start, f"{name}: the client went back from {start} to {first}"
        kept = self._book.kept(fetched)
        if kept is not None:
            batch = self._values.batch(kept, start, alive=self._beat)
            self._next[name] = int(batch.ends[-1])
            self._book.lead(name, fetched.epoch, by=self)
            self._put(batch)
        self._fetched[name] = int(fetched.offsets[-1]) + 1

    def _put(self, item: RecordBatch | SourceError) -> None:
        began_s = time.monotonic()
        while not self._ended:
            self._beat()
            try:
                self.found.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            break
        self._held_s += time.monotonic() - began_s

    def _beat(self) -> None:
        self.beat_s = time.monotonic()

    # Where to read

    def _assign(self, reading: Reading, names: Sequence[str]) -> None:
        """Read these partitions, the new ones from their start; look whether what comes next is still there."""
        self._begin(reading, [name for name in names if name not in self._next])
        self._beat()
        epochs = self._epochs(names)
        beginnings = reading.beginnings(names)
        self._beat()
        ends = reading.ends(names)
        self._beat()
        for name in names:
            position = self._book.jump(name, self._next[name])
            if position < beginnings[name]:
                self._lose(name, self._next[name], beginnings[name])
            elif position > ends[name] and name not in epochs:  # with one the client finds out
                raise BehindEndError(f"{name} ends at offset {ends[name]}, before the position {position}")
        self._fetched = {name: self._book.jump(name, self._next[name]) for name in names}
        reading.assign(self._fetched, self._epochs(names), self._book.topics)
        self.ends.update(ends)
        self.assigned = True

    def _epochs(self, names: Sequence[str]) -> dict[str, int]:
        """Return the leader epochs of what was read right before the positions."""
        read = [name for name in names if self._book.jump(name, self._next[name]) == self._next[name]]
        return {name: epoch for name in read if (epoch := self._book.epochs.get(name, -1)) >= 0}

    def _begin(self, reading: Reading, names: Sequence[str]) -> None:
        noted = {name: self._book.starts[name] for name in names if name in self._book.starts}
        rest = [name for name in names if name not in noted]
        if rest:
            starts = self._starts(reading, rest)
            self._book.start_at(starts, by=self)
            noted |= starts
            log.info("kafka.partitions_found", starts=starts)
        self._book.began = True
        self._next.update(noted)

    def _starts(self, reading: Reading, names: Sequence[str]) -> Positions:
        """Choose where to start: as the settings say in a new state, at the beginning in what is added to it."""
        rule = parse_start(self._settings.start)
        added = [name for name in names if self._is_added(name)]
        chosen = resolve(reading, [name for name in names if name not in added], rule, time.time())
        return chosen | resolve(reading, added, Earliest(), time.time())

    def _is_added(self, name: str) -> bool:
        """Whether a partition came later: one of a topic that is read already, or a topic that a pattern found."""
        known = {split_name(other)[0] for other in self._book.starts}
        return split_name(name)[0] in known or (self._book.began and self._settings.pattern is not None)

    def _lose(self, name: str, position: int, beginning: int) -> None:
        if self._settings.on_data_loss == "stop":
            raise SourceError(
                f"{name}: the records at offsets {position} to {beginning - 1} ({beginning - position:,} offsets) were "
                "deleted before they were read, by retention or by an operator: going on would leave them out of the "
                "model. What was trained is kept. Give them up with source.kafka.on_data_loss: skip, and have the "
                "topic keep records for longer."
            )
        log.warning("kafka.records_lost", partition=name, first=position, last=beginning - 1, consequence="skipped")
        self._book.lead(name, -1, by=self)
        self._put(lose(name, position, beginning))
        self._next[name] = beginning

    def _go_on_behind(self, error: TruncatedError) -> None:
        """Read on where it was, whatever brokers have written anew at offsets before."""
        log.warning("kafka.records_lost", reason=str(error), consequence="kept in the model; going on at the position")
        for name in error.partitions:
            self._book.truncate(name, self._next[name], by=self)

    def _catch_up(self, reading: Reading, names: Sequence[str]) -> None:
        """Where a partition is too far behind, leave out what the settings say, up to where it ends now."""
        rule = self._settings.when_behind
        if rule is None or not (doubted := self._behind(names, self.ends, rule.records)):
            return
        ends = reading.ends(doubted)  # those at hand may count open transactions, behind which nothing can be read
        behind = self._behind(doubted, ends, rule.records)
        for name in behind:
            first, end = self._fetched[name], ends[name]
            self._book.skip(name, first, end, rule.share if rule.do == "thin" else 0.0, by=self)
            log.warning("kafka.behind", partition=name, records=end - first, first=first, last=end - 1, done=rule.do)
        if behind and rule.do == "skip":
            self._assign(reading, names)

    def _behind(self, names: Sequence[str], ends: Positions, records: int) -> list[str]:
        """Return the partitions that have more than so many unread records, and none of them left out yet."""
        far = [name for name in names if ends[name] - self._fetched[name] > records]
        return [name for name in far if not self._book.skips(name, self._fetched[name])]

    # Trouble

    def _look(self, reading: Reading, names: Sequence[str]) -> None:
        for name in names:
            if (found := reading.reached(name)) is not None:
                self.reached[name], self.ends[name] = found

    def _ask(
        self, reading: Reading, names: Sequence[str], before: dict[str, tuple[int, int]]
    ) -> dict[str, tuple[int, int]]:
        """Return how far each partition was fetched, and where it ends. `before` is what this returned the last time.

        Raises StuckError where one stands where it stood, and had more then: a fetch that never comes back shows in
        nothing else.
        """
        ends = reading.ends(names)
        self.ends.update(ends)
        stands = {}
        for name in names:
            reached = reading.reached(name)
            position = max(self._fetched[name], reached[0] if reached is not None else 0)
            if position == before[name][0] < before[name][1]:
                raise StuckError(f"{name}: no record has come for {self._idle_s:g} s, though there are some")
            stands[name] = position, ends[name]
        return stands

    def _report(self, error: Exception) -> None:
        reason = TROUBLE.text if not str(error) else str(error)
        log.warning("kafka.trouble", error=type(error).__name__, reason=reason, consequence="connecting anew")

    def _final(self, error: Exception) -> SourceError | None:
        """Return what to stop with where trying again has not helped; None where an outage may go on for long."""
        stops = self._settings.on_data_loss == "stop"  # else what is out of range is skipped, when it is found
        if isinstance(error, BehindEndError) or (stops and isinstance(error, OutOfRangeError)):
            return SourceError(
                f"{error}: brokers have lost records, or the topic never had that offset. What was trained is kept. "
                "Bring the records back, or start again once the partition has grown past the position, or correct "
                "source.kafka.start, or start afresh in another state directory (--state)."
            )
        if isinstance(error, CorruptError):
            return SourceError(
                f"records cannot be read: {error}. What was trained is kept. Mend the partition, or start afresh "
                "behind these records in another state directory (source.kafka.start with offsets, --state)."
            )
        return None

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._ended and time.monotonic() < deadline:
            self._beat()
            time.sleep(_POLL_S)


def _truncated(error: TruncatedError) -> SourceError:
    return SourceError(
        f"brokers have lost records that were read, as after an unclean election of a leader: {error}. What was "
        "trained is kept, these records among it. Start afresh in another state directory (--state), or go on at the "
        "position, without what was written anew at offsets before it: source.kafka.on_data_loss: skip."
    )


def resolve(reading: Reading, names: Sequence[str], rule: Start, now_s: float) -> Positions:
    """Return the offset to start at in each partition."""
    if not names:
        return {}
    if isinstance(rule, Latest):
        return reading.ends(names)
    if isinstance(rule, Since | Age):
        since = rule.since(now_s) if isinstance(rule, Age) else rule
        return reading.ends(names) | reading.since(names, round(since.seconds * 1000))
    beginnings = reading.beginnings(names)
    if isinstance(rule, Offsets):
        return beginnings | {name: offset for name, offset in rule.offsets.items() if name in beginnings}
    return beginnings
