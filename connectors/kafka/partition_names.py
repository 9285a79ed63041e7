"""Partitions by name: `topic/number`."""

from __future__ import annotations

from collections.abc import Mapping

from learnd.connectors.kafka.clients.contract import Topic


def split_name(name: str) -> tuple[str, int]:
    """Return the topic and the number of the partition `topic/number`. Raises ValueError."""
    topic, slash, number = name.rpartition("/")
    if not slash or not topic or not (number.isascii() and number.isdecimal()):
        raise ValueError(f"{name!r} does not name a partition as topic/number does")
    return topic, int(number)


def join_name(topic: str, number: int) -> str:
    return f"{topic}/{number}"


def partitions_of(topics: Mapping[str, Topic]) -> list[str]:
    """Return the names of all partitions of these topics, in order."""
    return [join_name(name, number) for name, topic in sorted(topics.items()) for number in range(topic.partitions)]
