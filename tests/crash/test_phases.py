"""Fine-tuned in phases, with strays that the guard keeps out, and killed in each phase: the same to the last bit.

So is a model that is contested, when others come to lead that are in another phase.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import phased
import pytest
from processes import Zygote, history, killed, refused, succeeded, summary
from scenarios import assert_same, seen

KILLS = [  # those by calls first: how many checkpoints there are by then depends on the disk
    "loop.updated=kill@1", "journal.append.after=kill@9", "journal.append.after=kill@29", "loop.call.after=kill@15",
    "loop.updated=kill@45", "journal.append.before=kill@7", "checkpoint.rename.before=kill@1",
    "checkpoint.write=kill@1", "checkpoint.rename.after=kill@1",
]  # fmt: skip


SCENARIOS: Mapping[str, Mapping[str, Any]] = {"contested, in graph mode": {"contested": True}, "XLA": {"xla": True}}
KINDS = ("score", "phase", "contest", "rollback", "reaction")

Run: TypeAlias = tuple[Mapping[str, Any], Path]


@pytest.fixture(scope="module", params=SCENARIOS)
def whole(request: pytest.FixtureRequest, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A scenario, and the state directory of its uninterrupted run."""
    scenario = SCENARIOS[request.param]
    folder = phased.prepare(tmp_path_factory.mktemp("whole") / "run", **scenario)
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    return scenario, folder / "state"


def assert_contested(state: Path) -> None:
    """Assert that others came to lead in phases of their own, and that one of them was taken back for a while."""
    decided = history(state, "contest")
    outcomes = [(line["challenger"], line["outcome"]) for line in decided]
    assert outcomes[:3] == [("trial", "promoted"), ("own", "lost"), ("quick", "promoted")]
    assert outcomes[3:] == [("quick", "taken back"), ("quick", "promoted")]
    (back,) = history(state, "rollback")
    assert back["samples"] - back["samples_taken_back"] < decided[2]["samples"] < back["samples"]
    assert (decided[3]["was"], decided[3]["decided_at"]) == ("promoted", decided[2]["samples"])
    begun = [(line["number"], line["cause"]) for line in history(state, "phase")]
    assert begun[:4] == [(1, "promoted"), (2, "samples"), (1, "promoted"), (2, "rollback")]


def test_strays_are_kept_out_and_each_phase_comes(whole: Run) -> None:
    scenario, state = whole
    told = summary(state)
    assert set(told["updates_skipped_by_reason"]) == {"loss", "non_finite"}
    assert min(told["updates_skipped_by_reason"].values()) > 10
    assert phased.phase_of(state) == 2
    assert seen(state).max() == 1
    if "contested" in scenario:
        assert_contested(state)
    else:
        assert int(seen(state).sum()) == told["samples_trained"]


def test_killed_in_each_phase(whole: Run, zygote: Zygote, tmp_path: Path) -> None:
    scenario, expected = whole
    folder, killed_in = phased.prepare(tmp_path / "run", **scenario), set()
    for failpoint in KILLS[:: 2 if "xla" in scenario else 1]:
        killed(zygote.run(folder, "run", "learnd.yaml", failpoints=failpoint))
        killed_in.add(len(history(folder / "state", "phase")))
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    assert 0 in killed_in
    assert len(killed_in) > 2
    assert_same(folder / "state", expected, KINDS)


def test_the_length_of_calls_is_no_matter(whole: Run, zygote: Zygote, tmp_path: Path) -> None:
    scenario, expected = whole
    for longest in (7,) if "xla" in scenario else (1, 300):  # above 32, calls have two lengths, and XLA takes long
        folder = phased.prepare(tmp_path / f"run-{longest}", longest=longest, **scenario)
        succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
        assert_same(folder / "state", expected, KINDS)


def test_a_command_begins_one_phase_wherever_it_is_killed(zygote: Zygote, tmp_path: Path) -> None:
    folder, twin = phased.prepare(tmp_path / "run"), tmp_path / "twin"
    phases = json.dumps([{"unfreeze": 1, "until": "command"}, {"unfreeze": 2}])
    run = ("run", "learnd.yaml", "--json", "--set", f"phases={phases}")
    refused(zygote.run(folder, "ctl", "state", "next_phase"), 74)
    killed(zygote.run(folder, *run, failpoints="loop.call.after=kill@6"))
    succeeded(zygote.run(folder, "ctl", "state", "next_phase"))
    killed(zygote.run(folder, *run, failpoints="inbox.remove.before=kill@1"))
    assert list((folder / "state" / "commands").iterdir())
    shutil.copytree(folder, twin)
    killed(zygote.run(folder, *run, failpoints="loop.updated=kill@4"))
    for each in (folder, twin):
        succeeded(zygote.run(each, *run))
        assert [(line["number"], line["cause"]) for line in history(each / "state", "phase")] == [(1, "command")]
        assert not list((each / "state" / "commands").iterdir())
    assert_same(folder / "state", twin / "state")
    assert "phase 1, the last one" in refused(zygote.run(folder, "ctl", "state", "next_phase"), 78)
