"""Commands: what the outside asks of a running daemon."""

from __future__ import annotations

from dataclasses import dataclass, field

from learnd.daemon.values.arrays import Facts


@dataclass(frozen=True, slots=True)
class Command:
    """An action that somebody asks for. It is in the journal, with a call, before it acts ahead of that call.

    `id` makes it idempotent: the same id acts once. `by`, `at` (ISO 8601) and `why` are for the history.
    """

    id: str
    action: str
    arguments: Facts = field(default_factory=dict)
    by: str = ""
    at: str = ""
    why: str = ""
