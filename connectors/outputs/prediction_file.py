"""Predictions as JSON lines in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from learnd.connectors.outputs.readable import readable
from learnd.daemon.foundation.append_file import AppendFile
from learnd.daemon.values import Call, Prediction, Report, predictions_of

_ENCODER = msgspec.json.Encoder()


class PredictionFile(AppendFile):
    """A `contracts.Predictions`: a JSON object a line for each sample, with the place of its record, and its key."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "predictions")

    def write(self, call: Call, report: Report, updates: int) -> None:
        """Append a line for each sample of the call."""
        if lines := _ENCODER.encode_lines(map(_line, predictions_of(call, report, updates))):
            self.append(lines)


def _line(one: Prediction) -> dict[str, Any]:
    place = {"partition": one.partition, "start": one.start, "end": one.end}
    key = {} if one.key is None else readable("key", one.key)
    return {**place, **key, "sequence": one.sequence, "prediction": one.value, **one.said}
