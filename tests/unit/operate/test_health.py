from __future__ import annotations

import pytest

from learnd.daemon.errors import StoreError
from learnd.daemon.operate.health import Health
from learnd.daemon.operate.metrics import Metrics
from learnd.daemon.operate.telemetry import Telemetry


class ManualClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_daemon_that_restores_is_alive_and_not_ready_however_long_it_takes() -> None:
    clock = ManualClock()
    health = Health(stalled_after_s=10, clock=clock)
    health.entered("restoring")
    clock.now_s = 1000
    assert health.why_not_alive() is None
    assert health.why_not_ready() == "the daemon is restoring"


def test_a_loop_that_comes_round_is_ready_and_one_that_does_not_is_dead() -> None:
    clock = ManualClock()
    health = Health(stalled_after_s=10, clock=clock)
    clock.now_s = 100
    health.entered("consuming")
    assert health.why_not_ready() == "the source cannot be reached"
    health.reached(True)
    assert health.why_not_ready() is None
    clock.now_s = 109
    health.beat()
    clock.now_s = 119
    assert health.why_not_alive() is None
    clock.now_s = 120
    assert health.why_not_alive() == "the loop has made no progress for 11 s"
    assert health.why_not_ready() == "the loop has made no progress for 11 s"


def test_a_daemon_whose_source_cannot_be_reached_is_alive_and_not_ready() -> None:
    health = Health()
    health.entered("consuming")
    health.reached(False)
    assert health.why_not_alive() is None
    assert health.why_not_ready() == "the source cannot be reached"
    health.reached(True)
    assert health.why_not_ready() is None


def test_a_daemon_that_cannot_save_is_not_ready_and_says_why() -> None:
    health = Health()
    monitor = Telemetry(Metrics(), health, None, total_known=False)
    monitor.state("consuming")
    health.reached(True)
    monitor.checkpoint_done({}, 0.0, 0, StoreError("the brokers of the dead letters are away"))
    assert health.why_not_alive() is None
    assert health.why_not_ready() == "no checkpoint can be made: the brokers of the dead letters are away"
    monitor.checkpoint_done({"sequence": 1, "samples": 5, "created_s": 1.0}, 0.1, 10, None)
    assert health.why_not_ready() is None


def test_a_daemon_whose_journal_is_full_is_alive_and_not_ready() -> None:
    health, metrics = Health(), Metrics()
    monitor = Telemetry(metrics, health, None, total_known=False)
    monitor.state("consuming")
    health.reached(True)
    monitor.journal_blocked("there is no room for the journal in /state")
    assert health.why_not_alive() is None
    assert health.why_not_ready() == "training waits: there is no room for the journal in /state"
    assert metrics.registry.get_sample_value("learnd_journal_blocked") == 1
    monitor.journal_blocked(None)
    assert health.why_not_ready() is None
    assert metrics.registry.get_sample_value("learnd_journal_blocked") == 0


def test_a_loop_that_ended_by_an_error_says_which() -> None:
    health = Health()
    health.failed("the disk is gone")
    assert health.why_not_alive() == "the loop has ended: the disk is gone"


def test_there_are_no_other_states() -> None:
    with pytest.raises(ValueError, match="'lost' is not one of"):
        Health().entered("lost")
