"""The command `learnd` begins here: from the first moment on, a signal ends it without a traceback."""

from __future__ import annotations

from typing import NoReturn

from learnd.daemon.operate.signals import stop_at_once


def main() -> NoReturn:
    """Import the command, which takes a second or more, and run it."""
    stop_at_once()
    from learnd.daemon.cli import main as run_command

    run_command()
