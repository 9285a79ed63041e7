"""The composition root: builds the parts of the daemon from the settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from learnd.daemon.config.record import record_of
from learnd.daemon.config.settings import Settings
from learnd.daemon.config.source_choice import SourceChoice
from learnd.daemon.contracts import DeadLetters, Output, Predictions, Source, Stateful
from learnd.daemon.control.pause import Pause
from learnd.daemon.control.phase_request import PhaseRequest
from learnd.daemon.drift.watch import Drift
from learnd.daemon.evaluation.anchor import read_anchor
from learnd.daemon.evaluation.evaluation import Evaluation
from learnd.daemon.evaluation.history import HISTORY_FILE, History
from learnd.daemon.loop import Loop
from learnd.daemon.operate.telemetry import Telemetry, Views
from learnd.daemon.reactions.reactions import Reactions
from learnd.daemon.reactions.settings import phase_rules
from learnd.daemon.registry import DEAD_LETTER_FILE, DEAD_LETTER_TOPIC, PREDICTION_TOPIC, SOURCES, resolve
from learnd.daemon.state.journal import Journal
from learnd.daemon.state.keeper import Keeper
from learnd.daemon.state.lock import StateLock
from learnd.daemon.state.settings_record import read_settings_record
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


@dataclass(frozen=True, slots=True)
class _Outputs:
    """What a run appends to; `by_name` holds all of them, under the names that checkpoints know them by."""

    history: History
    dead_letters: list[DeadLetters]
    predictions: Predictions | None
    by_name: dict[str, Output]


def compose(settings: Settings, lock: StateLock, monitor: Telemetry) -> Loop:
    """Build the parts. Imports TensorFlow. Raises LearndError."""
    log.info("loading", what="TensorFlow")
    spec = settings.samples.spec(settings.model.task)
    source = open_source(settings)
    learner = build_learner(settings)
    evaluation = Evaluation(settings.validation, spec, anchor_samples(settings))
    drift = Drift(settings.drift, spec)
    reactions = _reactions(settings, spec, learner, drift)
    reader = _reader(settings, spec, source, learner.max_updates, [*evaluation.periods, *reactions.periods])
    outputs = _outputs(settings)
    record = record_of(settings, read_settings_record(settings.checkpoint.dir))
    parts: dict[str, Stateful] = {"learner": learner, "evaluation": evaluation, "drift": drift, "reactions": reactions}
    describe = partial(_describe, settings, record["fingerprint"], evaluation, learner, reactions)
    keeper = _keeper(settings, lock, monitor, source, parts, outputs, describe, record)
    monitor.watch(_views(settings, evaluation, learner, reader, source))
    return Loop(
        reader=reader,
        learner=learner,
        evaluation=evaluation,
        reactions=reactions,
        dead_letters=outputs.dead_letters,
        predictions=outputs.predictions,
        history=outputs.history,
        keeper=keeper,
        writer=keeper.writer,
        pause=Pause(settings.checkpoint.dir),
        phase_request=PhaseRequest(settings.checkpoint.dir),
        monitor=monitor,
        gives_up_lost=settings.source.settings.gives_up_lost,
    )


def open_source(settings: Settings) -> Source:
    """Build the source that the settings name."""
    return _source(settings, settings.source)


def build_learner(settings: Settings) -> Learner:
    """Build the model and what trains it. Imports TensorFlow. Raises ModelError, SettingsError."""
    from learnd.daemon.training.learner import Learner

    spec = settings.samples.spec(settings.model.task)
    return Learner(settings.model, settings.train, spec, settings.guard, settings.phases)


def anchor_samples(settings: Settings) -> tuple[Any, Any, Any] | None:
    """Return x, y and the weights of the anchor file; None if the settings name none. Raises SettingsError."""
    anchor = settings.validation.anchor
    if anchor is None:
        return None
    source = _source(settings, SourceChoice.parse({"files": {"path": str(anchor.file)}}))
    decoder = SampleDecoder(settings.samples, settings.samples.spec(settings.model.task))
    return read_anchor(anchor.file, source, decoder)


def dead_letter_path(settings: Settings) -> Path:
    return settings.dead_letters.file or settings.checkpoint.dir / "dead-letters.jsonl"


def history_path(settings: Settings) -> Path:
    return settings.checkpoint.dir / HISTORY_FILE


def _source(settings: Settings, choice: SourceChoice) -> Source:
    factory = resolve(SOURCES[choice.name].factory)
    source: Source = factory(choice.settings, settings.samples.record_format(), settings.checkpoint.dir)
    return source


def _reactions(settings: Settings, spec: SampleSpec, learner: Learner, drift: Drift) -> Reactions:
    ends = phase_rules([phase.until for phase in settings.phases])
    return Reactions(settings.reactions, learner, drift, spec.task, ends)


def _reader(settings: Settings, spec: SampleSpec, source: Source, max_updates: int, periods: Sequence[int]) -> Reader:
    train, limits, holdout = settings.train, settings.dead_letters, settings.validation.holdout
    rule = HoldoutRule(holdout.share, holdout.by) if holdout else None
    origins = settings.predictions.kafka is not None
    return Reader(
        source,
        SampleDecoder(settings.samples, spec, rule),
        partial(Batcher, train.batch_size, spec.width, spec.task.label_columns, origins=origins),
        batch_size=train.batch_size,
        max_updates=max_updates,
        max_wait_s=train.max_wait_ms / 1000 if source.live else None,
        periods=periods,
        reject_rate=RejectRate(limits.max_rate, limits.window),
    )


def _outputs(settings: Settings) -> _Outputs:
    source = settings.source.settings
    dead_letters: list[DeadLetters] = [resolve(DEAD_LETTER_FILE)(dead_letter_path(settings))]
    history, predictions = History(history_path(settings)), None
    by_name: dict[str, Output] = {"dead_letters": dead_letters[0], "history": history}
    if (kafka := settings.dead_letters.kafka) is not None:
        dead_letters.append(resolve(DEAD_LETTER_TOPIC)(kafka, source))
        by_name["dead_letter_topic"] = dead_letters[-1]
    if (kafka := settings.predictions.kafka) is not None:
        by_name["predictions"] = predictions = resolve(PREDICTION_TOPIC)(kafka, source)
    return _Outputs(history, dead_letters, predictions, by_name)


def _keeper(
    settings: Settings,
    lock: StateLock,
    monitor: Telemetry,
    source: Source,
    parts: Mapping[str, Stateful],
    outputs: _Outputs,
    describe: Callable[[], Facts],
    record: Facts,
) -> Keeper:
    root = settings.checkpoint.dir
    store, journal = CheckpointStore(root, lock.may_publish), Journal(root / "journal")
    return Keeper(
        parts=parts,
        outputs=outputs.by_name,
        describe=describe,
        source=source,
        store=store,
        journal=journal,
        writer=CheckpointWriter(settings.checkpoint, store, journal, lock, list(outputs.by_name.values())),
        lock=lock,
        monitor=monitor,
        every=settings.checkpoint.every,
        root=root,
        settings_record=record,
        announce=lambda event: outputs.history.write([event], time.time()),
    )


def _describe(
    settings: Settings, fingerprint: str, evaluation: Evaluation, learner: Learner, reactions: Reactions
) -> Facts:
    """Return what a checkpoint's manifest says beside the state."""
    windows = settings.validation.prequential.windows
    return {
        "settings": fingerprint,
        "good": reactions.good,
        "phase": learner.phase,
        "scores": evaluation.scores(),
        "window_scores": {str(window): evaluation.window_scores(window) for window in windows},
    }


def _views(settings: Settings, evaluation: Evaluation, learner: Learner, reader: Reader, source: Source) -> Views:
    return Views(
        scores=evaluation.scores,
        baselines=evaluation.baselines,
        window_scores=evaluation.window_scores,
        window_baselines=evaluation.window_baselines,
        window=min(settings.validation.prequential.windows, default=1000),
        learning_rate=lambda: learner.learning_rate,
        phase=lambda: learner.phase,
        trainable_parameters=lambda: learner.trainable_parameters,
        traces=lambda: learner.traces,
        lag=lambda: reader.lag,
        lag_unit=source.lag_unit,
        connected=lambda: source.connected,
        queued=lambda: reader.queued_samples,
    )
