"""What a reload tells at its beginning; `tests/e2e/test_reload.py` has the rest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from learnd.daemon.config.settings import Settings
from learnd.daemon.reload import Reload


@pytest.mark.parametrize("ignores_hangup", [False, True])
def test_a_daemon_that_no_signal_can_ask_says_so_and_how_it_is_asked(ignores_hangup: bool) -> None:
    settings = Settings.model_validate(
        {"source": {"files": {"path": "stream.jsonl"}}, "samples": {"features": {"a": "float"}, "label": "y"}}
    )
    signals: Any = SimpleNamespace(ignores_hangup=ignores_hangup)
    running: Any = SimpleNamespace(keeper=SimpleNamespace(settings_record={"defaults": {}}))
    given: Any = None
    with structlog.testing.capture_logs() as lines:
        Reload(given, signals).begin(settings, running)
    told = [(line["event"], line["action"]) for line in lines]
    assert told == ([("hangup_ignored", "learnd ctl DIR reload")] if ignores_hangup else [])
