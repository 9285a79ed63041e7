"""The composition: of the form that Compose reads, configured as the files beside it, with a stream that teaches."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka_broker import required, shared_broker
from processes import ROOT, Zygote, dead_letters, history, succeeded
from streams import json_lines

from deploy.compose.feeder import records
from learnd.daemon.config.file import load_settings
from learnd.daemon.config.settings import Settings

DEPLOY = ROOT / "deploy"
FILE = DEPLOY / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
HOSTS = {"127.0.0.1:9464": "learnd:9464", "127.0.0.1:9093": "alertmanager:9093", "127.0.0.1:9090": "prometheus:9090"}


def checked(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_it_is_what_compose_reads_and_a_misspelt_key_is_not(tmp_path: Path) -> None:
    assert checked(FILE).returncode == 0, checked(FILE).stdout
    misspelt = tmp_path / "compose.yaml"
    misspelt.write_text(FILE.read_text().replace("read_only:", "readonly:"))
    assert "readonly" in checked(misspelt).stdout


@pytest.mark.parametrize(
    ("name", "file"),
    [("prometheus", "prometheus/prometheus.yaml"), ("datasources", "grafana/provisioning/datasources/prometheus.yaml")],
)
def test_what_it_configures_is_what_the_file_says_for_other_hosts(name: str, file: str) -> None:
    text = (DEPLOY / file).read_text()
    for here, there in HOSTS.items():
        text = text.replace(here, there)
    assert yaml.safe_load(COMPOSE["configs"][name]["content"]) == yaml.safe_load(text)


def test_each_file_that_is_mounted_is_there() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    files = [FILE.parent / path for path in mounted if path.startswith(".")]
    assert len(files) == 6
    assert all(path.exists() for path in files)
    assert {path for path in mounted if not path.startswith(".")} == set(COMPOSE["volumes"])


def test_the_services_find_each_other() -> None:
    assert {there.split(":")[0] for there in HOSTS.values()} <= set(SERVICES)
    assert SERVICES["feeder"]["environment"]["KAFKA"] == "kafka:9092"
    settings = load_settings(DEPLOY / "compose" / "settings.yaml", environ={})
    assert settings.source.settings.model_dump()["bootstrap_servers"] == "kafka:9092"
    written = {settings.predictions.kafka, settings.dead_letters.kafka}
    topics = [SERVICES["feeder"]["environment"]["TOPIC"], *(output.topic for output in written if output is not None)]
    made = SERVICES["topics"]["command"][0]
    assert all(f" {topic}" in made for topic in topics)
    assert len(topics) == 3


def test_the_daemon_has_the_time_to_stop_and_nothing_to_write_to_but_its_state() -> None:
    learnd = SERVICES["learnd"]
    assert int(learnd["stop_grace_period"].removesuffix("s")) > Settings.model_fields["shutdown_timeout_s"].default
    assert (learnd["read_only"], learnd["cap_drop"], learnd["tmpfs"]) == (True, ["ALL"], ["/tmp"])


def test_the_stream_teaches_and_drifts(zygote: Zygote, tmp_path: Path) -> None:
    passage = 5_300
    sent = list(itertools.islice(records(), 2 * passage))
    assert sent[0]["kind"] != sent[passage]["kind"]
    settings = yaml.safe_load((DEPLOY / "compose" / "settings.yaml").read_text())
    settings["source"] = {"files": {"path": "stream.jsonl"}}
    settings |= {"http": {"listen": None}, "predictions": {}, "dead_letters": {}}
    (tmp_path / "learnd.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "stream.jsonl").write_bytes(json_lines({**record, "at": n} for n, record in enumerate(sent)))
    succeeded(zygote.run(tmp_path, "run", "learnd.yaml"))
    scores = [event["metrics"]["accuracy"] for event in history(tmp_path / "state") if event["window"] == 500]
    assert scores[9] > 0.75  # at the end of the first passage
    wrong = len(dead_letters(tmp_path / "state"))
    assert wrong == len(sent) // 100
    drifts = [event["samples"] for event in history(tmp_path / "state", "drift") if event["level"] == "confirmed"]
    assert 0 < drifts[0] - (passage - wrong // 2) < 200  # behind the first sample of the second passage


def test_the_feeder_fills_a_topic_that_the_daemon_learns_from(zygote: Zygote, tmp_path: Path) -> None:
    broker = required(shared_broker)
    topic, predicted, dead = broker.topic(3), broker.topic(), broker.topic()
    environment = {**os.environ, "KAFKA": broker.bootstrap, "TOPIC": topic}
    names = {
        "source.kafka.topic": topic,
        "source.kafka.bootstrap_servers": broker.bootstrap,
        "predictions.kafka.topic": predicted,
        "dead_letters.kafka.topic": dead,
        "http.listen": "null",
    }
    overrides = [part for key, value in names.items() for part in ("--set", f"{key}={value}")]
    with subprocess.Popen([sys.executable, DEPLOY / "compose" / "feeder.py"], env=environment) as feeding:
        daemon = zygote.start(
            tmp_path, "run", DEPLOY / "compose" / "settings.yaml", "--state", "state", "--json", *overrides
        )
        daemon.wait_for(lambda: _samples(tmp_path) > 100, "to train")
        daemon.signal(15)
        assert succeeded(daemon.wait()).json()["samples_rejected"]
        feeding.terminate()


def _samples(folder: Path) -> int:
    manifests = sorted(folder.glob("state/checkpoints/*-*/manifest.json"))
    return int(json.loads(manifests[-1].read_text())["samples_trained"]) if manifests else 0
