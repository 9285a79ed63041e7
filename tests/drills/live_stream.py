"""A stream of records that goes on, at a steady rate, and that a fault may spoil."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from kafka_broker import Broker

Record = dict[str, Any]
Send = Callable[[list[bytes]], None]

_TICK_S = 0.1


class LiveStream:
    """Sends records until it is stopped.

    A label is nearly always that of the record before, and `a` tells it: so a model is ahead of all baselines as long
    as `a` means something, and far behind once it does not.
    """

    def __init__(self, send: Send, *, per_second: int = 20) -> None:
        self.per_second = per_second
        self.spoil: Callable[[Record], None] = lambda _: None
        self.flows = True
        self.past = 200  # records that are there from the start
        self._send = send
        self._rng = random.Random(7)
        self._label = 0
        self._sending = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)

    def start(self) -> Self:
        self.send_now(self.past)
        self._thread.start()
        return self

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def hold(self) -> None:
        """Send nothing more until `flows` is set again; return once what is under way is sent."""
        with self._sending:
            self.flows = False

    def send_now(self, count: int) -> None:
        """Send so many records at once."""
        self._send([self._record() for _ in range(count)])

    def _run(self) -> None:
        began, sent = time.monotonic(), 0.0
        while not self._over.wait(_TICK_S):
            due, began = (time.monotonic() - began) * self.per_second + sent, time.monotonic()
            sent = due - int(due)
            with self._sending:
                if self.flows:
                    self.send_now(int(due))

    def _record(self) -> bytes:
        if self._rng.random() < 0.1:
            self._label = 1 - self._label
        a, b = 2 * self._label - 1 + self._rng.gauss(0, 0.3), self._rng.gauss(0, 1)
        record = {"at": happened_before(0), "a": a, "b": b, "y": self._label, "amount": 2 * a - b}
        self.spoil(record)
        return json.dumps(record).encode()


def happened_before(seconds: float) -> str:
    """Return the time of an event of so many seconds ago."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def into_file(path: Path) -> Send:
    def send(values: list[bytes]) -> None:
        with path.open("ab") as file:
            file.write(b"".join(value + b"\n" for value in values))

    return send


def into_topic(broker: Broker, topic: str) -> Send:
    return lambda values: broker.produce(topic, values)
