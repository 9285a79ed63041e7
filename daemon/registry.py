"""Connectors by name, imported only when the settings name them: none costs a start that has no use for it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A connector: its settings model and what builds it from them, each as `module:name`."""

    settings: str
    factory: str


SOURCES: Mapping[str, Entry] = {
    "epochs": Entry("learnd.connectors.files.settings:EpochsSettings", "learnd.connectors.files.epochs:EpochsSource"),
    "files": Entry("learnd.connectors.files.settings:FilesSettings", "learnd.connectors.files.opening:files_source"),
    "kafka": Entry("learnd.connectors.kafka.settings:KafkaSettings", "learnd.connectors.kafka.source:KafkaSource"),
    "recording": Entry(
        "learnd.connectors.recordings.settings:RecordingSettings",
        "learnd.connectors.recordings.source:RecordingSource",
    ),
    "stdin": Entry("learnd.connectors.files.settings:StdinSettings", "learnd.connectors.files.stdin:StdinSource"),
}
"""Each is built from its settings, the `RecordFormat` and the state directory."""

OUTPUTS: Mapping[str, str] = {
    "dead_letters.file": "learnd.connectors.outputs.dead_letter_file:DeadLetterFile",
    "dead_letters.kafka": "learnd.connectors.kafka.publishing:DeadLetterTopic",
    "history.tensorboard": "learnd.connectors.outputs.event_file:EventFile",
    "predictions.file": "learnd.connectors.outputs.prediction_file:PredictionFile",
    "predictions.kafka": "learnd.connectors.kafka.publishing:PredictionTopic",
}
"""By their key in the settings."""

RECORDER = "learnd.connectors.recordings.recorder:Recorder"
IS_RECORDING = "learnd.connectors.recordings.file_format:is_recording"


def resolve(reference: str) -> Any:
    """Import what `module:name` names. Raises ImportError or AttributeError: the registry itself is wrong then."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
