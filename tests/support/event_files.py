"""TensorBoard's event files, as TensorFlow reads them: it verifies every checksum."""

from pathlib import Path
from typing import Any

import tensorflow as tf


def events_in(path: Path) -> list[Any]:
    """Return the events of a file behind the one that it begins with; none if there is no file."""
    if not path.exists() or path.stat().st_size == 0:
        return []
    first, *events = tf.compat.v1.train.summary_iterator(str(path))
    assert first.file_version == "brain.Event:2"
    return events


def told_in(path: Path) -> list[tuple[int, str, Any]]:
    """Return the step, the tag, and the number or the text of each value in a file, in order."""
    return [(event.step, value.tag, _shown(value)) for event in events_in(path) for value in event.summary.value]


def _shown(value: Any) -> float | str:
    if value.HasField("simple_value"):
        return float(value.simple_value)
    assert value.metadata.plugin_data.plugin_name == "text"
    return str(tf.make_ndarray(value.tensor).item().decode())
