"""The Prometheus metrics. Each is set by a method named after what happened.

Units are seconds, bytes and counts. Every label has few values: beyond a hundred, partitions become one. A counter has
all its labels from the start, so that an increase from nothing to one is seen. A gauge is NaN until it is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from learnd.daemon.operate.at_scrape import AtScrape
from learnd.daemon.operate.checkpoint_failures import CHECKPOINT_FAILURES
from learnd.daemon.operate.health import STATES
from learnd.daemon.operate.model_metrics import ModelMetrics
from learnd.daemon.operate.score_metrics import ScoreMetrics
from learnd.daemon.operate.source_metrics import SourceMetrics, unknown_gauge
from learnd.daemon.values import Event, Skip

_UPDATE_BUCKETS = tuple(base * 10.0**power for power in range(-6, 1) for base in (1, 2.5, 5))
_STALL_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_WRITE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


@dataclass(frozen=True, slots=True)
class KnownLabels:
    """The values of labels that the settings allow."""

    rejections: Sequence[str]  # reasons
    drifts: Sequence[tuple[str, str]]  # signals and levels
    reactions: Sequence[tuple[str, str]]  # actions and outcomes
    rollbacks: Sequence[str]  # reasons
    metrics: Sequence[str]  # of the task; of several labels as LABEL.METRIC
    compared: Sequence[str]  # those of them in which the model is compared with the baselines
    windows: Sequence[str]
    contests: Sequence[tuple[str, str]]  # challengers and outcomes


class Metrics:
    """The metrics at `/metrics`. Cheap enough to be updated at each compiled call; safe from any thread."""

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = registry = CollectorRegistry()
        self.at_scrape = AtScrape()
        ProcessCollector(registry=registry)
        registry.register(self.at_scrape)
        self.source = SourceMetrics(registry)
        self.of_model = ModelMetrics(registry)
        self.of_scores = ScoreMetrics(registry)

        def counter(name: str, help_: str, *labels: str) -> Counter:
            return Counter(f"learnd_{name}", help_, labels, registry=registry)

        def gauge(name: str, help_: str, *labels: str) -> Gauge:
            return unknown_gauge(registry, name, help_, *labels)

        def histogram(name: str, help_: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"learnd_{name}", help_, buckets=buckets, registry=registry)

        self._trained = counter("samples_trained_total", "Samples that trained the model.")
        self._unsaved = gauge("unsaved_samples", "Samples since the newest checkpoint: what a restart repeats.")
        self._rejected = counter("samples_rejected_total", "Records that became dead letters.", "reason")
        self._records_skipped = counter(
            "records_skipped_total",
            "Records that were left out, as the settings say, because training was too far behind.",
        )
        self._held_out = counter("samples_held_out_total", "Samples kept for the holdout, never trained on.")
        self._updates = counter("updates_total", "Optimizer steps taken.")
        self._skipped = counter("updates_skipped_total", "Updates that changed no variable.", "reason")
        for reason in Skip:
            if reason:
                self._skipped.labels(reason.name.lower())
        self._update_seconds = histogram(
            "update_seconds",
            "Seconds per update. One observation per compiled call: its time divided by its updates.",
            _UPDATE_BUCKETS,
        )
        self._loss = gauge("loss", "Mean loss over the updates of the latest call.")
        self._gradient_norm = gauge("gradient_norm", "Mean global norm of the gradients in the latest call.")
        self._learning_rate = gauge("learning_rate", "Learning rate of the latest update.")
        self._trainable = gauge("trainable_parameters", "Parameters of the model that the current phase trains.")
        self._phase = gauge("phase", "Number of the current training phase, from 0.")
        self._drifts = counter("drift_total", "Drifts found, each counted once.", "signal", "level")
        self._reactions = counter("reactions_total", "Actions of reactions, by outcome.", "action", "outcome")
        self._rollbacks = counter("rollbacks_total", "Rollbacks to the last good copy of the model.", "reason")
        self._checkpoint_seconds = histogram("checkpoint_seconds", "Seconds to write a checkpoint.", _WRITE_BUCKETS)
        self._stall_seconds = histogram(
            "checkpoint_stall_seconds", "Seconds that training stopped for a checkpoint.", _STALL_BUCKETS
        )
        self._checkpoint_bytes = gauge("checkpoint_bytes", "Size of the newest checkpoint.")
        self._checkpoint_time = gauge(
            "checkpoint_timestamp_seconds", "When the newest checkpoint was made, in seconds since 1970."
        )
        self._checkpoint_failures = counter(
            "checkpoint_failures_total", "Checkpoints that could not be written.", "reason"
        )
        for failure in CHECKPOINT_FAILURES:
            self._checkpoint_failures.labels(failure)
        self._journal_blocked = gauge("journal_blocked", "1 while training waits for room for the journal.")
        self._journal_blocked.set(0)
        self._queue = gauge("queue_samples", "Decoded samples waiting for training.")
        self._retraces = counter("retraces_total", "Compilations of the update, one per call length and phase.")
        self._model = Info("learnd_model", "The model that is trained.", registry=registry)
        self._build = Info("learnd_build", "The versions that run.", registry=registry)
        self._settings = Info("learnd_settings", "The fingerprint of the settings.", registry=registry)
        self._reloaded = gauge(
            "settings_reload_successful", "1 if the last read of the settings file was taken up, 0 if it was refused."
        )
        self._reload_time = gauge(
            "settings_reload_success_timestamp_seconds",
            "When the settings file was last read and taken up, in seconds since 1970.",
        )
        self._state = gauge("state", "1 for the current state of the daemon, 0 for all others.", "state")

    def started(self, *, versions: Mapping[str, str]) -> None:
        """The daemon runs with these versions, by package."""
        self._build.info(dict(versions))

    def settings_read(self, *, timestamp_s: float) -> None:
        """The settings file was read and taken up, at the start or by a reload, in seconds since 1970."""
        self._reloaded.set(1)
        self._reload_time.set(timestamp_s)

    def settings_kept(self) -> None:
        """A reload was refused."""
        self._reloaded.set(0)

    def composed(self, fingerprint: str, known: KnownLabels) -> None:
        """The settings have this fingerprint, and allow these labels."""
        self._settings.info({"fingerprint": fingerprint})
        for reason in known.rejections:
            self._rejected.labels(reason)
        for signal, level in known.drifts:
            self._drifts.labels(signal, level)
        for action, outcome in known.reactions:
            self._reactions.labels(action, outcome)
        for reason in known.rollbacks:
            self._rollbacks.labels(reason)
        self.of_model.known(known.contests)
        self.of_scores.known(known.metrics, known.compared, known.windows)

    def update_done(
        self,
        *,
        updates: int,
        samples: int,
        seconds: float,
        loss: float,
        gradient_norm: float,
        skipped: Mapping[str, int] | None = None,
    ) -> None:
        """A call of K updates took `seconds`. `skipped` counts the updates that changed nothing, by reason.

        `samples` are those that trained. `loss` and `gradient_norm` are means over the updates that were not skipped.
        If all were, it is NaN, and the last value stays.
        """
        self._trained.inc(samples)
        skipped = skipped or {}
        self._updates.inc(updates - sum(skipped.values()))
        for reason, count in skipped.items():
            self._skipped.labels(reason).inc(count)
        if updates:
            self._update_seconds.observe(seconds / updates)
        if math.isfinite(loss):
            self._loss.set(loss)
        if math.isfinite(gradient_norm):
            self._gradient_norm.set(gradient_norm)

    def learning_rate(self, rate: float) -> None:
        """The optimizer's learning rate is now this."""
        self._learning_rate.set(rate)

    def phase(self, number: int, trainable_parameters: int) -> None:
        """Training is now in this phase, which trains this many parameters."""
        self._phase.set(number)
        self._trainable.set(trainable_parameters)

    def rejected(self, reason: str, records: int = 1) -> None:
        """Records became dead letters. `reason` is that of a `Defect`, one of a small, fixed set."""
        self._rejected.labels(reason).inc(records)

    def records_skipped(self, records: int) -> None:
        """The source has skipped this many records."""
        self._records_skipped.inc(records)

    def held_out(self, samples: int) -> None:
        """Samples went to the holdout."""
        self._held_out.inc(samples)

    def happened(self, event: Event) -> None:
        """A line of the history: scores, shares of a mixture, a memory, a drift, a reaction, a rollback."""
        if event.kind == "score":
            self.of_scores.published(event)
        elif event.kind == "drift":
            self._drifts.labels(event.data["signal"], event.data["level"]).inc()
        elif event.kind == "reaction":
            for action, outcome in event.data["actions"].items():
                self._reactions.labels(action, outcome).inc()
        elif event.kind == "rollback":
            self._rollbacks.labels(event.data["reason"]).inc()
        else:
            self.of_model.happened(event)

    def checkpoint_stalled(self, seconds: float) -> None:
        """Training stopped this long while the state was copied."""
        self._stall_seconds.observe(seconds)

    def checkpoint_written(self, *, seconds: float, size_bytes: int, timestamp_s: float) -> None:
        """A checkpoint is durable. It took `seconds` to write, and was made at `timestamp_s`, in seconds since 1970."""
        self._checkpoint_seconds.observe(seconds)
        self._checkpoint_bytes.set(size_bytes)
        self._checkpoint_time.set(timestamp_s)

    def resumed(self, *, timestamp_s: float) -> None:
        """The run resumed from a checkpoint made at `timestamp_s`, in seconds since 1970."""
        self._checkpoint_time.set(timestamp_s)

    def checkpoint_failed(self, reason: str) -> None:
        """A checkpoint could not be written. `reason` is one of CHECKPOINT_FAILURES."""
        self._checkpoint_failures.labels(reason).inc()

    def unsaved(self, samples: int) -> None:
        """So many samples went through updates since the newest checkpoint."""
        self._unsaved.set(samples)

    def journal_blocked(self, blocked: bool) -> None:
        """Whether training waits for room for the journal."""
        self._journal_blocked.set(blocked)

    def queued(self, samples: int) -> None:
        """This many decoded samples are waiting for training."""
        self._queue.set(samples)

    def retraced(self, times: int = 1) -> None:
        """The step was compiled again."""
        self._retraces.inc(times)

    def model_built(self, *, trainable_parameters: int, info: Mapping[str, str]) -> None:
        """The model was built. `info` describes it: preset or build function, task, digest of the settings."""
        self._trainable.set(trainable_parameters)
        self._model.info(dict(info))

    def entered(self, state: str) -> None:
        """The daemon is now in this state, one of `health.STATES`."""
        for name in STATES:
            self._state.labels(name).set(name == state)
