"""HTTPS: by certificate files, which are taken up when they are renewed."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import pytest
from served import Served, make_certificate, name_of, wait_for

from learnd.daemon.errors import SettingsError
from learnd.daemon.http import connections, server, tls
from learnd.daemon.operate.settings import TlsSettings
from learnd.daemon.state.lock import Holder
from learnd.daemon.verbs.status import answer_of

if shutil.which("openssl") is None:
    pytest.skip("there is no openssl to make certificates with", allow_module_level=True)


def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_RENEW_EVERY_S", 0.05)
    certificate, key = make_certificate(tmp_path, "first")
    with Served(tls={"certificate": certificate, "key": key}) as served:
        port = served.server.port
        assert served.server.url == f"https://127.0.0.1:{port}"
        assert name_of(port, certificate) == "first"
        assert answer_of(Holder(1, served.server.url), "/healthz") == b"ok\n"
        make_certificate(tmp_path, "second")
        wait_for(lambda: _shows(port, certificate) == "second", "to show the renewed certificate")

        kept = tmp_path / "kept.pem"
        shutil.copy(certificate, kept)
        for broken in ("no certificate\n", kept.read_text()[:300], ""):
            certificate.write_text(broken)
            time.sleep(0.2)  # as long as it takes to look at it
            assert name_of(port, kept) == "second"
        make_certificate(tmp_path, "third")
        wait_for(lambda: _shows(port, certificate) == "third", "to show a sound certificate again")


def _shows(port: int, trusted: Path) -> str | None:
    try:
        return name_of(port, trusted)
    except OSError:  # not yet the one that is trusted
        return None


def test_a_half_renewed_pair_is_not_taken_up(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "first")
    (tmp_path / "other").mkdir()
    _, other_key = make_certificate(tmp_path / "other", "other")
    taken_up = tls.Certificate(TlsSettings(certificate=certificate, key=key))
    before = taken_up._seen
    shutil.copy(other_key, key)
    taken_up.renew()
    assert taken_up._seen != before  # it was looked at, and told of once
    with pytest.raises(SettingsError, match=r"http\.tls: .*certificate\.pem and .*key\.pem cannot be used"):
        tls.Certificate(TlsSettings(certificate=certificate, key=key))


def test_who_begins_no_handshake_is_ended_and_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_WITHIN_S", 0.5)
    certificate, key = make_certificate(tmp_path, "first")
    with Served(tls={"certificate": certificate, "key": key}) as served:
        silent = [served.connect() for _ in range(2 * connections.MOST_CONNECTIONS)]
        plain = served.connect()
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert name_of(served.server.port, certificate) == "first"
        for connection in [*silent, plain]:
            assert _ended(connection)


def _ended(connection: socket.socket) -> bool:
    try:
        while connection.recv(1000):  # an alert may come first
            pass
    except ConnectionResetError:
        pass
    finally:
        connection.close()
    return True
