"""A daemon on a topic, scraped by the real Prometheus: what files do not have has data here."""

from __future__ import annotations

import json
import time
from pathlib import Path

from expressions import ON_TOPICS_ALONE, without_data
from kafka_broker import Broker, free_ports, required
from kafka_sources import delete_before
from processes import Zygote, succeeded
from prometheus import Prometheus, tools

SETTINGS = """
source: {{kafka: {{bootstrap_servers: "{servers}", topic: {topic}, group: null, discover_every_s: 0.3}}}}
samples: {{features: {{a: float}}, label: y}}
checkpoint: {{dir: state, every: {{seconds: 0.3}}}}
http: {{listen: "127.0.0.1:{port}"}}
"""


def records(first: int, last: int) -> list[bytes]:
    return [json.dumps({"a": number % 7, "y": number % 2}).encode() for number in range(first, last)]


def test_each_expression_about_topics_has_data(broker: Broker, zygote: Zygote, tmp_path: Path) -> None:
    required(tools)
    topic = broker.topic()
    (port,) = free_ports(1)
    (tmp_path / "learnd.yaml").write_text(SETTINGS.format(servers=broker.bootstrap, topic=topic, port=port))
    broker.produce(topic, records(0, 500))
    daemon = zygote.start(tmp_path, "run", "learnd.yaml")
    prometheus = Prometheus([f"127.0.0.1:{port}"]).start()
    margin = f'learnd_source_resume_margin_records{{partition="{topic}/0"}}'
    try:
        prometheus.await_data(f"{margin} == 500")
        delete_before(broker, topic, 400)
        prometheus.await_data(f"{margin} == 100")
        broker.produce(topic, records(500, 600))
        prometheus.await_data(f"{margin} == 200")
        deadline = time.monotonic() + 60
        while (
            missing := without_data(prometheus, f"127.0.0.1:{port}") & ON_TOPICS_ALONE
        ) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert missing == set()
        assert prometheus.query(f'learnd_source_unsaved_records{{partition="{topic}/0"}}')[0]["value"] == 0
    finally:
        prometheus.stop()
        daemon.signal(15)
    succeeded(daemon.wait())
