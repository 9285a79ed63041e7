"""From records to the inputs of the model, as training reads them, for records that may have no label."""

from __future__ import annotations

import csv
import io
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Any

import msgspec
import numpy as np

from learnd.daemon.errors import DataError
from learnd.daemon.stream.decoding.declared import missing_columns
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import Arrays, Fate, Float32, Past, RecordBatch, SampleSpec

Record = Mapping[str, Any]

_FEATURES = "samples.features."  # the keys of the settings that name what is read here begin with it


def input_decoder(samples: SamplesSettings, task: str) -> SampleDecoder:
    """Return a decoder of the features alone: a record needs no label, weight or time, and may have them; and no key
    but for windows. These end with the record, also those of forecasts, whose label is to come.

    Raises SettingsError if the fields cannot be read together.
    """
    features = {"weight": None, "event_time": None, "extra_fields": "ignore"}
    if samples.window is None:
        features["key"] = None
    else:
        samples = samples.model_copy(update={"window": samples.window.without_label()})
    spec = SampleSpec(samples.spec(task).inputs, ())
    return SampleDecoder(samples.model_copy(update=features), spec)


def missing_inputs(samples: SamplesSettings, columns: Sequence[str], where: str) -> list[str]:
    """Return a problem for each needed feature that the columns of `where` lack."""
    return [problem for problem in missing_columns(samples, columns, where) if problem.startswith(_FEATURES)]


class Encoder:
    """Turns records into the input of the model, exactly as training did.

    A record is a mapping with the names that the records of the stream have: a dictionary in place of a JSON object, a
    row of a table, or a decoded message. The values of a CSV row may be text or numbers.
    """

    def __init__(self, samples: SamplesSettings, task: str, classes: tuple[str, ...] = ()) -> None:
        """Raises SettingsError if the fields cannot be read together."""
        self._samples = samples.model_copy(update={"quote": '"'})  # rows of CSV are written here
        self._decoder = input_decoder(self._samples, task)
        self._decoding = Lock()  # a server may call it from several threads, and windows are made of what came before
        self._spec = samples.spec(task)
        self.columns: tuple[str, ...] = tuple(column.name for column in self._spec.columns)
        """The names of the columns of the input."""
        self.classes = classes
        """The names of the classes or labels, in the order of the model's outputs. Of classes that are learnt: those
        that the newest checkpoint knew when the encoder was made."""

    def __call__(self, records: Record | Sequence[Record]) -> Float32 | Arrays:
        """Return the input for a record, (1, columns), or for several, (n, columns), as float32, an image as uint8, or
        the ids of a text as int32. Windows, (n, length, columns), hold the records given here, and none before them.

        Of a model with several inputs, it returns each by its name.

        Raises DataError if a record cannot be used, and names the first that cannot.
        """
        given = [records] if isinstance(records, Mapping) else list(records)
        if not given:
            return as_given(self._spec.zeros(0).inputs)
        batch = self._batch(given)
        with self._decoding:
            self._decoder.begin(Past())
            block = self._decoder.decode(batch)
        if block.rejections:
            number, defect = int(np.argmax(block.fates == Fate.REJECT)), block.rejections[0].defect
            raise DataError(
                f"record {number} of {len(given)} cannot be encoded: {defect.detail} ({defect.reason}). Correct it, "
                f"leave it out, or give its feature a default in the settings."
            )
        return as_given(block.samples.inputs)

    def _batch(self, records: Sequence[Record]) -> RecordBatch:
        """Return the records as a source would have read them."""
        ends = np.arange(1, len(records) + 1)
        if self._samples.format == "json":
            return RecordBatch("given", 0, ends, [_json(number, record) for number, record in enumerate(records)])
        if self._samples.format == "csv":
            names = tuple(dict.fromkeys(name for record in records for name in record))
            rows = list(_rows(records, names, self._samples.delimiter))
            return RecordBatch("given", 0, ends, rows, columns=names)
        return RecordBatch("given", 0, ends, records)


def as_given(inputs: Arrays) -> Float32 | Arrays:
    """Return the one array alone, if there is one, as a model takes it; else all by name."""
    return next(iter(inputs.values())) if len(inputs) == 1 else inputs


def _json(number: int, record: Record) -> bytes:
    try:
        return msgspec.json.encode(record, enc_hook=_of_numpy)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"record {number} cannot be encoded: {error}") from error


def _of_numpy(value: Any) -> Any:
    """Return a NumPy number or array as Python's own. Raises TypeError for anything else."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"there is no JSON for {type(value).__name__}")


def _rows(records: Sequence[Record], names: Sequence[str], delimiter: str) -> Iterator[bytes]:
    """Yield each record as a line of CSV; what is missing or None is an empty cell."""
    for record in records:
        line = io.StringIO()
        csv.writer(line, delimiter=delimiter, lineterminator="").writerow([_cell(record.get(name)) for name in names])
        yield line.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return str(value).lower() if isinstance(value, bool | np.bool_) else value
