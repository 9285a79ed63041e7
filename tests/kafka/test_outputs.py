"""Dead letters and predictions in topics of a real broker: delivered before the checkpoint that covers them."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka_broker import Broker, LocalBroker
from processes import Daemon, Zygote, consumed, killed, refused, succeeded, summary

from learnd.connectors.kafka.clients.contract import Message
from learnd.connectors.kafka.output_settings import KafkaOutputSettings
from learnd.connectors.kafka.publishing import DeadLetterTopic
from learnd.connectors.kafka.settings import KafkaSettings

SETTINGS = """
source: {{kafka: {{bootstrap_servers: "{servers}", topic: {topic}, group: null}}}}
samples: {{features: {{a: float}}, label: y}}
model: {{hidden: [8]}}
train: {{batch_size: 2, max_wait_ms: 10, max_updates_per_call: 16, xla: false}}
dead_letters: {{max_rate: 1.0, kafka: {{topic: {dead}}}}}
predictions: {{kafka: {{topic: {scored}}}}}
certainty: {{coverage: 0.9, decide: f1}}
checkpoint: {{dir: state, every: {{samples: 60, seconds: 0.3}}}}
http: {{listen: null}}
"""
RECORDS = 1000
KEPT = {"retention.ms": "-1"}  # the records of these tests are old


def prepare(folder: Path, broker: Broker) -> tuple[str, str, str]:
    """Write the settings, create a topic of samples and two for what comes out, and return their names."""
    topic, dead, scored = broker.topic(2, KEPT), broker.topic(configs=KEPT), broker.topic(configs=KEPT)
    text = SETTINGS.format(servers=broker.bootstrap, topic=topic, dead=dead, scored=scored)
    (folder / "learnd.yaml").write_text(text)
    return topic, dead, scored


def feed(broker: Broker, topic: str, first: int = 0, last: int = RECORDS) -> None:
    producer = broker.producer()
    for number in range(first, last):
        value = b"broken" if number % 10 == 3 else json.dumps({"a": number % 7, "y": number % 2}).encode()
        key = None if number % 4 == 0 else b"k%d" % (number % 30)
        headers = [("n", b"%d" % number)]
        producer.send(topic, value, key=key, headers=headers, partition=number % 2, timestamp_ms=10**12 + number)
    producer.flush()
    producer.close()


def messages(broker: Broker, topic: str) -> list[Any]:
    partition = TopicPartition(topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False, consumer_timeout_ms=1)
    consumer.assign([partition])
    consumer.seek_to_beginning()
    end, found = consumer.end_offsets([partition])[partition], []
    while consumer.position(partition) < end:
        found += [record for records in consumer.poll(500).values() for record in records]
    consumer.close()
    return found


def finish(daemon: Daemon, folder: Path, records: int = RECORDS) -> None:
    daemon.wait_for(lambda: "consuming" in daemon.stderr, "to start")
    daemon.wait_for(lambda: consumed(folder / "state") >= records - 200, "to train most records")
    daemon.signal(signal.SIGTERM)
    succeeded(daemon.wait())


def test_what_they_hold(broker: Broker, zygote: Zygote, tmp_path: Path, client: str) -> None:
    topic, dead, scored = prepare(tmp_path, broker)
    feed(broker, topic)
    options = [f"source.kafka.client={client}", "checkpoint.every.samples=2"]
    daemon = zygote.start(tmp_path, "run", "learnd.yaml", *(part for given in options for part in ("--set", given)))
    daemon.wait_for(lambda: consumed(tmp_path / "state") == RECORDS, "to train every record")
    finish(daemon, tmp_path)

    letters = messages(broker, dead)
    assert len(letters) == RECORDS // 10
    thirteen = next(letter for letter in letters if ("n", b"13") in letter.headers)
    assert (thirteen.key, thirteen.value, thirteen.timestamp) == (b"k13", b"broken", 10**12 + 13)
    headers = dict(thirteen.headers)
    assert headers.pop("__learnd.errors.message").startswith(b"JSON is malformed")
    assert headers == {
        "n": b"13",
        "__learnd.errors.topic": topic.encode(),
        "__learnd.errors.partition": b"1",
        "__learnd.errors.offset": b"6",
        "__learnd.errors.reason": b"bad_json",
    }

    found = messages(broker, scored)
    bodies = [json.loads(message.value) for message in found]
    assert len(bodies) == RECORDS - RECORDS // 10
    places = {(body["partition"], body["offset"]) for body in bodies}
    assert places == {(n % 2, n // 2) for n in range(RECORDS) if n % 10 != 3}
    assert [body["sequence"] for body in bodies] == [index // 2 for index in range(len(bodies))]
    assert all(0 <= body["prediction"] <= 1 and body["topic"] == topic for body in bodies)
    assert bodies[0]["set"] is None, "before the first label nothing is known"
    assert {name for body in bodies[10:] for name in body["set"]} == {"0", "1"}
    assert {body["class"] for body in bodies} <= {"0", "1"}
    for message, body in zip(found, bodies, strict=True):
        number = 2 * body["offset"] + body["partition"]
        position = f"{topic}/{body['partition']}:{body['offset']}".encode()
        assert message.key == (position if number % 4 == 0 else b"k%d" % (number % 30))


@pytest.mark.parametrize("place", ["predictions.delivered", "checkpoint.before"])
def test_a_kill_repeats_some_and_loses_none(broker: Broker, zygote: Zygote, tmp_path: Path, place: str) -> None:
    topic, dead, scored = prepare(tmp_path, broker)
    for life, passing in enumerate((2, 1, 1)):
        feed(broker, topic, 250 * life, 250 * (life + 1))
        killed(zygote.run(tmp_path, "run", "learnd.yaml", failpoints=f"{place}=kill@{passing}"))
    feed(broker, topic, 750)
    finish(zygote.start(tmp_path, "run", "learnd.yaml"), tmp_path)

    counted = summary(tmp_path / "state")
    bodies = [json.loads(message.value) for message in messages(broker, scored)]
    times = Counter((body["partition"], body["offset"]) for body in bodies)
    assert len(times) == counted["samples_trained"]
    assert max(times.values()) > 1
    said = {json.dumps(body, sort_keys=True) for body in bodies}
    assert len(said) == len(times), "a repeated prediction is the same"
    letters = {dict(letter.headers)["__learnd.errors.offset"] for letter in messages(broker, dead)}
    assert len(letters) >= counted["samples_rejected"]["bad_json"]


def test_without_their_topic_the_daemon_does_not_start(broker: Broker, zygote: Zygote, tmp_path: Path) -> None:
    topic, _, _ = prepare(tmp_path, broker)
    feed(broker, topic, last=10)
    for output in ("predictions", "dead_letters"):
        options = ["--set", f"{output}.kafka.topic=no-such-topic"]
        message = refused(zygote.run(tmp_path, "run", "learnd.yaml", *options), 74)
        assert f"{output}: there is no topic no-such-topic" in message


def test_a_letter_that_is_too_large_for_its_topic_is_shortened(
    broker: Broker, zygote: Zygote, tmp_path: Path, client: str
) -> None:
    topic, _, _ = prepare(tmp_path, broker)
    small = broker.topic(configs={**KEPT, "max.message.bytes": "3000"})
    large = random.Random(1).randbytes(5000)  # which does not pack
    broker.produce(topic, [large, b"short"])
    feed(broker, topic, last=300)
    options = [f"source.kafka.client={client}", f"dead_letters.kafka.topic={small}"]
    daemon = zygote.start(tmp_path, "run", "learnd.yaml", *(part for given in options for part in ("--set", given)))
    finish(daemon, tmp_path, 300)
    letters = {letter.value: dict(letter.headers) for letter in messages(broker, small)}
    assert letters[large[:1024]]["__learnd.errors.shortened_from"] == b"5000"
    assert b"short" in letters


def test_what_of_a_message_is_left_where_its_topic_does_not_take_it(broker: Broker, client: str) -> None:
    small = broker.topic(configs={**KEPT, "max.message.bytes": "3000"})
    source = KafkaSettings.model_validate({"bootstrap_servers": broker.bootstrap, "topic": "clicks", "client": client})
    noise = random.Random(1).randbytes(17 << 20)
    given = [
        Message(b"first", b"value", [("h", noise[:5000]), ("__learnd.errors.offset", b"1")]),
        Message(noise[:6000], b"value", [("h", noise[:5000])]),
        Message(b"third", noise, [("h", b"1")]),
    ]
    output = DeadLetterTopic(KafkaOutputSettings(topic=small), source)
    output.open(None)
    output.append(given)
    output.mark()
    output.sync()
    output.close()
    mark, left_out = "__learnd.errors.", ("__learnd.errors.headers_left_out", b"1")
    found = dict.fromkeys((one.key, one.value, tuple(one.headers)) for one in messages(broker, small))
    assert list(found) == [
        (b"first", b"value", ((f"{mark}offset", b"1"), left_out)),
        (noise[:1024], b"value", (left_out, (f"{mark}key_shortened_from", b"6000"))),
        (b"third", noise[:1024], (("h", b"1"), (f"{mark}shortened_from", b"%d" % len(noise)))),
    ]


def test_while_its_brokers_are_away_there_is_no_checkpoint_and_then_all_is_delivered(
    broker: Broker, mortal_broker: LocalBroker, zygote: Zygote, tmp_path: Path
) -> None:
    topic, _, _ = prepare(tmp_path, broker)
    scored = mortal_broker.topic()
    feed(broker, topic, last=200)
    other = ["--set", f"predictions.kafka={{topic: {scored}, bootstrap_servers: '{mortal_broker.bootstrap}'}}"]
    daemon = zygote.start(tmp_path, "run", "learnd.yaml", *other, "--set", "checkpoint.every.samples=2")
    daemon.wait_for(lambda: consumed(tmp_path / "state") == 200, "to train 200 records")
    mortal_broker.kill()
    feed(broker, topic, 200, 400)
    daemon.wait_for(lambda: "checkpoint_failed" in daemon.stderr, "to fail to save")
    assert consumed(tmp_path / "state") == 200
    mortal_broker.start()
    daemon.wait_for(lambda: consumed(tmp_path / "state") == 400, "to go on")
    finish(daemon, tmp_path, 400)
    places = {(body["partition"], body["offset"]) for body in map(_body, messages(mortal_broker, scored))}
    assert len(places) == summary(tmp_path / "state")["samples_trained"]


def _body(message: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(message.value)
    return body
