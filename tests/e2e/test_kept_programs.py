"""The daemons of a test run share what XLA has compiled, and none is given what it would have compiled otherwise."""

from __future__ import annotations

from pathlib import Path

import processes
import pytest
from processes import Zygote, succeeded
from streams import json_lines, prepare, records

STREAM = json_lines(records(100))
DECAY = {"exponential_decay": {"initial_learning_rate": 0.1, "decay_steps": 50, "decay_rate": 0.5}}
PHASES = [{"unfreeze": "*", "learning_rate": DECAY}]


def test_a_program_is_compiled_once_for_each_of_what_xla_heeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of one sets a flag of XLA: the loop of the schedule, which is the same for all batches, knows it not."""
    monkeypatch.setenv(processes.PROGRAMS, str(tmp_path / "programs"))
    zygote = Zygote()
    found: list[int] = []
    digests: list[str] = []
    for number, train in enumerate([{}, {"batch_size": 2}, {"threads": 2}, {}]):
        folder = prepare(tmp_path / f"{number}", STREAM, train={"xla": True, **train}, phases=PHASES)
        digests.append(succeeded(zygote.run(folder, "run", "learnd.yaml", "--json")).json()["digest"])
        found.append(len(list((tmp_path / "programs").rglob("*.pb"))))
    zygote.close()
    assert found == [2, 4, 6, 6]
    assert digests[3] == digests[0] != digests[1]
