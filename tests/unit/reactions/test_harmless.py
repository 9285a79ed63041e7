"""The usual rules on a real model: they do no harm where nothing changes, and help where something does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from engine import trained
from steady_streams import STREAMS, every_second, spec_of

from learnd.daemon.reactions.settings import DEFAULT_REACTIONS, NamedAction, Reaction
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.settings import ModelSettings, TrainSettings
from learnd.daemon.values import State

_SAMPLES = 20_000  # the features of half of them are the reference
_REFITTING = [rule for rule in DEFAULT_REACTIONS if "refit_standardization" in rule.actions]


@pytest.fixture(scope="module")
def fresh() -> Callable[[str], KerasLearner]:
    """Return what gives a learner of a task at its beginning. Each is compiled once."""
    made: dict[str, tuple[KerasLearner, State]] = {}

    def learner(task: str) -> KerasLearner:
        if task not in made:
            one = KerasLearner(ModelSettings(task=task), TrainSettings(max_updates_per_call=1000), spec_of(task))
            made[task] = one, one.state()
        one, beginning = made[task]
        one.restore(beginning)
        return one

    return learner


@pytest.mark.parametrize("name", STREAMS)
def test_on_a_stream_that_stays_nothing_is_rolled_back_or_refitted_and_no_error_grows(name: str, fresh: Any) -> None:
    stream = STREAMS[name](3, _SAMPLES)
    spec = spec_of(stream.task)
    usual = trained(fresh(stream.task), spec, stream.x, stream.y, holdout=True)
    bare = trained(fresh(stream.task), spec, stream.x, stream.y, (), (), holdout=True)
    assert usual.of_kind("rollback") == []
    assert "refit_standardization" not in usual.done
    assert np.nanmean(usual.errors) <= 1.01 * np.nanmean(bare.errors)  # 1.005 over many more samples: see the bench


def test_columns_of_another_unit_are_refitted_at_once_and_the_model_goes_on(fresh: Any) -> None:
    stream = every_second(1, _SAMPLES)
    x, y = stream.x.copy(), (stream.x[:, 4:5] > stream.x[:, 5:6]).astype(np.float32)
    x[14_000:, 4:] = x[14_000:, 4:] * [50, 0.02, 30] + [300, -5, 1000]
    spec = spec_of("binary")
    usual = trained(fresh("binary"), spec, x, y, _REFITTING)
    bare = trained(fresh("binary"), spec, x, y, (), ())
    assert usual.done == ["refit_standardization"]
    assert usual.errors[17_000:].mean() < 0.5 * bare.errors[17_000:].mean()


def test_a_rule_for_every_warning_refits_nothing_where_it_would_not_help(fresh: Any) -> None:
    """A held-out score falls for nothing if the statistics of a season replace those of all seasons."""
    stream = STREAMS["season"](3, _SAMPLES)
    spec = spec_of(stream.task)
    refit = NamedAction.model_validate("refit_standardization")
    often = [Reaction(on=on, do=(refit,), cooldown=0) for on in ("drift.warning", "drift.confirmed")]
    usual = trained(fresh(stream.task), spec, stream.x, stream.y, often, holdout=True)
    bare = trained(fresh(stream.task), spec, stream.x, stream.y, (), (), holdout=True)
    asked = [
        event for event in usual.of_kind("reaction") if event.data["actions"] == {"refit_standardization": "nothing"}
    ]
    assert asked
    assert usual.done == []
    assert usual.holdout("log_loss") == bare.holdout("log_loss")
