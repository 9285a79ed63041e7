from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from learnd.daemon.errors import SettingsError
from learnd.daemon.operate.health import Health
from learnd.daemon.operate.http import HttpServer
from learnd.daemon.operate.metrics import Metrics


class Served:
    def __init__(self) -> None:
        self.metrics, self.health = Metrics(), Health()
        self.status: dict[str, Any] = {}
        self.server = HttpServer("127.0.0.1:0", self.metrics, self.health, lambda: self.status)

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        answer = response.status, response.read().decode(), response.headers["Content-Type"]
        connection.close()
        return answer


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    served.server.start()
    yield served
    served.server.stop()


def test_metrics_are_served_in_both_forms(served: Served) -> None:
    served.metrics.held_out(3)
    status, body, kind = served.get("/metrics")
    assert status == 200
    assert "learnd_samples_held_out_total 3.0" in body
    assert kind.startswith("text/plain")
    _, body, kind = served.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_probes_follow_the_health(served: Served) -> None:
    assert served.get("/healthz")[:2] == (200, "ok\n")
    assert served.get("/readyz")[:2] == (503, "the daemon is starting\n")
    served.health.entered("consuming")
    served.health.reached(True)
    assert served.get("/readyz")[0] == 200
    served.health.failed("no memory")
    assert served.get("/healthz")[:2] == (503, "the loop has ended: no memory\n")


def test_status_is_strict_json(served: Served) -> None:
    served.status = {"loss": float("nan"), "positions": {"a": 1}}
    status, body, kind = served.get("/status")
    assert (status, kind) == (200, "application/json")
    assert json.loads(body) == {"state": "starting", "loss": None, "positions": {"a": 1}}


def test_what_is_not_there_is_not_found_and_nothing_can_be_sent(served: Served) -> None:
    assert served.get("/secret")[0] == 404
    assert served.get("/")[0] == 200
    assert served.get("/healthz?x=1")[0] == 200
    assert served.get("/healthz", method="HEAD")[:2] == (200, "")
    assert served.get("/status", method="POST")[0] == 501


def test_a_status_that_fails_costs_one_answer(served: Served) -> None:
    served.status = None  # type: ignore[assignment]
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        served.get("/status")
    assert served.get("/healthz")[0] == 200


def test_silent_clients_hold_up_neither_a_probe_nor_the_stop() -> None:
    served = Served()
    served.server.start()
    silent = [socket.create_connection(("127.0.0.1", served.server.port)) for _ in range(80)]
    assert served.get("/healthz")[0] == 200
    served.server.stop()
    for connection in silent:
        connection.settimeout(10)
        assert connection.recv(1) == b""
        connection.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "http"]


def test_a_port_that_is_taken_is_named_with_the_way_out(served: Served) -> None:
    with pytest.raises(SettingsError, match=rf"127\.0\.0\.1:{served.server.port}: .*--set http.listen=null") as caught:
        HttpServer(f"127.0.0.1:{served.server.port}", Metrics(), Health(), dict)
    assert caught.value.exit_code == 78


def test_the_port_is_free_again_after_a_stop_and_a_stop_needs_no_start() -> None:
    first = Served()
    port = first.server.port
    first.server.stop()
    again = HttpServer(f"127.0.0.1:{port}", Metrics(), Health(), dict)
    assert again.url == f"http://127.0.0.1:{port}"
    again.stop()
