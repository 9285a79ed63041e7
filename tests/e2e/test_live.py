"""A live stream: partial batches after a wait are in the journal, so that a killed daemon makes the same model."""

import json
import shutil
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from processes import Daemon, Zygote, killed, refused, succeeded
from prometheus_client.parser import text_string_to_metric_families
from streams import RECORDS, json_lines, prepare, records

FOLLOWING = {"files": {"path": "stream.jsonl", "follow": True}}


def get(daemon: Daemon, path: str) -> tuple[int, str]:
    """Return status and body of a request to the daemon, whose log says where it listens."""
    url = next(line for line in daemon.stderr.split('"') if line.startswith("http://127.0.0.1:"))
    try:
        with urllib.request.urlopen(url + path, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metrics(daemon: Daemon) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Return the value of each metric by its labels."""
    values: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(get(daemon, "/metrics")[1]):
        for sample in family.samples:
            values.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return values


def listening(daemon: Daemon) -> None:
    daemon.wait_for(lambda: "http://127.0.0.1:" in daemon.stderr, "to listen")


def counted(daemon: Daemon, name: str) -> float:
    return sum(metrics(daemon).get(f"learnd_{name}", {}).values())


def test_a_partial_batch_of_a_killed_daemon_is_trained_again_as_it_was(zygote: Zygote, tmp_path: Path) -> None:
    lines = json_lines(records(300)).splitlines(keepends=True)
    folder = prepare(
        tmp_path / "run",
        b"".join(lines[:40]),
        source=FOLLOWING,
        train={"batch_size": 32, "max_wait_ms": 50},
        checkpoint={"every": {"samples": 10_000}},
        http={"listen": "127.0.0.1:0"},
    )
    daemon = zygote.start(folder, "run", "learnd.yaml")
    listening(daemon)
    daemon.wait_for(lambda: counted(daemon, "samples_trained_total") == 40, "to train the partial batch")
    assert counted(daemon, "updates_total") == 2
    with (folder / "stream.jsonl").open("ab") as stream:
        stream.write(b"".join(lines[40:45]))
    daemon.wait_for(lambda: counted(daemon, "samples_trained_total") == 45, "to train another one")
    killed(daemon.kill())

    with (folder / "stream.jsonl").open("ab") as stream:
        stream.write(b"".join(lines[45:]))
    twin = tmp_path / "twin"
    shutil.copytree(folder, twin)
    digests = []
    for where, failpoint in ((folder, "loop.call.after=kill@2"), (twin, "")):
        if failpoint:
            killed(zygote.run(where, "run", "learnd.yaml", failpoints=failpoint))
        # What comes behind the journal is read to its end, so that both cut it alike.
        to_the_end = ("--set", "source.files.follow=false", "--json")
        result = succeeded(zygote.run(where, "run", "learnd.yaml", *to_the_end)).json()
        assert result["samples_trained"] == 300
        assert result["updates"] == 2 + 1 + 8  # 32 + 8, 5, 7 * 32 + 31
        digests.append(result["digest"])
    assert digests[0] == digests[1]


def test_http_tells_what_the_daemon_does(zygote: Zygote, tmp_path: Path) -> None:
    stream: list[dict[str, Any]] = records()
    for number in range(0, RECORDS, 100):
        stream[number]["a"] = None
    for record in stream:
        record["at"] = "2026-01-01T00:00:00Z"
    folder = prepare(
        tmp_path / "run",
        json_lines(stream),
        source=FOLLOWING,
        samples={"features": {"a": "float", "b": "float", "c": {"hash": 50}}, "label": "y", "event_time": "at"},
        validate={"holdout": {"share": 0.05, "every": 500}, "anchor": {"file": "anchor.jsonl", "every": 500}},
        http={"listen": "127.0.0.1:0"},
    )
    (folder / "anchor.jsonl").write_bytes(json_lines([{**r, "at": "2026-01-01"} for r in records(20, seed=5)]))
    daemon = zygote.start(
        folder, "run", "learnd.yaml", "--json", failpoints="journal.segment.after=stop@1,checkpoint.write=enospc@3"
    )
    daemon.wait_until_stopped()
    daemon.signal(signal.SIGCONT)
    daemon.wait_for(lambda: get(daemon, "/readyz") == (200, "ok\n"), "to be ready")
    assert get(daemon, "/healthz") == (200, "ok\n")
    held_and_trained = ("samples_trained_total", "samples_held_out_total", "samples_rejected_total")
    daemon.wait_for(lambda: sum(counted(daemon, name) for name in held_and_trained) == RECORDS, "to train it all")
    daemon.wait_for(lambda: counted(daemon, "state") == 1, "to be in one state")

    status = get(daemon, "/status")
    assert status[0] == 200
    assert '"state": "consuming"' in status[1]
    assert get(daemon, "/nowhere")[0] == 404
    seen = {name.removeprefix("learnd_"): values for name, values in metrics(daemon).items()}
    daemon.signal(signal.SIGTERM)
    given = succeeded(daemon.wait()).json()

    assert seen["samples_trained_total"][()] == given["samples_trained"]
    assert seen["samples_held_out_total"][()] == given["samples_held_out"] > 30
    assert _above_0(seen["samples_rejected_total"]) == {(("reason", "null"),): 15}
    assert seen["updates_total"][()] == given["updates"]
    assert sum(seen["updates_skipped_total"].values()) == given["updates_skipped"] == 0
    assert _above_0(seen["checkpoint_failures_total"]) == {(("reason", "enospc"),): 1}
    assert seen["state"][("state", "consuming"),] == 1
    assert seen["learning_rate"][()] == pytest.approx(0.003)
    assert 0 < seen["prequential_score"][("metric", "accuracy"), ("window", "200")] <= 1
    assert 0 < seen["baseline_score"][("baseline", "majority"), ("metric", "accuracy"), ("window", "200")] <= 1
    assert seen["freshness_seconds_count"][()] > 0
    expected = {
        "update_seconds_bucket", "loss", "gradient_norm", "trainable_parameters", "holdout_score", "anchor_score",
        "forgetting_score", "checkpoint_seconds_count", "checkpoint_stall_seconds_count", "checkpoint_bytes",
        "checkpoint_timestamp_seconds", "queue_samples", "retraces_total", "model_info",
    }  # fmt: skip
    assert expected <= set(seen)
    assert seen["process_resident_memory_bytes"][()] > 0


def _above_0(values: dict[tuple[tuple[str, str], ...], float]) -> dict[tuple[tuple[str, str], ...], float]:
    return {labels: value for labels, value in values.items() if value}


def test_a_port_that_is_taken(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        message = refused(zygote.run(folder, "run", "learnd.yaml", "--set", f"http.listen={address}"), 78)
    for part in (address, "in use", "another port", "http.listen=null"):
        assert part in message


def test_a_resumed_daemon_shows_what_it_took_up(zygote: Zygote, tmp_path: Path) -> None:
    scores = {"prequential": {"windows": [100], "every": 10_000}}  # none is due in this stream
    folder = prepare(tmp_path / "run", json_lines(records(300)), validate=scores, http={"listen": "127.0.0.1:0"})
    first = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    daemon = zygote.start(folder, "run", "learnd.yaml", "--set", "source.files.follow=true")
    listening(daemon)
    daemon.wait_for(lambda: get(daemon, "/readyz")[0] == 200, "to consume")
    status = json.loads(get(daemon, "/status")[1])
    assert (status["samples"], status["checkpoint"]["digest"]) == (300, first.json()["digest"])
    assert counted(daemon, "checkpoint_timestamp_seconds") == pytest.approx(status["checkpoint"]["created_s"])
    given = metrics(daemon)["learnd_prequential_score"]
    assert given[("metric", "accuracy"), ("window", "all")] == pytest.approx(first.json()["scores"]["accuracy"])
    assert metrics(daemon)["learnd_source_lag_bytes"] == {(("partition", "other"),): 0}
    daemon.signal(signal.SIGTERM)
    succeeded(daemon.wait())
