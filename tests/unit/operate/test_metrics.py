from __future__ import annotations

import math
from dataclasses import replace

import pytest
from prometheus_client import generate_latest

from learnd.daemon.operate.health import STATES
from learnd.daemon.operate.metrics import KnownLabels, Metrics
from learnd.daemon.operate.source_metrics import MOST_PARTITIONS
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


def test_scores_of_several_labels_keep_apart() -> None:
    metrics = Metrics()
    metrics.composed("abc", replace(KNOWN, metrics=["seen.accuracy", "bought.accuracy"], compared=["bought.accuracy"]))
    data = {"set": "prequential", "window": 1000, "baselines": {"no_change": {"accuracy": 0.5}}}
    for label, accuracy in (("seen", 0.9), ("bought", 0.25)):
        of = {"target": label, "metrics": {"accuracy": accuracy}}
        metrics.happened(Event("score", 1000, {**data, **of}))
        metrics.happened(Event("score", 1000, {**data, **of, "set": "anchor", "window": "all", "forgetting": accuracy}))
        assert value(metrics, "prequential_score", metric=f"{label}.accuracy", window="1000") == accuracy
        assert value(metrics, "baseline_score", baseline="no_change", metric=f"{label}.accuracy", window="1000") == 0.5
        assert value(metrics, "anchor_score", metric=f"{label}.accuracy") == accuracy
    assert value(metrics, "score_lead", metric="bought.accuracy", window="1000") == -0.25
    assert value(metrics, "score_lead", metric="seen.accuracy", window="1000") is None
    assert value(metrics, "forgetting_score") == 0.9


def test_a_published_score_stands_beside_its_baselines() -> None:
    metrics = Metrics()
    baselines = {"no_change": {"accuracy": 0.8}}
    data = {"set": "prequential", "window": 1000, "metrics": {"accuracy": 0.9}, "baselines": baselines}
    metrics.happened(Event("score", 1000, data))
    metrics.happened(Event("score", 1000, {**data, "set": "holdout", "window": "all", "metrics": {"accuracy": 0.7}}))
    metrics.happened(Event("score", 1000, {**data, "set": "anchor", "window": "all", "metrics": {"accuracy": 0.6}}))
    assert value(metrics, "prequential_score", metric="accuracy", window="1000") == 0.9
    assert value(metrics, "baseline_score", baseline="no_change", metric="accuracy", window="1000") == 0.8
    assert value(metrics, "holdout_score", metric="accuracy") == 0.7
    assert value(metrics, "anchor_score", metric="accuracy") == 0.6
    assert value(metrics, "baseline_score", baseline="no_change", metric="accuracy", window="all") is None


def test_many_partitions_are_summed_up_and_one_that_is_gone_is_forgotten() -> None:
    metrics = Metrics()
    metrics.source.lag({f"file-{number:03}": 1 for number in range(MOST_PARTITIONS + 5)})
    assert value(metrics, "source_lag_records", partition="file-099") == 1
    assert value(metrics, "source_lag_records", partition="file-100") is None
    assert value(metrics, "source_lag_records", partition="other") == 5
    metrics.source.lag({"file-000": 3})
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
    metrics.source.event_trained(1e9 + 1.0, 1e9)
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


KNOWN = KnownLabels(
    rejections=["null"],
    drifts=[("error", "confirmed")],
    reactions=[("roll_back", "done")],
    rollbacks=["update.non_finite"],
    metrics=["accuracy"],
    compared=["accuracy"],
    windows=["all", "1000"],
    contests=[("deep", "promoted")],
)


def test_a_counter_is_0_before_its_first_event_so_that_the_first_one_is_an_increase() -> None:
    metrics = Metrics()
    metrics.composed("abc", KNOWN)
    assert value(metrics, "samples_rejected_total", reason="null") == 0
    assert value(metrics, "drift_total", signal="error", level="confirmed") == 0
    assert value(metrics, "reactions_total", action="roll_back", outcome="done") == 0
    assert value(metrics, "rollbacks_total", reason="update.non_finite") == 0
    assert value(metrics, "checkpoint_failures_total", reason="enospc") == 0
    assert value(metrics, "journal_blocked") == 0
    assert value(metrics, "settings_info", fingerprint="abc") == 1


def test_a_gauge_is_nan_until_it_is_known() -> None:
    metrics = Metrics()
    metrics.composed("abc", KNOWN)
    unknown = (
        "loss", "gradient_norm", "learning_rate", "phase", "trainable_parameters", "forgetting_score",
        "checkpoint_bytes", "checkpoint_timestamp_seconds", "source_connected", "source_lag_timestamp_seconds",
        "trained_event_timestamp_seconds", "event_clock_ahead_seconds", "queue_samples", "unsaved_samples",
        "settings_reload_successful", "settings_reload_success_timestamp_seconds",
    )  # fmt: skip
    assert [name for name in unknown if not math.isnan(value(metrics, name) or 0)] == []
    assert math.isnan(value(metrics, "prequential_score", metric="accuracy", window="1000") or 0)
    assert math.isnan(value(metrics, "score_lead", metric="accuracy", window="all") or 0)
    assert math.isnan(value(metrics, "holdout_score", metric="accuracy") or 0)


def test_a_reload_that_was_refused_leaves_the_time_of_the_one_before() -> None:
    metrics = Metrics()
    metrics.settings_read(timestamp_s=100.0)
    assert value(metrics, "settings_reload_successful") == 1
    metrics.settings_kept()
    assert value(metrics, "settings_reload_successful") == 0
    assert value(metrics, "settings_reload_success_timestamp_seconds") == 100.0
    metrics.settings_read(timestamp_s=200.0)
    assert value(metrics, "settings_reload_successful") == 1
    assert value(metrics, "settings_reload_success_timestamp_seconds") == 200.0


def test_no_series_says_when_another_was_created() -> None:
    metrics = Metrics()
    metrics.source.event_trained(1.0, 2.0)
    assert b"_created" not in generate_latest(metrics.registry)


@pytest.mark.parametrize(
    ("metric", "score", "baselines", "lead"),
    [
        ("accuracy", 0.9, {"no_change": {"accuracy": 0.8}, "majority": {"accuracy": 0.7}}, 0.1),
        ("accuracy", 0.6, {"no_change": {"accuracy": 0.8}}, -0.2),
        ("mae", 2.0, {"no_change": {"mae": 3.0}, "running_mean": {"mae": 5.0}}, 1.0),
        ("log_loss", 0.5, {"priors": {"log_loss": 0.25}}, -0.25),
        ("accuracy", 0.5, {"priors": {"log_loss": 0.25}}, None),
        ("recall", 0.5, {"no_change": {"recall": 0.25}}, None),  # by this alone a model is not judged
        ("a Keras metric", 0.5, {"priors": {"a Keras metric": 0.25}}, None),
    ],
)
def test_the_lead_is_positive_where_the_model_is_better_than_the_best_baseline(
    metric: str, score: float, baselines: dict[str, dict[str, float]], lead: float | None
) -> None:
    metrics = Metrics()
    metrics.composed("abc", replace(KNOWN, compared=["accuracy", "mae", "log_loss"]))
    data = {"set": "prequential", "window": 1000, "metrics": {metric: score}, "baselines": baselines}
    metrics.happened(Event("score", 1000, data))
    told = value(metrics, "score_lead", metric=metric, window="1000")
    assert told is None or math.isnan(told) if lead is None else told == pytest.approx(lead)


@pytest.mark.parametrize(
    ("metric", "score", "baseline", "skill"),
    [("accuracy", 0.9, 0.8, 0.5), ("accuracy", 0.4, 0.8, -2.0), ("mae", 1.0, 4.0, 0.75), ("log_loss", 0.6, 0.5, -0.2)],
)
def test_the_skill_is_1_if_the_model_is_perfect_and_0_if_it_is_as_good_as_the_baseline(
    metric: str, score: float, baseline: float, skill: float
) -> None:
    metrics = Metrics()
    metrics.composed("abc", replace(KNOWN, compared=[metric]))
    data = {"set": "prequential", "window": 1000, "metrics": {metric: score}, "baselines": {"b": {metric: baseline}}}
    metrics.happened(Event("score", 1000, data))
    assert value(metrics, "skill_score", metric=metric, window="1000") == pytest.approx(skill)
    perfect = {**data, "baselines": {"b": {metric: 1.0 if metric == "accuracy" else 0.0}}}
    metrics.happened(Event("score", 1000, perfect))
    assert math.isnan(value(metrics, "skill_score", metric=metric, window="1000") or 0)


def test_the_newest_event_stays_the_newest_and_one_of_the_future_shows_as_skew() -> None:
    metrics = Metrics()
    source = metrics.source
    source.event_trained(90.0, now_s=100.0)
    source.event_trained(50.0, now_s=101.0)
    assert value(metrics, "trained_event_timestamp_seconds") == 90
    assert value(metrics, "event_clock_ahead_seconds") == 0
    source.event_trained(3700.0, now_s=102.0)
    assert value(metrics, "trained_event_timestamp_seconds") == 102
    assert value(metrics, "event_clock_ahead_seconds") == 3598


def test_the_resume_margin_is_from_the_oldest_record_to_the_checkpoint() -> None:
    metrics = Metrics()
    metrics.source.held({"t/0": (40, 100), "t/1": (0, 7), "t/2": (0, 9)}, {"t/0": 55, "t/1": 7})
    assert value(metrics, "source_resume_margin_records", partition="t/0") == 15
    assert value(metrics, "source_resume_margin_records", partition="t/1") == 7
    assert value(metrics, "source_resume_margin_records", partition="t/2") is None
    assert value(metrics, "source_unsaved_records", partition="t/0") == 45
    assert value(metrics, "source_unsaved_records", partition="t/1") == 0
    many = {f"t/{number:03}": number for number in range(MOST_PARTITIONS + 5)}
    metrics.source.held(dict.fromkeys(many, (0, 200)), many)
    assert value(metrics, "source_resume_margin_records", partition="other") == MOST_PARTITIONS
    assert value(metrics, "source_unsaved_records", partition="other") == sum(200 - n for n in range(100, 105))
