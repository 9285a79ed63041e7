"""What is wrong with a dashboard's JSON, by rules that Grafana itself does not check."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from grafana_foundation_sdk.models import units

from deploy.dashboards.model import WIDTH

_UNITS = {value for name, value in vars(units).items() if not name.startswith("_") and isinstance(value, str)}
_OF_GRAFANA = {"__rate_interval", "__interval", "__range"}
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


def problems(dashboard: Mapping[str, Any]) -> Iterator[str]:
    """Yield each problem, with the panel that has it."""
    panels = dashboard["panels"]
    declared = {variable["name"] for variable in dashboard["templating"]["list"]} | _OF_GRAFANA
    for name in sorted(used_variables(dashboard) - declared):
        yield f"the variable ${name} is not declared"
    for number, times in Counter(panel.get("id") for panel in panels).items():
        if times > 1 or not number:
            yield f"the panel id {number} is there {times} times"
    yield from _overlaps(panels)
    for panel in panels:
        if panel["type"] != "row":
            yield from (f"{panel.get('title')!r}: {problem}" for problem in _problems_of_panel(panel))
    for mark in dashboard["annotations"]["list"]:
        if mark["datasource"]["uid"] != "${datasource}":
            yield f"the annotation {mark['name']!r} asks another data source"


def expressions(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each expression of panels and annotations, with where it is."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield f"{dashboard['title']}: {panel['title']}", target["expr"]
    for mark in dashboard["annotations"]["list"]:
        yield f"{dashboard['title']}: annotation {mark['name']}", mark["expr"]


def used_variables(dashboard: Mapping[str, Any]) -> set[str]:
    """Return the variables that expressions, queries of variables and data sources use."""
    texts = [expression for _, expression in expressions(dashboard)]
    texts += [str(variable.get("query", "")) for variable in dashboard["templating"]["list"]]
    texts += [panel["datasource"]["uid"] for panel in dashboard["panels"] if panel.get("datasource")]
    return {name for text in texts for name in _VARIABLE.findall(text)}


def _problems_of_panel(panel: Mapping[str, Any]) -> Iterator[str]:
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    for key in ("title", "description"):
        if not panel.get(key):
            yield f"has no {key}"
    if defaults.get("unit") not in _UNITS:
        yield f"the unit {defaults.get('unit')!r} is none of Grafana's"
    if panel.get("datasource", {}).get("uid") != "${datasource}":
        yield "asks another data source than the chosen one"
    if not panel.get("targets"):
        yield "has no query"
    letters = [target["refId"] for target in panel.get("targets", ())]
    if len(set(letters)) < len(letters):
        yield "two queries have the same letter"
    for target in panel.get("targets", ()):
        if "$job" not in target["expr"] or "$instance" not in target["expr"]:
            yield f"is not of the chosen daemon: {target['expr']}"


def _overlaps(panels: list[Mapping[str, Any]]) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] + place["w"] > WIDTH:
            yield f"{panel['title']!r}: is wider than the grid"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["title"])
                if other != panel["title"]:
                    yield f"{panel['title']!r}: lies over {other!r}"
                    return
