"""A daemon on files, scraped by the real Prometheus: each expression of panels, rules and alerts has data."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from expressions import ON_TOPICS_ALONE, inner, without_data
from processes import Zygote, succeeded
from prometheus import Prometheus, checked, scraped
from streams import json_lines, prepare, records

BEFORE, ALL = 100, 2_000


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("a > 1", ["a"]),
        ('up{a="x > y"} == 0 or absent(up{a="x"})', ['up{a="x > y"}', 'up{a="x"}']),
        ("sum by (j) (a > 1) >= 2 and on (j) b{c=~'d|e'} == 1 unless f", ["sum by (j) (a > 1)", "b{c=~'d|e'}", "f"]),
        ("a > on (j) 600 * rate(b[30m])", ["a", "600 * rate(b[30m])"]),
        ("predict_linear(a[6h], 4 * 3600) < 0", ["predict_linear(a[6h], 4 * 3600)"]),
    ],
)
def test_the_parts_of_an_expression(expression: str, parts: list[str]) -> None:
    assert inner(expression) == parts


@pytest.mark.usefixtures("real_prometheus")
def test_each_expression_has_data(zygote: Zygote, tmp_path: Path) -> None:
    stream: list[dict[str, Any]] = records(ALL)
    for number, record in enumerate(stream):
        record["at"] = datetime.now(UTC).isoformat()
        record["a"] = None if number % 100 == 50 else record["a"]
    folder = prepare(
        tmp_path / "run",
        json_lines(stream[:BEFORE]),
        source={"files": {"path": "stream.jsonl", "follow": True}},
        samples={"features": {"a": "float", "b": "float", "c": {"hash": 50}}, "label": "y", "event_time": "at"},
        validate={
            "prequential": {"every": 200},
            "holdout": {"share": 0.05, "every": 500},
            "anchor": {"file": "anchor.jsonl", "every": 500},
        },
        http={"listen": "127.0.0.1:0"},
    )
    (folder / "anchor.jsonl").write_bytes(json_lines(stream[:20]))
    settings = yaml.safe_load((folder / "learnd.yaml").read_text())
    alike = {"name": "alike", "train": {"seed": 9}}  # so that its match is never over
    train = {**settings["train"], "average": {"hedge": True}, "memory": {"size": 200}}
    changes = {"challengers": [alike], "train": train}
    (folder / "learnd.yaml").write_text(yaml.safe_dump({**settings, **changes}))
    daemon = zygote.start(folder, "run", "learnd.yaml")
    daemon.wait_for(lambda: "http://127.0.0.1:" in daemon.stderr, "to listen")
    address = next(part for part in daemon.stderr.split('"') if part.startswith("http://127.0.0.1:"))
    instance = address.removeprefix("http://")
    prometheus = Prometheus([instance], scrape_interval="1s").start()  # and as long may an answer take: a busy machine
    try:
        prometheus.await_data("learnd_samples_trained_total > 0")  # what is counted before the first scrape has no rate
        with (folder / "stream.jsonl").open("ab") as file:
            file.write(json_lines(stream[BEFORE:]))
        prometheus.await_data(f"learnd_samples_trained_total > {0.9 * ALL}")
        missing, deadline = without_data(prometheus, instance), time.monotonic() + 300
        while missing != ON_TOPICS_ALONE and time.monotonic() < deadline:  # rules follow once they are evaluated
            time.sleep(0.5)
            missing = without_data(prometheus, instance)
        assert missing == ON_TOPICS_ALONE
        checked("promtool", "check", "metrics", stdin=scraped(instance))
    finally:
        prometheus.stop()
        daemon.signal(15)
    succeeded(daemon.wait())
