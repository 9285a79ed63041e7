"""BatchBuilder of each format in topics of a real broker, Avro with a real schema registry."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from blocks import features_of
from kafka_broker import Broker, required
from kafka_sources import notes, opened, repeat, take, wait
from schema_registry import SchemaRegistry, shared_registry

from learnd.daemon.errors import SourceError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import RecordBatch

OLD = {
    "type": "record",
    "name": "Click",
    "fields": [{"name": "a", "type": "int"}, {"name": "y", "type": "boolean"}],
}
NEW = {**OLD, "fields": [*OLD["fields"], {"name": "b", "type": "double", "default": 0.5}]}  # type: ignore[misc]


@pytest.fixture(scope="module")
def registry() -> Iterator[SchemaRegistry]:
    found: SchemaRegistry = required(shared_registry)
    return found


def samples(form: str, features: Any = ("a",), **settings: Any) -> SamplesSettings:
    given = {"format": form, "features": dict.fromkeys(features, "float"), "label": "y", **settings}
    return SamplesSettings.model_validate(given)


def decoded(settings: SamplesSettings, batches: list[RecordBatch]) -> tuple[list[list[float]], list[str]]:
    """Return the features of the samples, and why records are none."""
    decoder = SampleDecoder(settings, settings.spec("binary"))
    blocks = [decoder.decode(batch) for batch in batches]
    rows = [row for block in blocks for row in features_of(block).tolist()]
    return rows, [rejection.defect.reason for block in blocks for rejection in block.rejections]


def avro(number: int, schema: Any, **record: Any) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), record)
    return b"\0" + number.to_bytes(4, "big") + stream.getvalue()


def test_rows_of_csv(broker: Broker) -> None:
    topic = broker.topic()
    broker.produce(topic, [b"1,0", b'"2",1\r\n', b"x,1", b"3"])
    broker.produce(topic, [None], key=b"k")
    chosen = samples("csv", columns=["a", "y"])
    with opened(broker, topic=topic, fmt=chosen.record_format()) as source:
        batches = take(source, 5)
    assert decoded(chosen, batches) == ([[1], [2]], ["wrong_type", "wrong_column_count", "tombstone"])


def test_plain_avro(broker: Broker, tmp_path: Path) -> None:
    topic = broker.topic()
    (tmp_path / "click.avsc").write_text(json.dumps(OLD))
    broker.produce(topic, [avro(0, OLD, a=4, y=True)[5:], b"\x01"])
    chosen = samples("avro", schema_file=tmp_path / "click.avsc")
    with opened(broker, topic=topic, fmt=chosen.record_format()) as source:
        batches = take(source, 2)
    assert decoded(chosen, batches) == ([[4]], ["bad_avro"])


def test_avro_of_a_registry_with_schemas_that_evolve(broker: Broker, registry: SchemaRegistry, tmp_path: Path) -> None:
    topic = broker.topic()
    old, new = (registry.register(f"{topic}-value", schema) for schema in (OLD, NEW))
    assert old != new
    (tmp_path / "click.avsc").write_text(json.dumps(NEW))
    broker.produce(topic, [avro(old, OLD, a=1, y=True), avro(new, NEW, a=2, y=False, b=2.5), b"no avro"])
    chosen = samples("avro", ("a", "b"), schema_file=tmp_path / "click.avsc")
    given = {"topic": topic, "fmt": chosen.record_format(), "registry": {"url": registry.url}}
    with opened(broker, **given) as source:
        batches = take(source, 3)
    with opened(broker, {}, notes(batches), **given) as source:
        again = repeat(source, f"{topic}/0", 0, 3)
    for read in (batches, again):
        assert decoded(chosen, read) == ([[1, 0.5], [2, 2.5]], ["bad_avro"])


def test_a_schema_that_builds_on_another_subject(broker: Broker, registry: SchemaRegistry) -> None:
    topic = broker.topic()
    registry.register(f"{topic}-money", {"type": "record", "name": "Money", "fields": [{"name": "a", "type": "int"}]})
    paid = {
        "type": "record",
        "name": "Paid",
        "fields": [{"name": "paid", "type": "Money"}, {"name": "y", "type": "int"}],
    }
    number = registry.register(f"{topic}-value", paid, [{"name": "Money", "subject": f"{topic}-money", "version": 1}])
    broker.produce(topic, [b"\0" + number.to_bytes(4, "big") + b"\x0a\x02"])
    chosen = samples("avro", ("paid.a",))
    with opened(broker, topic=topic, fmt=chosen.record_format(), registry={"url": registry.url}) as source:
        assert decoded(chosen, take(source, 1)) == ([[5]], [])


def test_a_schema_that_there_is_not_is_a_dead_letter_and_stays_one(broker: Broker, registry: SchemaRegistry) -> None:
    topic = broker.topic()
    number = registry.register(f"{topic}-value", {**OLD, "doc": topic})
    unknown = number + 1
    broker.produce(topic, [avro(number, OLD, a=1, y=True), avro(unknown, NEW, a=2, y=False, b=1.0)])
    chosen = samples("avro")
    given = {"topic": topic, "fmt": chosen.record_format(), "registry": {"url": registry.url}}
    with opened(broker, **given) as source:
        batches = take(source, 2)
        assert registry.register(f"{topic}-value", {**NEW, "doc": topic}) == unknown
        broker.produce(topic, [avro(unknown, NEW, a=3, y=False, b=1.0)])
    with opened(broker, {}, notes(batches), **given) as source:
        again = repeat(source, f"{topic}/0", 0, 2)
        rest = take(source, 1)
    for read in (batches, again):
        assert decoded(chosen, read) == ([[1]], ["unknown_schema"])
    assert decoded(chosen, rest) == ([[3]], [])


def test_while_the_registry_is_away_it_waits(broker: Broker, registry: SchemaRegistry) -> None:
    topic = broker.topic()
    number = registry.register(f"{topic}-value", OLD)
    broker.produce(topic, [avro(number, OLD, a=1, y=True)])
    chosen = samples("avro")
    registry.suspend()
    try:
        with opened(broker, topic=topic, fmt=chosen.record_format(), registry={"url": registry.url}) as source:
            wait(source, lambda: source.connected)
            wait(source, lambda: not source.connected)
            registry.go_on()
            assert decoded(chosen, take(source, 1)) == ([[1]], [])
    finally:
        registry.go_on()


@pytest.mark.parametrize(("settings", "message"), [({"url": "{root}/nowhere"}, "there is no registry at that path")])
def test_a_registry_that_is_none(
    broker: Broker, registry: SchemaRegistry, settings: dict[str, str], message: str
) -> None:
    topic = broker.topic()
    broker.produce(topic, [avro(1, OLD, a=1, y=True)])
    root = registry.url.partition("/apis")[0]
    given = {name: text.format(root=root) for name, text in settings.items()}
    with (
        opened(broker, topic=topic, fmt=samples("avro").record_format(), registry=given) as source,
        pytest.raises(SourceError, match=message),
    ):
        take(source, 1)
