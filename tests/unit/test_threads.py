from __future__ import annotations

import threading

from structlog.testing import capture_logs

from learnd.daemon.foundation.threads import join_within


def test_a_thread_that_does_not_end_is_told_with_what_that_means() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait, name="slow", daemon=True)
    thread.start()
    with capture_logs() as logs:
        join_within(thread, 0.01, "something is left open")
    assert [(line["event"], line["thread"], line["consequence"]) for line in logs] == [
        ("thread_left_behind", "slow", "something is left open")
    ]
    ended.set()
    with capture_logs() as logs:
        join_within(thread, 10.0, "nothing")
        join_within(threading.Thread(target=ended.wait), 10.0, "never started")
    assert logs == []
