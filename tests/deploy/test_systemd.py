"""The unit for systemd, and a daemon that tells a service manager how it is."""

from __future__ import annotations

import configparser
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT, Zygote, succeeded
from service_manager import listening
from streams import prepare

from learnd.daemon.config.settings import Settings

UNIT = ROOT / "deploy" / "systemd" / "learnd.service"


def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser()
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their case
    unit.read(UNIT)
    return unit["Service"]


def test_a_clean_stop_has_the_time_that_it_may_take() -> None:
    assert int(service()["TimeoutStopSec"]) > Settings.model_fields["shutdown_timeout_s"].default


def test_what_a_person_must_see_is_not_started_again() -> None:
    assert (service()["Restart"], service()["RestartPreventExitStatus"]) == ("on-failure", "2 65 78")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_understands_it(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/learnd/bin/learnd", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_daemon_tells_that_it_is_ready_and_alive_and_stops(
    zygote: Zygote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prepare(tmp_path / "run", source={"files": {"path": "stream.jsonl", "follow": True}})
    with listening() as listener:
        monkeypatch.setenv("NOTIFY_SOCKET", listener.address)
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        daemon = zygote.start(folder, "run", "learnd.yaml")
        assert set(listener.wait_for("READY=1")) <= {"READY=1", "WATCHDOG=1"}
        assert "consuming" in daemon.stderr
        assert listener.next() == "WATCHDOG=1"
        daemon.signal(signal.SIGTERM)
        assert set(listener.wait_for("STOPPING=1")) <= {"STOPPING=1", "WATCHDOG=1"}
        succeeded(daemon.wait())


def test_a_daemon_that_restores_is_not_ready(zygote: Zygote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = prepare(tmp_path / "run")
    with listening() as listener:
        monkeypatch.setenv("NOTIFY_SOCKET", listener.address)
        daemon = zygote.start(folder, "run", "learnd.yaml", failpoints="journal.segment.before=stop@1")
        daemon.wait_until_stopped()
        assert listener.waiting() == []
        daemon.kill()
