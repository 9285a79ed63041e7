"""Why a checkpoint could not be written, in a word for a metric's label."""

from __future__ import annotations

import errno

from learnd.daemon.errors import FencedError, StoreError

CHECKPOINT_FAILURES = ("enospc", "eio", "output", "fenced", "other")


def failure_of(error: Exception) -> str:
    """Return one of CHECKPOINT_FAILURES."""
    cause = error if isinstance(error, OSError) else error.__cause__
    number = cause.errno if isinstance(cause, OSError) else None
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return "enospc"
    if number == errno.EIO:
        return "eio"
    return "fenced" if isinstance(error, FencedError) else "output" if isinstance(error, StoreError) else "other"
