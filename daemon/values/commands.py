"""Commands: what someone asks a running daemon to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from learnd.daemon.values.arrays import Facts


@dataclass(frozen=True, slots=True)
class Command:
    """An action that someone asks for. It is first written to the journal with a call, and then acts before that call.

    `id` makes it idempotent: each id acts once. `by`, `at` (ISO 8601) and `why` are for the history. `became` is what
    became of one that was carried out before it was written to the journal, since a repetition could not: it is empty
    for all others.
    """

    id: str
    action: str
    arguments: Facts = field(default_factory=dict)
    by: str = ""
    at: str = ""
    why: str = ""
    became: Facts = field(default_factory=dict)


Ahead: TypeAlias = Callable[[tuple[Command, ...]], tuple[Command, ...]]
"""Takes the commands of the next call. Returns them, perhaps with more, and with what became of those that it has
carried out."""
