"""Finds the rules that act on an event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from learnd.daemon.reactions.settings import PHASE_ENDS, Reaction
from learnd.daemon.values import Event

_LONG_AGO = -(1 << 62)


class Rules:
    """All rules, those of the settings first, with the sample count at which each was last called."""

    def __init__(self, rules: Sequence[Reaction], phase_rules: Sequence[Reaction]) -> None:
        """`phase_rules` act only if they end the learner's phase."""
        self._of_phases = len(rules)  # the index of the first phase rule
        self.all = (*rules, *phase_rules)
        self.called_at = [_LONG_AGO] * len(self.all)

    def __getitem__(self, index: int) -> Reaction:
        return self.all[index]

    def ever_do(self, action: str) -> bool:
        """Whether any rule has an action."""
        return any(action in rule.actions for rule in self.all)

    def called_by(self, event: Event, phase_end: str | None) -> list[int]:
        """Return the indices of the rules that are to act on an event. The event's phase ends on `phase_end`."""
        return [
            index
            for index, rule in enumerate(self.all)
            if _matches(rule, index, event)
            and event.samples - self.called_at[index] >= rule.cooldown
            and (index < self._of_phases or PHASE_ENDS[rule.on] == phase_end)
        ]

    def act_at_once(self, indices: Iterable[int]) -> bool:
        """Whether one of these rules acts right after the update, rather than between two calls."""
        return any(not self.all[index].between_calls for index in indices)


def _matches(rule: Reaction, index: int, event: Event) -> bool:
    if event.kind == "drift":
        level_matches = rule.on == f"drift.{event.data['level']}"
        return level_matches and rule.signal in {None, event.data["signal"]}
    if rule.on != event.kind:
        return False
    return bool(event.data.get("rule", index) == index and event.data.get("in_a_row", rule.in_a_row) == rule.in_a_row)
