"""Reads and decodes records on its own thread, while the loop trains, and hands out calls.

The thread stays ahead of the loop by a bounded number of samples. If the source fails, the loop gets the error: it is
raised when the loop asks for the next call, once everything read before it was handed out.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from learnd.daemon.contracts import Decoder, Source
from learnd.daemon.errors import DataError, LostError, SettingsError
from learnd.daemon.foundation.shares import Shares, spending
from learnd.daemon.foundation.threads import join_within
from learnd.daemon.stream.batching import Batcher, updates_until
from learnd.daemon.stream.reject_rate import RejectRate
from learnd.daemon.values import EPOCHS, Block, Call, JournalEntry, Note, Past, Positions, RecordBatch

log = structlog.get_logger()

_READ_TIMEOUT_S = 0.05
_DECODED_BYTES = 16 << 20  # of samples at once: windows and images are much larger than their records
_LAG_EVERY_S = 1.0
_PATIENCE_S = 30.0  # for a read to return after a stop
_CALLS_AHEAD = 3
_LONGEST_S = 1.0  # of a call: a stop waits for its end
_FIRST_UPDATES = 32  # in a call before any was measured
_READ_ON_BELOW = 0.4  # of the samples that may wait
_NOTHING_DONE = "Nothing was trained, and no record was skipped: correct `samples`, then start again."
_WAYS_ON = (
    f"{_NOTHING_DONE} Or correct the producer. To skip the records with these settings: dead_letters.max_rate: 1."
)
_HELD = "none of the records so far can train; they are held until one can, or until there are too many of them"
_MOST_WAITING = 1_000_000  # records, before giving up on a full batch


class Reader:
    """All its methods are called by the loop's thread."""

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        batcher: Callable[[], Batcher],
        *,
        bytes_a_sample: int,
        max_updates: int,
        max_wait_s: float | None,
        periods: Sequence[int],
        reject_rate: RejectRate,
    ) -> None:
        """Samples that have waited `max_wait_s` for a full batch are trained as they are. It is None for a recorded
        stream, whose batches must not depend on the speed of the machine.
        """
        self._source = source
        self._decoder = decoder
        self._make_batcher = batcher
        self._batcher = batcher()
        self._batch_size = self._batcher.batch_size
        self._at_once = max(1, _DECODED_BYTES // bytes_a_sample)
        self._max_updates = max_updates
        self._affordable = _FIRST_UPDATES  # updates within `_LONGEST_S`
        self._max_wait_s = max_wait_s
        self._periods = periods
        self._ahead = _CALLS_AHEAD * max_updates * self._batch_size
        self._changed = threading.Condition()
        self._reject_rate = reject_rate
        self._first_life = False  # of this state directory: no earlier process consumed anything
        self._fresh = False  # nothing was consumed by this process either
        self._told = False  # whether it was logged that records are held
        self._begun = False  # whether the source has given its first records
        self._ended = False
        self._closing = False
        self._error: BaseException | None = None
        self.lag: Mapping[str, int] = {}  # as of about a second ago
        self.shares = Shares("reading", "decoding", "waiting")
        self._lag_due_s = 0.0
        self._thread = threading.Thread(target=self._read, name="reader", daemon=True)

    def open(self, positions: Positions, notes: Sequence[Note], past: Past) -> None:
        """Open the source at the position of a checkpoint, behind records of which this is left. Raises SourceError."""
        self._decoder.begin(past)
        repeats = self._source.repeats  # what is of epochs means nothing to another source, and the other way round
        own = {name: at for name, at in positions.items() if (name == EPOCHS) is repeats}
        self._first_life = self._fresh = not own
        self._source.open(own, [note for note in notes if (EPOCHS in note) is repeats])

    def repeat(self, entry: JournalEntry, first: int, stop: Callable[[], bool]) -> Call | None:
        """Make a journaled call again from the same records; None if `stop()` first. Only before `start`.

        Raises LostError if the source now holds other records at these positions, SourceError if it cannot be read.
        """
        self._first_life = self._fresh = False
        batcher = self._make_batcher()
        for span in entry.spans:
            for batch in self._source.read_range(span.partition, span.start, span.end):
                if stop():
                    return None
                if batch is not None:
                    batcher.add(self._decoder.decode(batch))
        call = batcher.take_exactly(entry.updates, entry.rows)
        if call is None or call.spans != entry.spans:
            where = ", ".join(f"{span.partition} {span.start}-{span.end}" for span in entry.spans)
            raise LostError(
                f"the records at {where} are no longer those that the journal says were trained. Nothing was changed: "
                "the last checkpoint is intact. Restore the records, or use a new --state directory. With Kafka, "
                "source.kafka.on_data_loss: skip continues from the checkpoint without them."
            )
        return replace(call, first=first, notes=entry.notes, commands=entry.commands)

    def start(self) -> None:
        """Start to read ahead."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading, and close the source. Called once, whether or not `start` was."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        join_within(self._thread, _PATIENCE_S, "its source is closed while it reads; nothing is lost")
        self._source.close()

    @property
    def queued_samples(self) -> int:
        return self._batcher.waiting

    def empty_call(self, first: int) -> Call:
        """Return a call that consumes nothing, for commands that come while there are no records."""
        call = self._make_batcher().take_exactly(0, self._batch_size)
        assert call is not None, "no samples are as many as no updates need"
        return replace(call, first=first)

    def limit_rejections(self, max_rate: float, window: int) -> None:
        """Judge the records that are read from now on by these limits."""
        with self._changed:
            self._reject_rate.limit(max_rate, window)
            self._changed.notify_all()  # records may be held no longer

    @spending("waiting")
    def call(self, first: int, timeout_s: float) -> Call | None:
        """Return the next call, after `first` samples; None if none is due within `timeout_s` or the stream has ended.

        Raises what the source raised, once everything read before that was handed out.
        """
        most = min(self._max_updates, self._affordable)
        limit = min(most, updates_until(first, self._batch_size, self._periods))
        with self._changed:
            self._wait_until_due(timeout_s)
            call = self._batcher.take(limit)
            if call is None and (self._rest_is_due() or self._overdue() or self._only_untrained):
                call = self._batcher.take_rest()
            self._fresh = self._fresh and call is None
            self._changed.notify_all()
            if call is None and self._error is not None:
                raise self._error
            return None if call is None else replace(call, first=first)

    def check(self) -> None:
        """Raise what the source raised, if it has: for a loop that takes no calls. What waits is read again later."""
        if self._error is not None:
            raise self._error

    def measured(self, updates: int, seconds: float) -> None:
        """Take in how long a call took: calls are as long as a stop may wait. No result depends on their length."""
        if updates:
            self._affordable = max(1, int(updates * _LONGEST_S / max(seconds, 1e-6)))

    @property
    def exhausted(self) -> bool:
        """Whether the stream has ended and every record was handed out."""
        with self._changed:
            return self._ended and self._error is None and not self._batcher.records

    def _wait_until_due(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not (self._ended or self._due()):
            remaining = min(deadline, self._overdue_at()) - time.monotonic()
            if remaining <= 0:
                return
            self._changed.wait(remaining)

    def _due(self) -> bool:
        return self._batcher.waiting >= self._batch_size or self._overdue() or self._only_untrained

    @property
    def _held(self) -> bool:
        """Whether all records of this state directory lack the same field, so that the settings may be wrong.

        They are then held until a record has the field, or until there are so many that the daemon stops.
        """
        return self._fresh and self._reject_rate.lacking is not None

    @property
    def _only_untrained(self) -> bool:
        return self._batcher.only_untrained and not self._held

    def _rest_is_due(self) -> bool:
        """Whether nothing more will come to fill the last batch.

        If the source failed, more may come: the next start reads on as if nothing had happened. If too many records
        were rejected, the position must move past them, or every start would stop at them again.
        """
        return self._ended and (self._error is None or isinstance(self._error, DataError))

    def _overdue(self) -> bool:
        return time.monotonic() >= self._overdue_at()

    def _overdue_at(self) -> float:
        arrival = self._batcher.oldest_arrival_s
        return math.inf if arrival is None or self._max_wait_s is None or self._held else arrival + self._max_wait_s

    def _read(self) -> None:
        self.shares.follow()
        try:
            while not self._closing and not self._source.exhausted:
                self._look_at_lag()
                with spending("reading"):
                    batch = self._source.read(_READ_TIMEOUT_S)
                if batch is not None:
                    self._check_columns(batch)
                    for part in batch.parts(self._at_once):
                        with spending("decoding"):
                            block = self._decoder.decode(part)
                        self._add(block)
            if not self._closing:
                self._reject_rate.check_end(fresh=self._first_life)
        except DataError as error:
            self._error = self._mistaken_settings() or error
        except BaseException as error:  # noqa: BLE001  # the loop's thread raises it
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _check_columns(self, batch: RecordBatch) -> None:
        """Raise SettingsError if the very first records cannot train because their header lacks a declared column.

        Later records are rejected instead: if a stream changes, the settings are not at fault.
        """
        if not self._begun and self._fresh and batch.columns:
            problems = self._decoder.missing_columns(batch.columns)
            if problems:
                raise SettingsError([*problems, _NOTHING_DONE])
        self._begun = True

    def _mistaken_settings(self) -> SettingsError | None:
        """Return what is wrong with the settings if all records so far lack a field that they declare."""
        with self._changed:
            last = self._reject_rate.lacking
            if not self._held or last is None:
                return None
            problems = self._decoder.missing_fields(last.value) or [f"samples: {last.defect.detail}"]
            return SettingsError([*problems, f"None of the first {self._batcher.records:,} records has it. {_WAYS_ON}"])

    def _look_at_lag(self) -> None:
        if time.monotonic() >= self._lag_due_s:
            self.lag = dict(self._source.lag())
            self._lag_due_s = time.monotonic() + _LAG_EVERY_S

    def _await_room(self) -> None:
        """If there is no room, wait until there is a lot: each restart delays the loop. Meanwhile the lag grows."""
        if self._batcher.waiting >= self._ahead:
            while not self._has_room(_LAG_EVERY_S):
                self._look_at_lag()

    def _has_room(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(
                lambda: self._closing or self._batcher.waiting < _READ_ON_BELOW * self._ahead, timeout_s
            )

    def _add(self, block: Block) -> None:
        """Queue a block, as soon as there is room for it."""
        with spending("waiting"):
            self._await_room()
        with self._changed:
            self._batcher.add(block, time.monotonic())
            self._changed.notify_all()
            self._reject_rate.add(block)
            if self._held and self._max_wait_s is not None and not self._told:
                self._told = True
                log.warning("records.lack_a_field", first=block.rejections[0].defect.detail, consequence=_HELD)
        if self._batcher.waiting < self._batch_size and self._batcher.records > _MOST_WAITING:
            raise DataError(
                f"{block.partition}: of the last {self._batcher.records:,} records, fewer than {self._batch_size} can "
                "be trained, not enough for one batch. What was trained before is kept. See the dead letters, and "
                "correct the producer or `samples`."
            )
