"""Every expression of dashboards, rules and alerts, and whether a real Prometheus has data for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import yaml
from processes import ROOT
from prometheus import RULES, Prometheus

from deploy.dashboards.lint import expressions

ON_TOPICS_ALONE = {
    "learnd / Stream: Resume margin",
    "learnd / Stream: Not in a checkpoint",
    "LearndResumeAtRisk",
    "LearndFallingBehind",
}
"""Those that have no data where the source is files: a file deletes nothing by itself, and has bytes, not records."""

_SETS = re.compile(r"\s+(?:and|or|unless)\s+(?:on\s*\([^)]*\)\s*)?")
_COMPARISONS = re.compile(r"\s+(?:==|!=|>=|<=|>|<)\s+(?:on\s*\([^)]*\)\s*)?")
_NUMBER = re.compile(r"[\d.\s*e+-]+")


def all_expressions(instance: str) -> Iterator[tuple[str, str]]:
    """Yield each expression for one daemon, with where it is."""
    for path in sorted((ROOT / "deploy" / "grafana").glob("*.json")):
        text = path.read_text().replace("$job", "learnd").replace("$instance", instance)
        yield from expressions(json.loads(text.replace("$__rate_interval", "1m")))
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]


def without_data(prometheus: Prometheus, instance: str) -> set[str]:
    """Return where there are expressions that give no number, neither as a whole nor in all of their parts."""
    return {
        where
        for where, expression in all_expressions(instance)
        if not _has_data(prometheus, expression, instance)
        and not all(_has_data(prometheus, part, instance) for part in inner(expression))
    }


def inner(expression: str) -> list[str]:
    """Return what is compared and combined in an expression: for `a > 1 and on (b) c == 0` that is a and c."""
    sides = [side for part in _split(expression, _SETS) for side in _split(part, _COMPARISONS)]
    return [side.removeprefix("absent(").removesuffix(")") if side.startswith("absent(") else side for side in sides]


def _split(expression: str, operators: re.Pattern[str]) -> list[str]:
    """Split at the operators outside parentheses and braces, and leave out numbers."""
    parts, start, depth, position = [], 0, 0, 0
    while position < len(expression):
        if expression[position] in "({[":
            depth += 1
        elif expression[position] in ")}]":
            depth -= 1
        elif depth == 0 and (found := operators.match(expression, position)):
            parts.append(expression[start:position])
            start = position = found.end()
            continue
        position += 1
    parts.append(expression[start:])
    return [part.strip() for part in parts if not _NUMBER.fullmatch(part)]


def _has_data(prometheus: Prometheus, expression: str, instance: str) -> bool:
    samples = prometheus.query(expression)
    return any(
        sample["value"] == sample["value"] and sample["labels"].get("instance", instance) == instance
        for sample in samples
    )
