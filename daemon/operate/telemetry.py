"""Passes on to metrics, health, the display and the service manager what the loop does."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog

from learnd.daemon.operate.checkpoint_failures import failure_of
from learnd.daemon.operate.display import Display, Standing
from learnd.daemon.operate.health import Health
from learnd.daemon.operate.live import Live
from learnd.daemon.operate.metrics import Metrics
from learnd.daemon.operate.score_metrics import named
from learnd.daemon.operate.service import ServiceManager
from learnd.daemon.operate.views import Views
from learnd.daemon.tasks.behind import Behind
from learnd.daemon.values import Call, Event, Facts, Report, Skip

log = structlog.get_logger()

_SHOW_EVERY_S = 0.25
_SLOW_EVERY_S = 1.0
_CHECKPOINT = ("sequence", "digest", "samples_trained", "created_s", "good")  # what /status shows of it


@dataclass(slots=True)
class _Seen:
    """Running totals: `samples` of this process, `earlier` of those before it."""

    samples: int = 0
    earlier: int = 0
    rejected: int = 0
    connected: bool = False
    rollbacks: int = 0  # of this process
    phase: tuple[int, int] = (0, 0)  # and how many parameters train in it
    traces: int = 0
    loss: float | None = None
    started_s: float = field(default_factory=time.monotonic)
    paused: str | None = None
    learning_rate: float | None = None
    lag: Mapping[str, int] = field(default_factory=dict)  # of each partition
    lag_unit: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    window_scores: Mapping[str, float] = field(default_factory=dict)
    window_baselines: Mapping[str, float | None] = field(default_factory=dict)  # in the metric that is shown
    holdout: Mapping[str, float] = field(default_factory=dict)  # the last that were published
    mixture: Mapping[str, float] = field(default_factory=dict)  # the last shares that were published
    contest: Facts = field(default_factory=dict)
    published: bool = False  # whether scores were, by this process
    memory: Facts = field(default_factory=dict)  # the last that was published
    drift: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # how many of a level, by signal
    recent: tuple[float, int] = (0.0, 0)
    rate: float = 0.0
    behind: tuple[str, ...] = ()  # the metrics that were told to be behind a baseline
    queued: int = 0  # samples that are read and wait
    unread: int | None = None  # at the start
    checkpoint: Facts | None = None
    loop_seconds: Mapping[str, float] = field(default_factory=dict)  # by activity
    shares: Mapping[str, float] = field(default_factory=dict)  # of the loop's time, since the last look


class Telemetry:
    """A `contracts.Monitor`. If `total_known`, the stream has an end, and the display shows how much of it is read."""

    def __init__(
        self,
        metrics: Metrics,
        health: Health,
        display: Display | None,
        service: ServiceManager | None = None,
        *,
        total_known: bool,
    ) -> None:
        self._metrics = metrics
        self._health = health
        self._display = display
        self._service = service
        self._total_known = total_known
        self.live = Live()
        self._views: Views | None = None
        self._seen = _Seen()
        self._next_show_s = 0.0
        self._next_slow_s = 0.0
        self._begun_s = time.monotonic()
        self._reached_before = False  # whether the source ever was
        metrics.entered(health.state)

    def watch(self, views: Views) -> None:
        """Read these from now on."""
        self._views = views
        self._metrics.at_scrape.threads = views.threads

    @property
    def seconds(self) -> float:
        """For how many seconds this process has consumed the stream."""
        return time.monotonic() - self._seen.started_s

    @property
    def samples(self) -> int:
        """Samples that went through updates since this process began to consume the stream."""
        return self._seen.samples

    def state(self, word: str) -> None:
        if word == self._health.state:
            return
        if self._health.state == "paused" and word == "consuming":
            log.info("resumed", samples=self._seen.earlier + self._seen.samples)
        elif word == "consuming":
            self._seen.earlier += self._seen.samples
            self._seen.started_s, self._seen.samples = time.monotonic(), 0
        elif word == "finishing" and self._views is not None:
            self._tell_of_baselines(self._views.behind())
        self._health.entered(word)
        self._entered(word)

    def failed(self, reason: str) -> None:
        """The daemon ends with an error."""
        self._health.failed(reason)
        self._entered("failed")

    def alive(self) -> None:
        self._health.beat()
        now = time.monotonic()
        if self._views is not None and now >= self._next_slow_s:
            self._next_slow_s = now + _SLOW_EVERY_S
            self._look(self._views, now)
        if self._views is not None and self._display is not None and now >= self._next_show_s:
            self._next_show_s = now + _SHOW_EVERY_S
            self._display.update(self._standing(self._views))

    def call_done(self, call: Call, report: Report, seconds: float) -> None:
        good = report.skipped == Skip.NONE
        trained = int(good.sum()) * call.rows
        self._seen.samples += call.samples
        loss, norm = _mean(report.loss[good]), _mean(report.gradient_norm[good])
        if np.isfinite(loss):
            self._seen.loss = loss
        self._metrics.update_done(
            updates=call.updates,
            samples=trained,
            seconds=seconds,
            loss=loss,
            gradient_norm=norm,
            skipped=report.skips(),
        )
        if len(call.held):
            self._metrics.held_out(len(call.held))
        for note in call.notes:
            self._metrics.records_skipped(note.get("skipped_records", 0))
        if call.rejections:
            self.live.rejected(call.rejections)
        for rejection in call.rejections:
            self._seen.rejected += 1
            self._metrics.rejected(rejection.defect.reason)
        if call.event_time_s is not None:
            self._metrics.source.event_trained(call.event_time_s, time.time())

    def resumed(self, manifest: Facts, samples: int, rejected: int) -> None:
        self._seen.checkpoint, self._seen.earlier, self._seen.rejected = manifest, samples, rejected
        self._metrics.resumed(timestamp_s=manifest["created_s"])
        self.live.mark("resume", samples, f"resumed from checkpoint {manifest['sequence']}")

    def happened(self, events: Sequence[Event]) -> None:
        self.live.happened(events)
        for event in events:
            self._take_in(event)
            if event.kind == "rollback":
                self._seen.rollbacks += 1
                self._seen.rejected += event.data["samples_taken_back"]
                self._metrics.rejected("rolled_back", event.data["samples_taken_back"])
            elif event.kind == "drift":
                self._count_drift(event.data["signal"], event.data["level"])
            elif event.kind == "score":
                self._seen.published = True

    def _take_in(self, event: Event) -> None:
        self._metrics.happened(event)
        if event.kind == "mixture":
            self._seen.mixture = dict(event.data["shares"])
        elif event.kind == "memory":
            self._seen.memory = dict(event.data)
        elif event.kind == "score" and event.data["set"] == "holdout":
            self._seen.holdout = {**self._seen.holdout, **named(event, event.data["metrics"])}

    def _count_drift(self, signal: str, level: str) -> None:
        """Replace the mapping: `/status` may be reading the one before."""
        levels = self._seen.drift.get(signal, {})
        self._seen.drift = {**self._seen.drift, signal: {**levels, level: levels.get(level, 0) + 1}}

    def checkpoint_begun(self, stall_seconds: float) -> None:
        self._metrics.checkpoint_stalled(stall_seconds)

    def checkpoint_done(self, manifest: Facts, seconds: float, size: int, error: Exception | None) -> None:
        self._health.saved(None if error is None else str(error))
        if error is None:
            self._seen.checkpoint = manifest
            self._metrics.checkpoint_written(seconds=seconds, size_bytes=size, timestamp_s=manifest["created_s"])
            pinned = ", pinned" if manifest.get("pin") else ""
            self.live.mark("checkpoint", manifest["samples"], f"checkpoint {manifest['sequence']}{pinned}")
        else:
            self._metrics.checkpoint_failed(failure_of(error))

    def settings_read(self, shown: Facts) -> None:
        """The daemon runs with these settings from now on."""
        self._metrics.settings_read(timestamp_s=time.time())
        self.live.tell("settings", shown)

    def settings_kept(self) -> None:
        """A reload was refused, and the settings stay."""
        self._metrics.settings_kept()

    def journal_blocked(self, why: str | None) -> None:
        self._health.blocked(why)
        self._metrics.journal_blocked(why is not None)

    def status(self) -> dict[str, Any]:
        """Return what `/status` shows. Called from the HTTP thread: it reads what the loop stored last."""
        checkpoint = self._seen.checkpoint or {}
        return {
            "process": os.getpid(),
            "paused": self._seen.paused,
            "samples": self._seen.earlier + self._seen.samples,
            "samples_per_second": round(self._seen.rate, 1),
            "connected": self._seen.connected,
            "rejected": self._seen.rejected,
            "rollbacks": self._seen.rollbacks,
            "phase": self._seen.phase[0],
            "trainable_parameters": self._seen.phase[1],
            "learning_rate": self._seen.learning_rate,
            "loss": self._seen.loss,
            "lag": self._seen.lag,
            "lag_unit": self._seen.lag_unit,
            "unread": self._unread(),
            "queued": self._seen.queued,
            "drift": self._seen.drift,
            "uptime_s": round(time.monotonic() - self._begun_s, 1),
            "checkpoint": {key: checkpoint.get(key) for key in _CHECKPOINT},
            "positions": checkpoint.get("positions", {}),
            "scores": self._seen.scores or checkpoint.get("scores", {}),
            "window": None if self._views is None else self._views.window,
            "window_scores": self._seen.window_scores,
            "metric": None if self._views is None else self._views.metric,
            "window_baselines": self._seen.window_baselines,
            "shares": self._seen.shares,
            "holdout": self._seen.holdout,
            "mixture": self._seen.mixture,
            "contest": self._seen.contest,
            "memory": self._seen.memory,
        }

    def _unread(self) -> int | None:
        return sum(self._seen.lag.values()) if self._seen.lag_unit is not None else None

    def _entered(self, word: str) -> None:
        self._metrics.entered(word)
        if self._service is not None:
            self._service.entered(word)

    def _look(self, views: Views, now: float) -> None:
        """Refresh what need not be exact for each call."""
        then, samples = self._seen.recent
        if then:
            self._seen.rate = (self._seen.samples - samples) / (now - then)
        self._seen.recent = (now, self._seen.samples)
        self._seen.learning_rate = views.learning_rate()
        self._metrics.learning_rate(self._seen.learning_rate)
        self._seen.paused = views.paused()
        self._seen.scores, self._seen.window_scores = views.scores(), views.window_scores(views.window)
        self._seen.window_baselines = _one(views.metric, views.window_baselines(views.window))
        if not self._seen.published:  # a slow stream has its first after hours
            for event in views.latest():
                self._take_in(event)
        self._seen.contest = views.contest()
        self._metrics.of_model.standing(self._seen.contest["challengers"])
        self._tell_of_baselines(views.behind())
        self._seen.phase = views.phase(), views.trainable_parameters()
        self._metrics.phase(*self._seen.phase)
        self._seen.queued = views.queued()
        self._metrics.queued(self._seen.queued)
        self._metrics.retraced(views.traces() - self._seen.traces)
        self._seen.traces = views.traces()
        self._seen.connected = views.connected()
        self._health.reached(self._seen.connected)
        self._metrics.source.connected(self._seen.connected, time.time())
        self._look_at_source(views)
        self._look_at_time(views)
        self.live.tell("features", views.features())
        if self.live.due():
            self._add_point(views)

    def _look_at_time(self, views: Views) -> None:
        before, now = self._seen.loop_seconds, dict(views.threads.get("loop", {}))
        spent = {name: seconds - before.get(name, 0.0) for name, seconds in now.items()}
        whole = sum(spent.values()) or 1.0
        self._seen.loop_seconds = now
        self._seen.shares = {name: round(seconds / whole, 3) for name, seconds in spent.items()}

    def _add_point(self, views: Views) -> None:
        self.live.tell("score", {"metric": views.metric, "window": views.window})
        self.live.point(
            samples=self._seen.earlier + self._seen.samples,
            samples_per_second=round(self._seen.rate, 1),
            loss=self._seen.loss,
            learning_rate=self._seen.learning_rate,
            lag=self._unread(),
            rejected=self._seen.rejected,
            score=self._seen.window_scores.get(views.metric),
            baselines=self._seen.window_baselines,
            shares=self._seen.shares,
        )

    def _look_at_source(self, views: Views) -> None:
        """Refresh what is unread. While the source is away, that is of what it held when it was last reached."""
        if self._seen.connected:
            self._reached_before = True
        if self._reached_before:  # else nothing is known of it
            self._seen.lag, self._seen.lag_unit = views.lag(), views.lag_unit
            self._metrics.source.lag(self._seen.lag, views.lag_unit)
        if (checkpoint := self._seen.checkpoint) is not None:
            if held := views.held():
                self._metrics.source.held(held, checkpoint["positions"])
            self._metrics.unsaved(self._seen.earlier + self._seen.samples - checkpoint["samples"])

    def _tell_of_baselines(self, behind: Sequence[Behind]) -> None:
        """Warn if what looks at no feature is ahead of the model, and again only if it is in other metrics."""
        metrics = tuple(found.metric for found in behind)
        if behind and metrics != self._seen.behind:
            log.warning(
                "behind_baseline",
                samples=self._seen.earlier + self._seen.samples,
                behind=[found.text for found in behind],
                consequence="what looks at no feature predicts better so far",
                action="wait for more samples, or give another model, features or learning rate",
            )
        self._seen.behind = metrics

    def _standing(self, views: Views) -> Standing:
        scores, window_scores = views.scores(), views.window_scores(views.window)
        checkpoint = self._seen.checkpoint
        return Standing(
            samples=self._seen.earlier + self._seen.samples,
            samples_per_second=self._seen.rate,
            loss=self._seen.loss,
            metric=views.metric,
            window=views.window,
            window_score=window_scores.get(views.metric),
            overall_score=scores.get(views.metric),
            window_baselines=_one(views.metric, views.window_baselines(views.window)),
            overall_baselines=_one(views.metric, views.baselines()),
            rejected=self._seen.rejected,
            checkpoint_samples=None if checkpoint is None else checkpoint["samples_trained"],
            checkpoint_age_s=None if checkpoint is None else time.time() - checkpoint["created_s"],
            done=self._done(views),
        )

    def _done(self, views: Views) -> float | None:
        """Return the share of a recorded stream that was read; None if it is not known."""
        unread = sum(views.lag().values())
        if not self._total_known:
            return None
        if self._seen.unread is None:
            self._seen.unread = unread
        return 1.0 - unread / self._seen.unread if self._seen.unread else None


def _mean(values: Any) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _one(metric: str, baselines: Mapping[str, Mapping[str, float]]) -> dict[str, float | None]:
    return {name: scores[metric] for name, scores in baselines.items() if metric in scores}
