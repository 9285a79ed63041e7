from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from served import Served

from learnd.daemon.errors import SettingsError
from learnd.daemon.http.server import HttpServer


@pytest.fixture
def served() -> Iterator[Served]:
    with Served() as served:
        yield served


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
    assert json.loads(body) == {
        "state": "starting",
        "alive": True,
        "not_ready": "the daemon is starting",
        "loss": None,
        "positions": {"a": 1},
    }


def test_what_is_not_there_is_not_found_and_what_takes_nothing_says_so(served: Served) -> None:
    status, body, kind = served.get("/secret")
    assert (status, kind) == (404, "application/json")
    assert json.loads(body) == {"error": "there is nothing at /secret; / tells what there is"}
    assert "/metrics" in served.get("/")[1]
    assert served.get("/healthz?x=1")[0] == 200
    assert served.get("/healthz", method="HEAD")[:2] == (200, "")
    status, body, _ = served.get("/status", method="POST")
    assert (status, json.loads(body)) == (405, {"error": "/status takes GET, HEAD, and not POST"})


def test_a_status_that_fails_costs_one_answer(served: Served) -> None:
    served.status = None
    status, body, _ = served.get("/status")
    assert status == 500
    assert json.loads(body)["error"].startswith("/status cannot be answered: TypeError")
    assert served.get("/healthz")[0] == 200


def test_a_slow_answer_holds_up_no_probe(served: Served) -> None:
    """Metrics are rendered beside the event loop."""
    rendering, done = threading.Event(), threading.Event()

    def slowly() -> Iterator[Any]:
        rendering.set()
        done.wait(30)
        yield from ()

    served.metrics.at_scrape.collect = slowly  # type: ignore[method-assign]
    scrape = threading.Thread(target=served.get, args=("/metrics",))
    scrape.start()
    assert rendering.wait(30)
    assert served.get("/healthz")[0] == 200
    assert scrape.is_alive()
    done.set()
    scrape.join()


def test_a_port_that_is_taken_is_named_with_the_way_out(served: Served) -> None:
    with pytest.raises(SettingsError, match=rf"127\.0\.0\.1:{served.server.port}: .*--set http.listen=null") as caught:
        Served(listen=f"127.0.0.1:{served.server.port}")
    assert caught.value.exit_code == 78


def test_the_port_is_free_again_after_a_stop_and_a_stop_needs_no_start() -> None:
    with Served() as first:
        port = first.server.port
        assert first.get("/healthz")[0] == 200
    again: HttpServer = Served(listen=f"127.0.0.1:{port}").server
    assert again.url == f"http://127.0.0.1:{port}"
    again.stop()


def test_a_stop_takes_less_than_a_second_whoever_is_connected() -> None:
    with Served() as served:
        silent = [served.connect() for _ in range(80)]
        page, trickling = served.connect(), served.connect()
        page.sendall(b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in page.recv(100)
        trickling.sendall(b"POST /v1/control/pause HTTP/1.1\r\nHo")
        assert served.get("/healthz")[0] == 200
        began = time.monotonic()
        served.server.stop()
        assert time.monotonic() - began < 1.0
    for connection in [*silent, page, trickling]:
        connection.settimeout(10)
        while connection.recv(65536):
            pass
        connection.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "http"]


def test_a_thread_that_never_waits_starves_no_probe(served: Served) -> None:
    busy = threading.Event()

    def train() -> None:
        while not busy.is_set():
            pass

    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        began = time.monotonic()
        for _ in range(20):
            assert served.get("/healthz")[0] == 200
        assert time.monotonic() - began < 20.0  # a second each, on a machine that is busy with other things, too
    finally:
        busy.set()
        trainer.join()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "127.0.0.1.evil.example"])
def test_a_name_that_somebody_gave_this_machine_reads_nothing(served: Served, host: str) -> None:
    """As a page in a browser does whose own name leads to 127.0.0.1."""
    for path in ("/status", "/v1/live", "/"):
        status, body, _ = served.get(path, Host=host)
        assert status == 421
        assert host in json.loads(body)["error"]
    for usual in ("localhost", "127.0.0.1:80", "[::1]:80", "LOCALHOST:1"):
        assert served.get("/healthz", Host=usual)[0] == 200


def test_a_page_of_another_site_reads_nothing_and_a_link_there_leads_here(served: Served) -> None:
    other = {"Sec-Fetch-Site": "cross-site"}
    assert served.get("/status", **other, **{"Sec-Fetch-Mode": "cors"})[0] == 403
    assert served.get("/", Accept="text/html", **other, **{"Sec-Fetch-Mode": "navigate"})[0] == 200
    assert served.get("/status", **{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"})[0] == 200


def test_the_page_that_is_open_longest_makes_room_for_a_new_one(served: Served) -> None:
    streams = []
    for _ in range(18):
        stream = served.connect()
        stream.sendall(b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stream.recv(64).startswith(b"HTTP/1.1 200")
        streams.append(stream)
    for stream in streams[:2]:
        with suppress(ConnectionError):
            while stream.recv(1 << 16):
                pass  # until it is cut
    for stream in streams:
        stream.close()
