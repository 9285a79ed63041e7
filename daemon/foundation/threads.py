"""Ending threads."""

from __future__ import annotations

import threading

import structlog

log = structlog.get_logger()


def join_within(thread: threading.Thread, timeout_s: float, consequence: str) -> None:
    """Wait until a thread has ended, at most `timeout_s`; then log what it means that it has not.

    A thread that was never started has ended.
    """
    if thread.is_alive():
        thread.join(timeout_s)
    if thread.is_alive():
        log.warning("thread_left_behind", thread=thread.name, waited_s=timeout_s, consequence=consequence)
