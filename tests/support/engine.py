"""What trains, scores, watches and reacts, on a real model: the daemon without source, journal and checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from calls import made_call, samples

from learnd.daemon.contest.contest import Contest
from learnd.daemon.contracts import Contender
from learnd.daemon.control.control_state import ControlState
from learnd.daemon.drift.settings import DEFAULT_WATCHES, DriftWatch
from learnd.daemon.drift.watch import Drift
from learnd.daemon.evaluation.evaluation import Evaluation
from learnd.daemon.evaluation.settings import HoldoutSettings, ValidateSettings
from learnd.daemon.reactions.reactions import Reactions
from learnd.daemon.reactions.settings import DEFAULT_REACTIONS, Reaction
from learnd.daemon.reactions.watching import Watching
from learnd.daemon.state.progress import Progress
from learnd.daemon.state.saving import SaveRequest
from learnd.daemon.tasks.scoring import errors
from learnd.daemon.training.trainer import Trainer
from learnd.daemon.values import LABEL, Event, Float64, Report, SampleSpec

_CALL, _HELD = 1_000, 50  # samples a call; of so many records, one is held out


@dataclass(frozen=True)
class Outcome:
    """The error of each prediction, made before the update on its sample, and what happened."""

    errors: Float64
    events: Sequence[Event]

    def of_kind(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]

    @property
    def done(self) -> list[str]:
        """The actions that were carried out, in order."""
        told = [event.data["actions"] for event in self.of_kind("reaction")]
        return [name for actions in told for name, outcome in actions.items() if outcome == "done"]

    def holdout(self, metric: str) -> list[float]:
        """The score of the held-out samples, each time that it was published."""
        told = [event.data for event in self.of_kind("score")]
        return [data["metrics"][metric] for data in told if data["set"] == "holdout"]


def trained(
    learner: Contender,
    spec: SampleSpec,
    x: Any,
    y: Any,
    rules: Sequence[Reaction] = DEFAULT_REACTIONS,
    watches: Sequence[DriftWatch] = DEFAULT_WATCHES,
    *,
    holdout: bool = False,
) -> Outcome:
    """Train features (m, columns) and labels (m, O), one sample an update. Raises DataError as the daemon would."""
    settings = ValidateSettings(holdout=HoldoutSettings() if holdout else None)
    evaluation = Evaluation(settings, spec)
    watching, progress, wrong, events = Watching(rules, Drift(watches, spec), spec, ""), Progress(), [], []
    reactions = Reactions(rules, (), Contest(learner, spec), watching, ControlState(), progress, SaveRequest())
    at_once = reactions.act_at_once if reactions.ever_at_once else None
    trainer = Trainer(learner, watching, at_once)
    held = np.arange(len(x)) % _HELD == _HELD // 2 if holdout else np.zeros(len(x), np.bool_)
    aside, x, y = samples(x[held], y[held]), x[~held], y[~held]
    for number, start in enumerate(range(0, len(x), _CALL)):
        labels = y[start : start + _CALL]
        apart = aside[number * _CALL // (_HELD - 1) : (number + 1) * _CALL // (_HELD - 1)]
        call = made_call(x[start : start + _CALL, None], labels[:, None], held=apart, first=start)
        reactions.begin(call)
        reports = []
        for part in trainer.parts(call):
            reports.append(part.report)
            reactions.react(part)
        report = Report.joined(reports)
        progress.add(call, report)
        events += reactions.finish(call, evaluation.update(call, report, learner)[0])[0]
        reactions.check()
        wrong.append(errors(spec.task, report.outputs[LABEL][:, 0], labels))
    return Outcome(np.concatenate(wrong), events)
