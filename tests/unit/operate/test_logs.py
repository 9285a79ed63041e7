from __future__ import annotations

import io
import json
import logging
import sys
import warnings

import pytest
import structlog

from learnd.daemon.operate.logs import configure_logging
from learnd.daemon.operate.settings import LogSettings


@pytest.fixture(autouse=True)
def _without_handlers() -> None:
    logging.getLogger().handlers.clear()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_elsewhere_than_on_a_terminal_a_line_is_a_json_object() -> None:
    stream = io.StringIO()
    configure_logging(LogSettings(), stream)
    structlog.get_logger().info("checkpoint written", samples=50_000)
    (line,) = lines(stream)
    assert line.pop("timestamp")
    assert line == {"message": "checkpoint written", "level": "info", "samples": 50_000}


def test_the_level_holds_for_learnd_and_for_libraries() -> None:
    stream = io.StringIO()
    configure_logging(LogSettings(level="warning"), stream)
    structlog.get_logger().info("no")
    logging.getLogger("some.library").info("no")
    logging.getLogger("some.library").warning("yes")
    assert [line["message"] for line in lines(stream)] == ["yes"]


def test_chatty_libraries_are_heard_from_warnings_on() -> None:
    stream = io.StringIO()
    configure_logging(LogSettings(level="info"), stream)
    for name in ("tensorflow", "absl", "h5py._conv"):
        logging.getLogger(name).info("no")
        logging.getLogger(name).warning("yes")
    assert [line["message"] for line in lines(stream)] == ["yes"] * 3


def test_a_python_warning_is_a_log_line() -> None:
    stream = io.StringIO()
    configure_logging(LogSettings(), stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    (line,) = lines(stream)
    assert line["level"] == "warning"
    assert "UserWarning: old" in str(line["message"])


def test_a_traceback_stays_on_its_line() -> None:
    stream = io.StringIO()
    configure_logging(LogSettings(), stream)
    try:
        _ = {}["x"]
    except KeyError:
        structlog.get_logger().exception("broken")
    (line,) = lines(stream)
    assert "KeyError: 'x'" in str(line["exception"])


def test_people_get_human_lines() -> None:
    stream = io.StringIO()
    configure_logging(LogSettings(format="human"), stream)
    structlog.get_logger().info("checkpoint written", samples=50_000)
    assert "checkpoint written" in stream.getvalue()
    assert "samples=50000" in stream.getvalue()


def test_logs_follow_standard_error_to_where_it_is_put(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logging(LogSettings())
    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    structlog.get_logger().info("here")
    assert [line["message"] for line in lines(later)] == ["here"]
