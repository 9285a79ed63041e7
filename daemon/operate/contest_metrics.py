"""The metrics of challengers."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter

from learnd.daemon.operate.source_metrics import unknown_gauge
from learnd.daemon.values import Facts


class ContestMetrics:
    """How challengers stand, and what became of them. Safe from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lead = unknown_gauge(
            registry,
            "challenger_lead",
            "By how much the loss of a challenger is lower than the model's, on average, from -1 to 1.",
            "challenger",
        )
        self._evidence = unknown_gauge(
            registry,
            "challenger_evidence",
            "Logarithm, to base 10, of the evidence that a challenger is better; 2 promotes it at a level of 1 %.",
            "challenger",
        )
        self._ended = Counter(
            "learnd_contests_total",
            "Challengers whose match with the model is over, by outcome.",
            ("challenger", "outcome"),
            registry=registry,
        )

    def known(self, contests: Iterable[tuple[str, str]]) -> None:
        """These pairs of a challenger and an outcome may come."""
        for challenger, outcome in contests:
            self._ended.labels(challenger, outcome)

    def standing(self, challengers: Facts) -> None:
        """How each challenger stands now; one whose match is over stands nowhere."""
        for gauge, key in ((self._lead, "lead"), (self._evidence, "evidence")):
            gauge.clear()
            for name, standing in challengers.items():
                gauge.labels(name).set(standing[key])

    def ended(self, challenger: str, outcome: str) -> None:
        self._ended.labels(challenger, outcome).inc()
