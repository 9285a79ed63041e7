"""The whole daemon on a real broker: what it tells of itself, and how it ends."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

from kafka import TopicPartition
from kafka_broker import Broker, LocalBroker
from kafka_sources import made_again
from processes import Daemon, Zygote, dead_letters, killed, refused, succeeded, summary

SETTINGS = """
source: {{kafka: {{bootstrap_servers: "{servers}", topic: {topic}, group: null}}}}
samples: {{features: {{a: float}}, label: y}}
model: {{hidden: [8]}}
train: {{max_wait_ms: 10, max_updates_per_call: 16, xla: false}}
dead_letters: {{max_rate: 1.0}}
checkpoint: {{dir: state, every: {{seconds: 0.2}}}}
http: {{listen: "127.0.0.1:{port}"}}
"""


def prepare(folder: Path, broker: Broker, topic: str) -> int:
    """Write the settings and return the port of the daemon."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    (folder / "learnd.yaml").write_text(SETTINGS.format(servers=broker.bootstrap, topic=topic, port=port))
    return port


def records(first: int, last: int) -> list[bytes]:
    return [json.dumps({"a": number % 7, "y": number % 2}).encode() for number in range(first, last)]


def asked(port: int, path: str) -> tuple[int, str]:
    """Return the status and the body; 0 where nothing answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def metric(port: int, line: str) -> bool:
    return line in asked(port, "/metrics")[1]


def stop(daemon: Daemon) -> None:
    daemon.signal(signal.SIGTERM)
    succeeded(daemon.wait())


def test_while_brokers_are_away_it_is_alive_and_not_ready_and_then_goes_on(
    mortal_broker: LocalBroker, zygote: Zygote, tmp_path: Path
) -> None:
    topic = mortal_broker.topic(2)
    port = prepare(tmp_path, mortal_broker, topic)
    mortal_broker.produce(topic, records(0, 100))
    daemon = zygote.start(tmp_path, "run", "learnd.yaml")
    daemon.wait_for(lambda: metric(port, "learnd_samples_trained_total 100.0"), "to train 100")
    daemon.wait_for(lambda: asked(port, "/readyz")[0] == 200, "to be ready")
    mortal_broker.kill()
    daemon.wait_for(lambda: asked(port, "/readyz")[0] == 503, "not to be ready")
    assert "cannot be reached" in asked(port, "/readyz")[1]
    assert asked(port, "/healthz")[0] == 200
    mortal_broker.start()
    mortal_broker.produce(topic, records(100, 150), 1)
    daemon.wait_for(lambda: metric(port, "learnd_samples_trained_total 150.0"), "to train the rest")
    daemon.wait_for(lambda: asked(port, "/readyz")[0] == 200, "to be ready again")
    stop(daemon)
    assert summary(tmp_path / "state")["samples_trained"] == 150


def fifty_of_a_hundred(broker: Broker, zygote: Zygote, folder: Path) -> tuple[str, int]:
    """Train the first 50 records of a topic, and have it hold 100. Return the topic, and the port of the metrics."""
    topic = broker.topic()
    port = prepare(folder, broker, topic)
    broker.produce(topic, records(0, 50))
    daemon = zygote.start(folder, "run", "learnd.yaml")
    daemon.wait_for(lambda: metric(port, "learnd_samples_trained_total 50.0"), "to train 50")
    stop(daemon)
    broker.produce(topic, records(50, 100))
    return topic, port


def test_records_that_retention_took_end_it_and_are_skipped_on_request(
    broker: Broker, zygote: Zygote, tmp_path: Path
) -> None:
    topic, port = fifty_of_a_hundred(broker, zygote, tmp_path)
    with contextlib.closing(broker.admin()) as admin:
        admin.delete_records({TopicPartition(topic, 0): 80})
    message = refused(zygote.run(tmp_path, "run", "learnd.yaml"), 74)
    assert f"{topic}/0: the records at offsets 50 to 79 (30 offsets) were deleted before they were read" in message
    daemon = zygote.start(tmp_path, "run", "learnd.yaml", "--set", "source.kafka.on_data_loss=skip")
    daemon.wait_for(lambda: metric(port, "learnd_samples_trained_total 20.0"), "to train what is left")
    stop(daemon)
    assert summary(tmp_path / "state")["samples_rejected"] == {"lost": 1}
    assert summary(tmp_path / "state")["samples_trained"] == 70
    (letter,) = dead_letters(tmp_path / "state")
    assert (letter["partition"], letter["start"], letter["end"]) == (f"{topic}/0", 50, 80)


def test_records_of_the_journal_that_retention_took_are_given_up_on_request(
    broker: Broker, zygote: Zygote, tmp_path: Path
) -> None:
    topic, port = fifty_of_a_hundred(broker, zygote, tmp_path)
    daemon = zygote.start(tmp_path, "run", "learnd.yaml", "--set", "checkpoint.every.seconds=1000")
    daemon.wait_for(lambda: metric(port, "learnd_samples_trained_total 50.0"), "to train 50 more")
    killed(daemon.kill())
    with contextlib.closing(broker.admin()) as admin:
        admin.delete_records({TopicPartition(topic, 0): 80})
    message = refused(zygote.run(tmp_path, "run", "learnd.yaml"), 74)
    assert f"{topic}/0: the journal needs the records at offsets" in message
    assert "source.kafka.on_data_loss: skip" in message
    changed = (
        "--set",
        "source.kafka.on_data_loss=skip",
        "--set",
        "train.optimizer.regenerative_rmsprop.learning_rate=0.001",
    )
    daemon = zygote.start(tmp_path, "run", "learnd.yaml", *changed)
    daemon.wait_for(lambda: metric(port, "learnd_samples_trained_total 20.0"), "to train what is left")
    stop(daemon)
    assert summary(tmp_path / "state")["samples_trained"] == 70
    (letter,) = dead_letters(tmp_path / "state")
    assert (letter["partition"], letter["start"], letter["end"]) == (f"{topic}/0", 50, 80)


def test_the_journal_is_not_repeated_from_a_topic_that_was_made_again(
    broker: Broker, zygote: Zygote, tmp_path: Path
) -> None:
    topic = broker.topic()
    port = prepare(tmp_path, broker, topic)
    broker.produce(topic, records(0, 50))
    daemon = zygote.start(tmp_path, "run", "learnd.yaml", "--set", "checkpoint.every.seconds=1000")
    daemon.wait_for(lambda: metric(port, "learnd_samples_trained_total 50.0"), "to train 50")
    killed(daemon.kill())
    before = sorted(path.name for path in (tmp_path / "state" / "checkpoints").iterdir())
    with contextlib.closing(broker.admin()) as admin:
        admin.delete_topics([topic])
    made_again(broker, topic)
    broker.produce(topic, records(7, 77))
    message = refused(zygote.run(tmp_path, "run", "learnd.yaml"), 74)
    assert f"the topic {topic} was deleted and made again" in message
    assert sorted(path.name for path in (tmp_path / "state" / "checkpoints").iterdir()) == before


def test_a_topic_that_is_missing_ends_it(broker: Broker, zygote: Zygote, tmp_path: Path) -> None:
    prepare(tmp_path, broker, "no-such-topic")
    message = refused(zygote.run(tmp_path, "run", "learnd.yaml"), 74)
    assert "there is no topic no-such-topic" in message
