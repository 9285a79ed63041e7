"""Fed by several producers, killed many times together with its broker, the daemon trains each record once."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import KafkaException, Producer
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CoordinatorNotAvailableError
from kafka_broker import Broker, LocalBroker
from processes import Daemon, Zygote, kill_after, killed, succeeded
from scenarios import assert_same, seen

PARTITIONS = 3
EACH = 2500  # records of a partition
ABORTED = 8000  # ids from here on are in transactions that were aborted
KILLS = 6

SETTINGS = """
model: {{build: "witness_models:noisy"}}
source: {{kafka: {{bootstrap_servers: "{servers}", topic: {topic}, group: {topic}}}}}
samples:
  features: {{id: float, a: float, b: float, c: {{hash: 50}}}}
  label: y
train: {{batch_size: 3, max_updates_per_call: 16, max_wait_ms: 20, xla: false}}
validate: {{prequential: {{windows: [200], every: 500}}}}
checkpoint: {{dir: state, every: {{samples: 400, seconds: 1}}, keep: 1000}}
http: {{listen: null}}
"""


class Feeder(threading.Thread):
    """Writes one partition's share of the ids, slowly, a part of it in transactions, with aborted ones between."""

    def __init__(self, broker: Broker, topic: str, partition: int, hurry: threading.Event, pause_s: float) -> None:
        super().__init__(daemon=True)
        self._pause_s = pause_s
        self._hurry = hurry
        self._broker, self._topic, self._partition = broker, topic, partition
        self._rng = random.Random(partition)
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._feed()
        except Exception as error:  # noqa: BLE001  (it is raised by the test)
            self.error = error

    def _feed(self) -> None:
        servers = {"bootstrap.servers": self._broker.bootstrap}
        plain = Producer({**servers, "enable.idempotence": True})
        transactional = Producer({**servers, "transactional.id": f"{self._topic}-{self._partition}"})
        transactional.init_transactions()
        ids = list(range(self._partition, EACH * PARTITIONS, PARTITIONS))
        for number, first in enumerate(range(0, EACH, 50)):
            some = self._records(ids[first : first + 50])
            if number % 4 == 3:
                self._commit(transactional, some)
                self._begin(transactional, self._records(range(ABORTED, ABORTED + 20)))
                transactional.flush()
                transactional.abort_transaction()
            else:
                self._send(plain, some)
                assert plain.flush() == 0
            self._hurry.wait(self._pause_s)

    def _commit(self, producer: Producer, values: list[bytes]) -> None:
        """Write values in a transaction; in another one where the broker's death spoilt the first."""
        self._begin(producer, values)
        committed = False
        while not committed:
            try:
                producer.commit_transaction()
                committed = True
            except KafkaException as error:
                if error.args[0].txn_requires_abort():
                    producer.abort_transaction()
                    self._begin(producer, values)
                elif not error.args[0].retriable():
                    raise

    def _begin(self, producer: Producer, values: list[bytes]) -> None:
        producer.begin_transaction()
        self._send(producer, values)

    def _send(self, producer: Producer, values: list[bytes]) -> None:
        for value in values:
            producer.produce(self._topic, value, partition=self._partition)

    def _records(self, ids: Sequence[int]) -> list[bytes]:
        values = []
        for number in ids:
            a, b = self._rng.gauss(0, 1), self._rng.gauss(5, 3)
            record = {"id": number, "a": a, "b": b, "c": self._rng.randrange(80), "y": int(a * b > 0)}
            values.append(json.dumps(record).encode())
        return values


def shown(broker: Broker, topic: str) -> int | None:
    """Return the sum of the group's offsets, which follow the checkpoints; None where the broker is not ready to."""
    with contextlib.closing(broker.admin()) as admin, contextlib.suppress(CoordinatorNotAvailableError):
        return sum(offset.offset for offset in admin.list_group_offsets(topic)[topic].values())
    return None


def ends(broker: Broker, topic: str) -> int:
    """Return the sum of the positions after the last record of each partition."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, isolation_level="read_committed")
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    last: dict[int, int] = {}
    goal = consumer.end_offsets(partitions)
    while any(consumer.position(partition) < goal[partition] for partition in partitions):
        for records in consumer.poll(500).values():
            last[records[-1].partition] = records[-1].offset + 1
    consumer.close()
    return sum(last.values())


def stop(daemon: Daemon) -> None:
    daemon.signal(signal.SIGTERM)
    succeeded(daemon.wait())


def test_killed_with_its_broker_it_trains_each_record_once(
    mortal_broker: LocalBroker, zygote: Zygote, tmp_path: Path
) -> None:
    train_through_kills(mortal_broker, zygote, tmp_path, kills=KILLS, broker_kills=1)


def train_through_kills(broker: LocalBroker, zygote: Zygote, tmp_path: Path, *, kills: int, broker_kills: int) -> None:
    """Kill the daemon and the broker that often while producers write, and look at what came out."""
    topic = broker.topic(PARTITIONS)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "learnd.yaml").write_text(SETTINGS.format(servers=broker.bootstrap, topic=topic))
    hurry = threading.Event()
    feeders = [Feeder(broker, topic, partition, hurry, 0.1 * kills) for partition in range(PARTITIONS)]
    for feeder in feeders:
        feeder.start()
    rng = random.Random(4)
    with_broker = {kills * (number + 1) // (broker_kills + 1) for number in range(broker_kills)}
    for number in range(kills):
        daemon = zygote.start(folder, "run", "learnd.yaml")
        if number in with_broker:
            broker.kill()
            broker.start()
        killed(kill_after(daemon, folder / "state", rng.uniform(0.2, 1.5)))
    hurry.set()
    for feeder in feeders:
        feeder.join()
        assert feeder.error is None
    daemon = zygote.start(folder, "run", "learnd.yaml")
    daemon.wait_for(lambda: '"consuming"' in daemon.stderr, "to go on")
    daemon.wait_for(lambda: shown(broker, topic) == ends(broker, topic), "to train every record")
    stop(daemon)

    counted = seen(folder / "state")
    assert (counted[: EACH * PARTITIONS] == 1).all()
    assert (counted[EACH * PARTITIONS :] == 0).all()
    (folder / "state" / "dead-letters.jsonl").touch()
    assert_same(folder / "state", follow_journal(folder, tmp_path / "again", zygote))


def follow_journal(folder: Path, copy: Path, zygote: Zygote) -> Path:
    """Run the whole journal from the first checkpoint on, without a kill, and return the state directory."""
    shutil.copytree(folder, copy)
    state = copy / "state"
    first, *later = sorted((state / "checkpoints").glob("[0-9]*"))
    assert json.loads((first / "manifest.json").read_text())["samples_trained"] == 0
    assert len(later) > KILLS
    for checkpoint in later:
        shutil.rmtree(checkpoint)
    (state / "summary.json").unlink()
    daemon = zygote.start(copy, "run", "learnd.yaml")
    daemon.wait_for(lambda: '"consuming"' in daemon.stderr, "to repeat the journal")
    stop(daemon)
    return state
