"""Killed anywhere, with every kind of drift detection and reaction on, the model comes out the same to the last bit."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from processes import Zygote, history, kill_after, killed, refused, succeeded, summary
from reacting import RECORDS, prepare
from scenarios import assert_same, passing, seen

from learnd.daemon.verbs.checkpoints import newest_manifest

KINDS = ("score", "drift", "reaction", "reaction.outcome", "rollback", "score.plateau", "score.drop", "contest")
FAILPOINTS = ["loop.updated", "loop.call.after", "checkpoint.write", "history.write", "checkpoint.after"]
SCENARIOS = {"one sample an update": ("fragile", 1, True), "three, with dropout": ("fragile_with_dropout", 3, False)}


@pytest.fixture(scope="module", params=SCENARIOS)
def whole(request: pytest.FixtureRequest, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A scenario, and the state directory of its uninterrupted run."""
    scenario = SCENARIOS[request.param]
    folder = made(tmp_path_factory.mktemp("whole") / "run", scenario)
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    return scenario, folder / "state"


def made(folder: Path, scenario: tuple[str, int, bool]) -> Path:
    model, batch, xla = scenario
    return prepare(folder, model, batch, xla=xla)


def test_everything_comes_to_pass(whole: tuple[Any, Path]) -> None:
    scenario, state = whole
    levels = {(drift["signal"], drift["level"]) for drift in history(state, "drift")}
    assert {("error", "confirmed"), ("features", "confirmed")} <= levels
    actions = {action for reaction in history(state, "reaction") for action in reaction["actions"]}
    assert {"learning_rate", "reset_moments", "refit_standardization", "checkpoint", "roll_back", "trial"} <= actions
    outcomes = {(one["challenger"], one["outcome"]) for one in history(state, "contest")}
    assert ("slow", "lost") in outcomes
    assert scenario[1] == 1 or {("quick", "promoted"), ("trial", "called off")} <= outcomes
    told = summary(state)
    rejected = sum(told["samples_rejected"].values())
    skipped = told["updates_skipped"] * (1 if told["updates"] > RECORDS / 2 else 3)
    assert told["samples_trained"] + told["samples_held_out"] + rejected + skipped == pytest.approx(RECORDS, abs=3)
    assert told["samples_rejected"]["rolled_back"] > 0
    taken_back = newest_manifest(state)["taken_back"]
    assert [list(span[1:]) for back in history(state, "rollback") for span in back["spans"]] == taken_back["file-0"]
    counted = seen(state)
    assert counted.max() == 1
    assert int(counted.sum()) == told["samples_trained"]


def test_killed_at_failpoints(whole: tuple[Any, Path], zygote: Zygote, tmp_path: Path) -> None:
    scenario, expected = whole
    folder = made(tmp_path / "run", scenario)
    rng = random.Random(3)
    for failpoint in FAILPOINTS:
        killed(zygote.run(folder, "run", "learnd.yaml", failpoints=f"{failpoint}=kill@{passing(rng, failpoint)}"))
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    assert_same(folder / "state", expected, KINDS)


def test_killed_at_random_instants(whole: tuple[Any, Path], zygote: Zygote, tmp_path: Path) -> None:
    scenario, expected = whole
    folder = made(tmp_path / "run", scenario)
    rng = random.Random(5)
    for _ in range(3):
        kill_after(zygote.start(folder, "run", "learnd.yaml"), folder / "state", rng.uniform(0, 0.25))
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    assert_same(folder / "state", expected, KINDS)


@pytest.mark.parametrize("updates", [pytest.param(1, marks=pytest.mark.slow), 7, 4096])
def test_how_many_updates_make_a_call_changes_nothing(
    whole: tuple[Any, Path], zygote: Zygote, tmp_path: Path, updates: int
) -> None:
    scenario, expected = whole
    folder = made(tmp_path / "run", scenario)
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json", "--set", f"train.max_updates_per_call={updates}"))
    assert_same(folder / "state", expected, KINDS)


def test_what_a_reaction_asked_for_is_pinned(whole: tuple[Any, Path]) -> None:
    _, state = whole
    assert list((state / "checkpoints").glob("[0-9]*/pinned"))


def test_a_pause_by_a_rule_outlives_a_kill_and_ends_with_resume(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", "fragile", 1, xla=True)
    rules = '[{"on": "drift.confirmed", "signal": "error", "do": ["pause"]}]'
    state = folder / "state"
    first = zygote.start(folder, "run", "learnd.yaml", "--set", f"reactions={rules}")
    first.wait_for(lambda: "learnd ctl DIR resume" in first.stderr, "to pause")
    first.kill()
    second = zygote.start(folder, "run", "learnd.yaml", "--json", "--set", f"reactions={rules}")
    second.wait_for(lambda: "consuming" in second.stderr, "to consume")
    second.wait_until_running()
    succeeded(zygote.run(folder, "ctl", "state", "resume"))
    result = succeeded(second.wait())
    assert json.loads(result.stdout)["samples_trained"] > RECORDS * 0.8
    assert len(history(state, "reaction")) >= 1


def test_a_model_that_would_go_back_too_often_stops_and_the_next_start_goes_on(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", "fragile", 1, xla=True)
    rule = {"on": "update.non_finite", "after": 3, "do": [{"roll_back": {"every": 400, "most": 0}}]}
    every = "checkpoint.every.samples=100000"  # at the beginning and the end alone: no disk is too slow for that
    arguments = ("run", "learnd.yaml", "--json", "--set", f"reactions={json.dumps([rule])}", "--set", every)
    assert "as often as roll_back.most allows" in refused(zygote.run(folder, *arguments), 65)
    stopped_at = summary(folder / "state")["samples_trained"]
    told = history(folder / "state", "checkpoint")
    folder = prepare(tmp_path / "killed", "fragile", 1, xla=True)
    failpoint = f"checkpoint.rename.before=kill@{len(told)}"  # of the last one, that alone may hold the last call
    killed(zygote.run(folder, *arguments, failpoints=failpoint))
    refused(zygote.run(folder, *arguments), 65)
    assert history(folder / "state", "checkpoint")[-1]["digest"] == told[-1]["digest"]
    succeeded(zygote.run(folder, *arguments))
    assert summary(folder / "state")["samples_trained"] > stopped_at


def test_phases_end_on_a_drift_and_on_a_plateau_at_the_same_sample_however_it_is_killed(
    zygote: Zygote, tmp_path: Path
) -> None:
    phases = [
        {"unfreeze": 1, "until": {"samples": 301}, "warm_up": 0},
        {"unfreeze": 1, "until": "drift"},
        {"unfreeze": "*", "until": {"samples": 500}, "warm_up": 100},
        {"unfreeze": 1, "until": "plateau"},
        {"unfreeze": "*"},
    ]
    plateau = '[{"on": "score.plateau", "window": 100, "after": 1, "do": ["log"]}]'

    def run(name: str, updates: int, *passings: int) -> Path:
        folder = prepare(tmp_path / name, "fragile", 1, xla=False)
        text = (folder / "learnd.yaml").read_text()
        (folder / "learnd.yaml").write_text(f"{text}phases: {json.dumps(phases)}\n")
        arguments = ["--set", f"reactions={plateau}", "--set", f"train.max_updates_per_call={updates}"]
        for number in passings:
            killed(zygote.run(folder, "run", "learnd.yaml", *arguments, failpoints=f"loop.updated=kill@{number}"))
        succeeded(zygote.run(folder, "run", "learnd.yaml", "--json", *arguments))
        return folder / "state"

    whole, others = run("whole", 64), [run("single", 1), run("killed", 50, 7, 30)]
    begun = history(whole, "phase")
    causes = [(phase["number"], phase["cause"]) for phase in begun]
    assert causes[:3] == [(1, "samples"), (2, "drift.confirmed of error"), (3, "samples")]
    drift = next(line for line in history(whole, "drift") if (line["signal"], line["level"]) == ("error", "confirmed"))
    assert [begun[0]["samples"], begun[1]["samples"]] == [301, drift["samples"]]
    for other in others:
        assert summary(other) == summary(whole)
        for kind in (*KINDS, "phase"):
            assert history(other, kind) == history(whole, kind), kind
