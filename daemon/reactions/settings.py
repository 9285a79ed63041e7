"""Settings of reactions: the section `reactions`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, create_model, model_validator

from learnd.daemon.actions import ACTIONS
from learnd.daemon.actions.choice import ActionChoice
from learnd.daemon.actions.contract import DONE, GIVEN_UP, NOTHING
from learnd.daemon.actions.roll_back import RollBack
from learnd.daemon.drift.settings import GIVEN
from learnd.daemon.foundation.section import Section

Trigger = Literal["drift.warning", "drift.confirmed", "score.plateau", "score.drop", "loss.spike", "update.non_finite"]
_AFTER = {"score.plateau": 3, "update.non_finite": 50}
_MARGIN = {"score.plateau": 0.01, "score.drop": 0.1}


_OF_RULES: dict[str, Any] = {
    name: (action | None, Field(default=None, description=action.__doc__))
    for name, action in ACTIONS.items()
    if action.of_rules
}
if TYPE_CHECKING:
    NamedAction = ActionChoice
else:
    NamedAction = create_model("NamedAction", __base__=ActionChoice, __doc__=ActionChoice.__doc__, **_OF_RULES)


class Reaction(Section):
    """One rule: an event, and the actions to take."""

    on: Trigger
    """The event. `score.drop` looks at the scores of the holdout and of the anchor file, `score.plateau` at the error
    of the predictions or, with `of`, at such a score, `loss.spike` and `update.non_finite` at updates that the guard
    skipped."""

    signal: Literal["error", "loss", "features", "predictions", "labels"] | None = None
    """For `drift`: the signal that drifts. Default: any."""

    of: Literal["predictions", "holdout", "anchor"] | None = None
    """For `score.plateau`: what makes no progress. Default: `predictions`, their mean error. `holdout` or `anchor`: the
    score of these samples."""

    metric: str | None = None
    """For `score.plateau` of the holdout or the anchor file: the score that is compared; with several labels as
    `LABEL.METRIC`. Default: `log_loss`, or `r2` for numbers."""

    after: PositiveInt | None = None
    """How many in a row: updates for `loss.spike` (default 1) and `update.non_finite` (50), windows or scores without
    progress for `score.plateau` (3)."""

    window: PositiveInt | None = None
    """For `score.plateau`: the number of samples whose mean error is compared. Default: 10000."""

    margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    """For `score.plateau`: the share by which the error must fall below the best to count as progress. Default: 0.01.
    Of the holdout or the anchor file: how far the score must be better than the best. Default: at all. For
    `score.drop`: how far it must fall below the best since the last drop. Default: 0.1. Of scores, a plain difference
    for those of which more is better, otherwise a share."""

    if_error_rose: bool = False
    """For `roll_back`: roll back only if the predictions became worse, too. At the time of the rollback, the mean error
    since the last look must be out of the range in which a model is good. Otherwise nothing is done."""

    do: Annotated[tuple[NamedAction, ...], Field(min_length=1)]
    """The actions, in this order."""

    cooldown: Annotated[int, Field(ge=0)] = 5_000
    """Samples after a reaction during which this rule does not act again."""

    @property
    def in_a_row(self) -> int:
        return self.after or _AFTER.get(self.on, 1)

    @property
    def by(self) -> float:
        return self.margin or (0.0 if self.of_set else _MARGIN.get(self.on, 0.0))

    @property
    def of_set(self) -> bool:
        """Whether it compares scores of the holdout or the anchor file with the best one."""
        return self.of in ("holdout", "anchor")

    @property
    def on_scores(self) -> bool:
        """Whether it acts on scores of samples that do not train, which are made between two calls."""
        return self.on == "score.drop" or self.of_set

    @property
    def samples(self) -> int:
        """The size of a plateau's window, in samples."""
        return self.window or 10_000

    @property
    def actions(self) -> set[str]:
        return {choice.name for choice in self.do}

    @property
    def effects(self) -> set[str]:
        """Its actions, and what they try."""
        return self.actions | {choice.action.tries for choice in self.do if choice.action.tries is not None}

    @property
    def between_calls(self) -> bool:
        """Whether one of its actions needs a position in the stream; then all of them wait for the end of the call."""
        return any(choice.action.between_calls for choice in self.do)

    @property
    def acts_on_reports(self) -> bool:
        """Whether it may act right after an update on what only the report of the update shows."""
        of_given = self.on.startswith("drift.") and self.signal in GIVEN
        return not (self.between_calls or of_given or self.on_scores)

    @model_validator(mode="after")
    def _nothing_idle(self) -> Self:
        uses = {
            "signal": ("drift.warning", "drift.confirmed"),
            "of": ("score.plateau",),
            "after": ("loss.spike", "update.non_finite", "score.plateau"),
            "window": ("score.plateau",),
            "margin": ("score.plateau", "score.drop"),
        }
        if self.if_error_rose and "roll_back" not in self.actions:
            raise ValueError("if_error_rose has no meaning without roll_back")
        for name, triggers in uses.items():
            if getattr(self, name) is not None and self.on not in triggers:
                raise ValueError(f"{name} has no meaning for {self.on}; it is for {', '.join(triggers)}")
        if self.metric is not None and not self.of_set:
            raise ValueError("metric has no meaning without of: holdout or of: anchor")
        if self.window is not None and self.of_set:
            raise ValueError(f"window has no meaning for scores of the {self.of}; they come as validate says")
        if "stop" in self.actions and not self.of_set:
            raise ValueError("stop is for scores that get no better: on: score.plateau with of: holdout or of: anchor")
        return self

    @model_validator(mode="after")
    def _at_one(self) -> Self:
        """Raise ValueError if actions of one rule undo each other."""
        names = [choice.name for choice in self.do]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} is listed twice in do, and the second would undo the first")
        if undone := (self.actions & OF_THE_MODEL if "roll_back" in self.actions else set()):
            raise ValueError(f"roll_back would undo {', '.join(sorted(undone))}; keep one of them")
        return self


OF_THE_MODEL = frozenset(name for name, action in ACTIONS.items() if action.changes_model)
"""The actions that change the model between two updates."""

DEFAULT_REACTIONS = (
    Reaction(on="drift.confirmed", signal="features", do=(NamedAction.model_validate("refit_standardization"),)),
    Reaction(on="update.non_finite", do=(NamedAction.model_validate("roll_back"),)),
    Reaction(on="score.drop", margin=0.3, if_error_rose=True, do=(NamedAction.model_validate("roll_back"),)),
)


def known_outcomes(rules: Iterable[Reaction]) -> set[tuple[str, str]]:
    """Return the pairs of an action and an outcome that the rules may have."""
    names = {name for rule in rules for name in rule.actions}
    usual = {(name, outcome) for name in names for outcome in (DONE, NOTHING)}
    return usual | {(name, GIVEN_UP) for name in names & {"roll_back"}}


def known_causes(rules: Iterable[Reaction], watched: Collection[str], action: str) -> set[str]:
    """Return the words for what makes rules take an action. `watched` are the signals that are watched for drift."""
    found: set[str] = set()
    for rule in rules:
        if action in rule.actions:
            signals = watched if rule.signal is None else (rule.signal,)
            found |= {f"{rule.on} of {signal}" for signal in signals} if rule.on.startswith("drift.") else {rule.on}
    return found


PHASE_ENDS = {"score.plateau": "plateau", "drift.confirmed": "drift"}
"""The `until` of a training phase, by the event that ends it."""


def phase_rules(ends: Iterable[object]) -> tuple[Reaction, ...]:
    """Return the rules that begin the next phase at a plateau, or at a drift of the error, if a phase ends so."""
    action = (NamedAction.model_validate("next_phase"),)
    rules = {
        "plateau": Reaction(on="score.plateau", do=action, cooldown=0),
        "drift": Reaction(on="drift.confirmed", signal="error", do=action, cooldown=0),
    }
    return tuple(rule for end, rule in rules.items() if end in ends)


def fights(rules: tuple[Reaction, ...], phase_ends: Iterable[object]) -> list[str]:
    """Return the problems with pairs of rules that would undo each other's actions on the same event."""
    problems = []
    named = [(f"reactions.{index}", rule) for index, rule in enumerate(rules)]
    named += [(f"the end of a phase on {PHASE_ENDS[rule.on]}", rule) for rule in phase_rules(phase_ends)]
    for index, (name, rule) in enumerate(named):
        for other_name, other in named[:index]:
            where = f"{other_name} and {name}, both on {rule.on}"
            if rule.on != other.on or (rule.signal and other.signal and rule.signal != other.signal):
                continue
            both = (rule.actions & other.actions) - {"log", "checkpoint", "pause"}
            if both:
                problems.append(f"{where}, both have {', '.join(sorted(both))}: the second would undo the first")
            for one, two in ((rule, other), (other, rule)):
                if "roll_back" in one.actions and (undone := two.actions & OF_THE_MODEL):
                    problems.append(f"{where}: roll_back would undo {', '.join(sorted(undone))}")
    if len(stopping := [name for name, rule in named if "stop" in rule.actions]) > 1:
        problems.append(f"{' and '.join(stopping)} both have stop: one best model is kept; leave one of them out")
    copies = {choice.action for rule in rules for choice in rule.do if isinstance(choice.action, RollBack)}
    if len(copies) > 1:
        problems.append("reactions: there is only one good copy to roll back to; give all roll_back the same arguments")
    return problems
