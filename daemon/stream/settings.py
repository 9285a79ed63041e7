"""The settings under `samples`: what is read from a record, and how it becomes a sample."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, model_validator

from learnd.daemon.errors import SettingsError
from learnd.daemon.foundation.section import Section
from learnd.daemon.stream.decoding.expressions import Expression
from learnd.daemon.stream.decoding.fields import field_path
from learnd.daemon.stream.decoding.labels import label_reader
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.decoding.weights import Weights
from learnd.daemon.stream.features.number import TypeName
from learnd.daemon.stream.features.settings import AnyFeatureSettings
from learnd.daemon.stream.features.timestamp import DateFormat, TimeUnit
from learnd.daemon.stream.inputs import InputSettings, problem_with_names, usual_inputs
from learnd.daemon.stream.stages.settings import WindowSettings, problems_with_window
from learnd.daemon.stream.targets import Target, problems_of_copies, target_spec
from learnd.daemon.tasks.label import FieldName, OneHot, OneOf
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.tasks.settings import AnyLabelSettings, TaskName, label_problems
from learnd.daemon.values import LABEL, Column, ColumnKind, InputSpec, RecordFormat, SampleSpec


def _as_type(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


def _as_field(value: Any) -> Any:
    return {"field": value} if isinstance(value, str) else value


def _as_features(value: Any) -> Any:
    return {"features": value} if isinstance(value, list) else value


@cache
def _compiled(text: str) -> Expression:
    """Return the one expression of a text. Raises ValueError if it is none."""
    return Expression(text)


def _check_expression(text: str) -> str:
    _compiled(text)
    return text


class EventTimeSettings(Section):
    """When the recorded event happened. It is used to measure freshness, never for the order of training."""

    field: FieldName
    """Where the time is."""

    unit: TimeUnit = "auto"
    """`s`, `ms`, `us` or `ns` since 1970, or `iso` text. `auto`: text is ISO 8601, a number seconds."""

    date_format: DateFormat | None = None
    """If it is neither: how its text is written, for Python's `strptime`, such as `%d.%m.%Y`."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.date_format is not None and self.unit != "auto":
            raise ValueError("date_format: give either it or unit")
        return self


class OutputSettings(AnyLabelSettings):
    """What one of several outputs of the model learns to tell: the keys of `samples.label`, and these."""

    task: TaskName | None = None
    """What the label means. Default: `model.task`."""

    loss_weight: PositiveFloat = 1.0
    """How much the loss of this output weighs in the sum of all losses."""


class WeightSettings(Section):
    """A weight that is computed."""

    expression: Annotated[str, AfterValidator(_check_expression)]
    """An expression over fields: numbers, names of fields (`field("a name")` for any name), `+ - * / **`, comparisons,
    `and`, `or`, `not`, `min`, `max`, `abs`, `log`, and `where(country == "DE", 2, 1)`."""

    @property
    def compiled(self) -> Expression:
        return _compiled(self.expression)


Feature = Annotated[AnyFeatureSettings, BeforeValidator(_as_type, json_schema_input_type=TypeName | AnyFeatureSettings)]
Input = Annotated[InputSettings, BeforeValidator(_as_features, json_schema_input_type=list[str] | InputSettings)]
Output = Annotated[OutputSettings, BeforeValidator(_as_field, json_schema_input_type=str | OutputSettings)]
Label = Annotated[AnyLabelSettings, BeforeValidator(_as_field, json_schema_input_type=str | AnyLabelSettings)]
EventTime = Annotated[EventTimeSettings, BeforeValidator(_as_field, json_schema_input_type=str | EventTimeSettings)]


OTHER_NAMES = {"jsonl": {"format": "json"}, "ndjson": {"format": "json"}, "tsv": {"format": "csv", "delimiter": "\t"}}
"""What people call a format, and what it is."""


class SamplesSettings(Section):
    """How records become samples."""

    format: Literal["json", "csv", "parquet", "avro", "tf_example", "raw"] = "json"
    """`json` (or `jsonl`, `ndjson`): an object per line or message. `csv`: rows under a header, or messages of one row;
    `tsv`: the same with tabs as the delimiter. `parquet`: rows of Parquet files. `avro` and `tf_example`
    (`tf.train.Example`): messages. `raw`: a file, or the value of a message, is a record with the field `content`, its
    bytes, and `folder`, the folder of the file below `path`, or what is before the first slash of the message's key."""

    schema_file: Path | None = None
    """Of Avro: a file with the schema to read values by. Without a registry, it must also be the schema that they were
    written with."""

    columns: Annotated[list[FieldName], Field(min_length=1)] | None = None
    """Of CSV in messages, which have no header: the names of the columns."""

    delimiter: Annotated[str, Field(pattern=r'^[^"\r\n]$')] = ","
    """What separates the cells of CSV: one character."""

    quote: Literal['"', "none"] = '"'
    """What holds a cell of CSV together that has delimiters or line ends in it. `none`: nothing does; each line is a
    row, and quotes are text."""

    missing: tuple[str, ...] = ("NA", "null", "None", "#N/A", "-", "NaN", "nan")
    """Words that stand for no value, as empty text does: where a number, a yes or no, or a time is expected; in CSV
    also for a category, if it has a default and does not list the word."""

    decimal: Literal[".", ","] = "."
    """What separates the fraction of numbers that are text."""

    thousands: Literal[".", ",", "'", " "] | None = None
    """What separates the thousands of numbers that are text, if anything."""

    units: tuple[Annotated[str, Field(pattern=r"[^\s\d.,+-]")], ...] = ()
    """What may stand before or after numbers that are text, and is passed over: `["%", km]`. It converts nothing."""

    features: Annotated[dict[str, Feature], Field(min_length=1)]
    """The inputs of the model by name, in order: `float`, `integer`, `boolean`, or a mapping such as `{hash: 1000}`."""

    inputs: Annotated[dict[str, Input], Field(min_length=1)] | None = None
    """Of a model with several inputs, or with one that is no vector: the features of each input, by its name in the
    model: `{numbers: [a, b], image: {features: [pixels], shape: [8, 8, 1]}}`. Default: all features are one vector,
    `features`; beside others, an image or a text is an input under its own name."""

    label: Label | None = None
    """What the model learns to tell: the name of a field, or a mapping."""

    labels: Annotated[dict[str, Output], Field(min_length=2)] | None = None
    """Of a model with several outputs, in place of `label`: what each output learns to tell, by its name in the model:
    `{clicked: clicked, price: {task: regression, field: price, loss_weight: 0.2}}`. The first one is shown, watched
    for drift and measured by `train.metrics`."""

    event_time: EventTime | None = None
    """When the event happened: the name of a field, or `{field: ts, unit: ms}`. Default: the record's own time."""

    key: FieldName | None = None
    """The field that says whose record it is, for a window, or a holdout by key. Default: the record's own key, if it
    has one."""

    window: WindowSettings | None = None
    """The latest records of a key as one sample, oldest first, of shape (length, columns): `{length: 24}`, or
    `{length: 24, ahead: 1}` to forecast the next one. Zeros stand for records from before a key's first. Default: each
    record is a sample by itself."""

    weight: FieldName | WeightSettings | None = None
    """The sample's weight in the loss, a number of 0 or more: the name of a field, or a mapping. Default: every weight
    is 1."""

    extra_fields: Literal["ignore", "reject"] = "ignore"
    """What happens with a record that has fields not named here."""

    @model_validator(mode="before")
    @classmethod
    def _known_name_of_the_format(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("format"), str):
            return given
        return given | OTHER_NAMES.get(given["format"], {})

    @model_validator(mode="after")
    def _keys_of_the_format(self) -> Self:
        if self.schema_file is not None and self.format != "avro":
            raise ValueError(f"schema_file: only for Avro, but format is {self.format}")
        if self.columns is not None and self.format != "csv":
            raise ValueError(f"columns: only for CSV, but format is {self.format}")
        if self.columns is not None and len(set(self.columns)) < len(self.columns):
            raise ValueError("columns: list each name once")
        return self

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError(f"thousands: {self.thousands!r} is the decimal mark as well; give another decimal")
        return self

    @model_validator(mode="after")
    def _one_label_or_several(self) -> Self:
        if (self.label is None) == (self.labels is None):
            raise ValueError("label: say what the model learns to tell: by `label`, or by `labels` for several outputs")
        return self

    @model_validator(mode="after")
    def _label_is_no_feature(self) -> Self:
        """A model that sees the label learns nothing but to copy it."""
        if self.window is not None and self.window.ahead:
            return self  # it sees earlier labels
        fields = {field for target in self.targets("") for field in target.label.fields()}
        for name, feature in self.features.items():
            if (field := feature.field or name) in fields:
                raise ValueError(f"features.{name}: {field!r} is the label as well; leave it out of the features")
        return self

    @model_validator(mode="after")
    def _each_feature_is_in_one_input(self) -> Self:
        if self.inputs is None:
            if (problem := problem_with_names(self.features)) is not None:
                raise ValueError(problem)
            return self
        listed = [name for given in self.inputs.values() for name in given.features]
        if unknown := [name for name in listed if name not in self.features]:
            raise ValueError(f"inputs: {unknown[0]!r} is not under features; there are {', '.join(self.features)}")
        if missing := [name for name in self.features if name not in listed]:
            raise ValueError(f"inputs: the feature {missing[0]!r} is in none of them; add it to one, or leave it out")
        if twice := sorted(_repeated(listed)):
            raise ValueError(f"inputs: the feature {twice[0]!r} is listed twice; list each once")
        return self

    def parts(self) -> dict[str, InputSettings]:
        """Return the inputs by name, each with its features in the order in which they fill it."""
        return usual_inputs(self.features) if self.inputs is None else self.inputs

    def texts(self) -> Texts:
        """Return how text is to be read. Where records have types, a category that is text is that text."""
        categories = self.missing if self.format == "csv" else ()
        return Texts(
            self.missing,
            missing_categories=categories,
            decimal=self.decimal,
            thousands=self.thousands,
            units=self.units,
        )

    def record_format(self) -> RecordFormat:
        columns = None if self.columns is None else tuple(self.columns)
        fields = None
        if self.format == "parquet" and self.extra_fields == "ignore":
            fields = frozenset(field_path(self.format, field)[0] for _, field, _ in self.named_fields())
        return RecordFormat(
            self.format,
            self.delimiter,
            quoted=self.quote != "none",
            columns=columns,
            schema=self.schema_file is not None,
            fields=fields,
            ordered=self.window is not None,
        )

    def named_fields(self) -> Iterator[tuple[str, str, bool]]:
        """Yield each field that is read, with the key that names it, and whether it is needed: it has no default."""
        for name, feature in self.features.items():
            yield f"samples.features.{name}", feature.field or name, feature.default is None
        for target in self.targets(""):
            for field, key in target.label.fields().items():
                yield f"samples.{key.replace('label', target.key, 1)}", field, True
        if isinstance(self.weight, str):
            yield "samples.weight", self.weight, True
        elif self.weight is not None:
            for field in dict.fromkeys(operand.field for operand in self.weight.compiled.operands):
                yield "samples.weight.expression", field, True
        if self.key is not None:
            yield "samples.key", self.key, True
        if self.event_time is not None:
            yield "samples.event_time", self.event_time.field, True

    def weights(self) -> Weights:
        """Return what computes the weight of a sample."""
        return Weights(self.weight.compiled if isinstance(self.weight, WeightSettings) else self.weight)

    def class_of(self, word: str, task: str) -> int | None:
        """Return the index of the class that a word stands for under `model.task`, read as a label is; None if it
        stands for none.
        """
        first = self.targets(task)[0]
        form = KINDS[first.task].form(first.label)
        form = OneOf(form.values) if isinstance(form, OneHot) else form
        index = label_reader(form, self.texts()).read([word])[0, 0]
        return None if math.isnan(index) else int(index)

    def spec(self, task: str) -> SampleSpec:
        """Return the shape of a sample under `model.task`. Raises SettingsError if the label does not fit it."""
        targets = self.targets(task)
        problems = [
            problem.replace("samples.label", f"samples.{target.key}", 1)
            for target in targets
            for problem in label_problems(target.label, target.task)
        ]
        columns = {name: tuple(feature.kind.columns(name, feature)) for name, feature in self.features.items()}
        names = [column.name for part in columns.values() for column in part]
        problems += [f"samples.features: two columns are named {name!r}" for name in sorted(_repeated(names))]
        inputs = []
        for name, part in self.parts().items():
            of_part = [column for feature in part.features for column in columns[feature]]
            alone = [spec for each in part.features if (spec := self.features[each].alone(each)) is not None]
            if alone:
                inputs.append(replace(alone[0], name=name))
                problems += self._problems_of_one_alone(name, part, alone[0])
                continue
            if part.shape and math.prod(part.shape) != len(of_part):
                problems.append(
                    f"samples.inputs.{name}.shape: {list(part.shape)} has room for {math.prod(part.shape)} numbers, "
                    f"and its features give {len(of_part)}"
                )
            inputs.append(InputSpec.of_columns(name, of_part, part.shape))
        problems += problems_of_copies(targets, inputs)
        if self.window is not None:
            problems += problems_with_window(self.window, inputs, targets)
        if problems:
            raise SettingsError(problems)
        given, numbers = self._in_windows(inputs), self._numbers(columns)
        specs = [target_spec(one, given, numbers) for one in targets]
        if len(specs) > 1 and any(one.task.learnt for one in specs):
            raise SettingsError(["samples.labels: only a single `label` can learn its classes; list them, or give N"])
        return SampleSpec(tuple(given), tuple(specs))

    def _in_windows(self, inputs: Sequence[InputSpec]) -> list[InputSpec]:
        """Return the inputs as they are if windows are made of them."""
        if self.window is None:
            return list(inputs)
        window = self.window.window()
        return [replace(one, shape=(window.length, len(one.columns)), window=window) for one in inputs]

    def _numbers(self, columns: Mapping[str, Sequence[Column]]) -> dict[str, str]:
        """Return the names of the columns that hold a number as it is, by the field that it is in."""
        alone = [name for name, its in columns.items() if [one.kind for one in its] == [ColumnKind.NUMBER]]
        return {self.features[name].field or name: columns[name][0].name for name in alone}

    def _problems_of_one_alone(self, name: str, part: InputSettings, alone: InputSpec) -> Iterator[str]:
        """Yield what is wrong with an input that a feature is by itself."""
        if others := [feature for feature in part.features if feature != alone.name]:
            yield (
                f"samples.inputs: {alone.name!r} is an input of its own, beside that of {others[0]!r}: name both, as "
                f"in {{picture: [{alone.name}], numbers: [{others[0]}]}}, and the model's inputs likewise"
            )
        if part.shape and part.shape != alone.shape:
            yield f"samples.inputs.{name}.shape: {alone.name!r} is of shape {list(alone.shape)}; leave it out"

    def targets(self, task: str) -> list[Target]:
        """Return what is learnt for each output of the model; `task` is that of labels that name none."""
        if self.labels is None:
            assert self.label is not None, "the settings have one of both"
            return [Target(LABEL, "label", self.label, task, 1.0)]
        return [
            Target(name, f"labels.{name}", output, output.task or task, output.loss_weight)
            for name, output in self.labels.items()
        ]


def _repeated(names: list[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
