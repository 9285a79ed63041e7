"""Two hundred kills: `make torture`. LEARND_TORTURE_SEED repeats a run, LEARND_TORTURE_KILLS makes it longer."""

import os
import random
import secrets
from pathlib import Path

import phased
import pytest
import reacting
from processes import KILLED, Zygote, history, kill_after, succeeded
from scenarios import FAILPOINTS, SCENARIOS, assert_same, passing

SEED = int(os.environ.get("LEARND_TORTURE_SEED") or secrets.randbits(32))
KILLS = int(os.environ.get("LEARND_TORTURE_KILLS") or 200)
_KILLS_A_RUN = 10
_PREPARE = {name: scenario.prepare for name, scenario in SCENARIOS.items()} | {
    "every kind of drift and reaction": lambda folder: reacting.prepare(folder, "fragile_with_dropout", 3, xla=False),
    "three phases, and strays": phased.prepare,
    "three phases, contested": lambda folder: phased.prepare(folder, contested=True),
}
_KINDS = ("drift", "reaction", "reaction.outcome", "rollback", "phase", "contest")


@pytest.fixture(scope="module", params=_PREPARE)
def whole(request: pytest.FixtureRequest, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The name of a scenario, and the state directory of its uninterrupted run."""
    folder = _PREPARE[request.param](tmp_path_factory.mktemp("whole") / "run")
    succeeded(zygote.run(folder, "run", "learnd.yaml"))
    return request.param, folder / "state"


@pytest.mark.parametrize("number", range(max(1, KILLS // (_KILLS_A_RUN * len(_PREPARE)))))
def test_killed_again_and_again(whole: tuple[str, Path], zygote: Zygote, tmp_path: Path, number: int) -> None:
    name, expected = whole
    print(f"repeat with LEARND_TORTURE_SEED={SEED}")
    rng = random.Random(f"{SEED} {name} {number}")
    folder = _PREPARE[name](tmp_path / "run")
    kills = runs = 0
    while kills < _KILLS_A_RUN:
        if rng.random() < 0.5:
            failpoint = rng.choice(FAILPOINTS)
            plan = f"{failpoint}=kill@{passing(rng, failpoint)}"
            result = zygote.run(folder, "run", "learnd.yaml", failpoints=plan)
        else:
            seconds = rng.uniform(0, 0.4)
            plan = f"{seconds:.3f} s after the start"
            result = kill_after(zygote.start(folder, "run", "learnd.yaml"), folder / "state", seconds)
        print(f"killed by {plan}: {result.code}")
        if result.code == KILLED:
            kills += 1
            continue
        succeeded(result)  # the stream had ended: from the start again
        assert_came_out_the_same(folder / "state", expected)
        runs += 1
        folder = _PREPARE[name](tmp_path / f"run-{runs}")
    succeeded(zygote.run(folder, "run", "learnd.yaml"))
    assert_came_out_the_same(folder / "state", expected)


def assert_came_out_the_same(state: Path, expected: Path) -> None:
    assert_same(state, expected)
    for kind in _KINDS:
        assert history(state, kind) == history(expected, kind), kind
