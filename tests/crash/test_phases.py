"""Fine-tuned in phases, with strays that the guard keeps out, and killed in each phase: the same to the last bit."""

import json
import shutil
from pathlib import Path

import phased
import pytest
from processes import Zygote, history, killed, refused, succeeded, summary
from scenarios import assert_same, seen

KILLS = [  # those by calls first: how many checkpoints there are by then depends on the disk
    "loop.updated=kill@1", "journal.append.after=kill@9", "loop.call.after=kill@25", "loop.updated=kill@15",
    "loop.updated=kill@45", "journal.append.before=kill@7", "checkpoint.rename.before=kill@1",
    "checkpoint.write=kill@1", "checkpoint.rename.after=kill@1",
]  # fmt: skip


@pytest.fixture(scope="module", params=[False, True], ids=["graph mode", "XLA"])
def whole(
    request: pytest.FixtureRequest, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bool, Path]:
    """Whether it runs with XLA, and the state directory of the uninterrupted run."""
    folder = phased.prepare(tmp_path_factory.mktemp("whole") / "run", xla=request.param)
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    return request.param, folder / "state"


def test_strays_are_kept_out_and_each_phase_comes(whole: tuple[bool, Path]) -> None:
    _, state = whole
    told = summary(state)
    assert set(told["updates_skipped_by_reason"]) == {"loss", "non_finite"}
    assert min(told["updates_skipped_by_reason"].values()) > 10
    assert phased.phase_of(state) == 2
    assert seen(state).max() == 1
    assert int(seen(state).sum()) == told["samples_trained"]


def test_killed_in_each_phase(whole: tuple[bool, Path], zygote: Zygote, tmp_path: Path) -> None:
    xla, expected = whole
    folder, killed_in = phased.prepare(tmp_path / "run", xla=xla), set()
    for failpoint in KILLS[:: 2 if xla else 1]:
        killed(zygote.run(folder, "run", "learnd.yaml", failpoints=failpoint))
        killed_in.add(len(history(folder / "state", "phase")))
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    assert killed_in == {0, 1, 2}
    assert_same(folder / "state", expected)


def test_the_length_of_calls_is_no_matter(whole: tuple[bool, Path], zygote: Zygote, tmp_path: Path) -> None:
    xla, expected = whole
    for longest in (7,) if xla else (1, 300):  # above 32 there are calls of two lengths, and XLA takes long for each
        folder = phased.prepare(tmp_path / f"run-{longest}", longest=longest, xla=xla)
        succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
        assert_same(folder / "state", expected)


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
