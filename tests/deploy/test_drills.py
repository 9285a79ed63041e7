"""What the drills stand on: rules of which nothing but the time is changed, and the drill that is over first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from compression import FACTOR, compressed, kept_and_divided, seconds
from drill import Drill, run
from on_files import DOWN, DRILLS
from on_machines import DRILLS as ON_MACHINES
from on_topics import DRILLS as ON_TOPICS
from outcomes import BEGIN, END, PAGE, put_in
from processes import Zygote
from prometheus import RULES, checked

GIVEN: dict[str, Any] = yaml.safe_load(RULES.read_text())
FASTER = compressed(GIVEN)
DIVIDED = {  # beside ranges: what is a number of seconds
    "LearndStalled": {"600"},
    "LearndFallingBehind": {"600"},
    "LearndStale": {"300"},
    "LearndResumeAtRisk": {"3600"},
    "LearndClockAhead": {"60"},
    "LearndNotSaving": {"900"},
    "LearndDiskFilling": {"3600"},
}
KEPT = {"0", "1", "3", "4", "0.01", "0.05", "0.9"}
"""Shares, counts, and the hours of `4 * 3600`: whoever adds a number sees whether it is one of time."""

CLOCK_AHEAD = (
    "min_over_time(learnd_event_clock_ahead_seconds[10000ms]) > 1 "
    "and on (job, instance) increase(learnd_samples_trained_total[10000ms]) > 0"
)
LEAST_LEAD = (
    'min by (job, instance, label) (label_replace(learnd_score_lead{window!="all"}, "label", "$1", '
    r'"metric", "(.*)\\..*"))'
)


def rules(groups: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule.get("alert") or rule["record"]: rule for group in groups["groups"] for rule in group["rules"]}


def test_each_number_of_time_is_divided_and_no_other() -> None:
    for name, rule in rules(GIVEN).items():
        kept, divided = kept_and_divided(rule["expr"])
        assert kept <= KEPT, name
        assert {number for number in divided if number.isdecimal()} == DIVIDED.get(name, set()), name
        assert "[" not in rule["expr"] or divided, name


def test_nothing_else_of_a_rule_is_a_duration() -> None:
    assert {key for rule in rules(GIVEN).values() for key in rule} == {
        "record",
        "alert",
        "expr",
        "for",
        "keep_firing_for",
        "labels",
        "annotations",
    }
    assert {key for group in GIVEN["groups"] for key in group} == {"name", "rules"}


def test_the_waiting_times_are_shorter() -> None:
    for name, rule in rules(FASTER).items():
        for key in ("for", "keep_firing_for"):
            if key in rule:
                assert seconds(rule[key]) == seconds(rules(GIVEN)[name][key]) / FACTOR


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LearndCrashLooping", 'changes(process_start_time_seconds{job="learnd"}[30000ms]) >= 3'),
        ("LearndDiskFilling", "predict_linear(learnd_state_free_bytes[360000ms], 4 * 60) < 0"),
        ("LearndClockAhead", CLOCK_AHEAD),
        ("instance_label:learnd_score_lead:min", LEAST_LEAD),
        ("instance:learnd_event_age_seconds", "time() - learnd_trained_event_timestamp_seconds"),
    ],
)
def test_an_expression_in_less_time(name: str, expected: str) -> None:
    assert rules(FASTER)[name]["expr"] == expected


@pytest.mark.usefixtures("real_prometheus")
def test_the_rules_in_less_time_are_sound(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(json.dumps(FASTER))
    checked("promtool", "check", "rules", tmp_path / "rules.yaml")


def test_each_alert_has_its_drill() -> None:
    alerts = {name for name, rule in rules(GIVEN).items() if "alert" in rule}
    assert {drill.alert for drill in [*DRILLS, *ON_MACHINES, *ON_TOPICS]} == alerts


def test_the_table_is_of_all_drills() -> None:
    table = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    for drill in [*DRILLS, *ON_MACHINES, *ON_TOPICS]:
        assert f"| [{drill.alert}](#{drill.alert.lower()}) | {drill.broken_by} | " in table, "run `make drills`"
        assert f" | {drill.mended_by} | " in table, "run `make drills`"


def test_a_table_takes_the_place_of_the_one_before() -> None:
    page = f"a\n{BEGIN}\nold\n\n{END}b\n"
    assert put_in(page, "| new |\n") == f"a\n{BEGIN}\n| new |\n\n{END}b\n"


@pytest.mark.parametrize("drill", [DOWN], ids=lambda drill: drill.alert)
def test_a_drill(drill: Drill, zygote: Zygote, tmp_path: Path) -> None:
    run(drill, zygote, tmp_path)
