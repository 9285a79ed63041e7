"""Where to start in a partition that has no position yet: how the settings say it, and the offset that it means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from learnd.connectors.kafka.clients.contract import Consumer
from learnd.connectors.kafka.partition_names import split_name
from learnd.daemon.values import Positions

_AGE = re.compile(r"-(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Earliest:
    """The oldest record that there is."""


@dataclass(frozen=True, slots=True)
class Latest:
    """What is written from now on."""


@dataclass(frozen=True, slots=True)
class Since:
    """The first record from a point in time on, `seconds` after 1970."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Age:
    """The first record that is at most this many seconds old."""

    seconds: int

    def since(self, now_s: float) -> Since:
        return Since(max(now_s - self.seconds, 0.0))


@dataclass(frozen=True, slots=True)
class Offsets:
    """An offset for each named partition, `topic/number`; the others start at the oldest record."""

    offsets: Mapping[str, int]


Start = Earliest | Latest | Since | Age | Offsets


def parse_start(value: str | Mapping[str, int]) -> Start:
    """Read `earliest`, `latest`, an age (`-2h`), an ISO 8601 time (UTC if it has no offset), or offsets.

    Raises ValueError on anything else.
    """
    if isinstance(value, Mapping):
        for name, offset in value.items():
            split_name(str(name))
            if not isinstance(offset, int) or offset < 0:
                raise ValueError(f"{name}: {offset!r} is no offset")
        return Offsets(dict(value))
    if value in ("earliest", "latest"):
        return Earliest() if value == "earliest" else Latest()
    if age := _AGE.fullmatch(value):
        return Age(int(age[1]) * _SECONDS[age[2]])
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            f"{value!r} is none of earliest, latest, an age such as -2h (s, m, h, d), a time such as "
            "2026-01-31T12:00:00Z, or offsets such as {clicks/0: 1200}"
        ) from None
    seconds = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    if seconds < 0:
        raise ValueError(f"{value!r} is before 1970, where Kafka's time begins")
    return Since(seconds)


def offsets_to_start_at(consumer: Consumer, names: Sequence[str], start: Start, now_s: float) -> Positions:
    """Return the offset to start at in each of these partitions."""
    if not names:
        return {}
    if isinstance(start, Latest):
        return consumer.ends(names)
    if isinstance(start, Since | Age):
        since = start.since(now_s) if isinstance(start, Age) else start
        return consumer.ends(names) | consumer.since(names, round(since.seconds * 1000))
    beginnings = consumer.beginnings(names)
    if isinstance(start, Offsets):
        return beginnings | {name: offset for name, offset in start.offsets.items() if name in beginnings}
    return beginnings
