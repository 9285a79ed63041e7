"""Rules held against each other, and against the sections that say what can happen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from learnd.daemon.drift.settings import DriftWatch
from learnd.daemon.evaluation.settings import ValidateSettings
from learnd.daemon.reactions.settings import Reaction, fights
from learnd.daemon.training.settings import GuardSettings, ModelSettings, PhaseSettings


def problems_with_rules(
    rules: tuple[Reaction, ...],
    watches: Sequence[DriftWatch],
    phases: Sequence[PhaseSettings],
    validation: ValidateSettings,
    guard: GuardSettings,
    model: ModelSettings,
) -> Iterator[str]:
    """Yield what is wrong with the given rules: one that can never act, or two that undo each other."""
    for index, rule in enumerate(rules):
        for problem in (
            *_without_drift(rule, watches),
            *_without_score(rule, validation),
            *_without_skips(rule, guard),
            *_without_effect(rule, phases, model),
        ):
            yield f"reactions.{index}: {problem}"
    yield from fights(rules, [phase.until for phase in phases])


def _without_drift(rule: Reaction, watches: Sequence[DriftWatch]) -> Iterator[str]:
    if not rule.on.startswith("drift."):
        return
    watching = [watch for watch in watches if rule.signal in {None, watch.watch}]
    if not any(watch.warns or rule.on == "drift.confirmed" for watch in watching):
        yield f"nothing under drift ever reports {rule.on}{f' of {rule.signal}' if rule.signal else ''}"


def _without_score(rule: Reaction, validation: ValidateSettings) -> Iterator[str]:
    if rule.on == "score.drop" and validation.holdout is None and validation.anchor is None:
        yield "score.drop is of the holdout or the anchor file, and validate has neither"


def _without_skips(rule: Reaction, guard: GuardSettings) -> Iterator[str]:
    if rule.on == "loss.spike" and guard.sigma is None:
        yield "loss.spike is of updates that guard.sigma skips, and it is null"


def _without_effect(rule: Reaction, phases: Sequence[PhaseSettings], model: ModelSettings) -> Iterator[str]:
    if "next_phase" in rule.effects and len(phases) < 2:
        yield "next_phase has no phase to go on to: phases has fewer than two"
    own_layers = model.build is not None or model.load is not None
    if "refit_standardization" in rule.effects and not (model.standardize or own_layers):
        yield "refit_standardization has nothing to refit: model.standardize is false"
