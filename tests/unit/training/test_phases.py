"""Phases: what trains, from which sample on, at which rates, however calls are cut and wherever it is restored."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learners import MIXED, NUMBERS, X, bits, call, learner
from pydantic import TypeAdapter, ValidationError

from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import ModelError, SettingsError, StateMismatchError
from learnd.daemon.training.layer_choice import problems_with_phases
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.phases import Phases
from learnd.daemon.training.runtime import keras
from learnd.daemon.training.settings import ModelSettings, PhaseSettings, PhasesSettings
from learnd.daemon.values import Skip

MODELS = """
import keras
import tensorflow as tf
from learnd.daemon.training.layers import RunningStandardization

def base():
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(6, activation="relu", name="low")(inputs)
    hidden = keras.layers.BatchNormalization(name="norm")(hidden)
    hidden = keras.layers.Dropout(0.2)(hidden)
    return keras.Model(inputs, keras.layers.Dense(5, activation="relu", name="high")(hidden), name="base")

def build():
    inputs = keras.Input((4,))
    hidden = base()(RunningStandardization(name="standardize")(inputs))
    return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="head")(hidden))

def frozen():
    model = build()
    model.get_layer("base").trainable = False
    return model

class Odd(keras.layers.Dense):
    # XLA compiles it while it is frozen only.
    def call(self, x):
        if self.trainable:
            x = x + tf.stop_gradient(tf.strings.to_number(tf.strings.as_string(x))) * 0
        return super().call(x)

def uncompilable():
    last = keras.layers.Dense(1, activation="sigmoid", name="last")
    return keras.Sequential([keras.Input((4,)), Odd(3, name="odd"), last])
"""
THREE: list[dict[str, Any]] = [
    {"unfreeze": "head", "until": {"samples": 30}},
    {"unfreeze": 2, "until": {"samples": 25}, "groups": [{"layers": "base/*", "times": 0.1}], "warm_up": 12},
    {"unfreeze": "*", "learning_rate": 0.003, "batch_normalization": "training"},
]
BUILT = {"build": "phase_models:build"}


@pytest.fixture(autouse=True)
def phase_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "phase_models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "phase_models", raising=False)


def built(phases: list[dict[str, Any]], build: str = "build", **train: Any) -> KerasLearner:
    train = {"optimizer": {"adam": {"learning_rate": 0.01}}, "xla": False, **train}
    return learner(NUMBERS, {"build": f"phase_models:{build}"}, phases=phases, **train)


def weights(one: KerasLearner, part: str = "model") -> dict[str, Any]:
    return {name.partition("/")[2][5:]: value for name, value in one.state().arrays.items() if name.startswith(part)}


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name.rpartition("/")[0] or name for name in before if not np.array_equal(before[name], after[name])}


def test_each_phase_trains_its_layers_and_no_others() -> None:
    one, seen = built(THREE, batch_size=5), []
    for start, updates in ((0, 6), (30, 5), (55, 4)):
        before, parameters = weights(one), one.trainable_parameters
        one.update(call(start, updates, 5, 4))
        seen.append((changed(before, weights(one)) - {"standardize"}, parameters))
    assert [layers - {"base/norm/moving"} for layers, _ in seen] == [
        {"head", *_seed(seen[0][0])},
        {"head", "high", *_seed(seen[1][0])},
        {"head", "high", "low", "norm", *_seed(seen[2][0])},
    ]
    assert [parameters for _, parameters in seen] == [6, 6 + 35, 6 + 35 + 30 + 12]


def _seed(layers: set[str]) -> set[str]:
    return {layer for layer in layers if "seed" in layer}


def test_moments_of_layers_that_trained_before_are_kept() -> None:
    one = built([THREE[0], {"unfreeze": "high"}])
    one.update(call(0, 30, 1, 4))
    before = weights(one, "optimizer")
    one.update(call(30, 10, 1, 4))
    after = weights(one, "optimizer")
    head = [name for name in before if "head" in name]
    assert len(head) == 4
    for name in head:
        np.testing.assert_array_equal(after[name], before[name])
    assert any("high" in name for name in changed(before, after) | {n for n in before if (before[n] != after[n]).any()})


@pytest.mark.parametrize("train", [{"xla": True}, {"xla": False}, {"step": "train_on_batch"}])
def test_phases_begin_at_their_sample_however_calls_are_cut_and_restored(train: dict[str, Any]) -> None:
    results, events = set(), []
    for cuts, restores in (([26], False), ([4, 10, 12], True)):
        one, done, begun = built(THREE, batch_size=3, **train), 0, []
        for updates in cuts:
            begun += one.update(call(3 * done, updates, 3, 4)).phases
            done += updates
            if restores:
                other = built(THREE, batch_size=3, **train)
                other.restore(one.state())
                one = other
        one.update(call(3 * done, 1, 2, 4, partial=True))
        results.add(bits(one))
        events.append([phase.event for phase in begun])
    assert len(results) == 1
    assert events[0] == events[1]
    assert [(event.samples, event.data["number"], event.data["cause"]) for event in events[0]] == [
        (30, 1, "samples"),
        (57, 2, "samples"),
    ]


def test_a_partial_batch_may_end_a_phase() -> None:
    one = built([{"unfreeze": "head", "until": {"samples": 8}}, {}], batch_size=5)
    one.update(call(0, 1, 5, 4))
    assert one.phase == 0
    one.update(call(5, 1, 3, 4, partial=True))
    assert one.phase == 1


def test_an_end_that_the_settings_have_brought_forward_is_now() -> None:
    late, soon = ([{"unfreeze": "head", "until": {"samples": samples}}, {}] for samples in (50, 10))
    one = built(late)
    one.update(call(0, 20, 1, 4))
    other = built(soon)
    other.restore(one.state())
    before = other.state()
    other.update(call(20, 7, 1, 4))
    other.undo()
    assert other.state() == before, "the guard, which the phase has reset, too"
    report = other.update(call(20, 7, 1, 4))
    assert (other.phase, len(report.loss)) == (1, 7)
    assert [phase.samples for phase in report.phases] == [20]


def test_a_phase_without_an_update_counts_for_how_those_behind_it_run() -> None:
    phases = [
        {"unfreeze": "last", "until": {"samples": 10}},
        {"unfreeze": "odd", "until": "command"},
        {"unfreeze": "last"},
    ]
    looked_at, passed = (built(phases, "uncompilable", xla=None) for _ in range(2))
    for one in (looked_at, passed):
        one.update(call(0, 10, 1, 4))
    looked_at.state()
    for one in (looked_at, passed):
        assert one.next_phase("command", 10)
        one.update(call(10, 5, 1, 4))
    assert bits(looked_at) == bits(passed)


def test_a_model_that_goes_on_in_graph_mode_does_so_in_each_phase() -> None:
    phases = [{"unfreeze": "head", "until": {"samples": 10}}, {}]
    one = built(phases)
    other = built(phases, xla=None)
    other.restore(one.state())
    for each in (one, other):
        each.update(call(0, 25, 1, 4))
    assert one.phase == other.phase == 1
    assert bits(one) == bits(other)


def test_graph_mode_lasts_however_often_it_is_resumed() -> None:
    phases = [{"unfreeze": "odd", "until": {"samples": 10}}, {"unfreeze": "last"}]
    one, other = built(phases, "uncompilable", xla=None), built(phases, "uncompilable", xla=None)
    one.update(call(0, 25, 1, 4))
    other.update(call(0, 9, 1, 4))
    resumed = built(phases, "uncompilable", xla=None)
    resumed.restore(other.state())
    resumed.update(call(9, 16, 1, 4))
    assert one.state().facts["mode"] == resumed.state().facts["mode"] == "graph mode"
    assert bits(one) == bits(resumed)


def test_it_goes_on_when_it_is_asked_to() -> None:
    one = built([{"unfreeze": "head", "until": "plateau"}, {"unfreeze": 2, "until": "command"}, {}])
    ends, begun = [], []
    for _ in range(3):
        ends.append(one.phase_ends_on)
        one.update(call(0, 5, 1, 4))
        begun.append(one.next_phase("command", 5))
    assert ends == ["plateau", "command", None]
    assert [phase and (phase.samples, phase.ends_on, phase.data["cause"]) for phase in begun] == [
        (5, "command", "command"),
        (5, None, "command"),
        None,
    ]
    assert one.next_phase("command", 5) is None


@pytest.mark.parametrize("step", ["fused", "train_on_batch"])
def test_a_group_takes_steps_of_its_own_size(step: str) -> None:
    sgd = {"sgd": {"learning_rate": 0.1, "momentum": 0.9}}
    groups = [{"layers": "*", "times": 0.5}, {"layers": ["low", {"type": "BatchNormalization"}], "times": 0.01}]
    plain, grouped = built([{}], optimizer=sgd, step=step), built([{"groups": groups}], optimizer=sgd, step=step)
    before = weights(plain)
    for one in (plain, grouped):
        one.update(call(0, 1, 1, 4))
    for name in before:
        times = 0.01 if "low" in name else 0.5 if "kernel" in name or "bias" in name else 1
        step_of_plain, step_of_group = (weights(one)[name] - before[name] for one in (plain, grouped))
        np.testing.assert_allclose(step_of_group, times * step_of_plain, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(("mode", "moves"), [("inference", False), ("training", True)])
def test_batch_normalization_stays_as_it_is_unless_told_otherwise(mode: str, moves: bool) -> None:
    one = built([{"unfreeze": "*", "batch_normalization": mode}], batch_size=4)
    before = weights(one)
    one.update(call(0, 5, 4, 4))
    after = weights(one)
    moved = [name for name in before if "norm/" in name and not np.array_equal(before[name], after[name])]
    assert len(moved) == (4 if moves else 0)


def test_layers_that_were_built_frozen_train_if_a_phase_says_so() -> None:
    as_built = built([{}], "frozen")
    assert as_built.trainable_parameters == 6
    one = built([{"until": {"samples": 5}}, {"unfreeze": "base/*"}], "frozen")
    before = weights(one)
    one.update(call(0, 5, 1, 4))
    assert one.trainable_parameters == 30 + 35
    one.update(call(5, 5, 1, 4))
    assert {"low", "high"} <= changed(before, weights(one))


def test_freeze_leaves_the_others_as_they_were_built() -> None:
    one = built([{"freeze": ["low", {"type": "RunningStandardization"}]}])
    before = weights(one)
    one.update(call(0, 5, 1, 4))
    assert not {"low", "standardize"} & changed(before, weights(one))
    assert one.trainable_parameters == 6 + 35


@pytest.mark.parametrize(
    ("phase", "told"),
    [
        (
            {"unfreeze": "hed"},
            r"phases\.0\.unfreeze: no layer is called 'hed' \(did you mean head\?\).*base/low \(Dense",
        ),
        ({"unfreeze": {"type": "Conv2D"}}, "no layer has the type 'Conv2D'"),
        ({"unfreeze": 4}, "layers can train, not 4"),
        ({"freeze": "*"}, "no layer trains"),
        ({"unfreeze": "norm"}, "no layer trains"),
        ({"groups": [{"layers": "heads", "times": 2}]}, r"groups\.0\.layers"),
    ],
)
def test_what_cannot_train_is_said_before_anything_trains(phase: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        built([phase])


def test_a_schedule_that_keras_does_not_know_is_told() -> None:
    with pytest.raises(SettingsError, match=r"phases\.0\.learning_rate.*did you mean exponential_decay"):
        built([{"learning_rate": {"exponential_decai": {}}}])


def test_a_phase_may_have_a_schedule() -> None:
    decay = {"exponential_decay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}}
    one = built([{"learning_rate": 0.5, "until": {"samples": 7}}, {"learning_rate": decay, "warm_up": 0}])
    one.update(call(0, 27, 1, 4))
    assert one.learning_rate == pytest.approx(0.025)


def test_a_stray_in_a_phase_leaves_the_frozen_and_the_others_as_they_were() -> None:
    one = built(THREE)
    one.update(call(0, 32, 1, 4))
    before = bits(one)
    x = X.copy()
    x[32] = np.nan
    assert one.update(call(32, 1, 1, 4, x=x)).skipped.tolist() == [Skip.NON_FINITE]
    assert bits(one) != before  # the sample counts
    one._rate.samples -= 1
    one._rate._updates -= 1
    one._set_learning_rate()
    assert bits(one) == before  # and nothing else does


def test_a_checkpoint_of_a_phase_that_is_gone_is_refused() -> None:
    one = built(THREE)
    one.update(call(0, 32, 1, 4))
    with pytest.raises(StateMismatchError, match="in phase 1, counted from 0, but the settings end with phase 0"):
        built([{"unfreeze": "*", "batch_normalization": "training"}]).restore(one.state())


@pytest.mark.parametrize("preset", ["mlp", "linear", "auto"])
def test_the_layers_of_a_preset_are_known_without_building_it(preset: str) -> None:
    settings = ModelSettings(preset=preset, **({} if preset == "auto" else {"hidden": [4, 3], "dropout": 0.1}))
    (told,) = problems_with_phases([PhaseSettings(unfreeze="nothing")], settings, MIXED)
    with pytest.raises(ModelError) as caught:
        Phases([PhaseSettings(unfreeze="nothing")], learner(model=settings.model_dump(exclude_unset=True)).model)
    assert _layers(told) == _layers(str(caught.value).replace(". Nothing was trained.", ""))


def _layers(told: str) -> set[str]:
    return set(told.partition("the layers with weights are ")[2].split(", "))


@pytest.mark.parametrize(
    ("phases", "told"),
    [
        ([{}, {}], "0: it has no `until`"),
        ([{"until": "drift"}, {"until": "drift"}], r"1\.until: the last phase has no end"),
        ([{"until": "later"}], "plateau"),
        ([{"unfreeze": 0}], r"a number of layers from the end \(1 or more\).*, not 0"),
        ([{"unfreeze": True}], "a number of layers from the end .*, not True"),
        ([{"unfreeze": ["output", -1]}], "a number of layers from the end .*, not -1"),
        ([{"freeze": []}], r"or a list of these, not \[\]"),
        ([{"freeze": ""}], "must be a name or pattern"),
        ([{"unfreeze": {"typ": "Dense"}}], "type"),
        ([{"warm_up": -1}], "greater than or equal to 0"),
        ([{"groups": [{"layers": 1, "times": 0}]}], "greater than 0"),
    ],
)
def test_phases_that_make_no_sense_are_refused(phases: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TypeAdapter(PhasesSettings).validate_python(phases)


def test_a_saved_model_with_frozen_layers_is_a_start(tmp_path: Path) -> None:
    made = built([{}], "frozen")
    made.export(tmp_path / "base.keras")
    keras.utils.clear_session()
    phases = [{"unfreeze": "head", "until": {"samples": 5}}, {"unfreeze": "*"}]
    one = learner(NUMBERS, {"load": "base.keras"}, phases=phases, optimizer="adam", xla=False)
    one.update(call(0, 10, 1, 4))
    assert one.trainable_parameters == 6 + 35 + 30


def test_the_settings_as_a_whole_know_the_layers_of_a_preset() -> None:
    whole = {
        "source": {"files": {"path": "stream.jsonl"}},
        "samples": {"features": {"a": "float", "kind": {"hash": 10}}, "label": "y"},
    }
    for good in ("hidden_*", "category_1_kind", 3, {"type": "Embedding"}):
        Settings.model_validate({**whole, "phases": [{"unfreeze": good}]})
    with pytest.raises(
        ValidationError, match=r"phases\.1\.freeze: no layer is called 'hiden_0' \(did you mean hidden_0"
    ):
        Settings.model_validate({**whole, "phases": [{"until": {"samples": 5}}, {"freeze": "hiden_0"}]})
    Settings.model_validate({**whole, "model": {"load": "base.keras"}, "phases": [{"unfreeze": "whatever"}]})


@pytest.mark.parametrize(
    ("phase", "told"),
    [
        ({"freeze": "*"}, "phases.1: no layer trains in it"),
        ({"unfreeze": "standardize"}, "phases.1: no layer trains in it"),
        ({"unfreeze": "hidden_0", "freeze": "hidden_*"}, "phases.1: no layer trains in it"),
        ({"unfreeze": "output", "groups": [{"layers": "*", "times": 2}, {"layers": 1, "times": 3}]}, None),
        (
            {"unfreeze": "output", "groups": [{"layers": 1, "times": 2}, {"layers": "hidden_*", "times": 3}]},
            "phases.1.groups.1.layers: none of its layers trains",
        ),
        (
            {"freeze": "output", "groups": [{"layers": "output", "times": 2}]},
            "phases.1.groups.0.layers: none of its layers trains",
        ),
    ],
)
def test_a_phase_of_a_preset_trains_what_it_names(phase: dict[str, Any], told: str | None) -> None:
    phases = [PhaseSettings(until="command"), PhaseSettings.model_validate(phase)]
    found = problems_with_phases(phases, ModelSettings(hidden=[4, 3]), MIXED)
    assert [problem.startswith(told or "") for problem in found] == ([] if told is None else [True])
    try:
        Phases(phases, learner(model={"hidden": [4, 3]}).model)
        idle = False
    except ModelError:
        idle = True
    assert idle == ("no layer trains" in str(found))
