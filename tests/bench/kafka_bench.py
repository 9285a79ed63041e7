"""The whole daemon on a real broker, against a bare kafka-python loop that only polls and counts."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "kafka"))

import numpy as np
from confluent_kafka import Producer
from daemon_bench import FEATURES
from kafka import KafkaConsumer, TopicPartition
from kafka_broker import Broker, own_broker
from memory_bench import resident_mib
from report import Row, ratio_row, ratios, timed

from learnd.daemon.config.settings import Settings
from learnd.daemon.operate.summary import Summary
from learnd.daemon.operate.telemetry import Telemetry
from learnd.daemon.run import Options, run
from learnd.daemon.values import Call, Report

MILLION, PARTITIONS, TURNS = 1_000_000, 3, 5
RATE, FRESH_S, WARM_S = 5_000, 30, 20  # the daemon takes a while to start, and to catch up


def rows() -> list[Row]:
    broker = own_broker()
    try:
        return [*_speed(broker), _freshness(broker), _memory(broker)]
    finally:
        broker.stop()


def _speed(broker: Broker) -> list[Row]:
    topic = broker.topic(PARTITIONS)
    fill(broker, topic, MILLION)

    def bare() -> float:
        return timed(lambda: count(broker, topic, MILLION), MILLION)

    def daemon(batch_size: int, client: str = "kafka-python") -> float:
        return train(broker, topic, MILLION, client, train={"batch_size": batch_size}).samples_per_second

    what = "the daemon on a topic of 1 million JSON records of 8 features in 3 partitions"
    against = "against a bare kafka-python loop that polls and counts"
    return [
        ratio_row(f"{what}, B = 1, {against}", "≥ 0.75 ×", ratios(lambda: daemon(1), bare, TURNS)),
        ratio_row(f"{what}, B = 32, {against}", "≥ 0.85 ×", ratios(lambda: daemon(32), bare, TURNS)),
        ratio_row(
            f"{what}, B = 32, with `client: confluent`, {against}",
            "≥ 1.5 ×",
            ratios(lambda: daemon(32, "confluent"), bare, TURNS),
        ),
    ]


def _freshness(broker: Broker) -> Row:
    """Append a steady stream from another process, and measure each sample when the call that trained it is over."""
    topic = broker.topic()
    seconds: list[float] = []
    feeder = [sys.executable, str(Path(__file__).with_name("kafka_feeder.py")), broker.bootstrap, topic]
    total = RATE * (WARM_S + FRESH_S)

    def watch(call: Call) -> None:
        assert call.event_time_s is not None
        newest = time.time() - call.event_time_s
        seconds.extend(newest + np.arange(call.samples) / RATE)  # the others came one after the other before it

    with subprocess.Popen([*feeder, str(RATE), str(total)]), watched(watch):
        samples = {"event_time": "ts"}
        train(broker, topic, total, samples=samples, train={"max_wait_ms": 10})
    steady = np.sort(seconds[RATE * WARM_S :])
    median, p99 = (1000 * steady[int(share * len(steady))] for share in (0.5, 0.99))
    return Row(
        f"freshness, from append to weights, p99, at {RATE:,} records/s with `max_wait_ms: 10`",
        "≤ 100 ms",
        f"{p99:.0f} ms",
        f"median {median:.0f} ms over {FRESH_S} s",
    )


def _memory(broker: Broker) -> Row:
    topic = broker.topic(PARTITIONS)
    fill(broker, topic, 10 * MILLION)
    seen, at = 0, {}

    def watch(call: Call) -> None:
        nonlocal seen
        seen += call.samples
        for millions in (1, 5, 10):
            if seen >= millions * MILLION - 10_000 and millions not in at:
                at[millions] = resident_mib()

    with watched(watch):
        train(broker, topic, 10 * MILLION, train={"batch_size": 32})
    steps = ", ".join(f"{mib:.0f} MiB after {millions} million" for millions, mib in at.items())
    return Row(
        "growth of resident memory over 10 million records of a topic", "≤ 20 MB", f"{at[10] - at[1]:.1f} MiB", steps
    )


@contextmanager
def watched(watch: Any) -> Iterator[None]:
    """Have each call shown when it is over."""
    before = Telemetry.call_done

    def call_done(self: Telemetry, call: Call, report: Report, seconds: float) -> None:
        before(self, call, report, seconds)
        if call.samples:
            watch(call)

    Telemetry.call_done = call_done  # type: ignore[method-assign]
    try:
        yield
    finally:
        Telemetry.call_done = before  # type: ignore[method-assign]


def fill(broker: Broker, topic: str, records: int) -> None:
    """Write records in turns to the partitions."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100_000, FEATURES)).round(6)
    y = (x @ rng.normal(size=FEATURES) > 0).astype(int)
    lines = [
        json.dumps({**{f"x{index}": value for index, value in enumerate(row)}, "y": label}).encode()
        for row, label in zip(x.tolist(), y.tolist(), strict=True)
    ]
    partitions = topic_partitions(broker, topic)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "compression.type": "lz4", "linger.ms": 20})
    for number in range(records):
        while True:
            try:
                producer.produce(topic, lines[number % len(lines)], partition=number % partitions)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0


def topic_partitions(broker: Broker, topic: str) -> int:
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap)
    try:
        return len(consumer.partitions_for_topic(topic) or ())
    finally:
        consumer.close()


def count(broker: Broker, topic: str, records: int) -> None:
    """Poll and count."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False, max_poll_records=1000)
    consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
    consumer.seek_to_beginning()
    while records > 0:
        records -= sum(map(len, consumer.poll(timeout_ms=100).values()))
    consumer.close()


def train(
    broker: Broker, topic: str, records: int, client: str = "kafka-python", samples: Any = None, **sections: Any
) -> Summary:
    """Run the daemon with all that is on by default, until it has consumed so many records."""
    with tempfile.TemporaryDirectory() as folder:
        kafka = {"bootstrap_servers": broker.bootstrap, "topic": topic, "client": client}
        given = {
            "source": {"kafka": kafka},
            "samples": {
                "features": {f"x{index}": "float" for index in range(FEATURES)},
                "label": "y",
                **(samples or {}),
            },
            "checkpoint": {"dir": f"{folder}/state"},
            **sections,
        }
        return run(Settings.model_validate(given), lambda: False, Options(http=False, display=False, records=records))
