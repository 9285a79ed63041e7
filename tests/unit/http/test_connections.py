"""Clients that are many, slow, silent or no clients of HTTP: each gets a clear answer, and none holds up a probe."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from served import TOKEN, Served, answers, read_all, wait_for

from learnd.daemon.http import connections
from learnd.daemon.http.connections import MOST_BODY_BYTES

AUTHORIZED = f"Authorization: Bearer {TOKEN}\r\n".encode()
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
PAUSE = b"POST /v1/control/pause HTTP/1.1\r\nHost: localhost\r\n" + AUTHORIZED


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "token").write_text(TOKEN)
    with Served(folder, token_file=folder / "token") as served:
        yield served


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADER_WITHIN_S", "BODY_WITHIN_S"):
        monkeypatch.setattr(connections, name, 0.5)


CORPUS: dict[str, tuple[bytes, int]] = {
    "a whole request": (LAST, 200),
    "of HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    "no HTTP": (b"hello\r\n\r\n", 400),
    "binary": (b"\x00\x01\x02\x03\r\n\r\n", 400),
    "a handshake of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n", 400),
    "of HTTP/0.9": (b"GET /healthz\r\n\r\n", 200),
    "another protocol": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a method of its own": (b"BREW /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a method that is not taken": (b"DELETE /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
    "a tunnel": (b"CONNECT example.com:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
    "options of the server": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
    "a proxy's request": (b"GET http://a.com/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200),
    "a path outside": (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
    "an escaped path": (b"GET /%2e%2e/%00/etc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
    "a bad escape": (b"GET /%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
    "a long path": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
    "a long header": (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    "many headers": (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 500 + b"\r\n", 400),
    "a header without a colon": (b"GET / HTTP/1.1\r\nHost x\r\n\r\n", 400),
    "a header with a space before its colon": (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    "two lengths": (PAUSE + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    "a length that is none": (PAUSE + b"Content-Length: -1\r\n\r\n{}", 400),
    "a length and chunks": (PAUSE + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks that are none": (PAUSE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n", 400),
    "a body that is too long": (PAUSE + b"Content-Length: %d\r\n\r\n" % (MOST_BODY_BYTES + 1), 413),
    "chunks that are too long": (
        PAUSE + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (MOST_BODY_BYTES + 9) + b"a" * (MOST_BODY_BYTES + 9), 413
    ),
    "no JSON": (PAUSE + b"Connection: close\r\nContent-Length: 3\r\n\r\n{a}", 400),
    "deep JSON": (PAUSE + b"Connection: close\r\nContent-Length: 60000\r\n\r\n" + b"[" * 60_000, 400),
    "not UTF-8": (PAUSE + b"Connection: close\r\nContent-Length: 2\r\n\r\n\xff\xfe", 400),
    "a list": (PAUSE + b"Connection: close\r\nContent-Length: 2\r\n\r\n[]", 400),
    "a compressed body": (PAUSE + b"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 202),
    "no token": (b"POST /v1/control/pause HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 401),
}  # fmt: skip


@pytest.mark.parametrize("name", CORPUS)
def test_each_request_has_the_answer_that_it_asks_for(served: Served, name: str) -> None:
    sent, expected = CORPUS[name]
    with served.connect() as connection:
        connection.sendall(sent)
        ((status, headers, body),) = answers(read_all(connection))
    assert status == expected
    assert headers["server"] == "learnd"
    if status >= 400:
        assert headers["content-type"] == "application/json"
        assert list(json.loads(body)) == ["error"]
        assert "Traceback" not in body.decode()
    assert served.get("/healthz")[0] == 200


def test_a_connection_is_kept_for_many_requests_also_when_they_come_at_once(served: Served) -> None:
    client = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=10)
    for _ in range(3):
        client.request("GET", "/nowhere")
        assert client.getresponse().read().startswith(b'{"error"')
    client.close()
    with served.connect() as connection:
        connection.sendall(REQUEST * 50 + LAST)
        assert [status for status, _, _ in answers(read_all(connection))] == [200] * 51


@pytest.mark.usefixtures("impatient")
def test_a_fuzzer_finds_no_request_that_is_not_answered_or_ended(served: Served) -> None:
    rng = random.Random(7)
    seeds = [sent for sent, _ in CORPUS.values() if len(sent) < 1000]
    for _ in range(500):
        sent = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(sent) + 1)
            kind = rng.randrange(4)
            if kind == 0:
                sent[at:at] = rng.randbytes(rng.randint(1, 5))
            elif kind == 1:
                del sent[at : at + rng.randint(1, 9)]
            elif kind == 2:
                sent[at:at] = rng.choice([b"\r\n", b"\n", b" ", b"\0", b":", b"\r\n\r\n", b"\xff"])
            else:
                sent[at:at] = rng.choice(seeds)[: rng.randint(1, 60)]
        with served.connect() as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            for status, _, _ in answers(read_all(connection)):
                assert 200 <= status < 500, bytes(sent)
    assert served.get("/healthz")[0] == 200


def test_500_idle_connections_hold_up_no_probe_and_the_oldest_make_room(served: Served) -> None:
    idle = []
    for _ in range(500):
        idle.append(served.connect())
        if len(idle) % 50 == 0:
            began = time.monotonic()
            assert served.get("/healthz")[0] == 200
            assert time.monotonic() - began < 2.0
    gone = [connection for connection in idle if not _is_open(connection)]
    assert 500 - connections.MOST_CONNECTIONS <= len(gone) < 500
    assert _is_open(idle[-1])
    for connection in idle:
        connection.close()


def test_a_request_under_way_outlives_idle_connections(served: Served) -> None:
    with served.connect() as busy:
        busy.sendall(PAUSE + b"Connection: close\r\nContent-Length: 9\r\n\r\n" + b'{"why":')
        idle = [served.connect() for _ in range(2 * connections.MOST_CONNECTIONS)]
        assert served.get("/healthz")[0] == 200
        busy.sendall(b"1}")
        ((status, _, body),) = answers(read_all(busy))
    assert status == 400, body  # `why` is a text: it was read
    for connection in idle:
        connection.close()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("sent", "bit", "status", "what"),
    [
        (b"", b"", None, ""),
        (b"GET /healthz HTTP/1.1\r\n", b"A", 408, "header"),
        (PAUSE + b"Content-Length: 1000\r\n\r\n", b" ", 408, "body"),
        (REQUEST + b"GET /heal", b"t", 408, "header"),
    ],
    ids=["silent", "a slow header", "a slow body", "a slow header after a request"],
)
def test_a_client_that_sends_a_byte_at_a_time_is_ended_and_told_why(
    served: Served, sent: bytes, bit: bytes, status: int | None, what: str
) -> None:
    began = time.monotonic()
    with served.connect() as connection:
        connection.sendall(sent)
        ended = threading.Event()

        def trickle() -> None:
            while not ended.wait(0.1):
                try:
                    connection.sendall(bit)
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        received = answers(read_all(connection))
        ended.set()
        thread.join()
    assert time.monotonic() - began < 10.0
    assert [found[0] for found in received[-1:]] == ([status] if status else [])
    assert all(what in json.loads(body)["error"] for found, _, body in received if found == status)


def test_a_connection_that_is_kept_alive_in_vain_is_ended(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "KEEP_ALIVE_S", 0.5)
    with served.connect() as connection:
        connection.sendall(REQUEST)
        assert [status for status, _, _ in answers(read_all(connection))] == [200]


def test_who_does_not_read_what_is_sent_is_dropped(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    from learnd.daemon.http import watching

    monkeypatch.setattr(watching, "_EVERY_S", 0.01)
    monkeypatch.setattr(watching, "_TAKEN_WITHIN_S", 0.3)
    served.status = {"much": "x" * 500_000}
    with served.connect() as page:
        page.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        page.sendall(b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for(lambda: not _is_writable(page), "to be cut off")
    assert served.get("/healthz")[0] == 200


def _is_open(connection: socket.socket) -> bool:
    """Whether a server that has sent nothing keeps a connection."""
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def _is_writable(connection: socket.socket) -> bool:
    """Whether the other side still has a connection: it resets one that it does not know."""
    try:
        connection.send(b" ")
    except ConnectionError:
        return False
    return True
