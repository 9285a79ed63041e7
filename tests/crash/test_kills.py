"""Killed anywhere, any number of times, the model comes out the same to the last bit."""

import json
import random
from pathlib import Path

import pytest
from processes import Zygote, dead_letters, kill_after, killed, succeeded, summary
from scenarios import FAILPOINTS, OF_CLASSES, RECORDS, SCENARIOS, Scenario, assert_same, passing, predictions, seen
from witness_models import MOST_IDS

ALL = SCENARIOS | OF_CLASSES


@pytest.fixture(scope="module", params=ALL)
def whole(
    request: pytest.FixtureRequest, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Scenario, Path]:
    """A scenario, and the state directory of its uninterrupted run."""
    scenario = ALL[request.param]
    folder = scenario.prepare(tmp_path_factory.mktemp("whole") / "run")
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    return request.param, scenario, folder / "state"


def test_the_uninterrupted_run_trains_each_record_once(whole: tuple[str, Scenario, Path]) -> None:
    *_, state = whole
    counted = seen(state)
    trained = summary(state)["samples_trained"]
    held_out, rejected = summary(state)["samples_held_out"], summary(state)["samples_rejected"]
    assert counted.max() == 1
    assert int(counted.sum()) == trained
    assert trained + held_out + sum(rejected.values()) == RECORDS
    assert sum(rejected.values()) == RECORDS // 50 == len(dead_letters(state))
    lines = [json.loads(line) for line in (predictions(state) or "").splitlines()]
    assert len({line["start"] for line in lines}) == len(lines) == trained
    assert [line["sequence"] for line in lines] == sorted(line["sequence"] for line in lines)
    assert len(counted) == MOST_IDS


def test_killed_at_every_failpoint(whole: tuple[str, Scenario, Path], zygote: Zygote, tmp_path: Path) -> None:
    name, scenario, expected = whole
    folder = scenario.prepare(tmp_path / "run")
    rng = random.Random(3)
    for failpoint in FAILPOINTS[list(ALL).index(name) :: len(ALL)]:
        killed(zygote.run(folder, "run", "learnd.yaml", failpoints=f"{failpoint}=kill@{passing(rng, failpoint)}"))
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    assert_same(folder / "state", expected, ("score", "mixture", "memory"))


def test_killed_at_random_instants(whole: tuple[str, Scenario, Path], zygote: Zygote, tmp_path: Path) -> None:
    _, scenario, expected = whole
    folder = scenario.prepare(tmp_path / "run")
    rng = random.Random(5)
    for _ in range(4):
        kill_after(zygote.start(folder, "run", "learnd.yaml"), folder / "state", rng.uniform(0, 0.25))
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    assert_same(folder / "state", expected)
