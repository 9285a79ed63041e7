"""What is left out on request where training is too far behind: the same again after a restart, and counted."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Producer
from kafka_broker import Broker, LocalBroker
from kafka_sources import after, await_, delete_before, notes, numbers, opened, repeat, take, values, wait

pytestmark = pytest.mark.usefixtures("client")

MANY = 4000
THIN: dict[str, Any] = {"records": 1000, "do": "thin", "share": 0.2}
SKIP: dict[str, Any] = {"records": 1000, "do": "skip"}


def kept() -> list[bytes]:
    """Return the values at those offsets whose hash, by Knuth's multiplication, is in the lowest fifth."""
    return [b"%d" % number for number in range(MANY) if number * 0x9E3779B97F4A7C15 % 2**64 < 0.2 * 2**64]


def skipped(batches: list[Any]) -> int:
    return sum(int(note.get("skipped_records", 0)) for note in notes(batches))


def test_a_share_is_kept_evenly_and_the_same_one_again(broker: Broker) -> None:
    topic = broker.topic()
    name = f"{topic}/0"
    broker.produce(topic, numbers(0, MANY))
    expected = kept()
    assert 0.17 * MANY < len(expected) < 0.23 * MANY
    with opened(broker, topic=topic, when_behind=THIN) as source:
        batches = take(source, len(expected))
        broker.produce(topic, numbers(MANY, MANY + 10))
        batches += take(source, 10)
    assert values(batches) == expected + numbers(MANY, MANY + 10)
    assert skipped(batches) == MANY * 0.8
    half = int(batches[0].ends[len(batches[0]) // 2])
    with opened(broker, {}, notes(batches), topic=topic) as source:
        again = repeat(source, name, 0, half)
        rest = take(source, len(expected) + 10 - sum(map(len, again)))
    assert values([*again, *rest]) == values(batches)
    ends = [end for batch in (*again, *rest) for end in batch.ends.tolist()]
    assert ends == [end for batch in batches for end in batch.ends.tolist()]


def test_it_goes_on_at_the_newest_and_a_restart_does_not_look_back(broker: Broker) -> None:
    topic = broker.topic(2)
    broker.produce(topic, numbers(0, MANY))
    broker.produce(topic, numbers(0, 900), 1)
    with opened(broker, topic=topic, when_behind=SKIP) as source:
        batches = take(source, 900)
        wait(source, lambda: source.connected)
        broker.produce(topic, numbers(MANY, MANY + 20))
        batches += take(source, 20)
    assert values([batch for batch in batches if batch.partition == f"{topic}/0"]) == numbers(MANY, MANY + 20)
    assert skipped(batches) == MANY
    end = after(batches)[f"{topic}/0"]
    with opened(broker, {}, notes(batches), topic=topic) as source:
        again = repeat(source, f"{topic}/0", 0, end)
        rest = take(source, 900)
    assert values(again) == numbers(MANY, MANY + 20)
    assert again[0].start == 0
    assert values(rest) == numbers(0, 900)


def test_what_is_in_an_open_transaction_cannot_be_read_yet_and_is_not_skipped(broker: Broker) -> None:
    topic = broker.topic(2)
    broker.produce(topic, numbers(0, 10))
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": topic})
    producer.init_transactions()
    with opened(broker, topic=topic, when_behind=SKIP) as source:
        batches = take(source, 10)
        producer.begin_transaction()
        for value in numbers(10, MANY):
            producer.produce(topic, value, partition=0)
        producer.flush()
        wait(source, lambda: source.lag().get(f"{topic}/0", 0) > SKIP["records"])
        broker.produce(topic, numbers(0, 5), 1)
        batches += take(source, 5)
    assert values(batches) == numbers(0, 10) + numbers(0, 5)
    assert skipped(batches) == 0


def test_without_the_wish_nothing_is_left_out(broker: Broker) -> None:
    topic = broker.topic()
    broker.produce(topic, numbers(0, MANY))
    with opened(broker, topic=topic) as source:
        batches = take(source, MANY)
    assert skipped(batches) == 0


def test_what_arrives_while_nobody_reads_is_lag_and_what_is_deleted_is_held_no_more(broker: Broker) -> None:
    topic = broker.topic()
    name = f"{topic}/0"
    broker.produce(topic, numbers(0, 10))
    with opened(broker, topic=topic) as source:
        take(source, 10)
        await_(lambda: source.held() == {name: (0, 10)})
        for number in range(12):  # more polls than are fetched ahead
            broker.produce(topic, numbers(number * 100, number * 100 + 100))
        await_(lambda: source.lag() == {name: 1200})
        delete_before(broker, topic, 4)
        await_(lambda: source.held() == {name: (4, 1210)})


def test_while_the_brokers_are_away_the_lag_is_of_what_they_had(mortal_broker: LocalBroker) -> None:
    topic = mortal_broker.topic()
    mortal_broker.produce(topic, numbers(0, 30))
    with opened(mortal_broker, topic=topic) as source:
        take(source, 30)
        mortal_broker.produce(topic, numbers(30, 50))
        await_(lambda: source.lag() == {f"{topic}/0": 20})
        mortal_broker.kill()
        await_(lambda: not source.connected)
        assert source.lag() == {f"{topic}/0": 20}
        assert source.held() == {f"{topic}/0": (0, 50)}
