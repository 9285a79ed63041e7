"""The composition root: builds every part from the settings, and runs what a verb asks for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from learnd.daemon.config.file import as_file, fingerprint
from learnd.daemon.config.settings import Settings
from learnd.daemon.contracts import DeadLetters, Decoder, Output, Predictions, Source
from learnd.daemon.control.pause import Pause
from learnd.daemon.control.phase_request import PhaseRequest
from learnd.daemon.drift.watch import Drift
from learnd.daemon.errors import RestartError, SettingsError, SourceError
from learnd.daemon.evaluation.evaluation import Evaluation
from learnd.daemon.evaluation.history import HISTORY_FILE, History
from learnd.daemon.foundation.append_file import take_from_others
from learnd.daemon.loop import Loop
from learnd.daemon.operate.display import Progress as Display
from learnd.daemon.operate.health import Health
from learnd.daemon.operate.http import HttpServer
from learnd.daemon.operate.metrics import Metrics
from learnd.daemon.operate.monitor import Monitor, Views
from learnd.daemon.operate.summary import Summary
from learnd.daemon.reactions.reactions import Reactions
from learnd.daemon.reactions.settings import phase_rules
from learnd.daemon.registry import OUTPUTS, SOURCES, resolve
from learnd.daemon.state.journal import Journal
from learnd.daemon.state.keeper import Keeper, read_settings_record
from learnd.daemon.state.lock import StateLock
from learnd.daemon.state.store import CheckpointStore
from learnd.daemon.state.writer import CheckpointWriter
from learnd.daemon.stream.batching import Batcher
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.holdout import HoldoutRule
from learnd.daemon.stream.reader import Reader
from learnd.daemon.stream.reject_rate import RejectRate
from learnd.daemon.values import Facts, SampleSpec

if TYPE_CHECKING:
    from learnd.daemon.training.learner import Learner

log = structlog.get_logger()

# A thread that decodes gives the interpreter's lock to the loop after this long: with the default of 5 ms the loop
# would wait as long for it after each call.
_SWITCH_INTERVAL_S = 0.0005


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is watched and bounded; nothing here changes what is learned."""

    take_over: bool = False
    http: bool = True
    display: bool = True
    recorded: bool = False  # the stream has a known end
    records: int | None = None  # stop once the stream's first so many are consumed


def run(settings: Settings, stop: Callable[[], bool], options: Options) -> Summary:
    """Train until the stream ends or `stop()`. Raises LearndError, and RestartError where a new process has to go on;
    the state is whole then, too.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    metrics, health = Metrics(), Health()
    display = Display() if options.display else None
    monitor = Monitor(metrics, health, display, total_known=options.recorded)
    monitor.state("starting")
    with ExitStack() as stack:
        lock = StateLock(settings.checkpoint.dir)
        stack.callback(lock.release)
        lock.acquire(take_over=options.take_over)
        if options.take_over:  # the daemon before may wake up and write once more
            take_from_others(_dead_letter_path(settings))
            take_from_others(_history_path(settings))
        if options.http and settings.http.listen is not None:
            server = HttpServer(settings.http.listen, metrics, health, monitor.status)
            stack.callback(server.stop)
            server.start()
        if display is not None:
            stack.enter_context(display)
        try:
            return _run(settings, stop, options.records, lock, metrics, monitor)
        except RestartError:
            raise
        except Exception as error:
            monitor.failed(str(error))
            raise


def _run(
    settings: Settings,
    stop: Callable[[], bool],
    records: int | None,
    lock: StateLock,
    metrics: Metrics,
    monitor: Monitor,
) -> Summary:
    _finish_under_earlier_settings(settings, stop, lock, monitor)
    loop = compose(settings, lock, monitor)
    metrics.model_built(trainable_parameters=loop.learner.trainable_parameters, info=loop.learner.info)
    with closing(loop):
        try:
            loop.run(stop if records is None else lambda: stop() or loop.keeper.progress.records >= records)
        finally:
            summary = _summary(loop, monitor)
            if summary is not None:
                _write_summary(summary, settings.checkpoint.dir)
    monitor.state("stopped")
    assert summary is not None, "a run that ends without an error leaves a checkpoint"
    log.info("stopped", samples=summary.samples, samples_trained=summary.samples_trained, digest=summary.digest)
    return summary


def compose(settings: Settings, lock: StateLock, monitor: Monitor) -> Loop:
    """Build the parts. Imports TensorFlow. Raises LearndError."""
    log.info("loading", what="TensorFlow")
    from learnd.daemon.training.learner import Learner

    spec = settings.samples.spec(settings.model.task)
    root = settings.checkpoint.dir
    source = open_source(settings)
    decoder = SampleDecoder(settings.samples, spec, _holdout_rule(settings))
    learner = Learner(settings.model, settings.train, spec, settings.guard, settings.phases)
    evaluation = Evaluation(settings.validation, spec, _anchor(settings, spec))
    drift = Drift(settings.watches, spec)
    of_phases = phase_rules([phase.until for phase in settings.phases])
    reactions = Reactions(settings.rules, learner, drift, spec.task, of_phases)
    periods = [*evaluation.periods, *reactions.periods]
    reader = _reader(settings, spec, source, decoder, learner.max_updates, periods)
    dead_letters: list[DeadLetters] = [resolve(OUTPUTS["dead_letters.file"])(_dead_letter_path(settings))]
    history = History(_history_path(settings))
    outputs: dict[str, Output] = {"dead_letters": dead_letters[0], "history": history}
    if (kafka := settings.dead_letters.kafka) is not None:
        dead_letters.append(resolve(OUTPUTS["dead_letters.kafka"])(kafka, settings.source.settings))
        outputs["dead_letter_topic"] = dead_letters[-1]
    predictions: Predictions | None = None
    if (kafka := settings.predictions.kafka) is not None:
        outputs["predictions"] = predictions = resolve(OUTPUTS["predictions.kafka"])(kafka, settings.source.settings)
    store = CheckpointStore(root, lock.may_publish)
    journal = Journal(root / "journal")
    writer = CheckpointWriter(settings.checkpoint, store, journal, lock, list(outputs.values()))
    keeper = Keeper(
        parts={"learner": learner, "evaluation": evaluation, "drift": drift, "reactions": reactions},
        outputs=outputs,
        describe=partial(_describe, settings, evaluation, learner, reactions),
        source=source,
        store=store,
        journal=journal,
        writer=writer,
        lock=lock,
        monitor=monitor,
        every=settings.checkpoint.every,
        root=root,
        settings_record=_settings_record(settings),
        announce=lambda event: history.write([event], time.time()),
    )
    window = min(settings.validation.prequential.windows, default=1000)
    monitor.watch(_views(evaluation, learner, reader, source, window))
    return Loop(
        reader=reader,
        learner=learner,
        evaluation=evaluation,
        reactions=reactions,
        dead_letters=dead_letters,
        predictions=predictions,
        history=history,
        keeper=keeper,
        writer=writer,
        pause=Pause(root),
        phase_request=PhaseRequest(root),
        monitor=monitor,
        gives_up_lost=settings.source.settings.gives_up_lost,
    )


def _dead_letter_path(settings: Settings) -> Path:
    return settings.dead_letters.file or settings.checkpoint.dir / "dead-letters.jsonl"


def _history_path(settings: Settings) -> Path:
    return settings.checkpoint.dir / HISTORY_FILE


def open_source(settings: Settings) -> Source:
    """Build the source that the settings name."""
    return _source(settings.source.name, settings.source.settings, settings)


def problems_with_data(settings: Settings) -> list[str]:
    """Return what is wrong with the settings that only files tell which have to be read: the stream, the anchor file.

    Imports no TensorFlow.
    """
    try:
        _anchor(settings, settings.samples.spec(settings.model.task))
    except SettingsError as error:
        return [*_long_references(settings), *error.problems]
    return _long_references(settings)


def problems_with_model(settings: Settings) -> list[str]:
    """Return what is wrong with that part of the settings which Keras alone can judge, by building the model.

    Imports TensorFlow where there is such a part. Raises ModelError.
    """
    model, train = settings.model, settings.train
    schedules = [phase.learning_rate for phase in settings.phases if isinstance(phase.learning_rate, dict)]
    named = [model.build, model.load, train.optimizer, train.loss, *train.metrics, *schedules]
    if not any(named) and "activation" not in model.model_fields_set:
        return []
    from learnd.daemon.training.learner import Learner

    try:
        Learner(model, train, settings.samples.spec(model.task), settings.guard, settings.phases).compile()
    except SettingsError as error:
        return error.problems
    return []


def _long_references(settings: Settings) -> list[str]:
    """Return a problem for each watch that asks for a longer reference than the recorded stream has records.

    What cannot be read is none of this check's business, and no more is read than the longest reference.
    """
    references = [watch.reference for watch in settings.drift or () if "reference" in watch.model_fields_set]
    if not references or settings.source.name != "files":
        return []
    source, records = open_source(settings), 0
    try:
        source.open({}, [])
        while not (source.live or source.exhausted) and records < max(references):
            records += len(batch) if (batch := source.read(1.0)) is not None else 0
    except SourceError:
        return []
    finally:
        source.close()
    return [
        f"drift.{index}.reference: {watch.reference:,} samples, and the stream has {records:,} records: no drift would "
        "ever be found; give a shorter one"
        for index, watch in enumerate(settings.drift or ())
        if watch.reference > records and not source.live and "reference" in watch.model_fields_set
    ]


def _source(name: str, source_settings: Any, settings: Settings) -> Source:
    factory = resolve(SOURCES[name].factory)
    source: Source = factory(source_settings, settings.samples.record_format(), settings.checkpoint.dir)
    return source


def _settings_record(settings: Settings) -> Facts:
    """Return what the state directory remembers of the settings that its journal was written under."""
    return {"fingerprint": fingerprint(settings), "settings": as_file(settings)}


def _finish_under_earlier_settings(
    settings: Settings, stop: Callable[[], bool], lock: StateLock, monitor: Monitor
) -> None:
    """Repeat the calls that a killed daemon left in the journal under the settings that they were written under.

    So a change of the settings takes effect between two calls, whether the daemon before was stopped or killed.
    Raises RestartError where what TensorFlow reads once is another then.
    """
    root = settings.checkpoint.dir
    record = read_settings_record(root)
    if record is None or record["fingerprint"] == fingerprint(settings):
        return
    newest = CheckpointStore(root, lock.may_publish).newest()
    if not Journal(root / "journal").read(newest.manifest["calls"] if newest else 0):
        return
    log.info("finishing_journal", reason="the settings changed since the daemon was killed")
    earlier = Settings.model_validate(record["settings"])
    here = {
        "checkpoint": settings.checkpoint,
        "source": earlier.source.with_access_of(settings.source),
        "dead_letters": earlier.dead_letters.model_copy(update={"kafka": settings.dead_letters.kafka}),
        "predictions": settings.predictions,
    }
    with closing(compose(earlier.model_copy(update=here), lock, monitor)) as loop:
        loop.settle(stop)
    if earlier.train.of_a_process == settings.train.of_a_process:
        return
    log.info("restarting", reason="TensorFlow in this process is set up for the earlier settings")
    raise RestartError


def _reader(
    settings: Settings,
    spec: SampleSpec,
    source: Source,
    decoder: Decoder,
    max_updates: int,
    periods: Sequence[int],
) -> Reader:
    train, limits = settings.train, settings.dead_letters
    return Reader(
        source,
        decoder,
        partial(
            Batcher,
            train.batch_size,
            spec.width,
            spec.task.label_columns,
            origins=settings.predictions.kafka is not None,
        ),
        batch_size=train.batch_size,
        max_updates=max_updates,
        max_wait_s=train.max_wait_ms / 1000 if source.live else None,
        periods=periods,
        reject_rate=RejectRate(limits.max_rate, limits.window),
    )


def _holdout_rule(settings: Settings) -> HoldoutRule | None:
    holdout = settings.validation.holdout
    return HoldoutRule(holdout.share, holdout.by) if holdout else None


def _anchor(settings: Settings, spec: SampleSpec) -> tuple[Any, Any, Any] | None:
    """Return x, y and weights of the anchor file. Raises SettingsError where a record of it is not a sample."""
    anchor = settings.validation.anchor
    if anchor is None:
        return None
    source = _source("files", resolve(SOURCES["files"].settings)(path=str(anchor.file)), settings)
    decoder = SampleDecoder(settings.samples, spec)
    blocks = []
    try:
        source.open({}, [])
        while not source.exhausted:
            if (batch := source.read(1.0)) is not None:
                blocks.append(decoder.decode(batch))
    except SourceError as error:
        why = error if anchor.file.exists() else f"there is no file {anchor.file}; correct its name"
        raise SettingsError([f"validate.anchor.file: {why}"]) from error
    finally:
        source.close()
    rejections = [rejection for block in blocks for rejection in block.rejections]
    if rejections or not any(len(block.x) for block in blocks):
        what = f"{rejections[0].defect.detail} (at {rejections[0].start})" if rejections else "it holds no record"
        raise SettingsError([f"validate.anchor.file: {anchor.file} must hold samples alone: {what}"])
    x, y, weight = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("x", "y", "weight"))
    return x, y, weight


def _describe(settings: Settings, evaluation: Evaluation, learner: Learner, reactions: Reactions) -> Facts:
    """Return what a checkpoint's manifest says beside the state."""
    windows = settings.validation.prequential.windows
    return {
        "settings": fingerprint(settings),
        "good": reactions.good,
        "phase": learner.phase,
        "scores": evaluation.scores(),
        "window_scores": {str(window): evaluation.window_scores(window) for window in windows},
    }


def _views(evaluation: Evaluation, learner: Learner, reader: Reader, source: Source, window: int) -> Views:
    return Views(
        scores=evaluation.scores,
        baselines=evaluation.baselines,
        window_scores=evaluation.window_scores,
        window_baselines=evaluation.window_baselines,
        window=window,
        learning_rate=lambda: learner.learning_rate,
        phase=lambda: learner.phase,
        trainable_parameters=lambda: learner.trainable_parameters,
        traces=lambda: learner.traces,
        lag=lambda: reader.lag,
        lag_unit=source.lag_unit,
        connected=lambda: source.connected,
        queued=lambda: reader.queued_samples,
    )


def _write_summary(summary: Summary, root: Path) -> None:
    try:
        summary.write(root)
    except OSError as error:
        log.warning("summary_not_written", reason=str(error), consequence="the checkpoint holds the same figures")


def _summary(loop: Loop, monitor: Monitor) -> Summary | None:
    """Return what scripts rely on; None where the loop has ended without a checkpoint."""
    progress, manifest, seconds = loop.keeper.progress, loop.keeper.saved, monitor.seconds
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
        seconds=seconds,
        samples=monitor.samples,
        samples_per_second=monitor.samples / seconds,
    )
