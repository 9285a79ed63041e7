"""What the anchor set tells of forgetting."""

from typing import Any

import numpy as np
import pytest
from calls import made_call, made_report, samples

from learnd.daemon.evaluation.evaluation import Evaluation
from learnd.daemon.evaluation.settings import ValidateSettings
from learnd.daemon.training.scripted import ScriptedLearner
from learnd.daemon.values import FEATURES, LABEL, Arrays, Column, ColumnKind, Event, Samples, SampleSpec, Task

SPEC = SampleSpec.of_columns([Column("a", ColumnKind.NUMBER)], Task("binary", 1, 1))
X = np.linspace(0, 1, 10, dtype=np.float32)[:, None]
ANCHOR = samples(X, X > 0.5)


class Forgetful(ScriptedLearner):
    """Gets the first `wrong` of the ten anchor samples wrong."""

    wrong = 0

    def predict(self, inputs: Arrays) -> Arrays:
        right = (inputs[FEATURES] > 0.5).astype(np.float32)
        mistaken = np.isin(inputs[FEATURES], X[: self.wrong])
        return {LABEL: np.where(mistaken, 1 - right, right)}


def evaluation(anchor: Samples = ANCHOR) -> Evaluation:
    settings = ValidateSettings.model_validate({"anchor": {"file": "anchor.jsonl", "every": 2}})
    return Evaluation(settings, SPEC, anchor)


def scored(under_test: Evaluation, wrong: int) -> Event:
    """Train two samples, after which the model gets `wrong` of the ten anchor samples wrong."""
    learner = Forgetful(SPEC)
    learner.wrong = wrong
    nothing: Any = np.zeros((2, 1, 1))
    events, _ = under_test.update(made_call(nothing, nothing), made_report(nothing), learner)
    (event,) = [event for event in events if event.data["set"] == "anchor"]
    return event


def test_it_is_the_distance_to_the_best_anchor_score_so_far() -> None:
    one = evaluation()
    assert scored(one, wrong=4).data["forgetting"] == 0
    assert scored(one, wrong=1).data["forgetting"] == 0
    assert scored(one, wrong=3).data["forgetting"] == pytest.approx(0.2)


def test_a_resume_remembers_the_best() -> None:
    one, resumed = evaluation(), evaluation()
    scored(one, wrong=0)
    resumed.restore(one.state())
    assert scored(resumed, wrong=5).data["forgetting"] == pytest.approx(0.5)


def test_other_anchor_samples_have_no_best_yet() -> None:
    one, resumed = evaluation(), evaluation(ANCHOR[2:])
    scored(one, wrong=0)
    resumed.restore(one.state())
    assert scored(resumed, wrong=5).data["forgetting"] == 0
