"""An output in a topic: its messages are delivered before the checkpoint that covers them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import structlog

from learnd.connectors.kafka.clients import connect, failures
from learnd.connectors.kafka.clients.contract import Message, Producer, close_quietly
from learnd.connectors.kafka.output_settings import KafkaOutputSettings
from learnd.daemon.errors import LearndError, OutputError, StoreError
from learnd.daemon.foundation.failpoints import failpoint
from learnd.daemon.foundation.section import Section
from learnd.daemon.foundation.threads import join_within

MARK = "__learnd.errors."  # the names of the headers that are added begin with it
_AT_ONCE = 2000  # messages
_MOST_PENDING = 64 << 20  # bytes
_SYNC_S = 10.0
_STALLED_S = 60.0  # without a delivery, while memory is full
_FIRST_LOOK_S = 5.0
_RETRY_S = (0.2, 0.5, 1.0, 2.0)
_KEPT_BYTES = 1024  # of a value or a key that brokers do not take
_CLOSE_S = 5.0
_LEFT_BEHIND = "its connection stays open until it ends; what it delivers comes again after a resume"

log = structlog.get_logger()


class TopicOutput:
    """A `contracts.Output` in a topic. Messages are kept until the brokers have them, in order.

    A thread delivers them. While brokers are away nothing is lost and no checkpoint is made; if more is pending than
    fits into memory, `append` waits as well.
    """

    def __init__(self, name: str, settings: KafkaOutputSettings, source: Section) -> None:
        """`source`: the settings of the source, whose connection is used unless the output has its own."""
        connection = settings.connection(source)
        assert connection is not None, "the settings were checked"
        self._name = name
        self._topic = settings.topic
        self._connection = connection
        self._changed = threading.Condition()
        self._forget(0)

    def _forget(self, mark: int) -> None:
        self._pending: deque[Message] = deque()
        self._pending_bytes = 0
        self._written = self._delivered = self._marked = mark
        self._closing = False
        self._found = False  # the topic is there
        self._error: OutputError | None = None  # waiting does not help
        self._thread = threading.Thread(target=self._run, name=f"{self._name}-topic", daemon=True)

    def open(self, mark: int | None) -> None:
        """Go on after `mark` messages. Raises StoreError if there is no such topic, or no right to write to it."""
        self.close()
        self._forget(mark or 0)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._found or self._error is not None, _FIRST_LOOK_S)
            self._raise()

    @property
    def place(self) -> str:
        """The name of the topic."""
        return f"kafka:{self._topic}"

    def append(self, messages: Iterable[Message]) -> None:
        """Have messages delivered. Raises StoreError if that is not possible."""
        given = list(messages)
        with self._changed:
            self._await_room()
            self._raise()
            self._pending.extend(given)
            self._pending_bytes += sum(message.size for message in given)
            self._written += len(given)
            self._changed.notify_all()

    def mark(self) -> int:
        """Return how many messages there are. Raises StoreError if they cannot be delivered."""
        with self._changed:
            self._raise()
            self._marked = self._written
            return self._marked

    def sync(self) -> None:
        """Wait until the brokers have all messages up to the last mark. Raises StoreError if that takes too long."""
        with self._changed:
            self._changed.wait_for(partial(self._reached, self._marked), _SYNC_S)
            self._raise()
            if self._delivered < self._marked:
                raise StoreError(
                    f"{self._name}: {self._marked - self._delivered:,} messages have not reached the topic "
                    f"{self._topic}: {_complaint()}. There is no checkpoint until they have."
                )

    def close(self) -> None:
        """Stop; messages that are not delivered by then are written again after a resume."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        join_within(self._thread, _CLOSE_S, _LEFT_BEHIND)

    def _await_room(self) -> None:
        """Wait while too much is pending, as long as messages are delivered."""
        while self._pending_bytes > _MOST_PENDING and self._error is None:
            awaited = self._delivered + 1
            if not self._changed.wait_for(partial(self._reached, awaited), _STALLED_S):
                raise StoreError(
                    f"{self._name}: the topic {self._topic} has taken nothing for {_STALLED_S:g} s, and "
                    f"{len(self._pending):,} messages are waiting: {_complaint()}. Nothing is lost: the next start "
                    "repeats what came after the last checkpoint."
                )

    def _reached(self, messages: int) -> bool:
        """Whether that many are delivered, or never will be."""
        return self._delivered >= messages or self._error is not None

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    # The thread

    def _run(self) -> None:
        failed, producer = 0, None
        while not self._closing and self._error is None:
            try:
                producer = producer or self._connected()
                self._deliver(producer)
                failed = 0
            except failures.TooLargeError as error:
                close_quietly(producer)
                producer = None  # it may be of no more use
                self._shorten(error.index)
            except failures.RefusedError as error:
                self._fail(f"the broker refuses: {error}. Correct {self._name}.kafka, or the rights that it grants")
            except LearndError as error:
                self._fail(str(error))
            except Exception as error:  # noqa: BLE001  (whatever a client raises, a new one is made)
                if failed == 0:
                    reason = failures.reason_of(error)
                    log.warning("topic_not_written", output=self._name, topic=self._topic, reason=reason,
                                consequence="tried again; no checkpoint until it is")  # fmt: skip
                close_quietly(producer)
                producer = None
                self._pause(_RETRY_S[min(failed, len(_RETRY_S) - 1)])
                failed += 1
        close_quietly(producer)

    def _connected(self) -> Producer:
        """Connect, after checking that the topic exists: writing to it must not create it."""
        if not self._found:
            admin = connect.admin(self._connection)
            try:
                topics = admin.topics([self._topic])
            finally:
                admin.close()
            if self._topic not in topics:
                raise StoreError(
                    f"there is no topic {self._topic}, and learnd creates none: create it, or correct the name"
                )
        producer = connect.producer(self._connection, self._topic)
        with self._changed:
            self._found = True
            self._changed.notify_all()
        return producer

    def _deliver(self, producer: Producer) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closing)
            messages = [self._pending[index] for index in range(min(len(self._pending), _AT_ONCE))]
        if not messages:
            return
        producer.deliver(messages)
        failpoint(f"{self._name}.delivered")
        with self._changed:
            for _ in messages:
                self._pending_bytes -= self._pending.popleft().size
            self._delivered += len(messages)
            self._changed.notify_all()

    def _shorten(self, index: int) -> None:
        """Keep a part of a message that the brokers do not take."""
        message = self._pending[index]
        shorter = _shortened(message)
        if shorter is None:
            self._fail(f"a message of {message.size} bytes is too large for the topic {self._topic}")
            return
        log.warning("message_shortened", output=self._name, topic=self._topic, bytes=message.size, kept=shorter.size)
        with self._changed:
            self._pending[index] = shorter
            self._pending_bytes -= message.size - shorter.size

    def _fail(self, why: str) -> None:
        with self._changed:
            self._error = OutputError(
                f"{self._name}: {why}. Nothing is lost: the next start repeats what came after the last checkpoint."
            )
            self._changed.notify_all()

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, seconds)


def _shortened(message: Message) -> Message | None:
    """Return a message with less of its value, or without the record's own headers, or with less of its key; or None.

    Each call drops the first of these that there still is.
    """
    value, key = message.value or b"", message.key or b""
    ours = [(name, text) for name, text in message.headers if name.startswith(MARK)]
    if len(value) > _KEPT_BYTES:
        mark = (f"{MARK}shortened_from", b"%d" % len(value))
        return replace(message, value=value[:_KEPT_BYTES], headers=[*message.headers, mark])
    if len(ours) < len(message.headers):
        mark = (f"{MARK}headers_left_out", b"%d" % (len(message.headers) - len(ours)))
        return replace(message, headers=[*ours, mark])
    if len(key) > _KEPT_BYTES:
        mark = (f"{MARK}key_shortened_from", b"%d" % len(key))
        return replace(message, key=key[:_KEPT_BYTES], headers=[*ours, mark])
    return None


def _complaint() -> str:
    return failures.LAST_COMPLAINT.text or "the brokers do not answer"
