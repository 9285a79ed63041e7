"""What a drill is: it breaks something, sees that the alert fires, mends it, and sees that the alert resolves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compression import FACTOR
from kafka_broker import required
from processes import Zygote, succeeded
from prometheus import tools
from scene import Scene

_SLACK_MIN = 8.0
"""Minutes of the rules, a few seconds in truth: for scrapes, evaluations, and a machine that does other things."""


@dataclass(frozen=True)
class Drill:
    """One alert, a fault that it is for, and what mends it by the runbook."""

    alert: str
    broken_by: str
    mended_by: str
    break_: Callable[[Scene], object]
    mend: Callable[[Scene], object]
    fires_min: float
    """Minutes, of the rules, from the fault until it fires."""
    resolves_min: float
    """Minutes, of the rules, from the mending until it does no more."""
    again: Callable[[Scene], object] = lambda _: None
    """What is done over and over until the alert fires."""
    prepare: Callable[[Scene], object] = lambda _: None
    """What is done before the daemon starts."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    accompanied_by: Mapping[str, str] = field(default_factory=dict)
    """Further alerts that must fire, and why the fault is one of theirs, too."""


@dataclass(frozen=True)
class Outcome:
    """What a drill has measured, in minutes of the rules."""

    fired_min: float
    resolved_min: float


def run(drill: Drill, zygote: Zygote, folder: Path) -> Outcome:
    """Run a drill. It fails if the alert does not fire or resolve in time, or if one fires that should not."""
    required(tools)
    expected = {drill.alert, *drill.accompanied_by}
    with ExitStack() as stack:
        scene = Scene(zygote, folder, drill.settings, stack)
        drill.prepare(scene)
        scene.open()
        drill.break_(scene)

        def fires() -> bool:
            drill.again(scene)
            return drill.alert in scene.prometheus.alerts()

        fired_s = scene.await_(fires, f"{drill.alert} does not fire", _limit_s(drill.fires_min))
        scene.await_(lambda: scene.prometheus.alerts() >= expected, "not all fire that accompany it")
        drill.mend(scene)
        resolved_s = scene.await_(
            lambda: drill.alert not in scene.prometheus.alerts(),
            f"{drill.alert} does not resolve",
            _limit_s(drill.resolves_min),
        )
        scene.await_(lambda: not scene.prometheus.alerts(), "there are alerts left")
        scene.prometheus.await_data("rate(learnd_samples_trained_total[5s]) > 0")
        assert (fired := scene.prometheus.alerts("[1h]")) == expected, fired
        assert scene.why_not_ready() == "ok\n"
        succeeded(scene.stop())
    return Outcome(fired_s * FACTOR / 60, resolved_s * FACTOR / 60)


def _limit_s(minutes: float) -> float:
    return (minutes + _SLACK_MIN) * 60 / FACTOR
