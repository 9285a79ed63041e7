"""Lines of the history, and what they say to a reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MOST_NAMED = 5  # columns of a drift


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the history: a score, a drift, a reaction, a checkpoint. `samples` were trained before it."""

    kind: str
    samples: int
    data: Mapping[str, Any]


def in_words(event: Event) -> str | None:
    """Return an event in words; None if it is not worth a mark."""
    data = event.data
    match event.kind:
        case "drift":
            columns = data.get("columns", {})
            named = ", ".join(list(columns)[:_MOST_NAMED]) + (", ..." if len(columns) > _MOST_NAMED else "")
            text = f"drift of {data['signal']} ({data['level']})" + (f": {named}" if named else "")
        case "reaction":
            text = f"{data['on']}: " + ", ".join(f"{action} {outcome}" for action, outcome in data["actions"].items())
        case "rollback":
            text = f"rolled back by {data['reason']}: {data['samples_taken_back']:,} samples taken back"
        case "stopped":
            text = f"stopped early by {data['reason']}: {data['samples_taken_back']:,} samples taken back"
        case "phase":
            text = f"phase {data['number']}, by {data['cause']}"
        case "contest":
            about = (
                f", {data['was']} at {data['decided_at']:,}"
                if "was" in data
                else f" after {data['compared']:,} samples"
            )
            text = f"challenger {data['challenger']}: {data['outcome']}{about}"
        case "command":
            why = f": {data['reason']}" if "reason" in data else ""
            text = f"{data['action']} by {data['by'] or 'somebody'}: {data['outcome']}{why}"
        case _:
            return None
    return text
