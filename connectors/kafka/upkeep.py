"""Looks for new partitions and shows positions to monitors of lag, on a thread of its own: reading never waits."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence

import structlog

from learnd.connectors.kafka.book import Book
from learnd.connectors.kafka.client import Asking, RefusedError, Topic
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.kafka.trouble import TROUBLE
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Positions

_RETRY_S = (0.5, 1.0, 2.0, 5.0)
_MISSED_TIMES = 4  # in a row, before a topic counts as gone: a broker that starts may not know it yet
_MOST_NAMES = 10  # of topics, in a message
_COMMIT_TRIES = 5
_LAST_COMMIT_S = 5.0

log = structlog.get_logger()


class Upkeep:
    """The topics as they are now, whether there is a broker, and the group's offsets."""

    def __init__(self, settings: KafkaSettings, book: Book, connect: Callable[[], Asking]) -> None:
        self._settings = settings
        self._book = book
        self._connect = connect
        self._asking: Asking | None = None
        self._changed = threading.Condition()
        self._to_commit: Positions | None = None
        self._closing = False
        self._missed = 0
        self._looks = self._looked = 0  # how often it was asked to look again, and by when it has
        self._matched = True  # some topic, the pattern
        self.topics: dict[str, Topic] = {}
        self.found = threading.Event()  # the topics are known, as of the last time that it was asked to look
        self.connected = False  # a broker has answered the last question
        self.outages = 0
        self.error: SourceError | None = None  # nothing that waiting mends
        self._thread = threading.Thread(target=self._run, name="kafka-upkeep", daemon=True)
        self._thread.start()

    def commit(self, positions: Positions) -> None:
        """Have positions shown soon; only the newest ones matter."""
        with self._changed:
            self._to_commit = positions
            self._changed.notify_all()

    def look_again(self) -> None:
        """Have the topics looked up at once: `found` is set when they are those of a time after this."""
        with self._changed:
            self.found.clear()
            self._looks += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Show the last positions, if that is quick, and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(_LAST_COMMIT_S)

    def _run(self) -> None:
        failures, due_s = 0, 0.0
        while not self._closing and self.error is None:
            try:
                if time.monotonic() >= due_s or self._looked < self._looks:
                    self._discover()
                    due_s = time.monotonic() + self._settings.discover_every_s
                self._show()
                failures = 0
                self._wait(due_s - time.monotonic() if not self._missed else _RETRY_S[1])
                due_s = 0.0 if self._missed else due_s
            except SourceError as error:
                self.error = error
            except RefusedError as error:
                self.error = refused(self._settings, error)
            except Exception as error:  # noqa: BLE001  (whatever a client throws, it is asked again)
                self._lost(error, first=failures == 0)
                due_s = 0.0
                self._wait(_RETRY_S[min(failures, len(_RETRY_S) - 1)], for_requests=False)
                failures += 1
        self._leave()

    def _discover(self) -> None:
        if self._asking is None:
            self._asking = self._connect()
        self._looked = self._looks
        found = self._choose(self._asking)
        if found is None:
            return
        self._book.know(found)
        if self.topics and not self.connected:
            log.info("kafka.connected", brokers=self._settings.servers)
        self.topics, self.connected = found, True
        with self._changed:
            if self._looked == self._looks:
                self.found.set()

    def _choose(self, asking: Asking) -> dict[str, Topic] | None:
        """Return the topics to be read; None where one is missing that may still come up."""
        if self._settings.pattern is None:
            found = asking.topics(self._settings.topics)
            wanted: Sequence[str] = self._settings.topics
        else:
            pattern = re.compile(self._settings.pattern)
            there = asking.topics(None)
            found = {name: topic for name, topic in there.items() if pattern.fullmatch(name)}
            self._tell_of_match(sorted(there), matched=bool(found))
            wanted = [name for name in self._book.topics if pattern.fullmatch(name)]
        missing = [name for name in wanted if name not in found]
        self._missed = self._missed + 1 if missing else 0
        if self._missed >= _MISSED_TIMES:
            raise self._gone(missing[0], asking)
        return None if missing else found

    def _tell_of_match(self, there: Sequence[str], *, matched: bool) -> None:
        if self._matched and not matched:
            log.warning("kafka.no_topic_matches", pattern=self._settings.pattern, there_are=there[:_MOST_NAMES],
                        consequence="waiting for one that does; nothing trains until then")  # fmt: skip
        self._matched = matched

    def _gone(self, topic: str, asking: Asking) -> SourceError:
        if self._book.knows(topic):
            return SourceError(
                f"the topic {topic} was deleted: its records that were not read are gone. What was trained is kept; "
                "name another topic in another state directory (--state) to go on learning."
            )
        others = sorted(asking.topics(None))[:_MOST_NAMES]
        return SourceError(
            f"there is no topic {topic} on {', '.join(self._settings.servers)}, and learnd creates none. Create it, or "
            f"correct source.kafka.topic{'; there are: ' + ', '.join(others) if others else ''}."
        )

    def _show(self) -> None:
        with self._changed:
            positions, self._to_commit = self._to_commit, None
        group = self._settings.group
        if not positions or group is None or self._asking is None:
            return
        reason = ""
        for _ in range(_COMMIT_TRIES):
            try:
                self._asking.commit(group, positions)
            except Exception as error:  # noqa: BLE001  (they are for monitors alone)
                reason = str(error)
                time.sleep(_RETRY_S[0])  # a broker that has never seen a group takes a moment
            else:
                return
        log.warning("kafka.offsets_not_shown", group=group, reason=reason, consequence="monitors of lag see older ones")

    def _lost(self, error: Exception, *, first: bool) -> None:
        if first:
            reason = TROUBLE.text or str(error)
            log.warning("kafka.disconnected", reason=reason, consequence="waiting; nothing is lost")
            self.outages += 1
        self.connected = False
        self._drop()

    def _wait(self, seconds: float, *, for_requests: bool = True) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or (for_requests and self._is_asked()), seconds)

    def _is_asked(self) -> bool:
        return self._to_commit is not None or self._looked < self._looks

    def _leave(self) -> None:
        self._show()
        self._drop()

    def _drop(self) -> None:
        asking, self._asking = self._asking, None
        if asking is not None:
            try:
                asking.close()
            except Exception as error:  # noqa: BLE001  (it is not used any more)
                log.debug("kafka.close_failed", reason=str(error))


def refused(settings: KafkaSettings, error: RefusedError) -> SourceError:
    """Return the error for what the brokers do not allow."""
    return SourceError(
        f"{', '.join(settings.servers)}: the broker refuses: {error}. Nothing is lost; correct source.kafka or the "
        "rights that the broker grants, and start again."
    )
