"""What a service manager is told, over a real socket."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

import pytest
from service_manager import listening
from structlog.testing import capture_logs

from learnd.daemon.operate.health import Health
from learnd.daemon.operate.metrics import Metrics
from learnd.daemon.operate.service import ServiceManager
from learnd.daemon.operate.telemetry import Telemetry


def alive() -> None:
    return None


@pytest.mark.parametrize("name", [None, f"learnd-{uuid.uuid4().hex}"], ids=["path", "abstract"])
def test_it_is_told_once_that_the_daemon_is_ready_and_once_that_it_stops(name: str | None) -> None:
    with listening(name) as listener:
        health = Health()
        service = ServiceManager({"NOTIFY_SOCKET": listener.address}, health.why_not_alive)
        monitor = Telemetry(Metrics(), health, None, service, total_known=False)
        for state in ("starting", "restoring"):
            monitor.state(state)
        assert listener.waiting() == []
        for state in ("consuming", "paused", "consuming"):
            monitor.state(state)
        assert listener.waiting() == ["READY=1"]
        for state in ("finishing", "stopped"):
            monitor.state(state)
        assert listener.waiting() == ["STOPPING=1"]


def test_a_daemon_that_starts_paused_is_ready_and_one_that_fails_stops() -> None:
    with listening() as listener:
        health = Health()
        monitor = Telemetry(
            Metrics(),
            health,
            None,
            ServiceManager({"NOTIFY_SOCKET": listener.address}, health.why_not_alive),
            total_known=False,
        )
        monitor.state("paused")
        monitor.failed("the disk is gone")
        assert listener.waiting() == ["READY=1", "STOPPING=1"]


def test_the_watchdog_hears_of_a_loop_that_is_alive_and_not_of_one_that_hangs() -> None:
    now_s = 0.0
    health = Health(stalled_after_s=10, clock=lambda: now_s)
    health.entered("consuming")
    with listening() as listener:
        environ = {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "30000", "WATCHDOG_PID": str(os.getpid())}
        asked = 0

        def why_not_alive() -> str | None:
            nonlocal asked
            asked += 1
            return health.why_not_alive()

        with ServiceManager(environ, why_not_alive):
            assert [listener.next() for _ in range(3)] == ["WATCHDOG=1"] * 3
            now_s = 11.0
            hangs = asked + 1  # the thread may be between asking and telling
            while asked <= hangs:
                time.sleep(0.001)
            listener.waiting()
            hangs = asked + 5
            while asked <= hangs:
                time.sleep(0.001)
            assert listener.waiting() == []
            health.beat()
            assert listener.next() == "WATCHDOG=1"


@pytest.mark.parametrize("environ", [{}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}], ids=["none", "of another"])
def test_without_a_watchdog_nobody_is_told(environ: dict[str, str]) -> None:
    with listening() as listener, ServiceManager({"NOTIFY_SOCKET": listener.address, **environ}, alive):
        assert listener.waiting() == []


def test_without_a_service_manager_there_is_nobody_to_tell() -> None:
    with ServiceManager({"WATCHDOG_USEC": "1000"}, alive) as service, capture_logs() as logs:
        service.entered("consuming")
    assert logs == []


def test_a_service_manager_that_is_away_is_logged_and_stops_nothing(tmp_path: Path) -> None:
    service = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}, alive)
    with capture_logs() as logs:
        service.entered("consuming")
    assert [(entry["event"], entry["message"]) for entry in logs] == [("service_manager_away", "READY=1")]
