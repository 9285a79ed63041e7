"""Messages that are decoded to mappings one by one: Avro and `tf.train.Example`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, get_args, get_origin

from learnd.daemon.errors import SettingsError
from learnd.daemon.stream.decoding.defects import Reason, defect, told
from learnd.daemon.stream.decoding.fields import Field, Path
from learnd.daemon.stream.decoding.mappings import MappingParser
from learnd.daemon.stream.decoding.parsing import Defects, Rows
from learnd.daemon.values import Defect, RecordBatch

Schemas = Mapping[int, tuple[str, ...]]
_NUMBERED = 5  # bytes before a value that names its schema: a zero, then the number of the schema


class MessageParser:
    """Parses one message per record. `decode` returns a mapping, or the defect of a message that is broken.

    A value that is a mapping already needs no decoding.
    """

    def __init__(self, decode: Callable[[bytes, Schemas | None], Any], mappings: MappingParser) -> None:
        self._decode = decode
        self._mappings = mappings

    def parse(self, batch: RecordBatch, defects: Defects) -> Rows:
        found: list[Mapping[str, Any]] = [{}] * len(batch)
        values: Sequence[Any] = batch.values
        for index, value in enumerate(values):
            if index not in defects:
                decoded = value if isinstance(value, Mapping) else self._decode(value, batch.schemas)
                if isinstance(decoded, Defect):
                    defects[index] = decoded
                else:
                    found[index] = decoded
        return self._mappings.parse(replace(batch, values=found), defects)


class AvroDecoder:
    """Avro, read with the schema of a file. If values name their schemas, these are used, and resolved to the schema
    of the file if there is one.

    See https://avro.apache.org/docs/1.12.0/specification/ (schema resolution), and for the five bytes before a value
    https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/ (wire format).
    """

    def __init__(self, schema_file: FilePath | None) -> None:
        """Raises SettingsError if the file cannot be read or does not hold a schema."""
        self._reader = None if schema_file is None else _schema_of(schema_file)
        self._writers: dict[tuple[str, ...], Any] = {}

    def __call__(self, value: bytes, schemas: Schemas | None) -> Any:
        """Return the decoded value, which should be a record, or its defect. Never raises."""
        if schemas is None:
            return self._read(value, 0, self._reader, None)
        if len(value) < _NUMBERED or value[0] != 0:
            return defect(Reason.BAD_AVRO, "it does not begin with a zero and the number of its schema")
        number = int.from_bytes(value[1:_NUMBERED], "big")
        if number not in schemas:
            return defect(Reason.UNKNOWN_SCHEMA, f"schema {number} is unknown")
        writer = self._writer(schemas[number])
        if isinstance(writer, Exception):
            return defect(Reason.UNKNOWN_SCHEMA, f"schema {number} is not an Avro schema: {writer}")
        return self._read(value, _NUMBERED, writer, self._reader)

    def _writer(self, texts: tuple[str, ...]) -> Any:
        """Return the schema in the last text, which may refer to those before it, or the error if it is not one."""
        if texts not in self._writers:
            try:
                named: dict[str, Any] = {}
                self._writers[texts] = [_parsed(json.loads(text), named) for text in texts][-1]
            except Exception as error:  # noqa: BLE001  (fastavro has no one root of errors)
                self._writers[texts] = error
        return self._writers[texts]

    def _read(self, value: bytes, start: int, writer: Any, reader: Any) -> Any:
        import fastavro
        from fastavro.read import SchemaResolutionError

        stream = io.BytesIO(value)
        stream.seek(start)
        try:
            decoded = fastavro.schemaless_reader(stream, writer, reader)
        except SchemaResolutionError as error:
            return defect(
                Reason.SCHEMA_MISMATCH, f"its schema does not resolve to that of samples.schema_file: {error}"
            )
        except Exception as error:  # noqa: BLE001  (bytes of any kind make fastavro raise errors of any kind)
            return defect(Reason.BAD_AVRO, f"not a value of its schema: {told(error)}")
        if rest := len(value) - stream.tell():
            return defect(Reason.BAD_AVRO, f"{rest} bytes follow the value")
        return decoded


def _schema_of(file: FilePath) -> Any:
    try:
        return _parsed(json.loads(file.read_bytes()), {})
    except OSError as error:
        raise SettingsError([f"samples.schema_file: {file} cannot be read: {error.strerror}"]) from error
    except Exception as error:
        raise SettingsError([f"samples.schema_file: {file} is not an Avro schema: {error}"]) from error


def _parsed(schema: Any, named: dict[str, Any]) -> Any:
    import fastavro

    return fastavro.parse_schema(schema, named_schemas=named)


class ExampleDecoder:
    """`tf.train.Example`: named lists of numbers or bytes. A list of one may be read as a single value.

    See tensorflow/core/example/feature.proto.
    """

    def __init__(self, fields: Mapping[Path, Field]) -> None:
        self._parse = _example_type().FromString
        self._is_list = {path[0]: _takes_list(field.json_type) for path, field in fields.items()}
        self._is_bytes = {path[0] for path, field in fields.items() if field.json_type is bytes}

    def __call__(self, value: bytes, _schemas: Schemas | None) -> Any:
        """Return a value for each feature, or the defect of the message. Never raises."""
        from google.protobuf.message import DecodeError

        try:
            features = self._parse(value).features.feature
        except DecodeError as error:
            return defect(Reason.BAD_EXAMPLE, f"not a tf.train.Example: {error}")
        return {name: self._value(name, feature) for name, feature in features.items()}

    def _value(self, name: str, feature: Any) -> Any:
        kind = feature.WhichOneof("kind")
        if kind is None:
            return None
        values = list(getattr(feature, kind).value)
        if kind == "bytes_list" and name not in self._is_bytes:
            values = list(map(_text, values))
        if self._is_list.get(name):
            return values
        return values[0] if len(values) == 1 else values or None


def _takes_list(json_type: Any) -> bool:
    """Return whether a field is decoded to a list: `list[float]`, or the same with a limited length."""
    return any(get_origin(part) is list for part in (json_type, *get_args(json_type)))


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _example_type() -> Any:
    """Return the message type, made without TensorFlow. Its own pool lets TensorFlow's type be loaded as well."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="learnd/example.proto", package="learnd", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, str | None], repeated: bool = False) -> Any:
        made = file.message_type.add(name=name)
        for field, number, kind, type_name in fields:
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            made.field.add(name=field, number=number, type=kind, label=label, type_name=type_name)
        return made

    message("BytesList", ("value", 1, kinds.TYPE_BYTES, None), repeated=True)
    message("FloatList", ("value", 1, kinds.TYPE_FLOAT, None), repeated=True)
    message("Int64List", ("value", 1, kinds.TYPE_INT64, None), repeated=True)
    lists = ("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")
    feature = message(
        "Feature", *((name, at, kinds.TYPE_MESSAGE, f".learnd.{of}") for at, (name, of) in enumerate(lists, 1))
    )
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = message("Features", ("feature", 1, kinds.TYPE_MESSAGE, ".learnd.Features.FeatureEntry"), repeated=True)
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    entry.field.add(
        name="value", number=2, type=kinds.TYPE_MESSAGE, label=kinds.LABEL_OPTIONAL, type_name=".learnd.Feature"
    )
    message("Example", ("features", 1, kinds.TYPE_MESSAGE, ".learnd.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("learnd.Example"))
