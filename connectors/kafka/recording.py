"""Writes a range of topics to a recording: each partition from where it is asked to start up to where it is to end."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from learnd.connectors.kafka import clients
from learnd.connectors.kafka.book import partitions_of
from learnd.connectors.kafka.client import (
    Fetched,
    OutOfRangeError,
    Reading,
    RefusedError,
    Topic,
    TruncatedError,
    watched,
)
from learnd.connectors.kafka.fetching import resolve
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.kafka.starts import Offsets, Start, parse_start
from learnd.connectors.kafka.trouble import TROUBLE
from learnd.connectors.kafka.upkeep import refused
from learnd.connectors.recordings import FORMATS, Header, Writer, writer
from learnd.daemon.errors import LearndError, SettingsError, SourceError, StoreError
from learnd.daemon.values import Positions

_POLL_S = 0.2
_PATIENCE_S = 60.0  # without anything coming, before giving up
_RETRY_S = 0.5

log = structlog.get_logger()


@dataclass
class Recorder:
    """Records topics: committed records alone, in the order in which they come."""

    settings: KafkaSettings
    records: int = field(default=0, init=False)
    _header: Header = field(default_factory=lambda: Header(topics={}, starts={}, ends={}), init=False)
    _positions: Positions = field(default_factory=dict, init=False)
    _epochs: dict[str, int] = field(default_factory=dict, init=False)  # of what comes before them

    def record(self, path: Path, end: str | dict[str, int], stop: Callable[[], bool], show: Callable[[], None]) -> bool:
        """Write the recording, and return whether it is whole: not where it was stopped, which leaves no file.

        Raises SourceError where the records do not come, StoreError where the file cannot be written, SettingsError
        where it is not clear what is meant.
        """
        form = next((form for form in FORMATS if path.name.endswith(form)), None)
        if form is None:
            raise SettingsError([f"{path}: the name of a recording ends in one of {', '.join(FORMATS)}"])
        rule = self._parsed(end)
        self._trying(lambda reading: self._choose(reading, rule), stop)
        unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(writer(unfinished, form, self._header)) as file:
                self._trying(lambda reading: self._copy(reading, file, stop, show), stop)
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
        """How much of it is recorded, 0 to 1."""
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

    def _choose(self, reading: Reading, rule: Start) -> None:
        """Find out what is to be recorded."""
        ids = self._topics()
        names, now_s = partitions_of(ids), time.time()
        last = reading.ends(names)
        first = parse_start(self.settings.start)
        for key, given in (("start", first), ("--end", rule)):
            self._refuse(key, set(given.offsets if isinstance(given, Offsets) else ()) - set(names))
        self._check_offsets(first, rule, last)
        starts = resolve(reading, names, first, now_s)
        chosen = last | dict(rule.offsets) if isinstance(rule, Offsets) else resolve(reading, names, rule, now_s)
        ends = {name: max(starts[name], min(chosen[name], last[name])) for name in names}
        self._header = Header(topics={name: topic.id for name, topic in ids.items()}, starts=starts, ends=ends)
        self._positions = dict(starts)

    def _check_offsets(self, first: Start, rule: Start, last: Positions) -> None:
        """Raise SettingsError for offsets that there are not, and for ranges that end before they begin."""
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

    def _copy(self, reading: Reading, file: Writer, stop: Callable[[], bool], show: Callable[[], None]) -> None:
        """Write what is still missing."""
        ends, awaited_s = self._header.ends, time.monotonic()
        missing = {name: position for name, position in self._positions.items() if position < ends[name]}
        epochs = {name: epoch for name, epoch in self._epochs.items() if name in missing and epoch >= 0}
        reading.assign(missing, epochs, self._header.topics)
        while not stop() and any(self._positions[name] < end for name, end in ends.items()):
            with watched(reading):
                polled = reading.poll(_POLL_S)
            for fetched in polled:
                self._write(fetched, file)
                awaited_s = time.monotonic()
            for name, end in ends.items():  # what ends a partition may be marks of transactions
                reached = reading.reached(name) if self._positions[name] < end and not polled else None
                if reached is not None and reached[0] >= end:
                    self._positions[name] = end
            if time.monotonic() - awaited_s > _PATIENCE_S:
                raise TimeoutError("no record came")
            show()

    def _write(self, fetched: Fetched, file: Writer) -> None:
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

    def _trying(self, do: Callable[[Reading], None], stop: Callable[[], bool]) -> None:
        """Do something with a connection; again with a new one where that is of use, until it is to stop."""
        failed_s, positions = time.monotonic(), dict(self._positions)
        while not stop():
            reading = None
            try:
                reading = clients.reading(self.settings)
                do(reading)
            except RefusedError as error:
                raise refused(self.settings, error) from error
            except (OutOfRangeError, TruncatedError) as error:
                raise SourceError(
                    f"records were deleted before they were recorded, or brokers have lost some that were: {error}. "
                    "Begin later, or anew."
                ) from error
            except LearndError:
                raise
            except Exception as error:  # whatever a client throws, it is built anew
                if positions != self._positions:
                    failed_s, positions = time.monotonic(), dict(self._positions)
                if time.monotonic() - failed_s > _PATIENCE_S:
                    raise SourceError(
                        f"{', '.join(self.settings.servers)} cannot be read: {error or TROUBLE.text}. Nothing was "
                        "recorded; try again."
                    ) from error
                log.warning("kafka.trouble", reason=str(error) or TROUBLE.text, consequence="connecting anew")
                time.sleep(_RETRY_S)
            else:
                return
            finally:
                if reading is not None:
                    with suppress(Exception):  # it is not used any more
                        reading.close()

    def _topics(self) -> dict[str, Topic]:
        asking = clients.asking(self.settings)
        try:
            if self.settings.pattern is None:
                found = asking.topics(self.settings.topics)
            else:
                pattern = re.compile(self.settings.pattern)
                found = {name: topic for name, topic in asking.topics(None).items() if pattern.fullmatch(name)}
        finally:
            asking.close()
        missing = [name for name in self.settings.topics if name not in found]
        if missing or not found:
            wanted = ", ".join(missing) or f"that matches {self.settings.pattern}"
            raise SourceError(f"there is no topic {wanted} on {', '.join(self.settings.servers)}; nothing was recorded")
        return found
