"""The source on a real broker: where it starts, what it makes of gaps, and what it does when records are gone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import structlog
from confluent_kafka import Producer
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import NewPartitions
from kafka_broker import Broker, LocalBroker
from kafka_sources import (
    PATIENCE_S,
    after,
    chosen,
    delete_before,
    made_again,
    notes,
    numbers,
    opened,
    repeat,
    take,
    values,
    wait,
)

from learnd.connectors.kafka import broker_ranges
from learnd.connectors.kafka.clients import connect, contract
from learnd.connectors.kafka.clients.contract import Fetched
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.daemon.errors import LostError, SourceError
from learnd.daemon.values import Note, Positions

pytestmark = pytest.mark.usefixtures("client")


def at_times(broker: Broker, topic: str) -> None:
    """Write ten records, ten seconds apart from each other, the last one now."""
    producer = broker.producer()
    now_ms = int(time.time() * 1000)
    for number in range(10):
        producer.send(topic, b"%d" % number, partition=0, timestamp_ms=now_ms - 10_000 * (9 - number))
    producer.close()


@pytest.mark.parametrize(("start", "first"), [("earliest", 0), ("-45s", 5), ("-1h", 0), ("1970-01-01T00:00:00Z", 0)])
def test_starts_where_the_settings_say(broker: Broker, start: str, first: int) -> None:
    topic = broker.topic()
    at_times(broker, topic)
    with opened(broker, topic=topic, start=start) as source:
        batches = take(source, 10 - first)
    assert values(batches) == numbers(first, 10)
    assert batches[0].start == first


def test_starts_at_given_offsets_and_elsewhere_at_the_earliest(broker: Broker) -> None:
    topic = broker.topic(2)
    for partition in range(2):
        broker.produce(topic, numbers(0, 10), partition)
    with opened(broker, topic=topic, start={f"{topic}/1": 7}) as source:
        batches = take(source, 13)
    assert {batch.partition: batch.start for batch in reversed(batches)} == {f"{topic}/0": 0, f"{topic}/1": 7}


@pytest.mark.parametrize("start", ["latest", "2100-01-01"])
def test_what_was_latest_at_the_first_start_stays_so(broker: Broker, start: str) -> None:
    topic = broker.topic(2)
    broker.produce(topic, numbers(0, 10))
    broker.produce(topic, numbers(0, 3), 1)
    with opened(broker, topic=topic, start=start) as source:
        wait(source, lambda: source.connected)
        broker.produce(topic, numbers(10, 15))
        batches = take(source, 5)
    assert values(batches) == numbers(10, 15)
    broker.produce(topic, numbers(15, 20))
    broker.produce(topic, numbers(3, 5), 1)
    with opened(broker, {}, notes(batches), topic=topic, start=start) as source:  # killed before a checkpoint
        again = take(source, 12)
    assert values([batch for batch in again if batch.partition.endswith("/0")]) == numbers(10, 20)
    assert values([batch for batch in again if batch.partition.endswith("/1")]) == numbers(3, 5)


def test_several_topics_and_a_pattern_read_the_same(broker: Broker) -> None:
    prefix = broker.topic()
    topics = [broker.topic(2, name=f"{prefix}.{word}") for word in ("clicks", "views")]
    for topic in topics:
        broker.produce(topic, numbers(0, 5), 1)
    for given in ({"topic": topics}, {"pattern": rf"{prefix}\..*"}):
        with opened(broker, **given) as source:
            batches = take(source, 10)
        assert set(after(batches)) == {f"{topic}/1" for topic in topics}


def test_a_pattern_that_matches_nothing_is_told_and_waited_for(broker: Broker) -> None:
    prefix, other = broker.topic(), broker.topic()
    with structlog.testing.capture_logs() as logs, opened(broker, pattern=rf"{prefix}\.\w+") as source:
        wait(source, lambda: any(line["event"] == "kafka.no_topic_matches" for line in logs))
        broker.produce(broker.topic(name=f"{prefix}.late"), [b"1"])
        assert values(take(source, 1)) == [b"1"]
    (told,) = [line for line in logs if line["event"] == "kafka.no_topic_matches"]
    assert told["pattern"] == rf"{prefix}\.\w+"
    assert told["there_are"], f"{other} is there, for one"


def test_new_partitions_and_topics_are_found_and_read_from_their_beginning(broker: Broker) -> None:
    prefix = broker.topic()
    topic = broker.topic(name=f"{prefix}.a")
    with opened(broker, pattern=rf"{prefix}\..*", start="latest") as source:
        wait(source, lambda: source.connected)
        with contextlib.closing(broker.admin()) as admin:
            admin.create_partitions({topic: NewPartitions(2)})
        broker.produce(topic, numbers(0, 3), 1)
        other = broker.topic(name=f"{prefix}.b")
        broker.produce(other, numbers(3, 5))
        batches = take(source, 5)
    assert after(batches) == {f"{topic}/1": 3, f"{other}/0": 2}
    assert all(batch.start == 0 for batch in batches)
    assert {name for note in notes(batches) for name in note.get("starts", {})} == {
        f"{topic}/0",
        f"{topic}/1",
        f"{other}/0",
    }


def test_keys_headers_timestamps_and_what_is_no_sample(broker: Broker) -> None:
    topic = broker.topic()
    now_ms = int(time.time() * 1000)
    broker.produce(topic, [b"a"], key=b"k", headers=[("h", b"1"), ("h", b"2")], timestamp_ms=now_ms)
    broker.produce(topic, [None], key=b"gone")
    broker.produce(topic, [b"x" * 2000])
    with opened(broker, topic=topic, max_record_bytes=1024) as source:
        batches = take(source, 3)
    keys = [key for batch in batches for key in batch.keys or ()]
    headers = [list(header) for batch in batches for header in batch.headers or ()]
    assert keys == [b"k", b"gone", None]
    assert headers[0] == [("h", b"1"), ("h", b"2")]
    assert batches[0].timestamps_s is not None
    assert batches[0].timestamps_s[0] == now_ms / 1000
    reasons = [batch.defects[index].reason for batch in batches for index in sorted(batch.defects or ())]  # type: ignore[index]
    assert reasons == ["tombstone", "oversized"]
    assert len(values(batches)[2]) == 1024  # type: ignore[arg-type]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_every_compression(broker: Broker, codec: str) -> None:
    topic = broker.topic()
    producer = Producer({"bootstrap.servers": broker.bootstrap, "compression.type": codec, "linger.ms": 100})
    for value in numbers(0, 5000):
        producer.produce(topic, value, partition=0)
    producer.flush()
    with opened(broker, {f"{topic}/0": 1234}, [start_note(topic)], topic=topic) as source:
        batches = take(source, 5000 - 1234)
    assert values(batches) == numbers(1234, 5000)


def start_note(topic: str, partition: int = 0) -> Note:
    return {"starts": {f"{topic}/{partition}": 0}, "topics": {}, "lost": {}}


def test_ranges_join_over_the_gaps_that_compaction_leaves(broker: Broker) -> None:
    configs = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    topic = broker.topic(configs=configs)
    rng = np.random.default_rng(2)
    keys = rng.integers(0, 60, 1200)
    producer = broker.producer()
    for number, key in enumerate(keys):
        producer.send(topic, b"%d" % number, key=b"%d" % key, partition=0)
        if number % 300 == 299:
            producer.flush()
            time.sleep(0.15)  # so that there are segments to be cleaned
    producer.close()
    left = until_compacted(broker, topic, 1200)
    with opened(broker, topic=topic) as source:
        batches = take(source, len(left))
    ends = np.concatenate([batch.ends for batch in batches])
    assert (ends - 1).tolist() == left
    assert batches[0].start == 0
    assert all(batch.start == before.ends[-1] for before, batch in pairwise(batches))
    name = batches[0].partition
    cuts = sorted({0, *rng.choice(ends, 12).tolist(), int(ends[-1])})
    with opened(broker, {}, notes(batches), topic=topic) as source:
        again = [batch for a, b in pairwise(cuts) for batch in repeat(source, name, a, b)]
    assert values(again) == values(batches)
    assert np.concatenate([batch.ends for batch in again]).tolist() == ends.tolist()


def until_compacted(broker: Broker, topic: str, before: int) -> list[int]:
    """Wait until the cleaner has been there and finds no more, and return the offsets that are left."""
    deadline = time.monotonic() + PATIENCE_S
    left = offsets(broker, topic)
    while True:
        assert time.monotonic() < deadline, "the cleaner does not come"
        if len(left) > before // 2:
            broker.produce(topic, [b"end"], key=b"end")  # begins a new segment, so that the last one can be cleaned
        time.sleep(1.5)
        known, left = left, offsets(broker, topic)
        if known == left:
            return left


def offsets(broker: Broker, topic: str) -> list[int]:
    """Return the offsets of all records, as another consumer finds them."""
    partition = TopicPartition(topic, 0)
    found: list[int] = []
    with contextlib.closing(KafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False)) as consumer:
        consumer.assign([partition])
        consumer.seek_to_beginning()
        while consumer.position(partition) < consumer.end_offsets([partition])[partition]:
            found += [record.offset for records in consumer.poll(500).values() for record in records]
    return found


def test_records_that_retention_took_stop_the_daemon_with_their_offsets(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = broker.topic()
    broker.produce(topic, numbers(0, 100))
    with opened(broker, topic=topic) as source:
        batches = take(source, 100)
    delete_before(broker, topic, 60)
    with (
        opened(broker, {f"{topic}/0": 40}, notes(batches), topic=topic) as source,
        pytest.raises(SourceError, match=rf"{topic}/0: the records at offsets 40 to 59 \(20 offsets\) were deleted"),
    ):
        take(source, 1)
    monkeypatch.setattr(broker_ranges, "RETRY_S", (0.01,))
    with (
        opened(broker, {f"{topic}/0": 40}, notes(batches), topic=topic) as source,
        pytest.raises(LostError, match=r"offsets 45 to 69 again, and they are gone.*on_data_loss: skip"),
    ):
        repeat(source, f"{topic}/0", 45, 70)
    with opened(broker, {f"{topic}/0": 60}, notes(batches), topic=topic) as source:
        assert values(take(source, 40)) == numbers(60, 100)


def test_records_that_retention_took_are_skipped_on_request_and_the_gap_is_a_record(broker: Broker) -> None:
    topic = broker.topic()
    name = f"{topic}/0"
    broker.produce(topic, numbers(0, 100))
    with opened(broker, topic=topic) as source:
        first = take(source, 100)
    delete_before(broker, topic, 60)
    with opened(broker, {name: 40}, notes(first), topic=topic, on_data_loss="skip") as source:
        batches = take(source, 41)
    gap = batches[0]
    assert (gap.start, gap.ends.tolist()) == (40, [60])
    assert gap.defects is not None
    assert gap.defects[0].reason == "lost"
    assert "offsets 40 to 59" in gap.defects[0].detail
    assert values(batches[1:]) == numbers(60, 100)
    known = [*notes(first), *notes(batches)]
    with opened(broker, {name: 40}, known, topic=topic, on_data_loss="skip") as source:
        again = repeat(source, name, 40, 80)
        rest = take(source, 20)
    assert [batch.start for batch in again] == [40, 60]
    assert again[0].defects == gap.defects
    assert values([*again[1:], *rest]) == numbers(60, 100)


def test_a_range_of_which_nothing_is_left_is_not_waited_for(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = broker.topic()
    broker.produce(topic, numbers(0, 10))
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": topic})
    producer.init_transactions()
    producer.begin_transaction()
    for value in numbers(10, 15):
        producer.produce(topic, value, partition=0)
    producer.flush()
    producer.abort_transaction()
    monkeypatch.setattr(broker_ranges, "RETRY_S", (0.01,))
    with (
        opened(broker, {}, [start_note(topic)], topic=topic) as source,
        pytest.raises(LostError, match="offsets 10 to 14 again, and they are gone"),
    ):
        repeat(source, f"{topic}/0", 0, 15)


def test_a_poll_that_hangs_while_the_journal_is_repeated_is_broken_off(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = broker.topic()
    broker.produce(topic, numbers(0, 10))
    monkeypatch.setattr(contract, "_HANGS_S", 0.5)
    Spinning.spun = 0
    with opened(broker, {}, [start_note(topic)], topic=topic, consumer=Spinning) as source:
        assert values(repeat(source, f"{topic}/0", 0, 10)) == numbers(0, 10)
    assert Spinning.spun == 1


class Client:
    """A real client, of which the ones below change a part."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._inner = connect.consumer(settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Spinning(Client):
    """A client whose first poll spins until the client is closed from outside."""

    spun = 0

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(settings)
        self._closed = threading.Event()

    def poll(self, timeout_s: float) -> Any:
        if Spinning.spun == 0:
            Spinning.spun += 1
            assert self._closed.wait(PATIENCE_S)
            raise OSError("closed")
        return self._inner.poll(timeout_s)

    def close(self) -> None:
        self._closed.set()
        self._inner.close()


class Starting(Client):
    """A client of brokers that are still starting: at first its partitions end too early."""

    asked = 0

    def ends(self, partitions: Sequence[str]) -> Positions:
        Starting.asked += 1
        return dict.fromkeys(partitions, 3) if Starting.asked <= 3 else self._inner.ends(partitions)


def test_brokers_that_are_still_starting_are_not_taken_for_ones_that_have_lost_the_journals_records(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = broker.topic()
    broker.produce(topic, numbers(0, 10))
    Starting.asked = 0
    monkeypatch.setattr(broker_ranges, "RETRY_S", (0.01,))
    with opened(broker, {}, [start_note(topic)], topic=topic, consumer=Starting) as source:
        assert values(repeat(source, f"{topic}/0", 0, 8)) == numbers(0, 8)
        assert values(take(source, 2)) == numbers(8, 10)


def test_a_topic_that_was_deleted_or_made_again_is_not_taken_for_the_same(broker: Broker) -> None:
    topic = broker.topic()
    broker.produce(topic, numbers(0, 10))
    with opened(broker, topic=topic) as source:
        batches = take(source, 10)
        with contextlib.closing(broker.admin()) as admin:
            admin.delete_topics([topic])
        with pytest.raises(SourceError, match=f"the topic {topic} was deleted"):
            take(source, 1)
    with contextlib.closing(broker.admin()) as admin:
        assert topic not in admin.list_topics()
    made_again(broker, topic)
    broker.produce(topic, numbers(100, 120))
    for read in (lambda source: take(source, 1), lambda source: repeat(source, f"{topic}/0", 0, 5)):
        with (
            opened(broker, after(batches), notes(batches), topic=topic) as source,
            pytest.raises(SourceError, match=f"the topic {topic} was deleted and made again"),
        ):
            read(source)


class Pausing(Client):
    """A client that does not fetch for a while."""

    paused = threading.Event()

    def poll(self, timeout_s: float) -> Any:
        if not Pausing.paused.is_set():
            return self._inner.poll(timeout_s)
        time.sleep(0.01)
        return []


@pytest.mark.parametrize("refill", [3, 30])
def test_a_topic_that_is_made_again_meanwhile_is_not_read(broker: Broker, refill: int) -> None:
    if refill > 10 and chosen["client"] == "confluent":
        pytest.skip("librdkafka reads on by the name: looking for partitions finds it, in its time")
    topic = broker.topic()
    broker.produce(topic, numbers(0, 10))
    with opened(broker, topic=topic, discover_every_s=3600, consumer=Pausing) as source:
        take(source, 10)
        Pausing.paused = threading.Event()
        Pausing.paused.set()
        time.sleep(0.5)  # a fetch that is under way ends
        with contextlib.closing(broker.admin()) as admin:
            admin.delete_topics([topic])
        made_again(broker, topic)
        broker.produce(topic, numbers(100, 100 + refill))
        Pausing.paused.clear()
        with pytest.raises(SourceError, match=f"the topic {topic} was deleted and made again"):
            wait(source, lambda: False)


class Remade(Client):
    """A client that is slow: its topic is made again, and filled, when it first asks where the partition ends."""

    left: list[Broker]

    def ends(self, partitions: Sequence[str]) -> Positions:
        if Remade.left:
            broker, topic = Remade.left.pop(), partitions[0].rpartition("/")[0]
            with contextlib.closing(broker.admin()) as admin:
                admin.delete_topics([topic])
            made_again(broker, topic)
            broker.produce(topic, numbers(100, 130))
        return self._inner.ends(partitions)


def test_a_topic_that_is_made_again_while_the_journal_is_repeated_is_not_read(broker: Broker) -> None:
    if chosen["client"] == "confluent":
        pytest.skip("librdkafka reads on by the name: looking for partitions finds it, in its time")
    topic, Remade.left = broker.topic(), [broker]
    broker.produce(topic, numbers(0, 10))
    with opened(broker, topic=topic) as source:
        batches = take(source, 10)
    with (
        opened(broker, {f"{topic}/0": 5}, notes(batches), topic=topic, consumer=Remade, discover_every_s=2) as source,
        pytest.raises(SourceError, match=f"the topic {topic} was deleted and made again"),
    ):
        repeat(source, f"{topic}/0", 5, 10)


def test_a_topic_that_is_missing_is_not_created(broker: Broker) -> None:
    with (
        opened(broker, topic="no-such-topic") as source,
        pytest.raises(SourceError, match="there is no topic no-such-topic"),
    ):
        take(source, 1)
    with contextlib.closing(broker.admin()) as admin:
        assert "no-such-topic" not in admin.list_topics()


def test_a_state_of_another_source_is_refused(broker: Broker) -> None:
    with (
        pytest.raises(SourceError, match="file-0: the state holds a position"),
        opened(broker, {"file-0": 3}, topic="t"),
    ):
        pass


def test_goes_on_after_an_outage(mortal_broker: LocalBroker) -> None:
    topic = mortal_broker.topic(3)
    for partition in range(3):
        mortal_broker.produce(topic, numbers(0, 500), partition)
    with opened(mortal_broker, topic=topic) as source:
        batches = take(source, 1500)
        mortal_broker.kill()
        wait(source, lambda: not source.connected)
        mortal_broker.start()
        for partition in range(3):
            mortal_broker.produce(topic, numbers(500, 600), partition)
        batches += take(source, 300)
        wait(source, lambda: source.connected)
    for partition in range(3):
        assert values([b for b in batches if b.partition == f"{topic}/{partition}"]) == numbers(0, 600)


def test_waits_for_a_broker_that_is_not_there_yet(mortal_broker: LocalBroker) -> None:
    topic = mortal_broker.topic()
    mortal_broker.produce(topic, numbers(0, 10))
    mortal_broker.kill()
    with opened(mortal_broker, topic=topic) as source:
        for _ in range(10):
            assert source.read(0.05) is None
        assert not source.connected
        mortal_broker.start()
        assert values(take(source, 10)) == numbers(0, 10)


def test_repeating_the_journal_waits_for_brokers_that_are_away(mortal_broker: LocalBroker) -> None:
    topic = mortal_broker.topic()
    mortal_broker.produce(topic, numbers(0, 10))
    mortal_broker.kill()
    with opened(mortal_broker, {}, [start_note(topic)], topic=topic) as source:
        batches = source.read_range(f"{topic}/0", 0, 10)
        assert [next(batches) for _ in range(3)] == [None] * 3
        mortal_broker.start()
        found = [batch for batch in batches if batch is not None]
    assert values(found) == numbers(0, 10)


def test_a_network_that_stalls_holds_up_neither_reads_nor_the_end(mortal_broker: LocalBroker) -> None:
    topic = mortal_broker.topic()
    mortal_broker.produce(topic, numbers(0, 10))
    with opened(mortal_broker, topic=topic) as source:
        batches = take(source, 10)
        mortal_broker.produce(topic, numbers(10, 3000))
        mortal_broker.suspend()
        try:
            started = time.monotonic()
            for _ in range(10):
                batch = source.read(0.1)
                batches += [batch] if batch is not None else []
            with opened(mortal_broker, after(batches), notes(batches), topic=topic) as other:
                assert next(other.read_range(f"{topic}/0", 0, 5)) is None
                assert other.read(0.1) is None
            assert time.monotonic() - started < PATIENCE_S
        finally:
            mortal_broker.go_on()
        batches += take(source, 3000 - sum(map(len, batches)))
    assert values(batches) == numbers(0, 3000)


def test_one_client_goes_on_where_the_other_stopped(broker: Broker) -> None:
    others = {"kafka-python": "confluent", "confluent": "kafka-python"}
    topic = broker.topic()
    broker.produce(topic, numbers(0, 500))
    with opened(broker, topic=topic, client=others[chosen["client"]]) as source:
        batches = take(source, 500)
    broker.produce(topic, numbers(500, 600))
    with opened(broker, {f"{topic}/0": 250}, notes(batches), topic=topic) as source:
        again = repeat(source, f"{topic}/0", 250, 400)
        rest = take(source, 200)
    assert values([*again, *rest]) == numbers(250, 600)


def test_records_are_not_held_until_there_are_more(broker: Broker, client: str) -> None:
    topic = broker.topic()
    broker.produce(topic, numbers(0, 3))
    settings = KafkaSettings.model_validate(
        {"bootstrap_servers": broker.bootstrap, "client": client, "topic": topic, "group": None}
    )
    with contextlib.closing(connect.consumer(settings)) as reading:
        reading.assign({f"{topic}/0": 0}, {}, {})
        started = time.monotonic()
        found: list[Fetched] = []
        while sum(len(some.offsets) for some in found) < 3:
            found += reading.poll(2 * PATIENCE_S)
        assert time.monotonic() - started < PATIENCE_S
    assert [value for some in found for value in some.values] == numbers(0, 3)


class Deaf(Client):
    """A client whose first connection never hears of one partition: neither records nor where it stands."""

    connections = 0

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(settings)
        self._deaf = Deaf.connections == 0
        Deaf.connections += 1

    def poll(self, timeout_s: float) -> Any:
        found = self._inner.poll(timeout_s)
        return [some for some in found if not (self._deaf and some.partition.endswith("/0"))]

    def reached(self, partition: str) -> tuple[int, int] | None:
        return None if self._deaf and partition.endswith("/0") else self._inner.reached(partition)


def test_a_partition_that_is_stuck_among_busy_ones_is_noticed(broker: Broker) -> None:
    topic = broker.topic(2)
    broker.produce(topic, numbers(0, 10))
    Deaf.connections = 0
    found: list[object] = []
    deadline = time.monotonic() + PATIENCE_S
    with opened(broker, topic=topic, consumer=Deaf, hangs_s=2.0) as source:
        while len(found) < 10:
            assert time.monotonic() < deadline, "it is not noticed"
            broker.produce(topic, [b"busy"], 1)
            while (batch := source.read(0.05)) is not None:
                found += batch.values if batch.partition.endswith("/0") else []
    assert found == numbers(0, 10)
    assert Deaf.connections == 2


class Slow(Client):
    """A client of brokers that take their time to say where partitions begin and end."""

    connections = 0

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(settings)
        Slow.connections += 1

    def beginnings(self, partitions: Sequence[str]) -> Positions:
        time.sleep(2.0)
        return self._inner.beginnings(partitions)

    def ends(self, partitions: Sequence[str]) -> Positions:
        time.sleep(2.0)
        return self._inner.ends(partitions)


def test_a_client_that_asks_for_long_where_to_begin_is_not_taken_for_one_that_hangs(broker: Broker) -> None:
    topic = broker.topic()
    broker.produce(topic, numbers(0, 10))
    Slow.connections = 0
    with opened(broker, topic=topic, consumer=Slow, hangs_s=3.5) as source:
        assert values(take(source, 10)) == numbers(0, 10)
    assert Slow.connections == 1


class Hanging(Client):
    """A client whose poll never comes back: the first one does so in the middle of the stream."""

    hung = 0

    def poll(self, timeout_s: float) -> Any:
        found = self._inner.poll(timeout_s)
        if found and Hanging.hung == 0:
            Hanging.hung += 1
            while True:
                time.sleep(0.1)
        return found


def test_a_poll_that_hangs_is_given_up_and_nothing_is_missed(broker: Broker) -> None:
    topic = broker.topic()
    broker.produce(topic, numbers(0, 3000))
    Hanging.hung = 0
    with opened(broker, topic=topic, consumer=Hanging, hangs_s=1.5) as source:
        assert values(take(source, 3000)) == numbers(0, 3000)
    assert Hanging.hung == 1
