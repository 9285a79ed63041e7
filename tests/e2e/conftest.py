"""What most tests compare with."""

from pathlib import Path

import pytest
from processes import Result, Zygote, succeeded
from streams import prepare


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
