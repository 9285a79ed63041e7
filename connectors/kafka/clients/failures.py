"""What goes wrong with a Kafka client, in the same words for every client.

After any of these errors the connection is closed and made anew: a client may spin forever in the call that follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from learnd.daemon.errors import SourceError


class RefusedError(Exception):
    """Raised when the brokers do not let this client do its work: its name, its rights or its settings are wrong."""


class OutOfRangeError(Exception):
    """Raised when a partition does not hold the position that is read from."""


class BehindEndError(Exception):
    """Raised when a partition ends before the position. The broker may still be starting."""


class TruncatedError(Exception):
    """Raised when brokers lost records that were read, and may hold others at their offsets now."""

    def __init__(self, partitions: Mapping[str, str]) -> None:
        """`partitions` maps each affected partition to where it differs; an empty text if that is unknown."""
        self.partitions = list(partitions)
        super().__init__(", ".join(f"{name} {where}".rstrip() for name, where in partitions.items()))


class StuckError(Exception):
    """Raised when a partition has records, but none has arrived for a long time."""


class TooLargeError(Exception):
    """Raised when brokers refuse the message at `index` because of its size."""

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__(f"message {index} is too large for the brokers")


class CorruptError(Exception):
    """Raised when records cannot be read, for example because a checksum is wrong: in transit, or for good."""


class _LastComplaint:
    """Set by the clients, from any thread."""

    text = ""


LAST_COMPLAINT = _LastComplaint()
"""What a client logged last. Often it is the reason for an error that only says that time ran out."""


def reason_of(error: Exception) -> str:
    """Return what an error says, or else what the client logged last."""
    return str(error) or LAST_COMPLAINT.text


def refusal(servers: Sequence[str], error: RefusedError) -> SourceError:
    """Return the error that ends the daemon when brokers refuse it."""
    return SourceError(
        f"{', '.join(servers)}: the broker refuses: {error}. Nothing is lost; correct source.kafka or the rights that "
        "the broker grants, and start again."
    )
