"""Reads ahead on a thread that its owner can give up: no call of a client may hang the daemon."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

import structlog

from learnd.connectors.kafka.batches import BatchBuilder
from learnd.connectors.kafka.clients import failures
from learnd.connectors.kafka.clients.contract import FORGIVEN, RETRY_S, Consumer, Fetched
from learnd.connectors.kafka.notes import PartitionNotes, lose
from learnd.connectors.kafka.partition_names import partitions_of, split_name
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.kafka.starts import Earliest, offsets_to_start_at, parse_start
from learnd.connectors.kafka.topics import TopicWatch
from learnd.daemon.errors import SourceError
from learnd.daemon.foundation.threads import join_within
from learnd.daemon.values import Positions, RecordBatch

_POLL_S = 0.1
_BATCHES_AHEAD = 8
_LOOK_EVERY_S = 1.0
_CLOSE_S = 5.0

log = structlog.get_logger()


class FetchThread:
    """Fetches from `positions` on. The batches, and at the end an error, are in `found`."""

    def __init__(
        self,
        settings: KafkaSettings,
        notes: PartitionNotes,
        batches: BatchBuilder,
        topic_watch: TopicWatch,
        connect: Callable[[], Consumer],
        positions: Positions,
        idle_s: float,
    ) -> None:
        """`idle_s` is how long a partition may stand still before the brokers are asked whether it has more."""
        self._settings = settings
        self._notes = notes
        self._batches = batches
        self._topic_watch = topic_watch
        self._connect = connect
        self._consumer: Consumer | None = None
        self._idle_s = idle_s
        self._held_s = 0.0  # waited for room in the queue since the brokers were last asked
        self._next = dict(positions)  # after what is in the queue
        self._fetched: Positions = {}  # after what was fetched, even if it was left out
        self._ended = False
        self.found: queue.Queue[RecordBatch | SourceError] = queue.Queue(_BATCHES_AHEAD)
        self.assigned = False
        self.ends: Positions = {}  # of the partitions, as of about a second ago
        self.reached: Positions = {}  # as of about a second ago: all before it is in the queue, or was handed out
        self.beat_s = time.monotonic()
        notes.reader = self
        self._thread = threading.Thread(target=self._run, name="kafka-fetch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait a moment for what is under way."""
        self._ended = True
        join_within(self._thread, _CLOSE_S, "its connection stays open until it ends; what it finds is dropped")

    def give_up(self) -> None:
        """Leave a thread that hangs alone; whatever it still finds is dropped."""
        self._ended = True
        consumer = self._consumer
        if consumer is not None:
            threading.Thread(target=consumer.close, name="kafka-close", daemon=True).start()

    def _run(self) -> None:
        failed = 0
        while not self._ended:
            started_s = time.monotonic()
            try:
                self._session()
            except SourceError as error:
                self._put(error)
                return
            except failures.RefusedError as error:
                self._put(failures.refusal(self._settings.servers, error))
                return
            except failures.TruncatedError as error:
                self._await_topics()  # if the topic was deleted and made again, that is the error to report
                if self._settings.on_data_loss == "stop":
                    self._put(_truncated(error))
                    return
                self._go_on_behind(error)
            except Exception as error:  # noqa: BLE001  (whatever a client raises, a new one is made)
                failed = 1 if time.monotonic() - started_s > self._idle_s else failed + 1
                if failed > FORGIVEN and (final := self._final(error)) is not None:
                    self._put(final)
                    return
                reason = failures.reason_of(error)
                log.warning("kafka.trouble", error=type(error).__name__, reason=reason, consequence="reconnecting")
                self._pause(RETRY_S[min(failed, len(RETRY_S)) - 1])

    def _session(self) -> None:
        """Read with one connection until it is time to stop, or until it has to be replaced."""
        outages = self._await_topics()
        if self._ended:
            return
        consumer = self._consumer = self._connect()
        try:
            looked_s = asked_s = time.monotonic()
            names: Sequence[str] = []
            stood: dict[str, tuple[int, int]] = {}
            self._held_s = 0.0
            while not self._ended:
                self.beat_s = now = time.monotonic()
                if names != (wanted := partitions_of(self._topic_watch.topics)):
                    names = wanted
                    self._assign(consumer, names)
                    self._catch_up(consumer, names)
                    stood = {name: (self._fetched[name], self.ends[name]) for name in names}
                for fetched in consumer.poll(_POLL_S):
                    self._add(fetched)
                if now - looked_s >= _LOOK_EVERY_S:
                    looked_s = now
                    self._look(consumer, names)
                    self._catch_up(consumer, names)
                if now - asked_s - self._held_s >= self._idle_s:
                    asked_s, self._held_s = now, 0.0
                    stood = self._ask(consumer, names, stood)
                if self._topic_watch.connected and self._topic_watch.outages != outages:
                    return  # after an outage the addresses of the brokers may be others
        finally:
            self._consumer = None
            self.assigned = False
            consumer.close()

    def _await_topics(self) -> int:
        """Wait until the topics are known as they are now, and return how many outages there were by then."""
        self._topic_watch.look_again()
        while not self._topic_watch.found.wait(_POLL_S) and not self._ended:
            self._beat()
        return self._topic_watch.outages

    def _add(self, fetched: Fetched) -> None:
        name, start = fetched.partition, self._next[fetched.partition]
        first = int(fetched.offsets[0])
        assert first >= start, f"{name}: the client went back from {start} to {first}"
        kept = self._notes.kept(fetched)
        if kept is not None:
            batch = self._batches.build(kept, start, alive=self._beat)
            self._next[name] = int(batch.ends[-1])
            self._notes.lead(name, fetched.epoch, by=self)
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

    def _assign(self, consumer: Consumer, names: Sequence[str]) -> None:
        """Read these partitions, new ones from their start. Raises an error if a position is not there any more."""
        self._begin(consumer, [name for name in names if name not in self._next])
        self._beat()
        epochs = self._epochs(names)
        beginnings = consumer.beginnings(names)
        self._beat()
        ends = consumer.ends(names)
        self._beat()
        for name in names:
            position = self._notes.jump(name, self._next[name])
            if position < beginnings[name]:
                self._lose(name, self._next[name], beginnings[name])
            elif position > ends[name] and name not in epochs:  # if its epoch is known, the client checks it
                raise failures.BehindEndError(f"{name} ends at offset {ends[name]}, before the position {position}")
        self._fetched = {name: self._notes.jump(name, self._next[name]) for name in names}
        consumer.assign(self._fetched, self._epochs(names), self._notes.topics)
        self.ends.update(ends)
        self.assigned = True

    def _epochs(self, names: Sequence[str]) -> dict[str, int]:
        """Return the leader epochs of the records right before the positions, if those were read."""
        read = [name for name in names if self._notes.jump(name, self._next[name]) == self._next[name]]
        return {name: epoch for name in read if (epoch := self._notes.epochs.get(name, -1)) >= 0}

    def _begin(self, consumer: Consumer, names: Sequence[str]) -> None:
        noted = {name: self._notes.starts[name] for name in names if name in self._notes.starts}
        rest = [name for name in names if name not in noted]
        if rest:
            starts = self._starts(consumer, rest)
            self._notes.start_at(starts, by=self)
            noted |= starts
            log.info("kafka.partitions_found", starts=starts)
        self._notes.began = True
        self._next.update(noted)

    def _starts(self, consumer: Consumer, names: Sequence[str]) -> Positions:
        """Choose where to start: as the settings say in a new state; at the beginning in what was added later."""
        rule = parse_start(self._settings.start)
        added = [name for name in names if self._is_added(name)]
        chosen = offsets_to_start_at(consumer, [name for name in names if name not in added], rule, time.time())
        return chosen | offsets_to_start_at(consumer, added, Earliest(), time.time())

    def _is_added(self, name: str) -> bool:
        """Whether a partition was added later: to a topic that is read already, or with a topic that matches."""
        known = {split_name(other)[0] for other in self._notes.starts}
        return split_name(name)[0] in known or (self._notes.began and self._settings.pattern is not None)

    def _lose(self, name: str, position: int, beginning: int) -> None:
        if self._settings.on_data_loss == "stop":
            raise SourceError(
                f"{name}: the records at offsets {position} to {beginning - 1} ({beginning - position:,} offsets) were "
                "deleted before they were read, by retention or by an operator: going on would leave them out of the "
                "model. What was trained is kept. Give them up with source.kafka.on_data_loss: skip, and have the "
                "topic keep records for longer."
            )
        log.warning("kafka.records_lost", partition=name, first=position, last=beginning - 1, consequence="skipped")
        self._notes.lead(name, -1, by=self)
        self._put(lose(name, position, beginning))
        self._next[name] = beginning

    def _go_on_behind(self, error: failures.TruncatedError) -> None:
        """Read on at the position, whatever brokers have written at the offsets before it."""
        log.warning("kafka.records_lost", reason=str(error), consequence="kept in the model; going on at the position")
        for name in error.partitions:
            self._notes.truncate(name, self._next[name], by=self)

    def _catch_up(self, consumer: Consumer, names: Sequence[str]) -> None:
        """If a partition is too far behind, leave out what the settings say, up to its current end."""
        rule = self._settings.when_behind
        if rule is None or not (doubted := self._behind(names, self.ends, rule.records)):
            return
        ends = consumer.ends(doubted)  # the known ones may count records of open transactions, which cannot be read
        behind = self._behind(doubted, ends, rule.records)
        for name in behind:
            first, end = self._fetched[name], ends[name]
            self._notes.skip(name, first, end, rule.share if rule.do == "thin" else 0.0, by=self)
            log.warning("kafka.behind", partition=name, records=end - first, first=first, last=end - 1, done=rule.do)
        if behind and rule.do == "skip":
            self._assign(consumer, names)

    def _behind(self, names: Sequence[str], ends: Positions, records: int) -> list[str]:
        """Return the partitions that have more unread records than that, and leave none of them out yet."""
        far = [name for name in names if ends[name] - self._fetched[name] > records]
        return [name for name in far if not self._notes.skips(name, self._fetched[name])]

    # Trouble

    def _look(self, consumer: Consumer, names: Sequence[str]) -> None:
        for name in names:
            if (found := consumer.reached(name)) is not None:
                self.reached[name], self.ends[name] = found

    def _ask(
        self, consumer: Consumer, names: Sequence[str], before: dict[str, tuple[int, int]]
    ) -> dict[str, tuple[int, int]]:
        """Return how far each partition was fetched and where it ends. `before` is the previous result.

        Raises StuckError if one has not moved although it had more then: a fetch that never comes back shows in
        nothing else.
        """
        ends = consumer.ends(names)
        self.ends.update(ends)
        stands = {}
        for name in names:
            reached = consumer.reached(name)
            position = max(self._fetched[name], reached[0] if reached is not None else 0)
            if position == before[name][0] < before[name][1]:
                raise failures.StuckError(f"{name}: no record has come for {self._idle_s:g} s, though there are some")
            stands[name] = position, ends[name]
        return stands

    def _final(self, error: Exception) -> SourceError | None:
        """Return the error to stop with if retrying has not helped; None for an outage, which may last."""
        stops = self._settings.on_data_loss == "stop"  # else records that are out of range are skipped on assignment
        if isinstance(error, failures.BehindEndError) or (stops and isinstance(error, failures.OutOfRangeError)):
            return SourceError(
                f"{error}: brokers have lost records, or the topic never had that offset. What was trained is kept. "
                "Bring the records back, or start again once the partition has grown past the position, or correct "
                "source.kafka.start, or start afresh in another state directory (--state)."
            )
        if isinstance(error, failures.CorruptError):
            return SourceError(
                f"records cannot be read: {error}. What was trained is kept. Repair the partition, or start afresh "
                "behind these records in another state directory (source.kafka.start with offsets, --state)."
            )
        return None

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._ended and time.monotonic() < deadline:
            self._beat()
            time.sleep(_POLL_S)


def _truncated(error: failures.TruncatedError) -> SourceError:
    return SourceError(
        f"brokers have lost records that were read, as after an unclean election of a leader: {error}. What was "
        "trained is kept, these records included. Start afresh in another state directory (--state), or go on at the "
        "position, without what was written anew at offsets before it: source.kafka.on_data_loss: skip."
    )
