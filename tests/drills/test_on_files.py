"""`make drills`: the alerts of a daemon that follows a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from drill import Drill, run
from on_files import DRILLS
from outcomes import remember
from processes import Zygote


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.alert)
def test_it_fires_and_no_other_does_and_it_resolves(drill: Drill, zygote: Zygote, tmp_path: Path) -> None:
    remember(drill, run(drill, zygote, tmp_path))
