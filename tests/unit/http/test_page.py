"""The page and what it is sent."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path
from typing import Any

import pytest
from served import Served, read_all

from learnd.daemon.http import watching
from learnd.daemon.http.page import page, report
from learnd.daemon.values import Defect, Event, Rejection

FOLDER = Path(page.__wrapped__.__code__.co_filename).parent


def test_the_page_is_one_document_that_asks_for_nothing_elsewhere() -> None:
    document, policy = page()
    text = document.decode()
    ours = "".join((FOLDER / name).read_text() for name in ("index.html", "page.css", "charts.js", "page.js"))
    assert "uPlot" in text
    assert not re.search(r"""(src|href)="(?!data:|#|/)|url[(]|https?://|@import""", ours)
    assert text.count("<script>") == text.count("</script>") == 1
    assert text.count("</style>") == 1
    assert not re.search(r"""\sstyle=|\son\w+=""", (FOLDER / "index.html").read_text()), "the policy forbids them"
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none';")


def test_a_report_is_one_document_that_no_text_of_a_user_leaves() -> None:
    text = report(json.dumps({"where": "</script><script>alert(1)</script>"}))
    own = "".join((FOLDER / name).read_text() for name in ("report.html", "report.js"))
    assert not re.search(r"""(src|href)="(?!data:|#|/)|url[(]|https?://|@import""", own)
    assert text.count("<script") == text.count("</script>") == 2
    assert json.loads(re.findall(r'id="told">(.*?)</script>', text)[0])["where"] == "</script><script>alert(1)</script>"


def test_the_library_comes_with_its_license() -> None:
    assert "The MIT License" in (FOLDER / "uPlot.LICENSE.txt").read_text()
    assert "v1.6.32" in (FOLDER / "uPlot.iife.min.js").read_text()[:200]


def test_a_browser_gets_the_page_and_a_tool_the_list_of_paths() -> None:
    with Served() as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=10)
        connection.request("GET", "/", headers={"Accept": "text/html,*/*"})
        response = connection.getresponse()
        assert response.read() == page()[0]
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Content-Security-Policy"] == page()[1]
        connection.close()
        assert served.get("/")[1].startswith("learnd\n")


def test_it_is_sent_everything_at_first_and_then_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_EVERY_S", 0.05)
    with Served() as served:
        served.status = {"unread": 3, "lag": {"t-0": 3}, "positions": {"t-0": 7}}
        served.live.happened([Event("drift", 70, {"signal": "error", "level": "warning"})])
        served.live.rejected([Rejection("t-0", 3, 4, Defect("null", "a: expected a number, got null"), b"secret")])
        with served.connect() as connection:
            connection.sendall(b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            lines = connection.makefile("rb")

            def message() -> dict[str, Any]:
                while not (line := lines.readline()).startswith(b"data: "):
                    assert line
                    assert b"secret" not in line
                told: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
                return told

            first = message()
            assert (first["from"], first["now"]) == (
                0,
                {"state": "starting", "alive": True, "not_ready": "the daemon is starting", "unread": 3},
            )
            (mark,) = first["marks"]
            assert (mark["kind"], mark["samples"], mark["text"]) == ("drift", 70, "drift of error (warning)")
            (letter,) = first["dead_letters"]
            assert {**letter, "time_s": 0} == {"time_s": 0, "reason": "null", "partition": "t-0", "start": 3, "end": 4}
            assert (message()["marks"], message()["dead_letters"]) == ([], [])
            served.live.mark("checkpoint", 100, "checkpoint 1")
            while not (later := message())["marks"]:
                pass
            assert later["from"] == first["revision"]
            assert [mark["text"] for mark in later["marks"]] == ["checkpoint 1"]


def test_what_fails_while_a_page_is_open_ends_its_connection_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_EVERY_S", 0.05)
    with Served() as served, served.connect() as connection:
        connection.sendall(b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in connection.recv(1000)
        served.status = None
        received = read_all(connection)
        assert b"HTTP/1.1" not in received
        assert not received.endswith(b"0\r\n\r\n"), "it would seem to be whole"
        served.status = {}
        assert served.get("/status")[0] == 200
