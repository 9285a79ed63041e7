"""`learnd support-bundle`: what is in the archive, and what must not be."""

from __future__ import annotations

import json
import signal
import tarfile
from pathlib import Path

from processes import Zygote, refused, succeeded
from streams import json_lines, prepare, records

SECRET, RECORD = "open-sesame", "somebody@example.org"


def collected(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as file:
        members = {member.name.removeprefix("learnd-support/"): file.extractfile(member) for member in file}
        return {name: content.read() for name, content in members.items() if content is not None}


def test_it_holds_what_the_daemon_tells_and_keeps_and_neither_secrets_nor_records(
    zygote: Zygote, tmp_path: Path
) -> None:
    stream = json_lines(records(600)) + json_lines([{"a": RECORD, "b": 1.0, "c": 1, "y": 1}])
    folder = prepare(
        tmp_path / "run",
        stream,
        source={"files": {"path": "stream.jsonl", "follow": True}},
        http={"listen": "127.0.0.1:0"},
        checkpoint={"every": {"samples": 100, "seconds": 1000}},
    )
    daemon = zygote.start(folder, "run", "learnd.yaml")
    dead_letters = folder / "state" / "dead-letters.jsonl"
    daemon.wait_for(lambda: dead_letters.is_file() and RECORD in dead_letters.read_text(), "to reject a record")
    told = succeeded(zygote.run(folder, "support-bundle", "state")).stdout
    assert "learnd-support.tar.gz holds versions.json, status.json, metrics.txt" in told
    bundle = collected(folder / "learnd-support.tar.gz")
    assert json.loads(bundle["status.json"])["process"] == daemon.pid
    assert b"learnd_samples_trained_total" in bundle["metrics.txt"]
    assert {"numpy", "keras"} <= set(json.loads(bundle["versions.json"])["packages"])
    assert {"settings.json", "scores.jsonl", "lock"} <= set(bundle)
    assert any(name.startswith("checkpoints/") for name in bundle)
    assert any(name.startswith("journal/") for name in bundle)
    assert not any(RECORD.encode() in content for content in bundle.values())

    daemon.signal(signal.SIGTERM)
    succeeded(daemon.wait())
    (folder / "log").write_bytes(b"x" * 2_000_000 + b"the end")
    told = succeeded(zygote.run(folder, "support-bundle", "state", "-o", "after.tar.gz", "--log", "log")).stdout
    assert "not in it" not in told
    after = collected(folder / "after.tar.gz")
    assert json.loads(after["status.json"])["state"] == "not running"
    assert "metrics.txt" not in after
    assert "summary.json" in after
    assert after["log.txt"] == b"x" * 999_993 + b"the end"


def test_a_password_is_in_none_of_it(zygote: Zygote, tmp_path: Path) -> None:
    sasl = {"mechanism": "PLAIN", "username": "learnd", "password": SECRET}
    kafka = {"bootstrap_servers": "127.0.0.1:1", "topic": "predicted", "sasl": sasl}  # no broker is there
    folder = prepare(tmp_path / "run", predictions={"kafka": kafka})
    daemon = zygote.start(folder, "run", "learnd.yaml")
    daemon.wait_for((folder / "state" / "settings.json").is_file, "to record its settings")
    succeeded(zygote.run(folder, "support-bundle", "state"))
    daemon.kill()
    bundle = collected(folder / "learnd-support.tar.gz")
    assert b"PLAIN" in bundle["settings.json"]
    assert not any(SECRET.encode() in content for content in bundle.values())


def test_it_says_why_it_cannot_collect(zygote: Zygote, tmp_path: Path) -> None:
    assert "no daemon has started there" in refused(zygote.run(tmp_path, "support-bundle", "."), 74)
    folder = prepare(tmp_path / "run")
    succeeded(zygote.run(folder, "run", "learnd.yaml"))
    told = refused(zygote.run(folder, "support-bundle", "state", "-o", "gone/x.tar.gz"), 74)
    assert "cannot be written" in told
    assert "--output" in told
