from __future__ import annotations

from prometheus_client import generate_latest

from learnd.daemon.operate.health import STATES
from learnd.daemon.operate.metrics import MOST_PARTITIONS, Metrics
from learnd.daemon.values import Event


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"learnd_{name}", labels)


def test_a_call_counts_samples_updates_and_skipped_ones() -> None:
    metrics = Metrics()
    nan = {"non_finite": 1}
    metrics.update_done(updates=8, samples=7, seconds=0.04, loss=0.5, gradient_norm=2.0, skipped={"loss": 1})
    metrics.update_done(updates=1, samples=0, seconds=0.01, loss=float("nan"), gradient_norm=float("nan"), skipped=nan)
    assert value(metrics, "samples_trained_total") == 7
    assert value(metrics, "updates_total") == 7
    assert value(metrics, "updates_skipped_total", reason="non_finite") == 1
    assert value(metrics, "updates_skipped_total", reason="loss") == 1
    assert value(metrics, "updates_skipped_total", reason="gradient_norm") == 0
    assert value(metrics, "update_seconds_count") == 2
    assert value(metrics, "update_seconds_sum") == 0.04 / 8 + 0.01
    assert (value(metrics, "loss"), value(metrics, "gradient_norm")) == (0.5, 2.0)


def test_a_call_without_an_update_divides_by_nothing() -> None:
    metrics = Metrics()
    metrics.update_done(updates=0, samples=0, seconds=0.01, loss=float("nan"), gradient_norm=float("nan"))
    assert value(metrics, "update_seconds_count") == 0


def test_a_published_score_stands_beside_its_baselines() -> None:
    metrics = Metrics()
    baselines = {"no_change": {"accuracy": 0.8}}
    data = {"set": "prequential", "window": 1000, "metrics": {"accuracy": 0.9}, "baselines": baselines}
    metrics.scored(Event("score", 1000, data))
    metrics.scored(Event("score", 1000, {**data, "set": "holdout", "window": "all", "metrics": {"accuracy": 0.7}}))
    metrics.scored(Event("score", 1000, {**data, "set": "anchor", "window": "all", "metrics": {"accuracy": 0.6}}))
    assert value(metrics, "prequential_score", metric="accuracy", window="1000") == 0.9
    assert value(metrics, "baseline_score", baseline="no_change", metric="accuracy", window="1000") == 0.8
    assert value(metrics, "holdout_score", metric="accuracy") == 0.7
    assert value(metrics, "anchor_score", metric="accuracy") == 0.6
    assert value(metrics, "baseline_score", baseline="no_change", metric="accuracy", window="all") is None


def test_many_partitions_are_summed_up_and_one_that_is_gone_is_forgotten() -> None:
    metrics = Metrics()
    metrics.lag({f"file-{number:03}": 1 for number in range(MOST_PARTITIONS + 5)})
    assert value(metrics, "source_lag_records", partition="file-099") == 1
    assert value(metrics, "source_lag_records", partition="file-100") is None
    assert value(metrics, "source_lag_records", partition="other") == 5
    metrics.lag({"file-000": 3})
    assert value(metrics, "source_lag_records", partition="file-000") == 3
    assert value(metrics, "source_lag_records", partition="file-099") is None
    assert value(metrics, "source_lag_records", partition="other") == 0  # a dashboard shows 0, not "no data"


def test_the_daemon_is_in_one_state() -> None:
    metrics = Metrics()
    metrics.entered("consuming")
    metrics.entered("finishing")
    assert [state for state in STATES if value(metrics, "state", state=state)] == ["finishing"]


def test_checkpoints_and_the_rest() -> None:
    metrics = Metrics()
    metrics.checkpoint_stalled(0.002)
    metrics.checkpoint_written(seconds=0.1, size_bytes=1234, timestamp_s=1.5e9)
    metrics.checkpoint_failed("enospc")
    metrics.rejected("bad_json", 3)
    metrics.held_out(2)
    metrics.fresh(-1.0)
    metrics.queued(9)
    metrics.retraced()
    metrics.learning_rate(0.05)
    metrics.model_built(trainable_parameters=11, info={"origin": "mlp", "task": "binary"})
    assert value(metrics, "checkpoint_stall_seconds_count") == 1
    assert value(metrics, "checkpoint_bytes") == 1234
    assert value(metrics, "checkpoint_timestamp_seconds") == 1.5e9
    assert value(metrics, "checkpoint_failures_total", reason="enospc") == 1
    assert value(metrics, "samples_rejected_total", reason="bad_json") == 3
    assert value(metrics, "samples_held_out_total") == 2
    assert value(metrics, "freshness_seconds_sum") == 0
    assert value(metrics, "model_info", origin="mlp", task="binary") == 1
    assert value(metrics, "trainable_parameters") == 11


def test_two_sets_of_metrics_live_in_one_process() -> None:
    first, second = Metrics(), Metrics()
    first.held_out(1)
    assert value(second, "samples_held_out_total") == 0
    assert b"process_resident_memory_bytes" in generate_latest(first.registry)


def test_drifts_reactions_and_rollbacks_are_counted() -> None:
    metrics = Metrics()
    metrics.happened(Event("drift", 10, {"signal": "error", "level": "confirmed"}))
    metrics.happened(Event("reaction", 10, {"actions": {"learning_rate": "done", "next_phase": "nothing"}}))
    metrics.happened(Event("rollback", 10, {"reason": "update.non_finite"}))
    metrics.happened(Event("reaction.outcome", 10, {}))
    assert value(metrics, "drift_total", signal="error", level="confirmed") == 1
    assert value(metrics, "reactions_total", action="next_phase", outcome="nothing") == 1
    assert value(metrics, "rollbacks_total", reason="update.non_finite") == 1
