"""The metrics of scores: of the model, of the baselines beside it, and of samples that never train."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product

from prometheus_client import CollectorRegistry, Gauge

from learnd.daemon.operate.source_metrics import unknown_gauge
from learnd.daemon.tasks.contract import Better
from learnd.daemon.tasks.registry import BETTER
from learnd.daemon.values import Event


class ScoreMetrics:
    """Safe from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, help_: str, *labels: str) -> Gauge:
            return unknown_gauge(registry, name, help_, *labels)

        self._prequential = gauge(
            "prequential_score", "Score of the predictions made before each update.", "metric", "window"
        )
        self._baseline = gauge(
            "baseline_score", "Score of a model that learns nothing.", "baseline", "metric", "window"
        )
        self._lead = gauge(
            "score_lead",
            "How much better the score is than that of the best baseline, whichever way is better; negative if worse. "
            "Of the metrics that the model is judged by.",
            "metric",
            "window",
        )
        self._skill = gauge(
            "skill_score",
            "The lead as a share of what the best baseline lacks of a perfect score: 1 is perfect, 0 as good as it.",
            "metric",
            "window",
        )
        self._holdout = gauge("holdout_score", "Score on the held-out share of the stream.", "metric")
        self._anchor = gauge("anchor_score", "Score on the anchor file.", "metric")
        self._forgetting = gauge(
            "forgetting_score", "How far the anchor score is below its best so far; of several labels, the most."
        )
        self._compared: frozenset[str] = frozenset()
        self._forgotten: dict[str, float] = {}  # by label

    def known(self, metrics: Sequence[str], compared: Sequence[str], windows: Sequence[str]) -> None:
        """These metrics and windows may come, and the model is compared with the baselines in some of these metrics."""
        self._compared = frozenset(compared)
        for metric in metrics:
            self._holdout.labels(metric).set(math.nan)
            self._anchor.labels(metric).set(math.nan)
        for metric, window in product(metrics, windows):
            self._prequential.labels(metric, window).set(math.nan)
        for metric, window in product(compared, windows):
            self._lead.labels(metric, window).set(math.nan)
            self._skill.labels(metric, window).set(math.nan)

    def published(self, event: Event) -> None:
        """Scores were published: an event of kind `score`, with the baselines' scores over the same samples."""
        scores = named(event, event.data["metrics"])
        if event.data["set"] == "prequential":
            baselines = {name: named(event, its_scores) for name, its_scores in event.data["baselines"].items()}
            self._of_window(str(event.data["window"]), scores, baselines)
            return
        gauge = self._holdout if event.data["set"] == "holdout" else self._anchor
        for metric, value in scores.items():
            gauge.labels(metric).set(value)
        if "forgetting" in event.data:
            self._forgotten[event.data.get("target", "")] = event.data["forgetting"]
            self._forgetting.set(max(self._forgotten.values()))

    def _of_window(
        self, window: str, scores: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]]
    ) -> None:
        for metric, value in scores.items():
            self._prequential.labels(metric, window).set(value)
        for metric in self._compared & scores.keys():
            if rivals := [its_scores[metric] for its_scores in baselines.values() if metric in its_scores]:
                lead, skill = _lead_and_skill(BETTER[metric.rpartition(".")[2]], scores[metric], rivals)
                self._lead.labels(metric, window).set(lead)
                self._skill.labels(metric, window).set(skill)
        for baseline, its_scores in baselines.items():
            for metric, value in its_scores.items():
                self._baseline.labels(baseline, metric, window).set(value)


def named(event: Event, scores: Mapping[str, float]) -> dict[str, float]:
    """Return scores of an event by the names of their metrics; those of one of several labels as LABEL.METRIC."""
    of = f"{event.data['target']}." if "target" in event.data else ""
    return {f"{of}{metric}": value for metric, value in scores.items()}


def _lead_and_skill(better: Better, score: float, rivals: Sequence[float]) -> tuple[float, float]:
    """Return how much better a score is than the best of the baselines, and that as a share of what this lacks of a
    perfect score: the skill score of forecasts (Murphy, Skill scores based on the mean square error, Monthly Weather
    Review 1988). It is NaN if the baseline is perfect.
    """
    higher = better is Better.HIGHER  # and 1 is perfect, else 0
    rival = max(rivals) if higher else min(rivals)
    lead, room = (score - rival, 1 - rival) if higher else (rival - score, rival)
    return lead, lead / room if room > 0 else math.nan
