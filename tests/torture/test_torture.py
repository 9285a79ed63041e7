"""Two hundred kills: `make torture`. LEARND_TORTURE_SEED repeats a run, LEARND_TORTURE_KILLS makes it longer."""

import os
import random
import secrets
from pathlib import Path

import pytest
from processes import KILLED, Zygote, kill_after, succeeded
from scenarios import FAILPOINTS, SCENARIOS, assert_same, passing

SEED = int(os.environ.get("LEARND_TORTURE_SEED") or secrets.randbits(32))
KILLS = int(os.environ.get("LEARND_TORTURE_KILLS") or 200)
_KILLS_A_RUN = 10


@pytest.fixture(scope="module", params=SCENARIOS)
def whole(request: pytest.FixtureRequest, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The name of a scenario, and the state directory of its uninterrupted run."""
    folder = SCENARIOS[request.param].prepare(tmp_path_factory.mktemp("whole") / "run")
    succeeded(zygote.run(folder, "run", "learnd.yaml"))
    return request.param, folder / "state"


@pytest.mark.parametrize("number", range(max(1, KILLS // (_KILLS_A_RUN * len(SCENARIOS)))))
def test_killed_again_and_again(whole: tuple[str, Path], zygote: Zygote, tmp_path: Path, number: int) -> None:
    name, expected = whole
    print(f"repeat with LEARND_TORTURE_SEED={SEED}")
    rng = random.Random(f"{SEED} {name} {number}")
    folder = SCENARIOS[name].prepare(tmp_path / "run")
    kills = 0
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
        if result.code != KILLED:  # the stream had ended: from the start again
            succeeded(result)
            assert_same(folder / "state", expected)
            folder = SCENARIOS[name].prepare(tmp_path / f"run-{kills}")
        kills += 1
    succeeded(zygote.run(folder, "run", "learnd.yaml"))
    assert_same(folder / "state", expected)
