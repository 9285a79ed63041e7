"""Writes a range of topics to a recording: each partition from a start to an end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from learnd.connectors.kafka.clients import connect, failures
from learnd.connectors.kafka.clients.contract import Consumer, Fetched, Topic, close_quietly, closed_if_it_hangs
from learnd.connectors.kafka.partition_names import partitions_of
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.kafka.starts import Offsets, Start, offsets_to_start_at, parse_start
from learnd.connectors.kafka.topics import chosen_topics
from learnd.connectors.recordings.file_format import FORMATS, RecordingHeader, RecordingWriter, open_writer
from learnd.daemon.errors import LearndError, SettingsError, SourceError, StoreError
from learnd.daemon.values import Positions

_POLL_S = 0.2
_PATIENCE_S = 60.0  # without any record, before giving up
_RETRY_S = 0.5

log = structlog.get_logger()


@dataclass
class Recorder:
    """Records topics: only committed records, in the order in which they come."""

    settings: KafkaSettings
    records: int = field(default=0, init=False)
    _header: RecordingHeader = field(default_factory=lambda: RecordingHeader(topics={}, starts={}, ends={}), init=False)
    _positions: Positions = field(default_factory=dict, init=False)
    _epochs: dict[str, int] = field(default_factory=dict, init=False)  # of what comes before them

    def record(self, path: Path, end: str | dict[str, int], stop: Callable[[], bool], show: Callable[[], None]) -> bool:
        """Write the recording, and return whether it is whole; if it was stopped, there is no file.

        Raises SourceError if the records do not come, StoreError if the file cannot be written, SettingsError if the
        range makes no sense.
        """
        form = next((form for form in FORMATS if path.name.endswith(form)), None)
        if form is None:
            raise SettingsError([f"{path}: the name of a recording ends in one of {', '.join(FORMATS)}"])
        rule = self._parsed(end)
        self._trying(lambda consumer: self._choose(consumer, rule), stop)
        unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(open_writer(unfinished, form, self._header)) as file:
                self._trying(lambda consumer: self._copy(consumer, file, stop, show), stop)
            if not stop():
                unfinished.replace(path)
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror or error}. Give another --to.") from error
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
        return not stop()

    @property
    def share(self) -> float:
        """The share of the range that is recorded, 0 to 1."""
        total = sum(self._header.ends.values()) - sum(self._header.starts.values())
        return (sum(self._positions.values()) - sum(self._header.starts.values())) / total if total else 1.0

    def _parsed(self, end: str | dict[str, int]) -> Start:
        try:
            rule = parse_start(end)
        except ValueError as error:
            raise SettingsError([f"--end: {error}"]) from error
        self._refuse("--end", self.settings.foreign(rule))
        return rule

    def _refuse(self, key: str, partitions: Iterable[str]) -> None:
        if names := ", ".join(sorted(partitions)):
            raise SettingsError([f"{key}: {names} is none of the partitions that are recorded; correct its name"])

    def _choose(self, consumer: Consumer, rule: Start) -> None:
        """Find out which offsets to record."""
        ids = self._topics()
        names, now_s = partitions_of(ids), time.time()
        last = consumer.ends(names)
        first = parse_start(self.settings.start)
        for key, named in (("start", first), ("--end", rule)):
            self._refuse(key, set(named.offsets if isinstance(named, Offsets) else ()) - set(names))
        self._check_offsets(first, rule, last)
        starts = offsets_to_start_at(consumer, names, first, now_s)
        given = rule.offsets if isinstance(rule, Offsets) else offsets_to_start_at(consumer, names, rule, now_s)
        chosen = {**last, **given}
        ends = {name: max(starts[name], min(chosen[name], last[name])) for name in names}
        topics = {name: topic.id for name, topic in ids.items()}
        self._header = RecordingHeader(topics=topics, starts=starts, ends=ends)
        self._positions = dict(starts)

    def _check_offsets(self, first: Start, rule: Start, last: Positions) -> None:
        """Raise SettingsError for offsets that do not exist, and for ranges that end before they begin."""
        starts, ends = (dict(given.offsets) if isinstance(given, Offsets) else {} for given in (first, rule))
        problems = [
            f"{key}: {name} ends at offset {last[name]}, before {offset}"
            for key, given in (("start", starts), ("--end", ends))
            for name, offset in given.items()
            if offset > last[name]
        ]
        problems += [
            f"--end: {name} begins at {starts[name]}, behind {ends[name]}"
            for name in starts.keys() & ends.keys()
            if starts[name] > ends[name]
        ]
        if problems:
            raise SettingsError(problems)

    def _copy(
        self, consumer: Consumer, file: RecordingWriter, stop: Callable[[], bool], show: Callable[[], None]
    ) -> None:
        """Write the records that are still missing."""
        ends, awaited_s = self._header.ends, time.monotonic()
        missing = {name: position for name, position in self._positions.items() if position < ends[name]}
        epochs = {name: epoch for name, epoch in self._epochs.items() if name in missing and epoch >= 0}
        consumer.assign(missing, epochs, self._header.topics)
        while not stop() and any(self._positions[name] < end for name, end in ends.items()):
            with closed_if_it_hangs(consumer):
                polled = consumer.poll(_POLL_S)
            for fetched in polled:
                self._write(fetched, file)
                awaited_s = time.monotonic()
            for name, end in ends.items():  # a partition may end with markers of transactions
                reached = consumer.reached(name) if self._positions[name] < end and not polled else None
                if reached is not None and reached[0] >= end:
                    self._positions[name] = end
            if time.monotonic() - awaited_s > _PATIENCE_S:
                raise TimeoutError("no record came")
            show()

    def _write(self, fetched: Fetched, file: RecordingWriter) -> None:
        end = self._header.ends[fetched.partition]
        wanted = fetched.rows(fetched.offsets < end)
        if len(wanted.offsets):
            try:
                file.write(wanted)
            except OSError as error:
                raise StoreError(f"the recording cannot be written: {error.strerror or error}. Make room.") from error
            self.records += len(wanted.offsets)
        self._positions[fetched.partition] = min(int(fetched.offsets[-1]) + 1, end)
        self._epochs[fetched.partition] = fetched.epoch

    def _trying(self, do: Callable[[Consumer], None], stop: Callable[[], bool]) -> None:
        """Do something with a connection, and again with a new one after an error that a new one may fix."""
        failed_s, positions = time.monotonic(), dict(self._positions)
        while not stop():
            consumer = None
            try:
                consumer = connect.consumer(self.settings)
                do(consumer)
            except failures.RefusedError as error:
                raise failures.refusal(self.settings.servers, error) from error
            except (failures.OutOfRangeError, failures.TruncatedError) as error:
                raise SourceError(
                    f"records were deleted before they were recorded, or brokers have lost some that were: {error}. "
                    "Begin later, or anew."
                ) from error
            except LearndError:
                raise
            except Exception as error:  # whatever a client raises, a new one is made
                if positions != self._positions:
                    failed_s, positions = time.monotonic(), dict(self._positions)
                if time.monotonic() - failed_s > _PATIENCE_S:
                    raise SourceError(
                        f"{', '.join(self.settings.servers)} cannot be read: {failures.reason_of(error)}. Nothing was "
                        "recorded; try again."
                    ) from error
                log.warning("kafka.trouble", reason=failures.reason_of(error), consequence="reconnecting")
                time.sleep(_RETRY_S)
            else:
                return
            finally:
                close_quietly(consumer)

    def _topics(self) -> dict[str, Topic]:
        with closing(connect.admin(self.settings)) as admin:
            found, _ = chosen_topics(admin, self.settings)
        missing = [name for name in self.settings.topics if name not in found]
        if missing or not found:
            wanted = ", ".join(missing) or f"that matches {self.settings.pattern}"
            raise SourceError(f"there is no topic {wanted} on {', '.join(self.settings.servers)}; nothing was recorded")
        return found
