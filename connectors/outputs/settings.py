"""Settings of where dead letters, predictions and the history go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from learnd.connectors.kafka.output_settings import KafkaOutputSettings
from learnd.connectors.source_settings import SourceSettings
from learnd.daemon.foundation.section import Section


class DeadLetterPlaces(Section):
    """Where rejected records go."""

    harmless: ClassVar[Mapping[str, str]] = {"file": "where they are written", "kafka": "where they are written"}

    file: Path | None = None
    """The file of rejected records, as JSON lines; `dead-letters.jsonl` in the state directory by default."""

    kafka: KafkaOutputSettings | None = None
    """A topic that they are written to as well, with the original key, value, headers and timestamp."""


class HistorySettings(Section):
    """Where the history goes beside `scores.jsonl` in the state directory."""

    harmless: ClassVar[Mapping[str, str]] = {"tensorboard": "where it is written"}

    tensorboard: Path | None = None
    """A folder that TensorBoard shows as a run: scores, losses, rates, and what happened. Each state directory needs a
    folder of its own. Off by default."""

    @property
    def event_file(self) -> Path | None:
        """The file in that folder, known to TensorBoard by a part of its name; None if there is none."""
        return None if self.tensorboard is None else self.tensorboard / "events.out.tfevents.learnd"


class PredictionSettings(Section):
    """Where predictions go, those that were made before the update: nowhere by default."""

    harmless: ClassVar[Mapping[str, str]] = {"file": "where they are written", "kafka": "where they are written"}

    file: Path | None = None
    """A file with a line for each trained sample, as JSON."""

    kafka: KafkaOutputSettings | None = None
    """A topic with a message for each trained sample."""

    @property
    def wanted(self) -> bool:
        """Whether they go anywhere."""
        return self.file is not None or self.kafka is not None


def problems_with_outputs(
    dead_letters: DeadLetterPlaces, predictions: PredictionSettings, history: HistorySettings, source: SourceSettings
) -> Iterator[str]:
    """Yield what is wrong with where sections write to: no broker, or a place that is used twice.

    What is written must not come back as records, nor stand among what another section writes.
    """
    files = {
        "dead_letters.file": dead_letters.file,
        "predictions.file": predictions.file,
        "history.tensorboard": history.event_file,
    }
    for key, file in files.items():
        if file is not None and source.reads_file(file):
            yield f"{key}: the source reads {file}, and would train on what is written to it"
    yield from _problems_with_topics({"dead_letters": dead_letters.kafka, "predictions": predictions.kafka}, source)


def _problems_with_topics(outputs: Mapping[str, KafkaOutputSettings | None], source: SourceSettings) -> Iterator[str]:
    given = {name: output for name, output in outputs.items() if output is not None}
    for index, (name, output) in enumerate(given.items()):
        if output.connection(source) is None:
            yield f"{name}.kafka.bootstrap_servers is missing: the source is not Kafka"
        if output.is_read_by(source):
            yield f"{name}.kafka.topic: source.kafka reads {output.topic}, and would train on what is written to it"
        for other_name, other in list(given.items())[:index]:
            if other.is_also(output, source):
                written = other_name.replace("_", " ")
                yield f"{name}.kafka.topic: {written} are written to {output.topic} already"
