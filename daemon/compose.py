"""The composition root: builds the parts of the daemon from the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from learnd.daemon.actions.contract import COMMAND
from learnd.daemon.config.record import record_of
from learnd.daemon.config.settings import Settings
from learnd.daemon.config.source_choice import SourceChoice
from learnd.daemon.contest.contest import Challenger, Contest
from learnd.daemon.contest.match import OUTCOMES
from learnd.daemon.contest.settings import TRIAL, ChallengerSettings
from learnd.daemon.contracts import Callbacks, DeadLetters, Events, Predictions, Source
from learnd.daemon.control.control_state import ControlState
from learnd.daemon.control.inbox import Inbox
from learnd.daemon.drift.watch import Drift
from learnd.daemon.errors import ModelError, SettingsError
from learnd.daemon.evaluation.anchor import read_anchor
from learnd.daemon.evaluation.evaluation import Evaluation
from learnd.daemon.foundation.shares import Shares
from learnd.daemon.loop import Loop
from learnd.daemon.operate.features import told_of_features
from learnd.daemon.operate.metrics import KnownLabels
from learnd.daemon.operate.telemetry import Telemetry
from learnd.daemon.operate.views import Views
from learnd.daemon.reactions.reactions import Reactions
from learnd.daemon.reactions.settings import known_causes, known_outcomes, phase_rules
from learnd.daemon.reactions.watching import Watching
from learnd.daemon.registry import OUTPUTS, SOURCES, resolve
from learnd.daemon.state.directory import DEAD_LETTERS_FILE
from learnd.daemon.state.history import HISTORY_FILE, History
from learnd.daemon.state.journal import Journal
from learnd.daemon.state.keeper import Keeper
from learnd.daemon.state.lock import StateLock
from learnd.daemon.state.outputs import Outputs
from learnd.daemon.state.progress import Progress
from learnd.daemon.state.saving import SaveRequest
from learnd.daemon.state.settings_record import read_settings_record
from learnd.daemon.state.store import CheckpointStore
from learnd.daemon.state.writer import CheckpointWriter
from learnd.daemon.stream.batching import Batcher, updates_until
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.decoding.defects import Reason
from learnd.daemon.stream.holdout import HoldoutRule
from learnd.daemon.stream.reader import Reader
from learnd.daemon.stream.reject_rate import RejectRate
from learnd.daemon.tasks.scoring import compared_metrics, scoring_of
from learnd.daemon.training.class_weights import with_names
from learnd.daemon.training.settings import ModelSettings, TrainSettings
from learnd.daemon.training.trainer import Trainer
from learnd.daemon.values import SOURCE_REASONS, Ahead, Facts, Samples, SampleSpec

if TYPE_CHECKING:
    from learnd.daemon.training.learner import KerasLearner

log = structlog.get_logger()

_ACTIVITIES = ("waiting", "writing", "updating", "repeating", "watching", "scoring", "saving")  # of the loop's thread
_ENOUGH_TO_WARN = 1_000  # samples, for the log to say that a baseline is ahead


def compose(settings: Settings, lock: StateLock, monitor: Telemetry, ahead: Ahead = tuple) -> Loop:
    """Build the parts, in the thread that will run them. `ahead` carries out what acts ahead of the journal.

    Imports TensorFlow. Raises LearndError.
    """
    log.info("loading", what="TensorFlow")
    spec, root = settings.samples.spec(settings.model.task), settings.checkpoint.dir
    source = open_source(settings)
    learner = build_learner(settings)
    evaluation = build_evaluation(settings, anchor_samples(settings))
    _tell_what_is_of_the_stream_alone(learner, evaluation)
    anchor = evaluation.anchor_digest
    ends = phase_rules([phase.until for phase in settings.phases])
    drift = Drift(settings.drift, spec)
    log.info("drift_watched", signals=[watch.watch for watch in settings.drift], columns_without=drift.clocks)
    watching = Watching([*settings.reactions, *ends], drift, spec, anchor)
    progress, control, saving = _progress(settings, spec), ControlState(), SaveRequest()
    callbacks = build_callbacks(settings, learner)
    reactions = Reactions(settings.reactions, ends, learner, watching, control, progress, saving, callbacks)
    decoder = _decoder(settings, spec)
    reader = _reader(settings, spec, source, decoder, learner.max_updates, [*evaluation.periods, *reactions.periods])
    outputs = _outputs(settings)
    record = record_of(settings, read_settings_record(root))
    keeper = Keeper(
        parts={
            "learner": learner,
            "evaluation": evaluation,
            "watching": watching,
            "reactions": reactions,
            "control": control,
            "progress": progress,
        },
        progress=progress,
        outputs=outputs,
        describe=partial(_describe, settings, record["fingerprint"], evaluation, learner, reactions, control, progress),
        source=source,
        store=CheckpointStore(root, lock.may_publish),
        journal=Journal(root / "journal"),
        writer=CheckpointWriter(),
        lock=lock,
        monitor=monitor,
        saving=saving,
        settings=settings.checkpoint,
        root=root,
        settings_record=record,
        trained_with={"settings": record["fingerprint"], **({"anchor samples": anchor} if anchor else {})},
    )
    shares = Shares(*_ACTIVITIES)
    shares.follow()
    features = partial(_features, drift, decoder)
    monitor.watch(_views(settings, evaluation, learner, reader, source, control, shares, features))
    return Loop(
        reader=reader,
        learner=learner,
        trainer=Trainer(learner, watching, reactions.act_at_once if reactions.ever_at_once else None),
        evaluation=evaluation,
        reactions=reactions,
        progress=progress,
        control=control,
        inbox=Inbox(root),
        outputs=outputs,
        keeper=keeper,
        monitor=monitor,
        ahead=ahead,
        gives_up_lost=settings.source.settings.gives_up_lost,
    )


def known_labels(settings: Settings) -> KnownLabels:
    """Return which labels the metrics may have under these settings."""
    rules = [*settings.reactions, *phase_rules([phase.until for phase in settings.phases])]
    metrics, compared = _metric_names(settings)
    signals = {watch.watch for watch in settings.drift}
    return KnownLabels(
        rejections=sorted({*map(str, Reason), *SOURCE_REASONS, "rolled_back"}),
        drifts=[(watch.watch, level) for watch in settings.drift for level in watch.levels],
        reactions=sorted(known_outcomes(rules)),
        rollbacks=sorted({COMMAND, *known_causes(rules, signals, "roll_back")}),
        metrics=metrics,
        compared=compared,
        windows=["all", *map(str, settings.validation.prequential.windows)],
        contests=[(name, outcome) for name in _challengers(settings) for outcome in OUTCOMES],
    )


def _challengers(settings: Settings) -> list[str]:
    return [*(challenger.name for challenger in settings.challengers), *([TRIAL] if settings.tries else [])]


def _metric_names(settings: Settings) -> tuple[list[str], list[str]]:
    """Return the names of the scores that are published, and of those in which the model is compared with baselines: if
    the settings choose none of these, all that are published. Those of several targets have its name in front.
    """
    targets, chosen = settings.samples.spec(settings.model.task).targets, settings.validation.metrics
    weighs_classes = settings.train.class_weight is not None
    published, compared = [], []
    for target in targets:
        of = f"{target.name}." if len(targets) > 1 else ""
        names = [name for name in scoring_of(target.task).metrics if chosen is None or name in chosen]
        main = compared_metrics(target.task, weighs_classes=weighs_classes).keys()
        published += [f"{of}{name}" for name in names]
        compared += [f"{of}{name}" for name in ([name for name in names if name in main] or names)]
    return published, compared


def open_source(settings: Settings) -> Source:
    """Build the source that the settings name."""
    return build_source(settings, settings.source, settings.checkpoint.dir)


def build_source(settings: Settings, choice: SourceChoice, state: Path) -> Source:
    """Build a source of records in the format of the settings, which may keep what it needs in `state`."""
    factory = resolve(SOURCES[choice.name].factory)
    source: Source = factory(choice.settings, settings.samples.record_format(), state)
    return source


def build_learner(settings: Settings) -> Contest:
    """Build the model, what trains it, and its challengers. Imports TensorFlow. Raises ModelError, SettingsError."""
    challengers = [Challenger(challenger, _build_of(challenger, settings)) for challenger in settings.challengers]
    copy = _build(settings, settings.model, settings.train) if settings.tries else None
    own = _build(settings, settings.model, settings.train)
    return Contest(own, settings.samples.spec(settings.model.task), challengers, copy)


def _build_of(challenger: ChallengerSettings, settings: Settings) -> KerasLearner:
    """Build the model of a challenger. Raises ModelError, SettingsError, which say whose it is."""
    given = challenger.of(settings.model, settings.train)
    try:
        return _build(settings, *given, phased=not challenger.has_own_layers)
    except SettingsError as error:
        raise SettingsError([f"challengers.{challenger.name}.{problem}" for problem in error.problems]) from error
    except ModelError as error:
        raise ModelError(f"challengers.{challenger.name}: {error}") from error


def _build(settings: Settings, model: ModelSettings, train: TrainSettings, *, phased: bool = True) -> KerasLearner:
    from learnd.daemon.training.learner import KerasLearner

    spec = settings.samples.spec(settings.model.task)
    weights = with_names(train.class_weight, spec.task, settings.class_of)
    to_score = updates_until(0, train.batch_size, settings.validation.periods)  # no call is longer; to pad takes time
    longest = min(train.max_updates_per_call, to_score)
    train = train.model_copy(update={"class_weight": weights, "max_updates_per_call": longest})
    phases = settings.phases if phased else ()
    fixable = settings.callbacks is not None
    return KerasLearner(model, train, spec, settings.guard, phases, models=settings.models, rate_fixable=fixable)


def build_callbacks(settings: Settings, learner: Contest) -> Callbacks | None:
    """Build what the user has learnd call at the ends of epochs. Raises ModelError."""
    if settings.callbacks is None:
        return None
    from learnd.daemon.training.callbacks import KerasCallbacks

    return KerasCallbacks(settings.callbacks, learner.leader, *settings.epoch)


def build_evaluation(settings: Settings, anchor: Samples | None = None) -> Evaluation:
    """Build what scores the model and learns what is said with its predictions. Raises SettingsError."""
    return Evaluation(
        settings.validation,
        settings.samples.spec(settings.model.task),
        anchor,
        weighs_classes=settings.train.class_weight is not None,
        certainty=settings.certainty,
    )


def _tell_what_is_of_the_stream_alone(learner: Contest, evaluation: Evaluation) -> None:
    if evaluation.certainty and learner.served_otherwise is not None:
        how, way_out = learner.served_otherwise
        log.warning(
            "certainty_of_stream_alone",
            reason=f"outside of the stream the model predicts {how}",
            consequence="learnd predict says nothing of it; predictions that the run writes have it",
            way_out=way_out,
        )


def anchor_samples(settings: Settings) -> Samples | None:
    """Return the samples of the anchor file; None if the settings name none. Raises SettingsError."""
    anchor = settings.validation.anchor
    if anchor is None:
        return None
    source = build_source(settings, SourceChoice.parse({"files": {"path": str(anchor.file)}}), settings.checkpoint.dir)
    decoder = SampleDecoder(settings.samples, settings.samples.spec(settings.model.task))
    return read_anchor(anchor.file, source, decoder)


def output_paths(settings: Settings) -> list[Path]:
    """Return each file that a run writes to, beside its checkpoints."""
    paths = [
        _dead_letter_path(settings),
        _history_path(settings),
        settings.predictions.file,
        settings.history.event_file,
    ]
    return [path for path in paths if path is not None]


def _dead_letter_path(settings: Settings) -> Path:
    return settings.dead_letters.file or settings.checkpoint.dir / DEAD_LETTERS_FILE


def _history_path(settings: Settings) -> Path:
    return settings.checkpoint.dir / HISTORY_FILE


def _decoder(settings: Settings, spec: SampleSpec) -> SampleDecoder:
    holdout = settings.validation.holdout
    rule = HoldoutRule(holdout.share, holdout.by) if holdout else None
    return SampleDecoder(settings.samples, spec, rule, lambda lossy: log.warning("input_rounded", column=lossy))


def _progress(settings: Settings, spec: SampleSpec) -> Progress:
    window = settings.samples.window
    return Progress() if window is None else Progress(recent=window.recent_rows(spec.width))


def _reader(
    settings: Settings,
    spec: SampleSpec,
    source: Source,
    decoder: SampleDecoder,
    max_updates: int,
    periods: Sequence[int],
) -> Reader:
    train, limits = settings.train, settings.dead_letters
    origins = settings.predictions.wanted
    return Reader(
        source,
        decoder,
        partial(Batcher, train.batch_size, spec, origins=origins),
        bytes_a_sample=spec.bytes_a_sample,
        max_updates=max_updates,
        max_wait_s=train.max_wait_ms / 1000 if source.live else None,
        periods=periods,
        reject_rate=RejectRate(limits.max_rate, limits.window),
    )


def _outputs(settings: Settings) -> Outputs:
    source = settings.source.settings
    dead_letters: dict[str, DeadLetters] = {
        "dead_letters": resolve(OUTPUTS["dead_letters.file"])(_dead_letter_path(settings))
    }
    history: dict[str, Events] = {"history": History(_history_path(settings))}
    predictions: dict[str, Predictions] = {}
    if (file := settings.history.event_file) is not None:
        history["tensorboard"] = resolve(OUTPUTS["history.tensorboard"])(file)
    if (kafka := settings.dead_letters.kafka) is not None:
        dead_letters["dead_letter_topic"] = resolve(OUTPUTS["dead_letters.kafka"])(kafka, source)
    if (file := settings.predictions.file) is not None:
        predictions["predictions"] = resolve(OUTPUTS["predictions.file"])(file)
    if (kafka := settings.predictions.kafka) is not None:
        predictions["prediction_topic"] = resolve(OUTPUTS["predictions.kafka"])(kafka, source)
    return Outputs(history, dead_letters, predictions)


def _describe(
    settings: Settings,
    fingerprint: str,
    evaluation: Evaluation,
    learner: Contest,
    reactions: Reactions,
    control: ControlState,
    progress: Progress,
) -> Facts:
    """Return what a checkpoint's manifest says beside the state."""
    windows = settings.validation.prequential.windows
    return {
        "settings": fingerprint,
        "classes": list(progress.classes),
        "good": reactions.good,
        "phase": learner.phase,
        "paused": control.paused,
        "stopped_early": reactions.stopped,
        "contest": learner.standings(),
        "scores": evaluation.scores(),
        "window_scores": {str(window): evaluation.window_scores(window) for window in windows},
    }


def _views(
    settings: Settings,
    evaluation: Evaluation,
    learner: Contest,
    reader: Reader,
    source: Source,
    control: ControlState,
    shares: Shares,
    features: Callable[[], Facts],
) -> Views:
    return Views(
        scores=evaluation.scores,
        baselines=evaluation.baselines,
        window_scores=evaluation.window_scores,
        window_baselines=evaluation.window_baselines,
        behind=lambda: evaluation.behind(least=_ENOUGH_TO_WARN),
        latest=lambda: evaluation.latest(learner),
        contest=learner.standings,
        window=min(settings.validation.prequential.windows, default=1000),
        metric=evaluation.shown_metric,
        learning_rate=lambda: learner.learning_rate,
        phase=lambda: learner.phase,
        trainable_parameters=lambda: learner.trainable_parameters,
        traces=lambda: learner.traces,
        lag=lambda: reader.lag,
        held=source.held,
        lag_unit=source.lag_unit,
        connected=lambda: source.connected,
        queued=lambda: reader.queued_samples,
        paused=lambda: control.paused,
        threads={"loop": shares.seconds, "reader": reader.shares.seconds},
        features=features,
        served_otherwise=lambda: learner.served_otherwise,
    )


def _features(drift: Drift, decoder: SampleDecoder) -> Facts:
    tally = decoder.tally
    return told_of_features(tally.records, drift.feature_distances(), tally.missing_shares(), tally.rejections())
