"""The dashboards' files are those that the code makes, and the lint finds what is wrong with one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from processes import ROOT

from deploy.dashboards.__main__ import FOLDER, PAGES
from deploy.dashboards.lint import problems
from deploy.dashboards.model import Page

pages = pytest.mark.parametrize("page", PAGES, ids=[page.uid for page in PAGES])


@pages
def test_the_file_is_what_the_code_makes(page: Page) -> None:
    assert (FOLDER / f"{page.uid}.json").read_text() == page.json(), "run `make dashboards`"


def test_there_is_no_other_file() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {page.uid for page in PAGES}


@pages
def test_nothing_is_wrong_with_it(page: Page) -> None:
    assert list(problems(json.loads(page.json()))) == []


def _panel(dashboard: dict[str, Any]) -> dict[str, Any]:
    panel: dict[str, Any] = next(panel for panel in dashboard["panels"] if panel["type"] == "timeseries")
    return panel


BREAKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "the variable $nowhere is not declared": lambda made: _panel(made)["targets"][0].update(
        expr='up{job="$job", instance="$instance", a="$nowhere"}'
    ),
    "the panel id 1 is there 2 times": lambda made: [panel.update(id=1) for panel in made["panels"][:2]],
    "has no description": lambda made: _panel(made).pop("description"),
    "the unit 'parsecs' is none of Grafana's": lambda made: _panel(made)["fieldConfig"]["defaults"].update(
        unit="parsecs"
    ),
    "asks another data source": lambda made: _panel(made)["datasource"].update(uid="mine"),
    "has no query": lambda made: _panel(made)["targets"].clear(),
    "two queries have the same letter": lambda made: _panel(made)["targets"].append(_panel(made)["targets"][0]),
    "is not of the chosen daemon: up": lambda made: _panel(made)["targets"][0].update(expr="up"),
    "is wider than the grid": lambda made: _panel(made)["gridPos"].update(x=20),
    "lies over": lambda made: _panel(made)["gridPos"].update(y=0, x=0),
}


@pytest.mark.parametrize("problem", BREAKS)
def test_the_lint_finds_it(problem: str) -> None:
    dashboard = json.loads(PAGES[0].json())
    BREAKS[problem](dashboard)
    assert any(problem in found for found in problems(dashboard))


def test_the_provisioning_is_of_the_form_that_grafana_reads() -> None:
    folder = FOLDER / "provisioning"
    (provider,) = yaml.safe_load((folder / "dashboards" / "learnd.yaml").read_text())["providers"]
    assert (provider["type"], provider["options"]["path"]) == ("file", "/var/lib/grafana/dashboards/learnd")
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert ROOT in folder.parents
