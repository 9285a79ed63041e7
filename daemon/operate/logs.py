"""Logs on standard error: readable lines on a terminal, else one JSON object per line."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

from learnd.daemon.operate.settings import LogSettings

_CHATTY = ("absl", "asyncio", "h5py", "keras", "tensorflow", "watchfiles")


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to the current `sys.stderr`: the progress display puts itself there."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # an attribute in the base class
        return sys.stderr


def configure_logging(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send the logs of learnd and its libraries to `stream`, or to standard error. May be called again."""
    target = stream or sys.stderr
    human = settings.format == "human" or (settings.format == "auto" and target.isatty())
    level = getattr(logging, settings.level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
    ]
    handler = _StandardError() if stream is None else logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(human, target)],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(capture=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _renderers(human: bool, target: TextIO) -> list[Any]:
    if human:
        return [structlog.dev.ConsoleRenderer(colors=target.isatty(), sort_keys=False, pad_event_to=30)]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(default=str),
    ]
