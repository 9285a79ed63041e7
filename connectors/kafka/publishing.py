"""Dead letters and predictions as messages in topics, delivered before the checkpoint that covers them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import numpy as np
import structlog

from learnd.connectors.kafka import clients
from learnd.connectors.kafka.client import Message, RefusedError, TooLargeError, Writing
from learnd.connectors.kafka.settings import KafkaOutputSettings
from learnd.connectors.kafka.starts import split_name
from learnd.connectors.kafka.trouble import TROUBLE
from learnd.daemon.errors import OutputError, StoreError
from learnd.daemon.foundation.failpoints import failpoint
from learnd.daemon.foundation.section import Section
from learnd.daemon.values import Call, Rejection, Report

_AT_ONCE = 2000  # messages
_MOST_PENDING = 64 << 20  # bytes
_SYNC_S = 10.0
_STALLED_S = 60.0  # without a delivery, while no more fits into memory
_FIRST_LOOK_S = 5.0
_RETRY_S = (0.2, 0.5, 1.0, 2.0)
_KEPT_BYTES = 1024  # of a value, or a key, that brokers do not take
_MARK = "__learnd.errors."  # how the names of headers of our own begin
_CLOSE_S = 5.0

log = structlog.get_logger()


class TopicOutput:
    """A `contracts.Output` in a topic. What it is given is kept until the brokers have it, in order.

    A thread of its own delivers. While brokers are away nothing is lost and no checkpoint is made; where more is
    waiting than should be kept in memory, `append` waits as well.
    """

    def __init__(self, name: str, settings: KafkaOutputSettings, source: Section) -> None:
        """`source` are the settings whose connection it takes, unless it has its own."""
        connection = settings.connection(source)
        assert connection is not None, "the settings were checked"
        self._name = name
        self._topic = settings.topic
        self._connection = connection
        self._changed = threading.Condition()
        self._pending: deque[Message] = deque()
        self._pending_bytes = 0
        self._written = self._delivered = self._marked = 0
        self._closing = False
        self._found = False  # the topic is there
        self._error: OutputError | None = None  # nothing that waiting mends
        self._thread = threading.Thread(target=self._run, name=f"{name}-topic", daemon=True)

    def open(self, mark: int | None) -> None:
        """Go on after `mark` messages. Raises StoreError where there is no such topic, or no right to write to it."""
        self._written = self._delivered = self._marked = mark or 0
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._found or self._error is not None, _FIRST_LOOK_S)
            self._raise()

    @property
    def place(self) -> str:
        """The name of the topic."""
        return f"kafka:{self._topic}"

    def append(self, messages: Iterable[Message]) -> None:
        """Have messages delivered. Raises StoreError where that is not possible."""
        given = list(messages)
        with self._changed:
            self._await_room()
            self._raise()
            self._pending.extend(given)
            self._pending_bytes += sum(message.size for message in given)
            self._written += len(given)
            self._changed.notify_all()

    def mark(self) -> int:
        """Return how many messages there are. Raises StoreError where they cannot be delivered."""
        with self._changed:
            self._raise()
            self._marked = self._written
            return self._marked

    def sync(self) -> None:
        """Wait until the brokers have all messages up to the last mark. Raises StoreError where that takes too long."""
        with self._changed:
            self._changed.wait_for(partial(self._reached, self._marked), _SYNC_S)
            self._raise()
            if self._delivered < self._marked:
                raise StoreError(
                    f"{self._name}: {self._marked - self._delivered:,} messages have not reached the topic "
                    f"{self._topic}: {_trouble()}. There is no checkpoint until they have."
                )

    def close(self) -> None:
        """Stop; what is not delivered then comes again after a resume."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)

    def _await_room(self) -> None:
        """Wait while too much is waiting, for as long as messages are delivered."""
        while self._pending_bytes > _MOST_PENDING and self._error is None:
            awaited = self._delivered + 1
            if not self._changed.wait_for(partial(self._reached, awaited), _STALLED_S):
                raise StoreError(
                    f"{self._name}: the topic {self._topic} has taken nothing for {_STALLED_S:g} s, and "
                    f"{len(self._pending):,} messages are waiting: {_trouble()}. Nothing is lost: the next start "
                    "repeats what came after the last checkpoint."
                )

    def _reached(self, messages: int) -> bool:
        """Whether so many are delivered, or never will be."""
        return self._delivered >= messages or self._error is not None

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    # The thread

    def _run(self) -> None:
        failures, writing = 0, None
        while not self._closing and self._error is None:
            try:
                writing = writing or self._connected()
                self._deliver(writing)
                failures = 0
            except TooLargeError as error:
                _close(writing)
                writing = None  # it may be of no more use
                self._shorten(error.index)
            except RefusedError as error:
                self._fail(f"the broker refuses: {error}. Correct {self._name}.kafka, or the rights that it grants")
            except StoreError as error:
                self._fail(str(error))
            except Exception as error:  # noqa: BLE001  (whatever a client throws, it is built anew)
                if failures == 0:
                    reason = str(error) or TROUBLE.text
                    log.warning("topic_not_written", output=self._name, topic=self._topic, reason=reason,
                                consequence="tried again; no checkpoint until it is")  # fmt: skip
                _close(writing)
                writing = None
                self._pause(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1
        _close(writing)

    def _connected(self) -> Writing:
        """Connect, once the topic is known to be there: it must not come into being by being written to."""
        if not self._found:
            asking = clients.asking(self._connection)
            try:
                topics = asking.topics([self._topic])
            finally:
                asking.close()
            if self._topic not in topics:
                raise StoreError(
                    f"there is no topic {self._topic}, and learnd creates none: create it, or correct the name"
                )
        writing = clients.writing(self._connection, self._topic)
        with self._changed:
            self._found = True
            self._changed.notify_all()
        return writing

    def _deliver(self, writing: Writing) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closing)
            messages = [self._pending[index] for index in range(min(len(self._pending), _AT_ONCE))]
        if not messages:
            return
        writing.deliver(messages)
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


class DeadLetterTopic(TopicOutput):
    """A `contracts.DeadLetters`: the record as it came, and in headers, as Kafka Connect has them, why it is here."""

    def __init__(self, settings: KafkaOutputSettings, source: Section) -> None:
        super().__init__("dead_letters", settings, source)

    def write(self, rejections: Iterable[Rejection]) -> None:
        """Have a message delivered for each rejection."""
        if messages := list(map(_letter, rejections)):
            self.append(messages)


class PredictionTopic(TopicOutput):
    """A `contracts.Predictions`: a JSON object for each sample, under the key of its record, or else its position."""

    def __init__(self, settings: KafkaOutputSettings, source: Section) -> None:
        super().__init__("predictions", settings, source)

    def write(self, call: Call, report: Report, updates: int) -> None:
        """Have a message delivered for each sample of the call."""
        if call.updates:
            self.append(_predictions(call, report, updates))


def _letter(rejection: Rejection) -> Message:
    place = _place(rejection.partition, rejection.start, rejection.end)
    fields = {**place, "reason": rejection.defect.reason, "message": rejection.defect.detail}
    headers = [(f"{_MARK}{name}", str(value).encode()) for name, value in fields.items()]
    seconds = rejection.timestamp_s
    return Message(
        rejection.key,
        None if rejection.defect.reason == "tombstone" and rejection.key is not None else rejection.value,
        [*rejection.headers, *headers],
        None if seconds is None else round(seconds * 1000),
    )


def _predictions(call: Call, report: Report, updates: int) -> Iterator[Message]:
    """Yield a message for each trained sample. `sequence` is how many updates the model had had."""
    assert call.origins is not None, "the batcher was asked for them"
    changed = report.skipped == 0
    had = updates + np.cumsum(changed) - changed
    sequences = np.repeat(had, call.rows).tolist()
    outputs = {name: array.reshape(-1, array.shape[-1]).tolist() for name, array in report.outputs.items()}
    samples = zip(sequences, *outputs.values(), strict=True)
    for origin in call.origins:
        keys = origin.keys or [None] * len(origin.ends)
        for start, end, key in zip(origin.starts.tolist(), origin.ends.tolist(), keys, strict=True):
            sequence, *rows = next(samples)
            place = _place(origin.partition, start, end)
            predicted = [row[0] if len(row) == 1 else row for row in rows]
            named = predicted[0] if len(predicted) == 1 else dict(zip(outputs, predicted, strict=True))
            body = {**place, "sequence": sequence, "prediction": named}
            position = f"{origin.partition}:{place['offset']}".encode()
            yield Message(position if key is None else key, msgspec.json.encode(body))


def _place(partition: str, start: int, end: int) -> dict[str, Any]:
    """Return where a record is: in Kafka's words, or those of another source."""
    try:
        topic, number = split_name(partition)
    except ValueError:
        return {"partition": partition, "offset": start}
    return {"topic": topic, "partition": number, "offset": end - 1}


def _shortened(message: Message) -> Message | None:
    """Return less of a message: of its value, else without the record's own headers, else of its key; None at last."""
    value, key = message.value or b"", message.key or b""
    ours = [(name, text) for name, text in message.headers if name.startswith(_MARK)]
    if len(value) > _KEPT_BYTES:
        mark = (f"{_MARK}shortened_from", b"%d" % len(value))
        return replace(message, value=value[:_KEPT_BYTES], headers=[*message.headers, mark])
    if len(ours) < len(message.headers):
        mark = (f"{_MARK}headers_left_out", b"%d" % (len(message.headers) - len(ours)))
        return replace(message, headers=[*ours, mark])
    if len(key) > _KEPT_BYTES:
        mark = (f"{_MARK}key_shortened_from", b"%d" % len(key))
        return replace(message, key=key[:_KEPT_BYTES], headers=[*ours, mark])
    return None


def _trouble() -> str:
    return TROUBLE.text or "the brokers do not answer"


def _close(writing: Writing | None) -> None:
    if writing is not None:
        try:
            writing.close()
        except Exception as error:  # noqa: BLE001  (it is not used any more)
            log.debug("kafka.close_failed", reason=str(error))
