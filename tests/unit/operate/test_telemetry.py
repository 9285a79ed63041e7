"""What `/status` shows of what has happened."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from learnd.daemon.errors import FencedError, StoreError
from learnd.daemon.operate.health import Health
from learnd.daemon.operate.metrics import Metrics
from learnd.daemon.operate.telemetry import Telemetry
from learnd.daemon.operate.views import Views
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


def test_the_shares_of_a_mixture_are_those_that_were_published_last() -> None:
    metrics = Metrics()
    telemetry = Telemetry(metrics, Health(), None, total_known=False)
    assert telemetry.status()["mixture"] == {}
    for share in (0.25, 0.75):
        telemetry.happened([Event("mixture", 10, {"shares": {"columns": share, "lags": 1 - share}})])
    assert telemetry.status()["mixture"] == {"columns": 0.75, "lags": 0.25}
    assert metrics.registry.get_sample_value("learnd_mixture_share", {"member": "columns"}) == 0.75


@dataclass
class FakeSource:
    """What telemetry sees of a source."""

    connected: bool = False
    lag: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    latest: list[Event] = field(default_factory=list)

    def views(self) -> Views:
        return Views(
            scores=dict, baselines=dict, window_scores=lambda _: {}, window_baselines=lambda _: {}, window=1000,
            behind=list, latest=lambda: self.latest, contest=lambda: {"challengers": {}},
            metric="accuracy", learning_rate=lambda: 0.1, phase=lambda: 0, trainable_parameters=lambda: 9,
            traces=lambda: 1, lag=lambda: self.lag, held=lambda: self.held, lag_unit="records",
            connected=lambda: self.connected, queued=lambda: 0, paused=lambda: None, threads={}, features=dict,
            served_otherwise=lambda: None,
        )  # fmt: skip


def test_the_lag_grows_on_while_the_source_is_away_and_has_its_age() -> None:
    metrics, source = Metrics(), FakeSource()
    telemetry = Telemetry(metrics, Health(), None, total_known=False)
    telemetry.watch(source.views())

    def look() -> tuple[float | None, float | None]:
        telemetry._next_slow_s = 0.0
        telemetry.alive()
        value = metrics.registry.get_sample_value
        lag = value("learnd_source_lag_records", {"partition": "t/0"})
        return lag, value("learnd_source_lag_timestamp_seconds")

    assert look()[0] is None  # a source that was never reached
    source.connected, source.lag = True, {"t/0": 5}
    lag, then = look()
    assert lag == 5
    source.connected, source.lag = False, {"t/0": 3}  # what was fetched before goes on to train
    assert look() == (3, then)


def test_until_scores_are_published_the_metrics_show_those_up_to_now() -> None:
    def scored(accuracy: float) -> Event:
        data = {"set": "prequential", "window": "all", "metrics": {"accuracy": accuracy}, "baselines": {}}
        return Event("score", 3, data)

    metrics, source = Metrics(), FakeSource(latest=[scored(0.5), Event("mixture", 3, {"shares": {"wide": 0.7}})])
    telemetry = Telemetry(metrics, Health(), None, total_known=False)
    telemetry.watch(source.views())

    def look() -> float | None:
        telemetry._next_slow_s = 0.0
        telemetry.alive()
        shown = {"metric": "accuracy", "window": "all"}
        return metrics.registry.get_sample_value("learnd_prequential_score", shown)

    assert look() == 0.5
    assert telemetry.status()["mixture"] == {"wide": 0.7}
    source.latest = [scored(0.6)]
    assert look() == 0.6
    telemetry.happened([scored(0.7)])
    assert look() == 0.7


def test_what_a_restart_repeats_and_the_margin_go_by_the_newest_checkpoint() -> None:
    metrics, source = Metrics(), FakeSource(connected=True, held={"t/0": (10, 50)})
    telemetry = Telemetry(metrics, Health(), None, total_known=False)
    telemetry.watch(source.views())
    manifest = {"sequence": 3, "created_s": 1.0, "samples": 100, "positions": {"t/0": 30}}
    telemetry.resumed(manifest, samples=130, rejected=0)
    telemetry.alive()
    value = metrics.registry.get_sample_value
    assert value("learnd_unsaved_samples") == 30
    assert value("learnd_source_resume_margin_records", {"partition": "t/0"}) == 20
    assert value("learnd_source_unsaved_records", {"partition": "t/0"}) == 20


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "no room"), "enospc"),
        (OSError(errno.EDQUOT, "over the quota"), "enospc"),
        (OSError(errno.EIO, "broken"), "eio"),
        (_caused(StoreError("dead letters"), OSError(errno.ENOSPC, "no room")), "enospc"),
        (StoreError("the brokers are away"), "output"),
        (FencedError("another daemon"), "fenced"),
        (MemoryError(), "other"),
    ],
)
def test_why_a_checkpoint_failed_is_one_of_few_words(error: Exception, reason: str) -> None:
    metrics = Metrics()
    Telemetry(metrics, Health(), None, total_known=False).checkpoint_done({}, 0.0, 0, error)
    assert metrics.registry.get_sample_value("learnd_checkpoint_failures_total", {"reason": reason}) == 1
