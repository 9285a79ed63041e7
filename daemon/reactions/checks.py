"""Rules held against each other, and against the sections that say what can happen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from learnd.daemon.drift.settings import DriftWatch
from learnd.daemon.evaluation.settings import ValidateSettings
from learnd.daemon.foundation.section import meant_or_known
from learnd.daemon.reactions.set_scores import ComparedScore
from learnd.daemon.reactions.settings import Reaction, fights
from learnd.daemon.tasks.scoring import scoring_of
from learnd.daemon.training.settings import GuardSettings, ModelSettings, PhaseSettings
from learnd.daemon.values import SampleSpec


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
    if rule.of_set and getattr(validation, str(rule.of)) is None:
        yield f"{rule.on} waits for scores of the {rule.of}, and validate has none; add validate.{rule.of}"


def problems_with_compared_scores(
    rules: Sequence[Reaction], spec: SampleSpec, published: Collection[str] | None
) -> Iterator[str]:
    """Yield what is wrong with the scores that rules compare. `published` are the metrics that are; None for all."""
    of_each = {target.name: scoring_of(target.task).metrics for target in spec.targets}
    prefix = {name: f"{name}." if len(of_each) > 1 else "" for name in of_each}
    known = [
        f"{prefix[name]}{metric}"
        for name, metrics in of_each.items()
        for metric in metrics
        if (published is None or metric in published) and metric != "kappa_temporal"  # which is of a stream alone
    ]
    for index, rule in enumerate(rules):
        if not rule.of_set:
            continue
        if rule.metric is not None and rule.metric not in known:
            meant = meant_or_known(rule.metric, known)
            yield f"reactions.{index}.metric: {rule.metric!r} is no score of the {rule.of}{meant}"
        elif rule.metric is None and len(of_each) > 1:
            yield f"reactions.{index}.metric is missing: there are several labels; name one of {', '.join(known)}"
        elif rule.metric is None and (usual := ComparedScore.of(rule, spec).metric) not in known:
            yield (
                f"reactions.{index}.metric is missing: {usual}, the usual one, is not in validate.metrics; name one of "
                f"{', '.join(known)}"
            )


def _without_skips(rule: Reaction, guard: GuardSettings) -> Iterator[str]:
    if rule.on == "loss.spike" and guard.sigma is None:
        yield "loss.spike is of updates that guard.sigma skips, and it is null"


def _without_effect(rule: Reaction, phases: Sequence[PhaseSettings], model: ModelSettings) -> Iterator[str]:
    if "next_phase" in rule.effects and len(phases) < 2:
        yield "next_phase has no phase to go on to: phases has fewer than two"
    own_layers = model.build is not None or model.load is not None
    if "refit_standardization" in rule.effects and not (model.standardize or own_layers):
        yield "refit_standardization has nothing to refit: model.standardize is false"
