"""`make demo-kafka`: a real broker, a topic that fills, and the daemon that learns from it while you watch.

The broker is Apache's own, fetched by Maven the first time, and ends with the demo.
`KAFKA_BOOTSTRAP_SERVERS` names another.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "kafka"))

from kafka_broker import Broker, UnavailableError, shared_broker
from river.datasets import Bananas

from learnd.daemon.config.file import load_settings
from learnd.daemon.operate.logs import configure_logging
from learnd.daemon.operate.settings import LogSettings
from learnd.daemon.operate.signals import StopSignal
from learnd.daemon.run import Options, run

FOLDER = Path(__file__).parent
RATE = 300.0


def lines() -> list[dict[str, float]]:
    """Return two measurements and a kind; half-way the kinds change places, and one in a hundred is no sample."""
    found = [{"length": x["1"], "width": x["2"], "kind": int(y)} for x, y in Bananas()]
    for number, line in enumerate(found):
        if number >= len(found) // 2:
            line["kind"] = 1 - line["kind"]
        if number % 100 == 99:
            line["length"] = "?"
    return found


def feed(broker: Broker, topic: str, records: list[dict[str, float]], state: Path, stop: threading.Event) -> None:
    """Write the records at a steady pace, once the daemon is there to be watched."""
    while not list(state.glob("checkpoints/*")) and not stop.wait(0.1):
        pass
    producer = broker.producer()
    started = time.monotonic()
    for number, record in enumerate(records):
        if stop.wait(max(0.0, started + number / RATE - time.monotonic())):
            break
        producer.send(topic, json.dumps({**record, "at": time.time()}).encode(), key=b"%d" % (number % 50))
    producer.close()


def main(broker: Broker) -> None:
    configure_logging(LogSettings(level="warning"))
    topic, predicted, dead = broker.topic(3), broker.topic(), broker.topic()
    records = lines()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        names = {"source.kafka.topic": topic, "predictions.kafka.topic": predicted, "dead_letters.kafka.topic": dead}
        overrides = [f"{key}={value}" for key, value in {**names, "checkpoint.dir": str(state)}.items()]
        settings = load_settings(FOLDER / "learnd.yaml", overrides, environ={"KAFKA": broker.bootstrap})
        print(
            f"{len(records):,} records at {RATE:g} a second into the topic {topic} on {broker.bootstrap}; their kinds "
            f"change places half-way.\nPredictions go to {predicted}, what is no sample to {dead}.\n"
        )
        ending = threading.Event()
        feeder = threading.Thread(target=feed, args=(broker, topic, records, state, ending))
        feeder.start()
        try:
            with StopSignal(settings.shutdown_timeout_s) as stop:
                summary = run(settings, stop, Options(http=False, records=len(records)))
        finally:
            ending.set()
            feeder.join()
    print(summary.text())


if __name__ == "__main__":
    try:
        print("starting the broker ...")
        found = shared_broker()
    except UnavailableError as error:
        sys.exit(f"{error}. It takes Java 17 or later, and Maven the first time; or set KAFKA_BOOTSTRAP_SERVERS.")
    try:
        main(found)
    finally:
        if not os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
            found.stop()
