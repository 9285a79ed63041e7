"""Networks that break, records that are damaged, brokers that come and go."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from kafka.admin import NewTopic
from kafka_broker import Cluster, LocalBroker, own_broker, own_cluster, required
from kafka_sources import PATIENCE_S, after, notes, numbers, opened, repeat, take, values
from proxy import Proxy

from learnd.connectors.kafka.source import KafkaSource
from learnd.daemon.errors import LostError, SourceError
from learnd.daemon.values import RecordBatch

pytestmark = pytest.mark.usefixtures("client")


@pytest.fixture(scope="module")
def proxied() -> Iterator[tuple[LocalBroker, Proxy]]:
    """A broker that can be reached through a proxy, too, and tells those who come that way to stay with it."""
    proxy = Proxy()
    listeners, advertised = {"PROXY": "PLAINTEXT"}, {"PROXY": proxy.address}
    broker: LocalBroker = required(lambda: own_broker(listeners=listeners, advertised=advertised))
    proxy.target = broker.listeners["PROXY"]
    yield broker, proxy
    proxy.close()
    broker.stop()


def fill(broker: LocalBroker, topic: str, first: int, last: int) -> None:
    """Write records in batches of a hundred, none of them packed.

    A batch leaves once it is full: one that leaves by the clock is cut where a busy machine happens to be.
    """
    full = {"batch.num.messages": 100, "linger.ms": 60_000}
    producer = Producer({"bootstrap.servers": broker.bootstrap, **full})
    for number in range(first, last):
        producer.produce(topic, b"%d" % number, partition=0)
    assert producer.flush(30) == 0


def test_connections_that_are_cut_in_the_middle_of_a_fetch(proxied: tuple[LocalBroker, Proxy]) -> None:
    broker, proxy = proxied
    topic = broker.topic()
    fill(broker, topic, 0, 6000)
    cuts = proxy.cuts
    with opened(broker, topic=topic, bootstrap_servers=proxy.address) as source:
        proxy.cut_after(40_000)
        batches = take(source, 6000)
        proxy.cut_after(20_000)
        fill(broker, topic, 6000, 9000)
        batches += take(source, 3000)
    assert values(batches) == numbers(0, 9000)
    assert proxy.cuts == cuts + 2


def test_a_damaged_batch_stops_it_and_nothing_behind_it_trains(proxied: tuple[LocalBroker, Proxy]) -> None:
    broker, _ = proxied
    topic = broker.topic()
    fill(broker, topic, 0, 500)
    fill(broker, topic, 500, 600)
    (log,) = Path(broker.data, f"{topic}-0").glob("*.log")
    with log.open("r+b") as file:
        at = file.read().index(b"550")
        file.seek(at)
        file.write(b"055")
    found: list[object] = []
    with (
        opened(broker, topic=topic) as source,
        pytest.raises(SourceError, match="records cannot be read") as caught,
    ):
        read_on(source, found)
    assert "What was trained is kept" in str(caught.value)
    assert found == numbers(0, 500)


def read_on(source: KafkaSource, found: list[object]) -> None:
    while True:
        batch = source.read(0.1)
        found += batch.values if batch is not None else []


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made: Cluster = required(own_cluster)
    yield made
    made.stop()


def test_three_brokers_are_restarted_one_after_the_other(cluster: Cluster) -> None:
    topic = cluster.topic(3, replicas=3)
    stopped = threading.Event()
    sent = 0

    def feed() -> None:
        nonlocal sent
        producer = Producer({"bootstrap.servers": cluster.bootstrap, "enable.idempotence": True, "linger.ms": 5})
        while not stopped.is_set():
            for partition in range(3):
                producer.produce(topic, b"%d" % sent, partition=partition)
            sent += 1
            producer.poll(0)
            stopped.wait(0.005)
        assert producer.flush(60) == 0

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    with opened(cluster, topic=topic) as source:
        batches: list[RecordBatch] = []
        for broker in cluster.brokers:
            broker.end()
            batches += read_some(source)
            broker.start()
            batches += read_some(source)
        stopped.set()
        feeder.join()
        batches += take(source, 3 * sent - sum(map(len, batches)))
    for partition in range(3):
        assert values([batch for batch in batches if batch.partition == f"{topic}/{partition}"]) == numbers(0, sent)


@contextlib.contextmanager
def half_replicated(cluster: Cluster) -> Iterator[tuple[str, Callable[[], None]]]:
    """A topic with 100 records, of which one broker alone has the last 50; and how to lose these, and write others."""
    topic = f"t-{uuid.uuid4().hex[:12]}"
    configs = {"unclean.leader.election.enable": "true", "min.insync.replicas": "1"}
    with contextlib.closing(cluster.admin()) as admin:
        admin.create_topics([NewTopic(topic, replica_assignments={0: [1, 2]}, topic_configs=configs)])
        admin.wait_for_topics([topic])
    first, second, _ = cluster.brokers
    write(cluster, topic, 0, 50)
    second.end()
    write(cluster, topic, 50, 100)

    def lose() -> None:
        first.kill()
        second.start()
        write(cluster, topic, 1000, 1200)

    try:
        yield topic, lose
    finally:
        for broker in (first, second):
            if not broker.running:
                broker.start()


def test_records_that_brokers_lost_and_wrote_anew_are_not_taken_for_the_same(cluster: Cluster) -> None:
    with half_replicated(cluster) as (topic, lose), opened(cluster, topic=topic) as source:
        assert values(take(source, 100)) == numbers(0, 100)
        lose()
        with pytest.raises(SourceError, match=f"brokers have lost records that were read.*{topic}/0.*50"):
            read_on(source, [])


def test_records_that_were_lost_while_nothing_ran_are_told_from_those_that_were_written_anew(cluster: Cluster) -> None:
    with half_replicated(cluster) as (topic, lose):
        with opened(cluster, topic=topic) as source:
            batches = take(source, 100)
        lose()
        with (
            opened(cluster, after(batches), notes(batches), topic=topic) as source,
            pytest.raises(SourceError, match=f"brokers have lost records that were read.*{topic}/0.*50"),
        ):
            read_on(source, [])
        with (
            opened(cluster, {f"{topic}/0": 40}, notes(batches), topic=topic) as source,
            pytest.raises(LostError, match=r"at offsets 40 to 99 again.*gone: brokers have lost them"),
        ):
            repeat(source, f"{topic}/0", 40, 100)
        with opened(cluster, after(batches), notes(batches), topic=topic, on_data_loss="skip") as source:
            batches += take(source, 150)
        assert values(batches) == [*numbers(0, 100), *numbers(1050, 1200)]
        with opened(cluster, {f"{topic}/0": 40}, notes(batches), topic=topic) as source:
            with pytest.raises(LostError, match="brokers have lost them"):
                repeat(source, f"{topic}/0", 40, 100)
            assert values(repeat(source, f"{topic}/0", 100, 200)) == numbers(1050, 1150)
        write(cluster, topic, 1200, 1210)
        with opened(cluster, after(batches), notes(batches), topic=topic) as source:
            assert values(take(source, 10)) == numbers(1200, 1210)


def write(cluster: Cluster, topic: str, first: int, last: int) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap})
    for value in numbers(first, last):
        producer.produce(topic, value, partition=0)
    assert producer.flush(60) == 0


def read_some(source: KafkaSource) -> list[RecordBatch]:
    """Read until something has come, and what is there with it."""
    batches: list[RecordBatch] = []
    deadline = time.monotonic() + PATIENCE_S
    while not batches:
        assert time.monotonic() < deadline, "nothing comes any more"
        while (batch := source.read(0.2)) is not None:
            batches.append(batch)
            if len(batches) > 50:
                break
    return batches
