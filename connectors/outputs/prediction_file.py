"""Predictions as JSON lines in a file."""

from __future__ import annotations

from pathlib import Path

import msgspec

from learnd.connectors.outputs.readable import readable
from learnd.daemon.foundation.append_file import AppendFile
from learnd.daemon.values import Call, Report, predictions_of


class PredictionFile(AppendFile):
    """A `contracts.Predictions`: a JSON object a line for each sample, with the place of its record, and its key."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "predictions")

    def write(self, call: Call, report: Report, updates: int) -> None:
        """Append a line for each sample of the call."""
        encode = msgspec.json.Encoder().encode
        lines = bytearray()
        for one in predictions_of(call, report, updates):
            place = {"partition": one.partition, "start": one.start, "end": one.end}
            key = {} if one.key is None else readable("key", one.key)
            lines += encode({**place, **key, "sequence": one.sequence, "prediction": one.value, **one.said}) + b"\n"
        if lines:
            self.append(bytes(lines))
