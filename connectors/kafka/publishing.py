"""Dead letters and predictions as messages in topics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from learnd.connectors.kafka.clients.contract import Message
from learnd.connectors.kafka.output_settings import KafkaOutputSettings
from learnd.connectors.kafka.partition_names import split_name
from learnd.connectors.kafka.topic_output import MARK, TopicOutput
from learnd.daemon.foundation.section import Section
from learnd.daemon.values import Call, Prediction, Rejection, Report, predictions_of


class DeadLetterTopic(TopicOutput):
    """A `contracts.DeadLetters`: each record as it came; headers in the style of Kafka Connect say why it is here."""

    def __init__(self, settings: KafkaOutputSettings, source: Section) -> None:
        super().__init__("dead_letters", settings, source)

    def write(self, rejections: Iterable[Rejection]) -> None:
        """Have a message delivered for each rejection."""
        if messages := list(map(_letter, rejections)):
            self.append(messages)


class PredictionTopic(TopicOutput):
    """A `contracts.Predictions`: a JSON object for each sample, with the key of its record, or else its position."""

    def __init__(self, settings: KafkaOutputSettings, source: Section) -> None:
        super().__init__("predictions", settings, source)

    def write(self, call: Call, report: Report, updates: int) -> None:
        """Have a message delivered for each sample of the call."""
        if messages := list(map(_message, predictions_of(call, report, updates))):
            self.append(messages)


def _letter(rejection: Rejection) -> Message:
    place = _place(rejection.partition, rejection.start, rejection.end)
    fields = {**place, "reason": rejection.defect.reason, "message": rejection.defect.detail}
    headers = [(f"{MARK}{name}", str(value).encode()) for name, value in fields.items()]
    seconds = rejection.timestamp_s
    return Message(
        rejection.key,
        None if rejection.defect.reason == "tombstone" and rejection.key is not None else rejection.value,
        [*rejection.headers, *headers],
        None if seconds is None else round(seconds * 1000),
    )


def _message(one: Prediction) -> Message:
    """Return a prediction as a message. `sequence`: how many updates the model had had before."""
    place = _place(one.partition, one.start, one.end)
    body = {**place, "sequence": one.sequence, "prediction": one.value, **one.said}
    position = f"{one.partition}:{place['offset']}".encode()
    return Message(position if one.key is None else one.key, msgspec.json.encode(body))


def _place(partition: str, start: int, end: int) -> dict[str, Any]:
    """Return the place of a record: in Kafka's terms if it comes from Kafka."""
    try:
        topic, number = split_name(partition)
    except ValueError:
        return {"partition": partition, "offset": start}
    return {"topic": topic, "partition": number, "offset": end - 1}
