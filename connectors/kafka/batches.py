"""From fetched records to batches: size limits, the columns of CSV, the schemas of Avro."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from learnd.connectors.kafka.clients.contract import Fetched
from learnd.connectors.kafka.connection import SchemaRegistrySettings
from learnd.connectors.kafka.notes import PartitionNotes
from learnd.connectors.kafka.schema_registry import SchemaRegistry
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Defect, RecordBatch, RecordFormat

_KEPT_BYTES = 1024  # of a value that is too long
_TOMBSTONE = Defect("tombstone", "the value is null")
_NUMBERED = 5  # bytes before an Avro value that names its schema: a zero, then the number


class BatchBuilder:
    """Builds batches. For one thread."""

    def __init__(
        self,
        fmt: RecordFormat,
        max_record_bytes: int,
        registry: SchemaRegistrySettings | None,
        notes: PartitionNotes,
    ) -> None:
        self._columns = fmt.columns
        self._max_record_bytes = max_record_bytes
        self._registry = None if registry is None else SchemaRegistry(registry)
        self._notes = notes

    def build(
        self, fetched: Fetched, start: int, *, again: bool = False, alive: Callable[[], None] = lambda: None
    ) -> RecordBatch:
        """Return fetched records as a batch from position `start`: a gap belongs to the span of the record after it.

        `again`: the records were handed out before, and become what they were then, by the notes. `alive` is called
        before each question to the registry. Raises SchemaRegistryAwayError, SourceError.
        """
        batch = to_batch(fetched, start, self._max_record_bytes, self._columns)
        if self._registry is None:
            return batch
        numbers = list(map(_schema_number, batch.values))
        schemas, unknown = {}, []
        for number in sorted({number for number in numbers if number is not None}):
            alive()
            texts = self._registry.schema(number)
            if texts is None:
                unknown.append(number)
            else:
                schemas[number] = texts
        batch = self._without(batch, numbers, [*schemas, *unknown], unknown, again=again)
        return replace(batch, schemas=schemas)

    def _without(
        self, batch: RecordBatch, numbers: list[int | None], named: list[int], unknown: list[int], *, again: bool
    ) -> RecordBatch:
        """Return the batch in which values whose schema is unknown, or was when they were first read, are defects."""
        missed = {number: self._notes.missed_schema(batch.partition, number, batch.ends) for number in named}
        missed = {number: of_record for number, of_record in missed.items() if number in unknown or of_record.any()}
        if not missed:
            return batch
        defects = dict(batch.defects or {})
        for index, number in enumerate(numbers):
            if number is None or number not in missed or index in defects:
                continue
            if again and number in unknown and not missed[number][index]:
                raise SourceError(
                    f"{batch.partition}: the journal needs records whose Avro schema {number} the registry no longer "
                    "has. Nothing was changed; bring it back, and start again."
                )
            if number in unknown or missed[number][index]:
                defects[index] = Defect("unknown_schema", f"the registry knows no schema {number}")
        note = batch.note
        if unknown and not again:
            note = {"schemas": {batch.partition: [[int(batch.ends[0]), int(batch.ends[-1]), unknown]]}}
        return replace(batch, defects=defects or None, note=note)


def _schema_number(value: object) -> int | None:
    """Return the number of the schema that a value names; None if it names none."""
    if not isinstance(value, bytes) or len(value) < _NUMBERED or value[0] != 0:
        return None
    return int.from_bytes(value[1:_NUMBERED], "big")


def to_batch(
    fetched: Fetched, start: int, max_record_bytes: int, columns: tuple[str, ...] | None = None
) -> RecordBatch:
    """Return fetched records as a batch from position `start`: a gap belongs to the span of the record after it."""
    values = [b"" if value is None else value for value in fetched.values]
    defects = {index: _TOMBSTONE for index, value in enumerate(fetched.values) if value is None}
    if max(map(len, values)) > max_record_bytes:
        for index in [index for index, value in enumerate(values) if len(value) > max_record_bytes]:
            what = f"a value of {len(values[index])} bytes is over the limit of {max_record_bytes} bytes"
            defects[index] = Defect("oversized", what)
            values[index] = values[index][:_KEPT_BYTES]
    timed = bool((fetched.timestamps_ms >= 0).all())
    return RecordBatch(
        fetched.partition,
        start,
        fetched.offsets + 1,
        values,
        columns=columns,
        keys=fetched.keys,
        headers=fetched.headers,
        timestamps_s=fetched.timestamps_ms / 1000 if timed else None,
        defects=defects or None,
    )
