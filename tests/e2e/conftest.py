"""The zygote, the modules of tests/support, and what most tests compare with."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from processes import Result, Zygote, shared_zygote, succeeded
from streams import prepare


@pytest.fixture(scope="session")
def zygote() -> Zygote:
    return shared_zygote()


@pytest.fixture(scope="session")
def whole(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The folder of an uninterrupted run over the usual stream with the usual settings, and its result."""
    folder = prepare(tmp_path_factory.mktemp("whole") / "run")
    return folder, succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))


@pytest.fixture(scope="session")
def digest(whole: tuple[Path, Result]) -> str:
    """The digest of that run."""
    value: str = whole[1].json()["digest"]
    return value
