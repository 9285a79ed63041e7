"""From what was fetched to batches of records: limits, the columns of CSV, the schemas of Avro."""

from __future__ import annotations

from dataclasses import replace

from connectors.kafka.book import Book
from connectors.kafka.client import Fetched
from connectors.kafka.registry import Registry
from connectors.kafka.settings import RegistrySettings
from daemon.errors import SourceError
from daemon.values import Defect, RecordBatch, RecordFormat

_KEPT_BYTES = 1024  # of a value that is too long
_TOMBSTONE = Defect("tombstone", "the value is null")
_NUMBERED = 5  # bytes before an Avro value whose schema goes by a number: a zero, and the number


class Values:
    """Makes batches. For one thread."""

    def __init__(self, fmt: RecordFormat, max_record_bytes: int, registry: RegistrySettings | None, book: Book) -> None:
        self._columns = fmt.columns
        self._max_record_bytes = max_record_bytes
        self._registry = None if registry is None else Registry(registry)
        self._book = book

    def batch(self, fetched: Fetched, start: int, *, again: bool = False) -> RecordBatch:
        """Return fetched records as a batch from position `start`: the gaps before records belong to their spans.

        `again` says that they were handed out before, as the notes have it. Raises RegistryAwayError, SourceError.
        """
        batch = to_batch(fetched, start, self._max_record_bytes, self._columns)
        return batch if self._registry is None else self._with_schemas(self._registry, batch, again=again)

    def _with_schemas(self, registry: Registry, batch: RecordBatch, *, again: bool) -> RecordBatch:
        """Add the schemas that the values name; one that there is not is a defect of those values for good."""
        numbers = list(map(_schema_number, batch.values))
        named = sorted({number for number in numbers if number is not None})
        found = {number: registry.schema(number) for number in named}
        schemas = {number: texts for number, texts in found.items() if texts is not None}
        unknown = sorted(found.keys() - schemas.keys())
        if unknown and not again:
            self._book.miss_schemas(batch.partition, int(batch.ends[0]), int(batch.ends[-1]), unknown)
        defects = dict(batch.defects or {})
        for index, number in enumerate(numbers):
            if number is None or index in defects:
                continue
            if self._book.missed_schema(batch.partition, int(batch.ends[index]), number):
                defects[index] = Defect("unknown_schema", f"the registry knows no schema {number}")
            elif number in unknown:
                raise SourceError(
                    f"{batch.partition}: the journal needs records whose Avro schema {number} the registry no longer "
                    "has. Nothing was changed; bring it back, and start again."
                )
        return replace(batch, schemas=schemas, defects=defects or None)


def _schema_number(value: object) -> int | None:
    """Return the number of the schema that a value names; None where it names none."""
    if not isinstance(value, bytes) or len(value) < _NUMBERED or value[0] != 0:
        return None
    return int.from_bytes(value[1:_NUMBERED], "big")


def to_batch(
    fetched: Fetched, start: int, max_record_bytes: int, columns: tuple[str, ...] | None = None
) -> RecordBatch:
    """Return fetched records as a batch from position `start`: the gaps before records belong to their spans."""
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
