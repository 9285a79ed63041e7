"""Feeds a topic for ever: two measurements of a banana, and of which of two kinds it is.

At the end of the data, which is every few minutes, the two kinds change places, so that the model has to learn anew.
One record in a hundred is no sample.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator

from kafka import KafkaProducer
from river.datasets import Bananas

RATE = 30.0  # records a second


def records() -> Iterator[dict[str, object]]:
    """Yield the records, without the time at which they happen."""
    data = [(x["1"], x["2"], bool(y)) for x, y in Bananas()]
    for turn in itertools.count():
        for number, (length, width, kind) in enumerate(data, start=1):
            yield {"length": "?" if number % 100 == 0 else length, "width": width, "kind": int(kind ^ bool(turn % 2))}


def main() -> None:
    """Write to the topic $TOPIC on the brokers $KAFKA at a steady pace."""
    producer = KafkaProducer(bootstrap_servers=os.environ["KAFKA"], linger_ms=20)
    started = time.monotonic()
    for number, record in enumerate(records()):
        time.sleep(max(0.0, started + number / RATE - time.monotonic()))
        producer.send(
            os.environ["TOPIC"], json.dumps({**record, "at": time.time()}).encode(), key=b"%d" % (number % 50)
        )


if __name__ == "__main__":
    main()
