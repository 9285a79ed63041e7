from __future__ import annotations

import pytest

from learnd.daemon.foundation.section import Section
from learnd.daemon.registry import DEAD_LETTER_FILE, SOURCES, resolve


@pytest.mark.parametrize("name", SOURCES)
def test_each_source_has_settings_and_something_that_builds_it(name: str) -> None:
    assert issubclass(resolve(SOURCES[name].settings), Section)
    assert callable(resolve(SOURCES[name].factory))


def test_dead_letters_have_a_file() -> None:
    assert callable(resolve(DEAD_LETTER_FILE))
