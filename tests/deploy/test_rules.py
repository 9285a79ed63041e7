"""Each alert on made-up series: one where it fires, and no other does, and one where it does not, by little."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import ROOT
from prometheus import RULES, checked

from learnd.daemon.operate.health import STATES, Health

pytestmark = pytest.mark.usefixtures("real_prometheus")

PROMETHEUS = ROOT / "deploy" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks" / "README.md"
LENGTH = 310  # minutes, a sample each

# A daemon that does well, in promtool's notation: a start, a step, and how many.
WELL = {
    "up": f"1x{LENGTH}",
    "process_start_time_seconds": f"1x{LENGTH}",
    "process_resident_memory_bytes": f"1000x{LENGTH}",
    "learnd_memory_limit_bytes": f"4000x{LENGTH}",
    'learnd_source_lag_records{partition="t/0"}': f"0x{LENGTH}",
    "learnd_queue_samples": f"0x{LENGTH}",
    "learnd_source_connected": f"1x{LENGTH}",
    "learnd_source_lag_timestamp_seconds": f"0+60x{LENGTH}",
    'learnd_source_resume_margin_records{partition="t/0"}': f"5000x{LENGTH}",
    'learnd_source_unsaved_records{partition="t/0"}': f"10x{LENGTH}",
    "learnd_samples_trained_total": f"0+600x{LENGTH}",
    'learnd_samples_rejected_total{reason="null"}': f"0x{LENGTH}",
    "learnd_updates_total": f"0+600x{LENGTH}",
    'learnd_updates_skipped_total{reason="loss"}': f"0x{LENGTH}",
    'learnd_rollbacks_total{reason="update.non_finite"}': f"0x{LENGTH}",
    "learnd_trained_event_timestamp_seconds": f"0+60x{LENGTH}",
    "learnd_event_clock_ahead_seconds": f"0x{LENGTH}",
    "learnd_checkpoint_timestamp_seconds": f"0+60x{LENGTH}",
    "learnd_journal_blocked": f"0x{LENGTH}",
    "learnd_state_free_bytes": f"1000000x{LENGTH}",
    "learnd_settings_reload_successful": f"1x{LENGTH}",
    'learnd_score_lead{metric="bought.accuracy",window="1000"}': f"0.1x{LENGTH}",
    'learnd_score_lead{metric="bought.log_loss",window="1000"}': f"-0.1x{LENGTH}",
    'learnd_score_lead{metric="seen.accuracy",window="1000"}': f"0.1x{LENGTH}",
    'learnd_skill_score{metric="bought.accuracy",window="1000"}': f"0.5x{LENGTH}",
    'learnd_skill_score{metric="bought.log_loss",window="1000"}': f"-0.2x{LENGTH}",
    'learnd_skill_score{metric="seen.accuracy",window="1000"}': f"0.5x{LENGTH}",
    'learnd_state{state="consuming"}': f"1x{LENGTH}",
    'learnd_state{state="paused"}': f"0x{LENGTH}",
}
ACCURACY, LOG_LOSS = 'metric="bought.accuracy",window="1000"', 'metric="bought.log_loss",window="1000"'
LAG = 'learnd_source_lag_records{partition="t/0"}'
MARGIN = 'learnd_source_resume_margin_records{partition="t/0"}'
CONSUMING, PAUSED = 'learnd_state{state="consuming"}', 'learnd_state{state="paused"}'


def scored(accuracy: tuple[object, object], log_loss: tuple[object, object]) -> dict[str, str]:
    """Return the series of lead and skill by two metrics."""
    return {
        f"learnd_{name}{{{metric}}}": f"{value}x{LENGTH}"
        for metric, values in ((ACCURACY, accuracy), (LOG_LOSS, log_loss))
        for name, value in zip(("score_lead", "skill_score"), values, strict=True)
    }


@dataclass(frozen=True)
class Case:
    """Series in the place of those that are well: where the alert fires, and where it does not."""

    fires: dict[str, str]
    quiet: dict[str, str]
    fires_too: Sequence[dict[str, str]] = ()
    quiet_too: Sequence[dict[str, str]] = ()


CASES = {
    "LearndDown": Case({"up": f"1x280 0x{LENGTH}"}, {"up": f"1x296 0x{LENGTH}"}),
    "LearndCrashLooping": Case(
        {"process_start_time_seconds": f"1x280 2x5 3x5 4x{LENGTH}"},
        {"process_start_time_seconds": f"1x280 2x5 3x{LENGTH}"},
    ),
    "LearndStalled": Case(
        {LAG: f"100x{LENGTH}", "learnd_samples_trained_total": f"100x{LENGTH}"},
        {LAG: f"0x{LENGTH}", "learnd_samples_trained_total": f"100x{LENGTH}"},  # there is nothing to read
        fires_too=[
            {  # it hangs, and so does all that it tells
                "learnd_samples_trained_total": f"100x{LENGTH}",
                "learnd_source_lag_timestamp_seconds": f"0+60x280 16800x{LENGTH}",
            },
            {  # all is read, and waits to train
                "learnd_queue_samples": f"100x{LENGTH}",
                "learnd_samples_trained_total": f"100x{LENGTH}",
            },
        ],
    ),
    "LearndSourceAway": Case(
        {"learnd_source_connected": f"1x280 0x{LENGTH}"},
        {"learnd_source_connected": f"1x292 0x{LENGTH}"},
        fires_too=[
            {  # with records that were not read before
                "learnd_source_connected": f"1x280 0x{LENGTH}",
                LAG: f"0x280 100x{LENGTH}",
                "learnd_samples_trained_total": f"0+600x280 168000x{LENGTH}",
                "learnd_trained_event_timestamp_seconds": f"0+60x280 16800x{LENGTH}",
                "learnd_source_lag_timestamp_seconds": f"0+60x280 16800x{LENGTH}",
            },
        ],
    ),
    "LearndFallingBehind": Case(
        {LAG: f"0+60x{LENGTH}"},  # 10 samples a second are trained; after 5 hours 18,000 wait
        {LAG: f"0+10x{LENGTH}"},
        quiet_too=[{LAG: f"0+60x{LENGTH}", CONSUMING: f"0x{LENGTH}"}],  # somebody wanted a pause
    ),
    "LearndStale": Case(
        {LAG: f"100x{LENGTH}", "learnd_trained_event_timestamp_seconds": f"-400+60x{LENGTH}"},
        {LAG: f"100x{LENGTH}", "learnd_trained_event_timestamp_seconds": f"-200+60x{LENGTH}"},
        fires_too=[
            {  # all is read, and waits to train
                "learnd_queue_samples": f"100x{LENGTH}",
                "learnd_trained_event_timestamp_seconds": f"-400+60x{LENGTH}",
            },
        ],
        quiet_too=[
            {  # somebody wanted a pause
                LAG: f"100x{LENGTH}",
                "learnd_trained_event_timestamp_seconds": f"0x{LENGTH}",
                CONSUMING: f"0x{LENGTH}",
            },
        ],
    ),
    "LearndResumeAtRisk": Case(
        {MARGIN: f"31000-100x{LENGTH}"},  # 1,000 are left, which go within 10 minutes
        {MARGIN: f"31000-2x{LENGTH}"},
    ),
    "LearndClockAhead": Case(
        {"learnd_event_clock_ahead_seconds": f"3600x{LENGTH}"},
        {"learnd_event_clock_ahead_seconds": " ".join(["3600 3600 0"] * 200)},  # a single event now and then
        quiet_too=[
            {  # the last event of a stream that is silent since
                "learnd_event_clock_ahead_seconds": f"3600x{LENGTH}",
                "learnd_samples_trained_total": f"9x{LENGTH}",
            },
        ],
    ),
    "LearndRejectingMany": Case(
        {'learnd_samples_rejected_total{reason="null"}': f"0+60x{LENGTH}"},
        {'learnd_samples_rejected_total{reason="null"}': f"0+20x{LENGTH}"},
    ),
    "LearndNotSaving": Case(
        {"learnd_checkpoint_timestamp_seconds": f"0+60x270 16200x{LENGTH}"},
        {"learnd_checkpoint_timestamp_seconds": f"0+60x290 17400x{LENGTH}"},
        quiet_too=[
            {  # it repeats a long journal
                "learnd_checkpoint_timestamp_seconds": f"0x{LENGTH}",
                CONSUMING: f"0x{LENGTH}",
            },
        ],
    ),
    "LearndJournalBlocked": Case(
        {"learnd_journal_blocked": f"0x290 1x{LENGTH}"}, {"learnd_journal_blocked": f"0x290 1 0x{LENGTH}"}
    ),
    "LearndDiskFilling": Case(
        {"learnd_state_free_bytes": f"1000000-3000x{LENGTH}"}, {"learnd_state_free_bytes": f"1000000-1000x{LENGTH}"}
    ),
    "LearndMemoryNearLimit": Case(
        {"process_resident_memory_bytes": f"3700x{LENGTH}"}, {"process_resident_memory_bytes": f"3500x{LENGTH}"}
    ),
    "LearndDiverging": Case(
        {'learnd_rollbacks_total{reason="update.non_finite"}': f"0x280 1x{LENGTH}"},  # the very first one
        {'learnd_rollbacks_total{reason="update.non_finite"}': f"0x200 1x{LENGTH}"},
    ),
    "LearndNoBetterThanBaseline": Case(
        scored((0, 0), (-0.02, -0.03)),  # it always says what the majority does; another label leads
        scored((0.03, 0.08), (-0.02, -0.03)),  # it is too sure of itself
        fires_too=[scored((-0.3, -3), (0.01, 0.02))],  # behind the last label, and hardly ahead of the shares
        quiet_too=[scored((0, 0), (-0.001, -2))],  # for long the label has been the same
    ),
    "LearndReloadFailed": Case(
        {"learnd_settings_reload_successful": f"1x280 0x{LENGTH}"},
        {"learnd_settings_reload_successful": f"1x296 0x{LENGTH}"},
    ),
    "LearndPausedForLong": Case(
        {PAUSED: f"1x{LENGTH}", CONSUMING: f"0x{LENGTH}", "learnd_samples_trained_total": f"9x{LENGTH}"},
        {PAUSED: f"0x270 1x{LENGTH}", CONSUMING: f"1x270 0x{LENGTH}", "learnd_samples_trained_total": f"9x{LENGTH}"},
    ),
}


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def test_each_alert_has_its_case() -> None:
    assert set(CASES) == set(alerts())


@pytest.mark.parametrize("name", CASES)
def test_it_fires_and_no_other_does_and_then_it_does_not(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    tests = [_test(series, [name]) for series in (case.fires, *case.fires_too)]
    tests += [_test(series, []) for series in (case.quiet, *case.quiet_too)]
    given = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "test.yaml").write_text(json.dumps(given))
    checked("promtool", "test", "rules", tmp_path / "test.yaml")


def _test(instead: dict[str, str], firing: list[str]) -> dict[str, Any]:
    assert set(instead) <= set(WELL)
    return {
        "interval": "1m",
        "input_series": [
            {"series": _labelled(series), "values": values} for series, values in {**WELL, **instead}.items()
        ],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "5h",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in firing],
            }
        ],
    }


def _labelled(series: str) -> str:
    name, _, labels = series.rstrip("}").partition("{")
    all_labels = ", ".join(filter(None, [labels, 'job="learnd"', 'instance="a:9464"', 'pod="learnd-0"']))
    return f"{name}{{{all_labels}}}"


@pytest.mark.parametrize(
    ("instead", "seconds"),
    [({}, 0), ({LAG: f"9000-10x{LENGTH}"}, 36_000), ({"learnd_queue_samples": f"50x{LENGTH}"}, 5)],
)
def test_the_time_to_catch_up_counts_what_is_unread_and_what_is_queued(
    instead: dict[str, str], seconds: float, tmp_path: Path
) -> None:
    test = _test(instead, [])
    expected = {"labels": "{}", "value": seconds}
    test["promql_expr_test"] = [
        {"expr": "sum(instance:learnd_catch_up_seconds)", "eval_time": "5h", "exp_samples": [expected]}
    ]
    given = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yaml").write_text(json.dumps(given))
    checked("promtool", "test", "rules", tmp_path / "test.yaml")


def test_the_rules_and_the_examples_are_sound() -> None:
    checked("promtool", "check", "rules", RULES)
    checked("promtool", "check", "config", PROMETHEUS / "prometheus.yaml")
    checked("amtool", "check-config", PROMETHEUS / "alertmanager.yaml")


def test_what_is_critical_wakes_somebody() -> None:
    for name, alert in alerts().items():
        labels = [f"{key}={value}" for key, value in {"alertname": name, **alert["labels"]}.items()]
        file = f"--config.file={PROMETHEUS / 'alertmanager.yaml'}"
        receiver = checked("amtool", "config", "routes", "test", file, *labels).strip()
        assert receiver == {"critical": "pager", "warning": "mail"}[alert["labels"]["severity"]]


def test_an_inhibition_names_alerts_that_exist() -> None:
    inhibitions = (PROMETHEUS / "alertmanager.yaml").read_text().partition("inhibit_rules:")[2]
    named = {word for word in inhibitions.replace("|", '"').split('"') if word.startswith("Learnd") and "." not in word}
    assert named
    assert named <= set(alerts())


@pytest.mark.parametrize("name", CASES)
def test_each_alert_leads_to_a_dashboard_and_a_runbook(name: str) -> None:
    alert = alerts()[name]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert "for" in alert or "keep_firing_for" in alert
    dashboard = alert["annotations"]["dashboard"].partition("?")[0].removeprefix("/d/")
    assert (ROOT / "deploy" / "grafana" / f"{dashboard}.json").is_file()
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert ROOT / page == RUNBOOKS
    assert f"\n## {name}\n" in RUNBOOKS.read_text()
    assert anchor == name.lower()


def test_each_link_of_the_runbooks_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", RUNBOOKS.read_text()):
        page, _, anchor = link.partition("#")
        target = (RUNBOOKS.parent / page).resolve() if page else RUNBOOKS
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w\s-]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, link


def test_each_reason_of_not_being_ready_and_each_exit_code_has_a_row() -> None:
    section = RUNBOOKS.read_text().partition("\n## When it is not ready\n")[2].partition("\n## Drills\n")[0]
    firsts = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")]
    told = " ".join(firsts)
    for state in set(STATES) - {"consuming", "failed"}:
        health = Health()
        health.entered(state)
        assert health.why_not_ready() == f"the daemon is {state}"
        assert state in told
    now = [0.0]
    health = Health(clock=lambda: now[0])
    health.entered("consuming")
    reasons = [health.why_not_ready()]
    health.reached(True)
    health.saved("the disk is full")
    reasons.append(health.why_not_ready())
    health.blocked("there is no room")
    reasons.append(health.why_not_ready())
    now[0] = 1000.0
    reasons.append(health.why_not_ready())
    health.failed("an error")
    reasons.append(health.why_not_ready())
    for reason in reasons:
        assert reason is not None
        assert any(reason.startswith(first.partition("…")[0]) for first in firsts if "…" in first or first == reason)
    codes = {code for first in firsts for code in first.split(", ")}
    assert {"0", "2", "65", "70", "74", "78", "137"} <= codes
