"""Commands: what someone asks a running daemon to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from learnd.daemon.values.arrays import Facts


@dataclass(frozen=True, slots=True)
class Command:
    """An action that someone asks for. It is first written to the journal with a call, and then acts before that call.

    `id` makes it idempotent: each id acts once. `by`, `at` (ISO 8601) and `why` are for the history.
    """

    id: str
    action: str
    arguments: Facts = field(default_factory=dict)
    by: str = ""
    at: str = ""
    why: str = ""
