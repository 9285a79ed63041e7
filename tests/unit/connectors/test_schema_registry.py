"""A schema registry that does not answer as one should. Real ones are asked in the tests with a broker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from learnd.connectors.kafka.batches import BatchBuilder
from learnd.connectors.kafka.clients.contract import Fetched
from learnd.connectors.kafka.connection import SchemaRegistrySettings
from learnd.connectors.kafka.notes import PartitionNotes
from learnd.connectors.kafka.schema_registry import SchemaRegistry, SchemaRegistryAwayError
from learnd.daemon.errors import SourceError
from learnd.daemon.values import RecordFormat


class Answers(BaseHTTPRequestHandler):
    """Sends those who ask for schema 1 on to another path, has 10 to 19, and breaks off in all other answers."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path == "/schemas/ids/1":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
            self.end_headers()
            return
        if self.path.startswith("/schemas/ids/1"):
            body = b'{"schema": "\\"int\\""}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"schema": ')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[str] = []


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.01,))
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def registry(server: Server) -> SchemaRegistry:
    url = f"http://127.0.0.1:{server.server_port}"
    return SchemaRegistry(SchemaRegistrySettings.model_validate({"url": url, "username": "ali", "password": "sesame"}))


def test_the_password_goes_to_no_other_address(server: Server) -> None:
    with pytest.raises(SourceError, match=r"it sends on to http://127.0.0.1:\d+/elsewhere; give the address"):
        registry(server).schema(1)
    assert server.asked == ["/schemas/ids/1"]


def test_an_answer_that_breaks_off_is_waited_for(server: Server) -> None:
    with pytest.raises(SchemaRegistryAwayError, match="does not answer"):
        registry(server).schema(2)


def test_there_is_a_sign_of_life_for_each_schema_that_is_asked_for(server: Server) -> None:
    settings = SchemaRegistrySettings(url=f"http://127.0.0.1:{server.server_port}")
    values = [b"\0" + (10 + n % 5).to_bytes(4, "big") for n in range(20)]
    nothing = [None] * len(values)
    fetched = Fetched("t/0", np.arange(20), values, nothing, None, np.zeros(20, np.int64))
    heard: list[int] = []
    made = BatchBuilder(RecordFormat("avro"), 1 << 20, settings, PartitionNotes({}, []))
    batch = made.build(fetched, 0, alive=lambda: heard.append(len(server.asked)))
    assert heard == [0, 1, 2, 3, 4]
    assert batch.schemas == dict.fromkeys(range(10, 15), ('"int"',))


def test_an_authority_that_is_none_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(SourceError, match=r"ca.pem holds no certificates to trust"):
        SchemaRegistry(SchemaRegistrySettings(url="https://registry:8081", ca=tmp_path / "ca.pem"))
