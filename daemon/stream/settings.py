"""The settings under `samples`: what is read from a record, and how it becomes a sample."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from learnd.daemon.errors import SettingsError
from learnd.daemon.foundation.section import Section
from learnd.daemon.tasks.label import FieldName, Scalar
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.tasks.settings import AnyLabelSettings, label_problems
from learnd.daemon.values import Column, ColumnKind, RecordFormat, SampleSpec

TypeName = Literal["float", "integer", "boolean"]
TimePart = Literal["minute", "hour", "weekday", "day_of_month", "day_of_year", "month"]
TimeUnit = Literal["auto", "s", "ms", "us", "ns", "iso"]

_LARGEST_INDEX = 2**24  # float32 holds every whole number up to this one
_LARGEST_FLOAT32 = 3.4028234e38


def _as_type(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


def _as_field(value: Any) -> Any:
    return {"field": value} if isinstance(value, str) else value


class FeatureSettings(Section):
    """One feature: exactly one of `type`, `hash`, `values`, `vector` and `timestamp` says what it is."""

    type: TypeName | None = None
    """A number (`float`), a whole number (`integer`), or true and false (`boolean`, 0 and 1 included)."""

    hash: Annotated[int, Field(ge=2, le=_LARGEST_INDEX)] | None = None
    """A category of any text or number, by a hash into this many indices: the same in every process."""

    values: Annotated[list[Scalar], Field(min_length=1, max_length=100_000)] | None = None
    """A category given by a list of its values. Index 0 stands for any other value."""

    unknown: Literal["other", "reject"] = "other"
    """What happens with a value that is not listed: it gets index 0, or the record is rejected. With `reject`, index
    0 is that of the first value."""

    vector: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """A list of exactly this many numbers. In CSV: a JSON list, or numbers separated by spaces."""

    timestamp: Annotated[list[TimePart], Field(min_length=1)] | None = None
    """A time, as the sine and cosine of the share of the hour, day, week, month or year that has passed (in UTC)."""

    unit: TimeUnit = "auto"
    """Of a timestamp: `s`, `ms`, `us` or `ns` since 1970, or `iso` text. `auto`: text is ISO 8601, a number seconds."""

    field: FieldName | None = None
    """Where the value is, if not under the feature's own name. `user.age` is the field `age` in the object `user`,
    except in CSV; `user\\.age` is a name with a dot."""

    default: Scalar | list[float] | None = None
    """The value if it is missing, null, empty in CSV, or NaN. Without a default, such a record is rejected."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = [name for name in ("type", "hash", "values", "vector", "timestamp") if getattr(self, name) is not None]
        if len(forms) != 1:
            raise ValueError(f"give exactly one of type, hash, values, vector and timestamp, not {forms or 'none'}")
        for key, form in (("unknown", "values"), ("unit", "timestamp")):
            if key in self.model_fields_set and form not in forms:
                raise ValueError(f"{key}: only with {form}")
        if self.values is not None and len(set(map(str, self.values))) != len(self.values):
            raise ValueError("values: list each value once")
        return self

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        if self.default is not None and not self._takes(self.default):
            raise ValueError(f"default: {self.default!r} is not a value of this feature")
        return self

    def _takes(self, default: Scalar | list[float]) -> bool:
        if isinstance(default, list):
            return self.vector == len(default) and all(map(_in_range, default))
        if self.vector is not None or self.timestamp is not None:
            return False  # a record without its time cannot be repaired
        if self.values is not None:
            return self.unknown == "other" or default in self.values
        if self.hash is not None:
            return True
        if self.type == "boolean":
            return default in (0, 1)
        numeric = not isinstance(default, bool | str) and _in_range(default)
        return numeric and (self.type == "float" or float(default) % 1 == 0)


def _in_range(number: float) -> bool:
    return abs(number) <= _LARGEST_FLOAT32


class EventTimeSettings(Section):
    """When the recorded event happened. It is used to measure freshness, never for the order of training."""

    field: FieldName
    """Where the time is."""

    unit: TimeUnit = "auto"
    """`s`, `ms`, `us` or `ns` since 1970, or `iso` text. `auto`: text is ISO 8601, a number seconds."""


Feature = Annotated[FeatureSettings, BeforeValidator(_as_type, json_schema_input_type=TypeName | FeatureSettings)]
Label = Annotated[AnyLabelSettings, BeforeValidator(_as_field, json_schema_input_type=str | AnyLabelSettings)]
EventTime = Annotated[EventTimeSettings, BeforeValidator(_as_field, json_schema_input_type=str | EventTimeSettings)]


class SamplesSettings(Section):
    """How records become samples."""

    format: Literal["json", "csv", "parquet", "avro", "tf_example"] = "json"
    """`json`: an object per line or message. `csv`: rows under a header, or messages of one row. `parquet`: rows of
    Parquet files. `avro` and `tf_example` (`tf.train.Example`): messages."""

    schema_file: Path | None = None
    """Of Avro: a file with the schema to read values by. Without a registry, it must also be the schema that they were
    written with."""

    columns: Annotated[list[FieldName], Field(min_length=1)] | None = None
    """Of CSV in messages, which have no header: the names of the columns."""

    delimiter: Annotated[str, Field(pattern=r'^[^"\r\n]$')] = ","
    """What separates the cells of CSV: one character."""

    features: Annotated[dict[str, Feature], Field(min_length=1)]
    """The inputs of the model by name, in order: `float`, `integer`, `boolean`, or a mapping such as `{hash: 1000}`."""

    label: Label
    """What the model learns to tell: the name of a field, or a mapping."""

    event_time: EventTime | None = None
    """When the event happened: the name of a field, or `{field: ts, unit: ms}`. Default: the record's own time."""

    key: FieldName | None = None
    """The field that says whose record it is, for a holdout by key. Default: the record's own key, if it has one."""

    weight: FieldName | None = None
    """The field with the sample's weight in the loss, a number of 0 or more. Default: every weight is 1."""

    extra_fields: Literal["ignore", "reject"] = "ignore"
    """What happens with a record that has fields not named here."""

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
    def _label_is_no_feature(self) -> Self:
        """A model that sees the label learns nothing but to copy it."""
        labels = self.label.fields()
        for name, feature in self.features.items():
            if (field := feature.field or name) in labels:
                raise ValueError(f"features.{name}: {field!r} is the label as well; leave it out of the features")
        return self

    def record_format(self) -> RecordFormat:
        columns = None if self.columns is None else tuple(self.columns)
        return RecordFormat(self.format, self.delimiter, columns, schema=self.schema_file is not None)

    def spec(self, task: str) -> SampleSpec:
        """Return the shape of a sample under `model.task`. Raises SettingsError if the label does not fit it."""
        problems = list(label_problems(self.label, task))
        columns = tuple(column for name, feature in self.features.items() for column in _columns(name, feature))
        names = [column.name for column in columns]
        problems += [f"samples.features: two columns are named {name!r}" for name in sorted(_repeated(names))]
        if problems:
            raise SettingsError(problems)
        return SampleSpec.of_columns(columns, KINDS[task].task(self.label))


def _columns(name: str, feature: FeatureSettings) -> Iterator[Column]:
    """Yield the columns of `x` that one feature fills."""
    if feature.hash is not None:
        yield Column(name, ColumnKind.CATEGORY, feature.hash)
    elif feature.values is not None:
        size = len(feature.values) + (feature.unknown == "other")
        yield Column(name, ColumnKind.CATEGORY, size, tuple(map(str, feature.values)))
    elif feature.vector is not None:
        yield from (Column(f"{name}.{index}", ColumnKind.NUMBER) for index in range(feature.vector))
    elif feature.timestamp is not None:
        yield from (Column(f"{name}.{p}.{f}", ColumnKind.NUMBER) for p in feature.timestamp for f in ("sin", "cos"))
    else:
        yield Column(name, ColumnKind.NUMBER)


def _repeated(names: list[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
