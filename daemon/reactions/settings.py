"""What is done by itself, and on what: the settings under `reactions`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from learnd.daemon.foundation.section import Section, did_you_mean

Trigger = Literal["drift.warning", "drift.confirmed", "score.plateau", "score.drop", "loss.spike", "update.non_finite"]
_AFTER = {"score.plateau": 3, "update.non_finite": 50}
_MARGIN = {"score.plateau": 0.01, "score.drop": 0.1}


class LearningRateAction(Section):
    """Another learning rate for a while."""

    times: Annotated[float, Field(gt=0, le=1000)]
    """By what to multiply it."""

    over: PositiveInt = 2_000
    """Samples over which the factor goes back to 1, in a line."""


class RollBackAction(Section):
    """Back to the last good copy of the model."""

    every: PositiveInt = 10_000
    """Samples between two looks at the model. One that is good, with finite weights and a score that passes, is
    copied; and it is at these counts that the model goes back."""

    times: Annotated[float, Field(gt=0, le=1)] = 0.5
    """By what to multiply the learning rate from there on."""

    most: Annotated[int, Field(ge=0)] = 3
    """How many times. Where it would be once more, learnd stops with exit code 65."""


class NoArguments(Section):
    """An action that takes no arguments."""


class Action(Section):
    """One action: its name, or `{name: {argument: value}}`."""

    log: NoArguments | None = None
    """A line in the log. The history has each reaction in any case."""

    checkpoint: NoArguments | None = None
    """Save a checkpoint, and pin it: it is never removed."""

    learning_rate: LearningRateAction | None = None
    """Another learning rate for a while."""

    reset_moments: NoArguments | None = None
    """Forget what the optimizer has gathered of earlier gradients."""

    next_phase: NoArguments | None = None
    """Begin the next phase of the training."""

    refit_standardization: NoArguments | None = None
    """Let the running mean and variance of the inputs learn anew."""

    roll_back: RollBackAction | None = None
    """Back to the last good copy of the model; what was trained since then is set aside."""

    pause: NoArguments | None = None
    """Save a checkpoint, and train nothing more until the file `paused` in the state directory is removed."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in cls.model_fields:
                known = cls.model_fields
                raise ValueError(f"unknown action {value!r}{did_you_mean(value, known)}; there are {', '.join(known)}")
            value = {value: {}}
        if isinstance(value, dict):
            return {name: {} if given is None else given for name, given in value.items()}
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"name one action an entry: {', '.join(type(self).model_fields)}")
        return self

    @property
    def name(self) -> str:
        return next(iter(self.model_fields_set))

    @property
    def arguments(self) -> Any:
        return getattr(self, self.name)


class Reaction(Section):
    """One rule: what happens, and what is done about it."""

    on: Trigger
    """What happens. `score.drop` is of the scores of the holdout and of the anchor file; `score.plateau` of the error
    of the predictions; `loss.spike` and `update.non_finite` are updates that the guard skipped."""

    signal: Literal["error", "loss", "features", "predictions", "labels"] | None = None
    """For `drift`: of which signal; of any unless given."""

    after: PositiveInt | None = None
    """How many in a row: updates for `loss.spike` (default 1) and `update.non_finite` (50), windows without progress
    for `score.plateau` (3)."""

    window: PositiveInt | None = None
    """For `score.plateau`: samples whose mean error is compared. Default: 10000."""

    margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    """For `score.plateau`: by which share the error must fall below the best to count as progress, 0.01 unless given.
    For `score.drop`: how far the score falls below the best since the last drop, 0.1 unless given."""

    do: Annotated[tuple[Action, ...], Field(min_length=1)]
    """What is done, in this order."""

    cooldown: Annotated[int, Field(ge=0)] = 5_000
    """Samples after a reaction in which this rule does not react again."""

    @property
    def in_a_row(self) -> int:
        return self.after or _AFTER.get(self.on, 1)

    @property
    def by(self) -> float:
        return self.margin or _MARGIN.get(self.on, 0.0)

    @property
    def samples(self) -> int:
        """Of a plateau's window."""
        return self.window or 10_000

    @property
    def actions(self) -> set[str]:
        return {action.name for action in self.do}

    @model_validator(mode="after")
    def _nothing_idle(self) -> Self:
        uses = {
            "signal": ("drift.warning", "drift.confirmed"),
            "after": ("loss.spike", "update.non_finite", "score.plateau"),
            "window": ("score.plateau",),
            "margin": ("score.plateau", "score.drop"),
        }
        for name, triggers in uses.items():
            if getattr(self, name) is not None and self.on not in triggers:
                raise ValueError(f"{name} means nothing on {self.on}; it is for {', '.join(triggers)}")
        return self

    @model_validator(mode="after")
    def _at_one(self) -> Self:
        """Raise ValueError where actions of one rule undo each other."""
        names = [action.name for action in self.do]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} stands twice in do, and the second one would undo the first")
        if undone := (self.actions & {*OF_THE_MODEL} if "roll_back" in self.actions else set()):
            raise ValueError(f"roll_back takes back what {', '.join(sorted(undone))} did; keep one of them")
        return self


OF_THE_MODEL = ("learning_rate", "reset_moments", "next_phase", "refit_standardization")
"""The actions that change the model between two updates."""

_FASTER = Action.model_validate({"learning_rate": {"times": 5, "over": 500}})

DEFAULT_REACTIONS = (
    Reaction(on="drift.warning", signal="error", do=(_FASTER,), cooldown=1_000),
    Reaction(on="drift.confirmed", signal="error", do=(_FASTER,), cooldown=1_000),
    Reaction(on="drift.confirmed", signal="features", do=(Action.model_validate("refit_standardization"),)),
    Reaction(on="update.non_finite", do=(Action.model_validate("roll_back"),)),
    Reaction(on="score.drop", margin=0.3, do=(Action.model_validate("roll_back"),)),
)


PHASE_ENDS = {"score.plateau": "plateau", "drift.confirmed": "drift"}
"""What ends a phase of the training, by its occasion."""


def phase_rules(ends: Iterable[object]) -> tuple[Reaction, ...]:
    """Return the rules that begin the next phase where one ends on a plateau, or on a drift of the error."""
    action = (Action.model_validate("next_phase"),)
    rules = {
        "plateau": Reaction(on="score.plateau", do=action, cooldown=0),
        "drift": Reaction(on="drift.confirmed", signal="error", do=action, cooldown=0),
    }
    return tuple(rule for end, rule in rules.items() if end in ends)


def fights(rules: tuple[Reaction, ...], phase_ends: Iterable[object]) -> list[str]:
    """Return, for each two rules that would undo each other's actions on the same occasion, what is wrong."""
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
                if "roll_back" in one.actions and (undone := two.actions & {*OF_THE_MODEL}):
                    problems.append(f"{where}: roll_back takes back what {', '.join(sorted(undone))} did")
    copies = {action.roll_back for rule in rules for action in rule.do if action.roll_back is not None}
    if len(copies) > 1:
        problems.append("reactions: there is one good copy to roll back to; give each roll_back the same arguments")
    return problems
