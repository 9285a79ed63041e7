"""The drills of a daemon that reads a topic of a real broker."""

from __future__ import annotations

from confluent_kafka import Producer
from drill import Drill
from kafka_sources import delete_before
from on_files import HINDERED, WITHOUT_TIMES, pause
from scene import Scene

GROWS_OLD = {"LearndStale": "what waits grows old meanwhile"}


def use_topic_with_a_past(scene: Scene) -> None:
    scene.use_topic()
    scene.stream.past = 1000


def stop_broker(scene: Scene) -> None:
    scene.stream.hold()
    scene.await_(lambda: scene.prometheus.query("instance:learnd_source_lag:sum == 0") != [], "records wait")
    scene.broker.kill()


def start_broker(scene: Scene) -> None:
    assert "the source cannot be reached" in (told := scene.why_not_ready()), told
    scene.broker.start()
    scene.stream.flows = True


def slow_down(scene: Scene) -> None:
    scene.hinder(0.1)


def delete_behind(scene: Scene) -> None:
    """Delete the oldest records, but none that is still needed."""
    scene.deleted = min(scene.deleted + 25, 900)
    delete_before(scene.broker, scene.topic, scene.deleted)


def resume(scene: Scene) -> None:
    scene.tool("ctl", "state", "resume")


def hold_back(scene: Scene) -> None:
    """Let a producer begin a transaction and hang: what comes behind it is held back."""
    producer = Producer({"bootstrap.servers": scene.broker.bootstrap, "transactional.id": scene.topic})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(scene.topic, b"{}", partition=0)
    producer.flush()
    scene.producer = producer


def end_transaction(scene: Scene) -> None:
    scene.producer.abort_transaction()


DRILLS = [
    Drill(
        "LearndSourceAway",
        broken_by="the broker is killed",
        mended_by="the broker is started",
        settings={"samples": WITHOUT_TIMES},  # to connect again takes seconds, which are minutes to LearndStale
        prepare=Scene.use_topic,
        break_=stop_broker,
        mend=start_broker,
        fires_min=12,
        resolves_min=8,
    ),
    Drill(
        "LearndStalled",
        broken_by="a transaction of a producer that stays open",
        mended_by="it ends",
        prepare=Scene.use_topic,
        break_=hold_back,
        mend=end_transaction,
        fires_min=17,
        resolves_min=8,
        accompanied_by=GROWS_OLD,
    ),
    Drill(
        "LearndFallingBehind",
        broken_by="updates that take 100 ms, with 20 records a second",
        mended_by="updates that are as quick as before",
        settings=HINDERED,
        prepare=Scene.use_topic,
        break_=slow_down,
        mend=Scene.unhinder,
        fires_min=60,
        resolves_min=40,
        accompanied_by=GROWS_OLD,
    ),
    Drill(
        "LearndResumeAtRisk",
        broken_by="a pause, while the topic deletes what it has had for long",
        mended_by="`learnd ctl DIR resume`",
        prepare=use_topic_with_a_past,
        break_=pause,
        again=delete_behind,
        mend=resume,
        fires_min=15,
        resolves_min=30,
    ),
]
