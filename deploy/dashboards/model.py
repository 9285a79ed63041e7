"""What a dashboard is made of, and how that becomes Grafana's JSON, by its own SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Literal, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)

ONE: Final = 'job="$job", instance="$instance"'
"""The labels of the daemon that is chosen."""

WIDTH = 24  # of Grafana's grid
_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


@dataclass(frozen=True, slots=True)
class Lines:
    """A panel of lines over time. `queries` are expressions by legend."""

    title: str
    description: str
    unit: str
    queries: Mapping[str, str]
    width: int = 8
    height: int = 8
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A panel of one number, or of the name of a series. It is red from the limit on, on the side that is bad."""

    title: str
    description: str
    unit: str
    query: str
    limit: float | None = None
    bad: Literal["above", "below"] = "above"
    legend: str = ""  # if given, it is shown instead of the value
    without: str = "unknown"  # is shown if there is no value
    width: int = 4
    height: int = 4


Panel: TypeAlias = Lines | Figure

_Made = TypeVar("_Made", timeseries.Panel, stat.Panel)


@dataclass(frozen=True, slots=True)
class Row:
    """A row with a title."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Mark:
    """Vertical lines where an expression has a value."""

    name: str
    expression: str
    colour: str


@dataclass(frozen=True, slots=True)
class Page:
    """A dashboard. Its file is named after its uid."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    marks: Sequence[Mark] = field(default_factory=tuple)

    def json(self) -> str:
        """Return the dashboard as Grafana imports and provisions it."""
        made = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags(["learnd"])
            .time("now-3h", "now")
            .refresh("30s")
            .timezone("browser")
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .link(_links())
            .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
            .with_variable(_variable("job", "Job", "label_values(learnd_build_info, job)"))
            .with_variable(_variable("instance", "Instance", 'label_values(learnd_build_info{job="$job"}, instance)'))
        )
        for mark in self.marks:
            made.annotation(_annotation(mark))
        ids = count(1)
        for row in self.rows:
            made.with_row(dashboard.Row(row.title).id(next(ids)))
            for panel in row.panels:
                shown = _lines(panel) if isinstance(panel, Lines) else _figure(panel)
                made.with_panel(shown.id(next(ids)))
        return json.dumps(made.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _links() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("learnd")
        .type(DashboardLinkType.DASHBOARDS)
        .tags(["learnd"])
        .include_vars(True)
        .keep_time(True)
    )


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(_SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _annotation(mark: Mark) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(mark.name)
        .datasource(_SOURCE)
        .expr(mark.expression)
        .icon_color(mark.colour)
        .enable(True)
    )


def _framed(made: _Made, panel: Panel) -> _Made:
    """Set what every panel has."""
    return (
        made.title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .datasource(_SOURCE)
        .span(panel.width)
        .height(panel.height)
    )


def _lines(panel: Lines) -> timeseries.Panel:
    made = (
        _framed(timeseries.Panel(), panel)
        .fill_opacity(30 if panel.stacked else 5)
        .stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL if panel.stacked else kinds.StackingMode.NONE))
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI))
        .legend(common.VizLegendOptions().show_legend(True).display_mode(kinds.LegendDisplayMode.LIST))
    )
    for number, (legend, expression) in enumerate(panel.queries.items()):
        made.with_target(_query(expression, legend, number))
    return made


def _figure(panel: Figure) -> stat.Panel:
    made = (
        _framed(stat.Panel(), panel)
        .no_value(panel.without)
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(_steps(panel)))
        .with_target(_query(panel.query, panel.legend, 0).instant())
    )
    return made.text_mode(kinds.BigValueTextMode.NAME) if panel.legend else made


def _steps(panel: Figure) -> list[Threshold]:
    below, above = ("red", "green") if panel.bad == "below" else ("green", "red")
    if panel.limit is None:
        return [Threshold(value=None, color="green")]
    return [Threshold(value=None, color=below), Threshold(value=panel.limit, color=above)]


def _query(expression: str, legend: str, number: int) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + number))
