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
    "files": Entry("learnd.connectors.settings:FilesSettings", "learnd.connectors.files:FilesSource"),
    "kafka": Entry("learnd.connectors.kafka.settings:KafkaSettings", "learnd.connectors.kafka.source:KafkaSource"),
    "recording": Entry("learnd.connectors.settings:RecordingSettings", "learnd.connectors.recording:RecordingSource"),
    "stdin": Entry("learnd.connectors.settings:StdinSettings", "learnd.connectors.stdio:StdinSource"),
}

DEAD_LETTER_FILE = "learnd.connectors.dead_letters:DeadLetterFile"
DEAD_LETTER_TOPIC = "learnd.connectors.kafka.publishing:DeadLetterTopic"
RECORDER = "learnd.connectors.kafka.recording:Recorder"
IS_RECORDING = "learnd.connectors.recordings:is_recording"
PREDICTION_TOPIC = "learnd.connectors.kafka.publishing:PredictionTopic"


def resolve(reference: str) -> Any:
    """Import what `module:name` names. Raises ImportError or AttributeError: the registry itself is wrong then."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
