"""What the anchor set tells of forgetting."""

import numpy as np
import pytest

from learnd.daemon.evaluation.evaluation import Evaluation
from learnd.daemon.evaluation.settings import ValidateSettings
from learnd.daemon.values import Call, Column, ColumnKind, Event, Float32, Report, SampleSpec, Task

SPEC = SampleSpec((Column("a", ColumnKind.NUMBER),), Task("binary", 1, 1))
ANCHOR = np.linspace(0, 1, 10, dtype=np.float32)[:, None]
LABELS = (ANCHOR > 0.5).astype(np.float32)


def evaluation() -> Evaluation:
    settings = ValidateSettings.model_validate({"anchor": {"file": "anchor.jsonl", "every": 2}})
    return Evaluation(settings, SPEC, (ANCHOR, LABELS, np.ones(10, np.float32)))


def scored(under_test: Evaluation, wrong: int) -> Event:
    """Train two samples, after which the model gets `wrong` of the ten anchor samples wrong."""

    def predict(x: Float32) -> Float32:
        right = (x > 0.5).astype(np.float32)
        mistaken = np.isin(x, ANCHOR[:wrong])
        return np.where(mistaken, 1 - right, right)

    x, y = np.zeros((2, 1, 1), np.float32), np.zeros((2, 1, 1), np.float32)
    call = Call((), x, y, np.ones((2, 1), np.float32), False, x[:0, 0], y[:0, 0], 2)
    report = Report(x, x[:, 0, 0], x[:, 0, 0], np.zeros(2, np.uint8))
    (event,) = [event for event in under_test.update(call, report, predict) if event.data["set"] == "anchor"]
    return event


def test_it_is_the_distance_to_the_best_anchor_score_so_far() -> None:
    one = evaluation()
    assert scored(one, wrong=4).data["forgetting"] == 0
    assert scored(one, wrong=1).data["forgetting"] == 0
    assert scored(one, wrong=3).data["forgetting"] == pytest.approx(0.2)


def test_a_resume_remembers_the_best() -> None:
    one, resumed = evaluation(), evaluation()
    scored(one, wrong=0)
    resumed.restore(*one.state())
    assert scored(resumed, wrong=5).data["forgetting"] == pytest.approx(0.5)
