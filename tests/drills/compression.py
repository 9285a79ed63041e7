"""The shipped rules in less time: each duration and each number of seconds is divided by one factor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

FACTOR = 60
"""A minute of the rules is a second of a drill."""

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_NUMBER = re.compile(r'"[^"]*"|\'[^\']*\'|(?<![\w.:])(?P<value>\d+(?:\.\d+)?)(?P<unit>ms|[smhdwy])?(?!\w)')
_LEAST_SECONDS = 60
"""A number of a rule that is no less is one of seconds: everything else is compared with shares and small counts."""

_DURATIONS = ("for", "keep_firing_for")


def compressed(rules: Mapping[str, Any], factor: float = FACTOR) -> dict[str, Any]:
    """Return rules, as they are in their file, for a stream and a daemon that live `factor` times as fast."""
    return {
        "groups": [
            {**group, "rules": [_compressed_rule(rule, factor) for rule in group["rules"]]} for group in rules["groups"]
        ]
    }


def kept_and_divided(expression: str) -> tuple[set[str], set[str]]:
    """Return the numbers of an expression that stay as they are, and those that are divided."""
    found: tuple[set[str], set[str]] = (set(), set())
    for match in _numbers(expression):
        found[_is_of_time(match)].add(match[0])
    return found


def seconds(duration: str) -> float:
    """Return the seconds of a duration of one unit, such as `10m`."""
    match = _NUMBER.fullmatch(duration)
    assert match is not None
    assert match["unit"] is not None, duration
    return float(match["value"]) * _UNITS[match["unit"]]


def _compressed_rule(rule: Mapping[str, Any], factor: float) -> dict[str, Any]:
    durations = {key: _shorter(rule[key], factor) for key in _DURATIONS if key in rule}
    return {**rule, **durations, "expr": _compressed_expression(rule["expr"], factor)}


def _compressed_expression(expression: str, factor: float) -> str:
    def divided(match: re.Match[str]) -> str:
        if not match["value"] or not _is_of_time(match):
            return match[0]
        return _shorter(match[0], factor) if match["unit"] else f"{float(match['value']) / factor:g}"

    return _NUMBER.sub(divided, expression)


def _numbers(expression: str) -> Iterator[re.Match[str]]:
    return (match for match in _NUMBER.finditer(expression) if match["value"])


def _is_of_time(match: re.Match[str]) -> bool:
    return match["unit"] is not None or float(match["value"]) >= _LEAST_SECONDS


def _shorter(duration: str, factor: float) -> str:
    return f"{round(1000 * seconds(duration) / factor)}ms"
