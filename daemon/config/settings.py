"""The settings file as a whole: a section for each part, defined beside the part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Self

from pydantic import Field, PositiveFloat, model_validator

from learnd.connectors.outputs.settings import (
    DeadLetterPlaces,
    HistorySettings,
    PredictionSettings,
    problems_with_outputs,
)
from learnd.connectors.source_settings import Glance
from learnd.daemon.config.source_choice import SourceChoice
from learnd.daemon.contest.settings import ChallengerSettings, problems_with_challengers
from learnd.daemon.drift.settings import DEFAULT_WATCHES, DriftWatch, problems_with_watches
from learnd.daemon.errors import SettingsError
from learnd.daemon.evaluation.certainty.settings import CertaintySettings, problems_with_certainty
from learnd.daemon.evaluation.settings import ValidateSettings
from learnd.daemon.foundation.section import Section
from learnd.daemon.operate.settings import HttpSettings, LogSettings
from learnd.daemon.reactions.checks import problems_with_compared_scores, problems_with_rules
from learnd.daemon.reactions.settings import DEFAULT_REACTIONS, Reaction
from learnd.daemon.state.settings import CheckpointSettings, problems_with_best
from learnd.daemon.stream.reject_rate import RejectRateSettings
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.tasks.registry import ALL_METRICS
from learnd.daemon.training.class_weights import problems_with_class_weight
from learnd.daemon.training.layer_choice import problems_with_phases
from learnd.daemon.training.settings import (
    GuardSettings,
    ModelSettings,
    PhasesSettings,
    TrainSettings,
    UserFunction,
    problems_with_ends,
    problems_with_training,
)
from learnd.daemon.values import SampleSpec


class DeadLetterSettings(RejectRateSettings, DeadLetterPlaces):
    """Where rejected records go, and how many of them are too many."""

    harmless: ClassVar[Mapping[str, str]] = {**RejectRateSettings.harmless, **DeadLetterPlaces.harmless}


class Settings(Section):
    """Everything that learnd is told."""

    harmless: ClassVar[Mapping[str, str]] = {
        "shutdown_timeout_s": "a stop that takes longer is repeated by the next start",
        "reload_on_change": "what a reload takes up is harmless, too",
    }
    live: ClassVar[Mapping[str, str]] = {"shutdown_timeout_s": "for the stop to come", "reload_on_change": "at once"}

    model: ModelSettings = ModelSettings()
    """Which network learns."""

    source: SourceChoice
    """Where records come from: one of the sources, by its name."""

    samples: SamplesSettings
    """What a record holds and what of it trains."""

    train: TrainSettings = TrainSettings()
    """How the model is updated."""

    guard: GuardSettings = GuardSettings()
    """Which updates are skipped."""

    phases: PhasesSettings = ()
    """Which layers train, one phase after the other. Without any, all train as the model was built."""

    challengers: tuple[ChallengerSettings, ...] = ()
    """Other models that train on the same stream. One that proves to predict better takes the place of the model."""

    validation: ValidateSettings = Field(default=ValidateSettings(), alias="validate")
    """How the model is measured while it learns."""

    certainty: CertaintySettings = CertaintySettings()
    """What is said with predictions beside their values: intervals, sets, calibrated probabilities, decisions."""

    drift: tuple[DriftWatch, ...] = DEFAULT_WATCHES
    """Which drifts are looked for: a list. Default: a rise of the error, by `adwin`, and a change of the features, by
    `psi`, as the page on drift says. `[]` for none."""

    reactions: tuple[Reaction, ...] = DEFAULT_REACTIONS
    """What learnd does by itself on a drift, a score or a skipped update: a list of rules. Default: those of the page
    on drift. `[]` for none."""

    callbacks: UserFunction | None = None
    """A function, named as `model.build` is, that returns a list of Keras callbacks, which act at the ends of epochs.
    An epoch ends with each score of the anchor file, or else of the holdout, or else of the predictions."""

    checkpoint: CheckpointSettings = CheckpointSettings()
    """Where the state lives and how often it is saved."""

    dead_letters: DeadLetterSettings = DeadLetterSettings()
    """What becomes of records that cannot train."""

    predictions: PredictionSettings = PredictionSettings()
    """Where predictions go."""

    history: HistorySettings = HistorySettings()
    """Where scores and events go, beside `scores.jsonl` in the state directory."""

    http: HttpSettings = HttpSettings()
    """Metrics, health, status, a page and commands over HTTP."""

    log: LogSettings = LogSettings()
    """What is logged to standard error."""

    shutdown_timeout_s: PositiveFloat = 25.0
    """How long a stop may take, in seconds: to finish the call and to write a checkpoint. Keep it below the 30 that
    Kubernetes waits before it kills."""

    reload_on_change: bool = False
    """Whether a daemon reads this file again by itself when it has changed, as when Kubernetes renews a ConfigMap. It
    looks once a second, and reads a file that two looks have found the same. Without it, a daemon does so when it is
    asked to."""

    def class_of(self, word: str) -> int | None:
        """Return the index of the class that a word stands for, as a label; None if it stands for none."""
        return self.samples.class_of(word, self.model.task)

    @property
    def tries(self) -> bool:
        """Whether a rule may try something on a copy of the model."""
        return any("trial" in rule.actions for rule in self.reactions)

    @property
    def models(self) -> int:
        """The number of models that may be updated at once."""
        return 1 + len(self.challengers) + self.tries

    @property
    def epoch(self) -> tuple[str, int]:
        """Whose scores end an epoch for the callbacks, and how many samples it has."""
        named = {name: getattr(self.validation, name) for name in ("anchor", "holdout", "prequential")}
        return next((name, part.every) for name, part in named.items() if part is not None)

    @property
    def of_a_process(self) -> tuple[int, int, bool]:
        """What TensorFlow is told only once in a process."""
        return self.train.threads, self.models, self.train.updates_by_one

    def look_at_source(self) -> Glance:
        """Return what can be seen of the source now, without taking anything from it."""
        return self.source.settings.glance(self.samples.record_format())

    @model_validator(mode="after")
    def _sections_fit_each_other(self) -> Self:
        if problems := [
            *self._problems_with_source(),
            *self._problems_with_callbacks(),
            *self._problems_between_sections(),
        ]:
            raise ValueError("\n".join(problems))
        return self

    def _problems_with_source(self) -> Iterator[str]:
        if (problem := self.source.settings.problem_with(self.samples.record_format())) is not None:
            yield problem
        targets = self.samples.targets(self.model.task)
        for key in [target.key for target in targets if target.label.is_key and not self.source.settings.keyed]:
            yield f"samples.{key}.from: records of source.{self.source.name} have no key; name the field of the label"
        yield from problems_with_outputs(self.dead_letters, self.predictions, self.history, self.source.settings)

    def _problems_with_callbacks(self) -> Iterator[str]:
        if self.callbacks is not None and self.models > 1:
            yield (
                "callbacks: they know one model, and there are challengers or a rule with trial, which may take its "
                "place; leave the callbacks out, or those"
            )

    def _problems_between_sections(self) -> Iterator[str]:
        """Yield what the sections' owners find wrong with them, given the others."""
        prequential, published = self.validation.prequential, self.validation.metrics or ALL_METRICS
        first = self.samples.targets(self.model.task)[0]
        yield from problems_with_watches(self.drift, first.task, tensors=first.label.is_tensor)
        if "reactions" in self.model_fields_set:  # the usual ones may have nothing to react to
            yield from problems_with_rules(
                self.reactions, self.drift, self.phases, self.validation, self.guard, self.model
            )
        yield from problems_with_ends(self.phases, [watch.watch for watch in self.drift])
        yield from problems_with_best(self.checkpoint.best, prequential.windows, published)
        try:
            spec = self.samples.spec(self.model.task)
        except SettingsError as error:
            yield from error.problems
            return
        for key in ("inputs", "labels") if self.model.build is None and self.model.load is None else ():
            if getattr(self.samples, key) is not None:
                yield (
                    f"samples.{key}: a preset has one output, and makes its inputs by itself; leave it out, or give "
                    "model.build or load"
                )
        if any(part.is_image for part in spec.inputs) and self.model.build is None and self.model.load is None:
            yield "model.preset: a preset takes numbers, categories and texts, and no image; give model.build or load"
        if spec.task.shape and self.model.build is None and self.model.load is None:
            yield (
                f"samples.label: labels of shape {spec.task.shape} take a model that gives such outputs, and a preset "
                "gives one row of numbers; give model.build or load"
            )
        yield from problems_with_training(self.model, self.train)
        yield from problems_with_challengers(
            self.challengers, self.model, self.train, lambda train: self._problems_with_weights(train, spec)
        )
        if self.validation.anchor is not None and spec.task.learnt:
            yield (
                "validate.anchor: its labels are classes from the start, but samples.label.classes learns them from "
                "the stream: list the classes, or leave the anchor out"
            )
        yield from problems_with_certainty(self.certainty, [target.task for target in spec.targets])
        yield from self._problems_with_weights(self.train, spec)
        yield from problems_with_phases(self.phases, self.model, spec)
        yield from problems_with_compared_scores(self.reactions, spec, self.validation.metrics)
        features = [column.name for column in spec.columns]
        for index, watch in enumerate(self.drift):
            yield from (f"drift.{index}.{problem}" for problem in watch.unknown_columns(features))
            if watch.watch == "features" and not features and "drift" in self.model_fields_set:
                yield f"drift.{index}.watch: images and texts are not watched; watch error, predictions or labels"

    def _problems_with_weights(self, train: TrainSettings, spec: SampleSpec) -> Iterator[str]:
        if train.class_weight is not None and len(spec.targets) > 1:
            yield "train.class_weight: it weighs the samples of a single `samples.label`; use samples.weight"
        else:
            yield from problems_with_class_weight(train.class_weight, spec.task, self.class_of)
