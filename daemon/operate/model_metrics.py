"""The metrics of what a model is made of: networks of a mixture, a memory, challengers."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter

from learnd.daemon.operate.source_metrics import unknown_gauge
from learnd.daemon.values import Event, Facts


class ModelMetrics:
    """Safe from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._shares = unknown_gauge(
            registry,
            "mixture_share",
            "Share of a member of a mixture in the predictions: of a network, or of averages.",
            "member",
        )
        self._remembered = unknown_gauge(
            registry, "memory_samples", "Samples in the memory of the stream, by class.", "class"
        )
        self._replayed = unknown_gauge(
            registry, "memory_replayed_samples", "Samples of the memory that the model has trained on."
        )
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
        self._standing: frozenset[str] = frozenset()
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

    def happened(self, event: Event) -> None:
        """A line of the history: the shares of a mixture, a memory, or the end of a match; others do not count."""
        if event.kind == "mixture":
            for member, share in event.data["shares"].items():
                self._shares.labels(member).set(share)
        elif event.kind == "memory":
            self._replayed.set(event.data["replayed"])
            for class_, held in event.data["held"].items():
                self._remembered.labels(class_).set(held)
        elif event.kind == "contest":
            self._ended.labels(event.data["challenger"], event.data["outcome"]).inc()

    def standing(self, challengers: Facts) -> None:
        """How each challenger stands now; one whose match is over stands nowhere."""
        for gauge, key in ((self._lead, "lead"), (self._evidence, "evidence")):
            for name in self._standing - challengers.keys():
                gauge.remove(name)
            for name, standing in challengers.items():
                gauge.labels(name).set(standing[key])
        self._standing = frozenset(challengers)
