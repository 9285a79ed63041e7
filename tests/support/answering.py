"""What a running daemon answers over HTTP."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
import uuid
from http.client import HTTPException
from typing import Any

from processes import Daemon
from served import TOKEN


def asked(daemon: Daemon, action: str, token: str = TOKEN, **body: Any) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of the answer once the outcome is known: it is asked for again until then."""
    body = {"id": uuid.uuid4().hex, **body}
    while (answer := sent(daemon, action, token, **body)) is not None and answer[0] == 202:
        assert daemon.state() != "Z", daemon.stderr
    assert answer is not None
    return answer


def sent(daemon: Daemon, action: str, token: str = TOKEN, **body: Any) -> tuple[int, dict[str, Any]] | None:
    """Return the status and the body of an answer to a command; None if there is none."""
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{url_of(daemon)}/v1/control/{action}", json.dumps(body).encode(), headers)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(request, timeout=60, context=trusting) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except (OSError, HTTPException):
        return None


def metric(daemon: Daemon, name: str) -> float:
    """Return the value of a metric without labels."""
    with urllib.request.urlopen(f"{url_of(daemon)}/metrics", timeout=60) as response:
        lines = response.read().decode().splitlines()
    (value,) = [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]
    return float(value)


def url_of(daemon: Daemon) -> str:
    daemon.wait_for(lambda: "//127.0.0.1:" in daemon.stderr, "to listen")
    return next(text for text in daemon.stderr.split('"') if "//127.0.0.1:" in text)
