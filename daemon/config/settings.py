"""The settings file as a whole: one section for each part, each defined beside the part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, PositiveFloat, create_model, model_validator
from pydantic_core import CoreSchema, core_schema

from learnd.connectors.outputs.settings import DeadLetterPlaces, PredictionSettings
from learnd.connectors.source_settings import Glance, SourceSettings
from learnd.daemon.drift.settings import DEFAULT_WATCHES, DriftWatch
from learnd.daemon.errors import SettingsError
from learnd.daemon.evaluation.metrics import ALL_METRICS
from learnd.daemon.evaluation.settings import ValidateSettings
from learnd.daemon.foundation.section import Section, did_you_mean
from learnd.daemon.operate.settings import HttpSettings, LogSettings
from learnd.daemon.reactions.settings import DEFAULT_REACTIONS, Reaction, fights
from learnd.daemon.registry import SOURCES, resolve
from learnd.daemon.state.settings import CheckpointSettings
from learnd.daemon.stream.reject_rate import RejectRateSettings
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.training.layer_choice import problems_with_phases
from learnd.daemon.training.settings import GuardSettings, ModelSettings, PhasesSettings, TrainSettings


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """One of the sources in the registry, and its settings: `{files: {path: clicks.jsonl}}`."""

    name: str
    settings: SourceSettings

    @classmethod
    def parse(cls, value: Any) -> SourceChoice:
        """Read a mapping of one key. Raises ValueError where the name is not one of the registry."""
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            value = {value: {}}
        if not isinstance(value, dict) or len(value) != 1:
            raise ValueError(f"name one source: {', '.join(SOURCES)}")
        name, given = next(iter(value.items()))
        if name not in SOURCES:
            raise ValueError(
                f"unknown source {name!r}{did_you_mean(str(name), SOURCES)}; there are {', '.join(SOURCES)}"
            )
        model = _keyed(name)
        return cls(name, getattr(model.model_validate({name: {} if given is None else given}), name))

    def with_access_of(self, other: SourceChoice) -> SourceChoice:
        """Return this choice, reached by the addresses and secrets of another one where both are of the same source."""
        if self.name != other.name:
            return self
        access = {key: getattr(other.settings, key) for key in self.settings.access}
        return SourceChoice(self.name, self.settings.model_copy(update=access))

    def dump(self) -> dict[str, Any]:
        """Return it as it stands in the settings file."""
        return {self.name: self.settings.model_dump(mode="json", by_alias=True, exclude_unset=True)}

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(cls.dump)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"oneOf": [handler(_keyed(name).__pydantic_core_schema__) for name in SOURCES]}


@cache
def _keyed(name: str) -> type[Section]:
    """A model with the source's name as its one key, so that what is wrong is found at `source.<name>.<key>`."""
    fields: dict[str, Any] = {name: (resolve(SOURCES[name].settings), ...)}
    return create_model(f"{name.title()}Source", __base__=Section, **fields)


class DeadLetterSettings(RejectRateSettings, DeadLetterPlaces):
    """Where rejected records go, and how many of them are too many."""


class Settings(Section):
    """Everything that learnd is told."""

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

    validation: ValidateSettings = Field(default=ValidateSettings(), alias="validate")
    """How the model is measured while it learns."""

    drift: tuple[DriftWatch, ...] | None = None
    """Which drifts are looked for: a list. Unless given, a rise of the error by `adwin` and other features by `psi`, as
    the page on drift says; `[]` for none."""

    reactions: tuple[Reaction, ...] | None = None
    """What is done by itself on a drift, a score or a skipped update: a list of rules. Unless given, those of the page
    on drift; `[]` for none."""

    checkpoint: CheckpointSettings = CheckpointSettings()
    """Where the state lives and how often it is saved."""

    dead_letters: DeadLetterSettings = DeadLetterSettings()
    """What becomes of records that cannot train."""

    predictions: PredictionSettings = PredictionSettings()
    """Where predictions go."""

    http: HttpSettings = HttpSettings()
    """Metrics, health and status over HTTP."""

    log: LogSettings = LogSettings()
    """What is logged to standard error."""

    shutdown_timeout_s: PositiveFloat = 25.0
    """How long a stop may take, in seconds: to finish the call and to write a checkpoint. Below the 30 that
    Kubernetes waits before it kills."""

    @model_validator(mode="after")
    def _source_holds_the_format(self) -> Self:
        if (problem := self.source.settings.problem_with(self.samples.record_format())) is not None:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _outputs_have_brokers(self) -> Self:
        for name in ("dead_letters", "predictions"):
            output = getattr(self, name).kafka
            if output is not None and output.connection(self.source.settings) is None:
                raise ValueError(f"{name}.kafka.bootstrap_servers is missing: the source is not Kafka")
        return self

    @model_validator(mode="after")
    def _outputs_are_apart(self) -> Self:
        """What is written must not come back as records, nor dead letters among predictions."""
        dead_letters, predictions = self.dead_letters.kafka, self.predictions.kafka
        for name, output in (("dead_letters", dead_letters), ("predictions", predictions)):
            if output is not None and output.is_read_by(self.source.settings):
                raise ValueError(
                    f"{name}.kafka.topic: source.kafka reads {output.topic}, and would train on what is written to it"
                )
        if dead_letters and predictions and dead_letters.is_also(predictions, self.source.settings):
            raise ValueError(f"predictions.kafka.topic: dead letters are written to {predictions.topic} already")
        return self

    def look_at_source(self) -> Glance:
        """Return what can be seen of the source now, without taking anything from it."""
        return self.source.settings.glance(self.samples.record_format())

    @property
    def watches(self) -> tuple[DriftWatch, ...]:
        """What is watched for drift, the usual unless given."""
        return DEFAULT_WATCHES if self.drift is None else self.drift

    @property
    def rules(self) -> tuple[Reaction, ...]:
        """The rules of the reactions, the usual ones unless given."""
        return DEFAULT_REACTIONS if self.reactions is None else self.reactions

    @model_validator(mode="after")
    def _sections_fit_each_other(self) -> Self:
        problems = [*self._misfit_watches(), *self._misfit_rules(), *self._misfit_ends(), *self._misfit_best()]
        try:
            spec = self.samples.spec(self.model.task)
        except SettingsError as error:
            problems += error.problems
        else:
            problems += problems_with_phases(self.phases, self.model, spec)
            features = [column.name for column in spec.columns]
            for index, watch in enumerate(self.watches):
                problems += (f"drift.{index}.{problem}" for problem in watch.unknown_columns(features))
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _misfit_watches(self) -> Iterator[str]:
        for index, watch in enumerate(self.watches):
            counting = {watch.detector, watch.warn} & {"hddm_w", "ddm"}
            if counting and self.model.task in {"regression", "multi_label"}:
                named = " and ".join(sorted(map(str, counting)))
                yield f"drift.{index}: errors of a {self.model.task} task are not 0 or 1, as {named} would have them"
            if watch in self.watches[:index]:
                yield f"drift.{index}: drift.{self.watches.index(watch)} is the same; leave one of them out"

    def _misfit_rules(self) -> Iterator[str]:
        """A rule that never acts is a mistake, and so are two that undo each other. The usual ones may never act."""
        for index, rule in enumerate(self.reactions or ()):
            yield from (f"reactions.{index}: {problem}" for problem in self._missing_parts(rule))
        yield from fights(self.reactions or (), [phase.until for phase in self.phases])

    def _misfit_ends(self) -> Iterator[str]:
        if "error" not in [watch.watch for watch in self.watches]:
            for index, phase in enumerate(self.phases):
                if phase.until == "drift":
                    yield f"phases.{index}.until: at a drift of the error, and nothing under drift watches it"

    def _missing_parts(self, rule: Reaction) -> Iterator[str]:
        if rule.on.startswith("drift."):
            watches = [watch for watch in self.watches if rule.signal in {None, watch.watch}]
            if not any(watch.warns or rule.on == "drift.confirmed" for watch in watches):
                yield f"nothing under drift ever reports {rule.on}{f' of {rule.signal}' if rule.signal else ''}"
        if rule.on == "score.drop" and self.validation.holdout is None and self.validation.anchor is None:
            yield "score.drop is of the holdout or the anchor file, and validate has neither"
        if rule.on == "loss.spike" and self.guard.sigma is None:
            yield "loss.spike is of updates that guard.sigma skips, and it is null"
        if "next_phase" in rule.actions and len(self.phases) < 2:
            yield "next_phase has no phase to go on to: phases has fewer than two"
        own_layers = self.model.build is not None or self.model.load is not None
        if "refit_standardization" in rule.actions and not (self.model.standardize or own_layers):
            yield "refit_standardization has nothing to refit: model.standardize is false"

    def _misfit_best(self) -> Iterator[str]:
        """A score that is never published would keep no checkpoint."""
        best, windows = self.checkpoint.best, self.validation.prequential.windows
        if best is not None and best.window is not None and best.window not in windows:
            yield f"checkpoint.best.window: {best.window} is none of validate.prequential.windows {windows}"
        published = self.validation.metrics or ALL_METRICS
        if best is not None and best.metric not in published:
            yield f"checkpoint.best.metric: {best.metric!r} is not published{did_you_mean(best.metric, published)}"
