"""Watches the topics for new partitions and shows positions to monitors of lag, on a thread: reading never waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from learnd.connectors.kafka.clients.contract import Admin, Topic, close_quietly
from learnd.connectors.kafka.clients.failures import LAST_COMPLAINT, RefusedError, refusal
from learnd.connectors.kafka.notes import PartitionNotes
from learnd.connectors.kafka.partition_names import partitions_of
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.daemon.errors import SourceError
from learnd.daemon.foundation.threads import join_within
from learnd.daemon.values import Positions

_RETRY_S = (0.5, 1.0, 2.0, 5.0)
_MISSED_TIMES = 4  # in a row, before a topic counts as gone: a broker that starts may not know it yet
_MOST_NAMES = 10  # of topics, in a message
_COMMIT_TRIES = 5
_CLOSE_S = 5.0

log = structlog.get_logger()


def chosen_topics(admin: Admin, settings: KafkaSettings) -> tuple[dict[str, Topic], list[str]]:
    """Return the topics that the settings choose and that exist, and the names of those that a pattern leaves out."""
    if settings.pattern is None:
        return admin.topics(settings.topics), []
    there = admin.topics(None)
    found = {name: topic for name, topic in there.items() if settings.reads_topic(name)}
    return found, sorted(there.keys() - found.keys())


class TopicWatch:
    """A thread that knows the topics as they are now and whether a broker answers, and commits the group's offsets."""

    def __init__(self, settings: KafkaSettings, notes: PartitionNotes, connect: Callable[[], Admin]) -> None:
        self._settings = settings
        self._notes = notes
        self._connect = connect
        self._admin: Admin | None = None
        self._changed = threading.Condition()
        self._to_commit: Positions | None = None
        self._closing = False
        self._missed = 0
        self._looks = self._looked = 0  # how often it was asked to look again, and how many of those are done
        self._matched = True  # the pattern matches some topic
        self.topics: dict[str, Topic] = {}
        self.held: dict[str, tuple[int, int]] = {}  # the oldest offset of each partition and its end, when last asked
        self.found = threading.Event()  # the topics are known as they were after the last request to look again
        self.connected = False  # a broker has answered the last question
        self.outages = 0
        self.error: SourceError | None = None  # waiting does not help
        self._thread = threading.Thread(target=self._run, name="kafka-topics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def commit(self, positions: Positions) -> None:
        """Have positions shown soon; only the newest ones matter."""
        with self._changed:
            self._to_commit = positions
            self._changed.notify_all()

    def look_again(self) -> None:
        """Have the topics looked up at once. `found` is cleared, and set when they are known."""
        with self._changed:
            self.found.clear()
            self._looks += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Show the last positions, if that is quick, and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        join_within(self._thread, _CLOSE_S, "monitors of lag may see older positions; the state has the right ones")

    def _run(self) -> None:
        failures, due_s = 0, 0.0
        while not self._closing and self.error is None:
            try:
                if time.monotonic() >= due_s or self._looked < self._looks:
                    self._discover()
                    self._ask_what_is_held()
                    due_s = time.monotonic() + self._settings.discover_every_s
                self._show()
                failures = 0
                self._wait(due_s - time.monotonic() if not self._missed else _RETRY_S[1])
                due_s = 0.0 if self._missed else due_s
            except SourceError as error:
                self.error = error
            except RefusedError as error:
                self.error = refusal(self._settings.servers, error)
            except Exception as error:  # noqa: BLE001  (whatever a client raises, it is asked again)
                self._lose_connection(error, first=failures == 0)
                due_s = 0.0
                self._wait(_RETRY_S[min(failures, len(_RETRY_S) - 1)], for_requests=False)
                failures += 1
        self._show()
        self._disconnect()

    def _discover(self) -> None:
        if self._admin is None:
            self._admin = self._connect()
        self._looked = self._looks
        found = self._choose(self._admin)
        if found is None:
            return
        self._notes.know(found)
        if self.topics and not self.connected:
            log.info("kafka.connected", brokers=self._settings.servers)
        self.topics, self.connected = found, True
        with self._changed:
            if self._looked == self._looks:
                self.found.set()

    def _ask_what_is_held(self) -> None:
        """Look up what brokers have of each partition. An error is only logged: monitors see what was known before."""
        if self._admin is not None and (names := partitions_of(self.topics)):
            try:
                self.held = self._admin.held(names)
            except Exception as error:  # noqa: BLE001  (a leader may just be elected; whether it is away, `_discover` finds)
                log.debug("kafka.offsets_not_known", reason=str(error))

    def _choose(self, admin: Admin) -> dict[str, Topic] | None:
        """Return the topics to read; None if one is missing that may still appear. Raises SourceError if it is gone."""
        found, others = chosen_topics(admin, self._settings)
        wanted: Sequence[str] = self._settings.topics
        if self._settings.pattern is not None:
            self._tell_of_match(others, matched=bool(found))
            wanted = [name for name in self._notes.topics if self._settings.reads_topic(name)]
        missing = [name for name in wanted if name not in found]
        self._missed = self._missed + 1 if missing else 0
        if self._missed >= _MISSED_TIMES:
            raise self._gone(missing[0], admin)
        return None if missing else found

    def _tell_of_match(self, others: Sequence[str], *, matched: bool) -> None:
        if self._matched and not matched:
            log.warning("kafka.no_topic_matches", pattern=self._settings.pattern, there_are=others[:_MOST_NAMES],
                        consequence="waiting for one that does; nothing trains until then")  # fmt: skip
        self._matched = matched

    def _gone(self, topic: str, admin: Admin) -> SourceError:
        if self._notes.knows(topic):
            return SourceError(
                f"the topic {topic} was deleted: its records that were not read are gone. What was trained is kept; "
                "name another topic in another state directory (--state) to go on learning."
            )
        others = sorted(admin.topics(None))[:_MOST_NAMES]
        return SourceError(
            f"there is no topic {topic} on {', '.join(self._settings.servers)}, and learnd creates none. Create it, or "
            f"correct source.kafka.topic{'; there are: ' + ', '.join(others) if others else ''}."
        )

    def _show(self) -> None:
        """Commit the newest positions, if there are any, as offsets of the group. An error is only logged."""
        with self._changed:
            positions, self._to_commit = self._to_commit, None
        group = self._settings.group
        if not positions or group is None or self._admin is None:
            return
        reason = ""
        for _ in range(_COMMIT_TRIES):
            try:
                self._admin.commit(group, positions)
            except Exception as error:  # noqa: BLE001  (only monitors need them)
                reason = str(error)
                time.sleep(_RETRY_S[0])  # a broker that has never seen a group takes a moment
            else:
                return
        log.warning("kafka.offsets_not_shown", group=group, reason=reason, consequence="monitors of lag see older ones")

    def _lose_connection(self, error: Exception, *, first: bool) -> None:
        if first:
            reason = LAST_COMPLAINT.text or str(error)
            log.warning("kafka.disconnected", reason=reason, consequence="waiting; nothing is lost")
            self.outages += 1
        self.connected = False
        self._disconnect()

    def _wait(self, seconds: float, *, for_requests: bool = True) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or (for_requests and self._is_asked()), seconds)

    def _is_asked(self) -> bool:
        return self._to_commit is not None or self._looked < self._looks

    def _disconnect(self) -> None:
        admin, self._admin = self._admin, None
        close_quietly(admin)
