"""What `/status` shows of what has happened."""

from __future__ import annotations

from learnd.daemon.operate.health import Health
from learnd.daemon.operate.metrics import Metrics
from learnd.daemon.operate.telemetry import Telemetry
from learnd.daemon.values import Event


def test_drifts_are_counted_by_signal_and_level_and_the_uptime_never_goes_back() -> None:
    telemetry = Telemetry(Metrics(), Health(), None, total_known=False)
    for signal, level in (("error", "warning"), ("error", "confirmed"), ("error", "confirmed"), ("label", "warning")):
        telemetry.happened([Event("drift", 10, {"signal": signal, "level": level})])
    assert telemetry.status()["drift"] == {"error": {"warning": 1, "confirmed": 2}, "label": {"warning": 1}}
    before = telemetry.status()["uptime_s"]
    telemetry._begun_s -= 100
    telemetry.state("consuming")
    assert telemetry.status()["uptime_s"] >= before + 100
