"""The zygote, and the modules of tests/support."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from processes import Zygote, shared_zygote


@pytest.fixture(scope="session")
def zygote() -> Zygote:
    return shared_zygote()
