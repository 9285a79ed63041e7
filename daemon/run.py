"""The life of a run: take the state directory, finish what an earlier run left, train, tell what was done."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from learnd.daemon.compose import compose, known_labels, output_paths
from learnd.daemon.config.defaults import keep_defaults
from learnd.daemon.config.record import as_shown, is_same, restored
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import RestartError, StoppedError
from learnd.daemon.foundation.append_file import take_from_others
from learnd.daemon.loop import Loop
from learnd.daemon.operate.display import Display
from learnd.daemon.operate.health import Health
from learnd.daemon.operate.metrics import Metrics
from learnd.daemon.operate.service import ServiceManager
from learnd.daemon.operate.summary import Summary
from learnd.daemon.operate.telemetry import Telemetry
from learnd.daemon.reload import Reload, Running
from learnd.daemon.state.journal import Journal
from learnd.daemon.state.lock import StateLock
from learnd.daemon.state.settings_record import read_settings_record
from learnd.daemon.state.store import CheckpointStore
from learnd.daemon.values import Facts

if TYPE_CHECKING:
    from learnd.daemon.http.server import HttpServer

log = structlog.get_logger()

# A thread that decodes gives the interpreter's lock to the loop after this long. With the default of 5 ms the loop
# would wait that long for it after each call.
_SWITCH_INTERVAL_S = 0.0005

_ENOUGH_TO_JUDGE = 100  # samples, for the summary to say that a baseline is ahead
# Whose versions may change what is learned, by the names that they may be installed under.
_PACKAGES = {"learnd": ("learnd",), "tensorflow": ("tensorflow", "tensorflow-cpu"), "keras": ("keras",)}


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is watched and bounded; nothing here changes what is learned."""

    take_over: bool = False
    http: bool = True
    display: bool = True
    recorded: bool = False  # the stream has a known end
    records: int | None = None  # stop once so many of the stream's first records are consumed
    reload: Reload | None = None  # None: the settings are read once
    telemetry: Callable[..., Telemetry] = Telemetry  # what watches it, made as this class is


def run(settings: Settings, stop: Callable[[], bool], options: Options) -> Summary:
    """Train until the stream ends or `stop()`.

    Raises LearndError, and RestartError if a new process has to go on. The state is whole in either case.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    metrics, health = Metrics(), Health()
    metrics.started(versions=_versions())
    metrics.at_scrape.root = settings.checkpoint.dir
    display = Display() if options.display else None
    service = ServiceManager(os.environ, health.why_not_alive)
    monitor = options.telemetry(metrics, health, display, service, total_known=options.recorded)
    monitor.state("starting")
    with (
        _locked(settings, take_over=options.take_over) as lock,
        _served(settings, metrics, health, monitor, lock) if options.http else nullcontext() as server,
        display or nullcontext(),
        service,
        _failure_told(monitor),
    ):
        record = read_settings_record(settings.checkpoint.dir)
        if record is not None:
            settings = _with_kept_defaults(settings, record)
            _finish_under_earlier_settings(settings, record, stop, lock, monitor)
        monitor.settings_read(as_shown(settings))
        loop = compose(settings, lock, monitor, tuple if options.reload is None else options.reload.ahead)
        if options.reload is not None:
            options.reload.begin(settings, Running(loop.keeper, loop.reader, monitor, server))
        metrics.composed(loop.keeper.settings_record["fingerprint"], known_labels(settings))
        metrics.model_built(trainable_parameters=loop.learner.trainable_parameters, info=loop.learner.info)
        if stop():
            raise StoppedError("stopped while it was loading. Nothing was read, and nothing was changed.")
        return _consume(loop, stop, options.records, monitor)


def _versions() -> dict[str, str]:
    """Return the versions that run. A build of TensorFlow under yet another name goes without."""
    found = {}
    for name, distributions in _PACKAGES.items():
        for distribution in distributions:
            with suppress(PackageNotFoundError):
                found[name] = version(distribution)
    return found


@contextmanager
def _locked(settings: Settings, *, take_over: bool) -> Iterator[StateLock]:
    """Hold the state directory."""
    lock = StateLock(settings.checkpoint.dir)
    try:
        lock.acquire(take_over=take_over)
        if take_over:  # the daemon before this one may wake up and write once more
            for path in output_paths(settings):
                take_from_others(path)
        yield lock
    finally:
        lock.release()


@contextmanager
def _served(
    settings: Settings, metrics: Metrics, health: Health, monitor: Telemetry, lock: StateLock
) -> Iterator[HttpServer | None]:
    """Answer over HTTP, if there is an address to listen on."""
    if settings.http.listen is None:
        yield None
        return
    from learnd.daemon.http.parts import Parts
    from learnd.daemon.http.server import HttpServer

    parts = Parts(metrics, health, monitor.live, monitor.status, settings.checkpoint.dir)
    server = HttpServer(settings.http, parts)
    server.start()
    lock.announce(server.url)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _failure_told(monitor: Telemetry) -> Iterator[None]:
    """Let whoever watches know why a run ends, while there is somebody to tell."""
    try:
        yield
    except RestartError:
        raise
    except Exception as error:
        monitor.failed(str(error))
        raise


def _with_kept_defaults(settings: Settings, record: Facts) -> Settings:
    """Return the settings with the defaults that the state directory was begun with."""
    settings, kept = keep_defaults(settings, record["defaults"])
    for default in kept:
        log.warning(
            "default_kept",
            key=default.key,
            kept=default.kept,
            new_default=default.new,
            reason="the default changed since this state directory was begun",
            to_take_the_new_one=default.way_out,
        )
    return settings


def _finish_under_earlier_settings(
    settings: Settings, record: Facts, stop: Callable[[], bool], lock: StateLock, monitor: Telemetry
) -> None:
    """Repeat the calls that a killed daemon left in the journal under the settings that they were written under.

    So a change of the settings takes effect between two calls, whether the daemon before was stopped or killed.
    Raises RestartError if TensorFlow, which reads some settings once in a process, is set up for the earlier ones then.
    """
    if is_same(settings, record) or not _has_calls_to_repeat(settings.checkpoint.dir, lock):
        return
    log.info("finishing_journal", reason="the settings changed since the daemon was killed")
    earlier = restored(record)
    here = {
        "checkpoint": settings.checkpoint,
        "source": earlier.source.with_access_of(settings.source),
        "dead_letters": earlier.dead_letters.model_copy(update={"kafka": settings.dead_letters.kafka}),
        "predictions": settings.predictions,
    }
    compose(earlier.model_copy(update=here), lock, monitor).settle(stop)
    if earlier.of_a_process != settings.of_a_process:
        log.info("restarting", reason="TensorFlow in this process is set up for the earlier settings")
        raise RestartError


def _has_calls_to_repeat(root: Path, lock: StateLock) -> bool:
    """Whether the journal has calls after the newest checkpoint that verifies."""
    newest = CheckpointStore(root, lock.may_publish).newest()
    return bool(Journal(root / "journal").read(newest.manifest["calls"] if newest else 0))


def _consume(loop: Loop, stop: Callable[[], bool], records: int | None, monitor: Telemetry) -> Summary:
    """Run the loop to its end, and leave a summary beside the last checkpoint, also after an error."""
    try:
        loop.run(stop if records is None else lambda: stop() or loop.progress.records >= records)
    finally:
        summary = _summary(loop, monitor)
        if summary is not None:
            _write(summary, loop.keeper.root)
    monitor.state("stopped")
    if loop.reader.exhausted and not loop.progress.records:
        log.warning("no_records", consequence="nothing was trained", action="see whether `source` names what was meant")
    assert summary is not None, "a run that ends without an error leaves a checkpoint"
    log.info("stopped", samples=summary.samples, samples_trained=summary.samples_trained, digest=summary.digest)
    return summary


def _summary(loop: Loop, monitor: Telemetry) -> Summary | None:
    """Return what scripts rely on; None if the loop ended without a checkpoint."""
    progress, manifest, seconds = loop.progress, loop.keeper.saved, monitor.seconds
    if manifest is None:
        return None
    return Summary(
        digest=manifest["digest"],
        samples_trained=progress.samples_trained,
        samples_rejected=dict(progress.rejected),
        samples_held_out=progress.samples_held_out,
        updates=progress.updates,
        updates_skipped=progress.updates_skipped,
        updates_skipped_by_reason=dict(sorted(progress.skipped.items())),
        scores=loop.evaluation.scores() | loop.learner.metric_results(),
        baselines=loop.evaluation.baselines(),
        holdout_scores=loop.evaluation.holdout_scores(),
        holdout_unscored=loop.evaluation.holdout_unscored,
        behind_baselines=loop.evaluation.behind(least=_ENOUGH_TO_JUDGE),
        stopped_early=loop.reactions.stopped,
        contest=manifest["contest"],
        seconds=seconds,
        samples=monitor.samples,
        samples_per_second=monitor.samples / seconds,
    )


def _write(summary: Summary, root: Path) -> None:
    try:
        summary.write(root)
    except OSError as error:
        log.warning("summary_not_written", reason=str(error), consequence="the checkpoint holds the same figures")
