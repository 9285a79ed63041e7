from __future__ import annotations

import pytest

from learnd.daemon.foundation.section import Section
from learnd.daemon.registry import OUTPUTS, SOURCES, resolve


@pytest.mark.parametrize("name", SOURCES)
def test_each_source_has_settings_and_something_that_builds_it(name: str) -> None:
    assert issubclass(resolve(SOURCES[name].settings), Section)
    assert callable(resolve(SOURCES[name].factory))


@pytest.mark.parametrize("key", OUTPUTS)
def test_each_output_has_something_that_builds_it(key: str) -> None:
    assert callable(resolve(OUTPUTS[key]))
