"""`learnd record`: what it takes from topics of a real broker, and what comes out of a replay."""

from __future__ import annotations

import json
import random
import resource
import shutil
import signal
import socket
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard
from kafka import TopicPartition
from kafka_broker import Broker
from processes import Zygote, refused, succeeded, summary

from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.recordings.recorder import Recorder
from learnd.daemon.errors import SourceError, StoreError

KEPT = {"retention.ms": "-1"}  # the records of these tests are old

SETTINGS = """
source: {{kafka: {{bootstrap_servers: "{servers}", topic: {topic}, group: null}}}}
samples: {{features: {{a: float}}, label: y, key: null}}
model: {{hidden: [8]}}
train: {{batch_size: {batch}, max_wait_ms: 10, max_updates_per_call: 16, xla: false}}
dead_letters: {{max_rate: 1.0}}
checkpoint: {{dir: state, every: {{samples: 300, seconds: 1000}}, keep: 1000}}
validate: {{holdout: {{share: 0.1, by: key, every: 100}}}}
http: {{listen: null}}
"""


def prepare(folder: Path, broker: Broker, topic: str, batch: int = 1) -> None:
    (folder / "learnd.yaml").write_text(SETTINGS.format(servers=broker.bootstrap, topic=topic, batch=batch))


def feed(broker: Broker, topic: str, partition: int = 0, first: int = 0, last: int = 1000) -> None:
    """Write samples with keys and headers, some that are none, and tombstones."""
    producer = broker.producer()
    for number in range(first, last):
        value: bytes | None = json.dumps({"a": number % 7, "y": number % 2}).encode()
        if number % 50 == 3:
            value = None if number % 100 == 3 else b"\xff\x00"
        key, headers = b"k%d" % (number % 30), [("n", b"%d" % number), ("h", b"\xff")] if number % 3 else []
        producer.send(topic, value, key=key, headers=headers, partition=partition, timestamp_ms=10**12 + number)
    producer.flush()
    producer.close()


def train(zygote: Zygote, folder: Path, records: int) -> None:
    """Run the daemon until it has consumed so many records of the topic."""
    daemon = zygote.start(folder, "run", "learnd.yaml", "--set", "checkpoint.every={samples: 50, seconds: 0.3}")

    def consumed() -> bool:
        manifests = (folder / "state" / "checkpoints").glob("[!.]*/manifest.json")
        return any(sum(json.loads(path.read_text())["positions"].values()) >= records for path in manifests)

    daemon.wait_for(consumed, "to consume the topic")
    daemon.signal(signal.SIGTERM)
    succeeded(daemon.wait())


@pytest.mark.parametrize("name", ["topic.jsonl", "topic.jsonl.zst", "topic.parquet"])
def test_a_recording_gives_the_digest_of_its_topic(broker: Broker, zygote: Zygote, tmp_path: Path, name: str) -> None:
    topic = broker.topic(configs=KEPT)
    feed(broker, topic)
    prepare(tmp_path, broker, topic)
    told = succeeded(zygote.run(tmp_path, "record", "learnd.yaml", "--to", name)).stderr
    assert "1,000 records" in told
    train(zygote, tmp_path, 1000)
    succeeded(zygote.run(tmp_path, "replay", "learnd.yaml", "--from", name, "--state", "replayed"))
    live, replayed = summary(tmp_path / "state"), summary(tmp_path / "replayed")
    assert live["samples_rejected"] == {"tombstone": 10, "bad_encoding": 10}
    assert live["samples_held_out"] > 0
    for key in ("digest", "samples_trained", "samples_held_out", "samples_rejected", "scores"):
        assert live[key] == replayed[key]


def test_the_journal_of_a_topic_can_be_followed_on_its_recording(
    broker: Broker, zygote: Zygote, tmp_path: Path
) -> None:
    topic = broker.topic(3, KEPT)
    for partition in range(3):
        feed(broker, topic, partition, last=400)
    live, again = tmp_path / "live", tmp_path / "again"
    live.mkdir()
    prepare(live, broker, topic, batch=3)
    train(zygote, live, 1200)
    succeeded(zygote.run(live, "record", "learnd.yaml", "--to", "topic.jsonl.zst"))
    shutil.copytree(live, again)
    first, *later = sorted((again / "state" / "checkpoints").iterdir())
    assert json.loads((first / "manifest.json").read_text())["samples_trained"] == 0
    for checkpoint in later:
        shutil.rmtree(checkpoint)
    lines = (again / "learnd.yaml").read_text().splitlines()
    lines[1] = "source: {recording: {path: topic.jsonl.zst}}"
    (again / "learnd.yaml").write_text("\n".join(lines))
    succeeded(zygote.run(again, "run", "learnd.yaml"))
    ended, stopped = summary(again / "state"), summary(live / "state")
    del ended["holdout_scores"], stopped["holdout_scores"]  # only a stream that ends is scored once more
    assert ended == stopped


def test_a_range_by_offsets_and_by_time(broker: Broker, zygote: Zygote, tmp_path: Path) -> None:
    topic = broker.topic(2, KEPT)
    feed(broker, topic, 0, last=20)
    feed(broker, topic, 1, last=20)
    prepare(tmp_path, broker, topic)
    start, end = f"{{{topic}/0: 5, {topic}/1: 18}}", f"{{{topic}/0: 9}}"
    succeeded(zygote.run(tmp_path, "record", "learnd.yaml", "--to", "a.jsonl.zst", "--start", start, "--end", end))
    text = zstandard.ZstdDecompressor().stream_reader((tmp_path / "a.jsonl.zst").read_bytes()).read().decode()
    head, *rows = map(json.loads, text.splitlines())
    assert (head["starts"], head["ends"]) == ({f"{topic}/0": 5, f"{topic}/1": 18}, {f"{topic}/0": 9, f"{topic}/1": 20})
    places = sorted((row["partition"], row["offset"]) for row in rows)
    assert places == [(f"{topic}/0", n) for n in range(5, 9)] + [(f"{topic}/1", n) for n in (18, 19)]
    five = next(row for row in rows if row["offset"] == 5)
    assert five["value"] == '{"a": 5, "y": 1}'
    assert five["headers"] == [{"name": "n", "value": "5"}, {"name": "h", "value_base64": "/w=="}]
    until = "2001-09-09T01:46:40.010Z"  # 10 ms after the first record
    succeeded(zygote.run(tmp_path, "record", "learnd.yaml", "--to", "b.parquet", "--end", until))
    assert sorted(pq.read_table(tmp_path / "b.parquet")["offset"].to_pylist()) == sorted([*range(10)] * 2)


def test_what_cannot_be_recorded(broker: Broker, zygote: Zygote, tmp_path: Path) -> None:
    prepare(tmp_path, broker, "no-such-topic")
    record = [tmp_path, "record", "learnd.yaml", "--to"]
    assert "there is no topic no-such-topic" in refused(zygote.run(*record, "a.jsonl"), 74)
    assert "ends in one of" in refused(zygote.run(*record, "a.csv"), 78)
    (tmp_path / "there.jsonl").touch()
    assert "exists" in refused(zygote.run(*record, "there.jsonl"), 74)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("newest", "--end: 'newest' is none of earliest, latest"),
        ("{{clikcs/0: 5}}", "--end: clikcs/0 is none of the partitions that are recorded"),
        ("{{{topic}/1: 5}}", "--end: {topic}/1 is none of the partitions that are recorded"),
        ("{{{topic}/0: five}}", "--end: {topic}/0: 'five' is no offset"),
        ("{{{topic}/0: 5}}", "--end: {topic}/0 ends at offset 0, before 5"),
    ],
)
def test_an_end_that_is_none(broker: Broker, zygote: Zygote, tmp_path: Path, end: str, message: str) -> None:
    topic = broker.topic()
    prepare(tmp_path, broker, topic)
    result = zygote.run(tmp_path, "record", "learnd.yaml", "--to", "a.jsonl", "--end", end.format(topic=topic))
    assert message.format(topic=topic) in refused(result, 78)
    assert "kafka.trouble" not in result.stderr


def test_a_start_in_a_partition_that_there_is_not(broker: Broker, zygote: Zygote, tmp_path: Path) -> None:
    topic = broker.topic()
    prepare(tmp_path, broker, topic)
    start = f"{{{topic}/7: 5}}"
    message = refused(zygote.run(tmp_path, "record", "learnd.yaml", "--to", "a.jsonl", "--start", start), 78)
    assert f"start: {topic}/7 is none of the partitions that are recorded" in message


@pytest.mark.parametrize("name", ["topic.jsonl", "topic.parquet"])
def test_a_disk_that_fills_up_halfway_leaves_nothing(broker: Broker, tmp_path: Path, client: str, name: str) -> None:
    topic = broker.topic()
    broker.produce(topic, [random.Random(number).randbytes(100_000) for number in range(300)])
    given = {"bootstrap_servers": broker.bootstrap, "topic": topic, "client": client}
    recorder = Recorder(KafkaSettings.model_validate(given))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, limits[1]))
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            recorder.record(tmp_path / name, "latest", lambda: False, lambda: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_records_that_are_gone_leave_nothing(broker: Broker, tmp_path: Path, client: str) -> None:
    topic = broker.topic()
    broker.produce(topic, [b"%d" % number for number in range(20)])
    with closing(broker.admin()) as admin:
        admin.delete_records({TopicPartition(topic, 0): 10})
    given = {"bootstrap_servers": broker.bootstrap, "topic": topic, "client": client, "start": {f"{topic}/0": 0}}
    settings = KafkaSettings.model_validate(given)
    with pytest.raises(SourceError, match="deleted before they were recorded"):
        Recorder(settings).record(tmp_path / "a.jsonl", "latest", lambda: False, lambda: None)
    assert not list(tmp_path.iterdir())


def test_it_is_stopped_while_brokers_are_away(broker: Broker, zygote: Zygote, tmp_path: Path) -> None:
    prepare(tmp_path, broker, "clicks")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = f"source.kafka.bootstrap_servers=127.0.0.1:{nobody.getsockname()[1]}"
        daemon = zygote.start(tmp_path, "record", "learnd.yaml", "--to", "a.jsonl", "--set", away)
        daemon.wait_for(lambda: "reconnecting" in daemon.stderr, "to find nobody")
        daemon.signal(signal.SIGINT)
        assert "there is no a.jsonl" in refused(daemon.wait(), 74)
