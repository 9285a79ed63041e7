"""The settings file as a whole: one section for each part, each defined beside the part."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, PositiveFloat, create_model, model_validator
from pydantic_core import CoreSchema, core_schema

from connectors.settings import DeadLetterSettings, PredictionSettings
from connectors.source_settings import SourceSettings
from daemon.evaluation.metrics import ALL_METRICS
from daemon.evaluation.settings import ValidateSettings
from daemon.operate.settings import HttpSettings, LogSettings
from daemon.registry import SOURCES, resolve
from daemon.section import Section
from daemon.settings_problems import did_you_mean
from daemon.state.settings import CheckpointSettings
from daemon.stream.settings import SamplesSettings
from daemon.training.layer_choice import problem_with_phases
from daemon.training.settings import GuardSettings, ModelSettings, PhasesSettings, TrainSettings


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
    def _phases_have_their_layers(self) -> Self:
        if self.phases and (
            problem := problem_with_phases(self.phases, self.model, self.samples.spec(self.model.task))
        ):
            raise ValueError(problem)
        return self

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
    def _best_is_published(self) -> Self:
        """A score that is never published would keep no checkpoint."""
        best, windows = self.checkpoint.best, self.validation.prequential.windows
        if best is not None and best.window is not None and best.window not in windows:
            raise ValueError(f"checkpoint.best.window: {best.window} is none of validate.prequential.windows {windows}")
        published = self.validation.metrics or ALL_METRICS
        if best is not None and best.metric not in published:
            raise ValueError(
                f"checkpoint.best.metric: {best.metric!r} is not published{did_you_mean(best.metric, published)}"
            )
        return self
