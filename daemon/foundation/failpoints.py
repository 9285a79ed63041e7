"""Named places where a test can kill the process or make a write fail. Users can run crash tests with them, too.

`LEARND_FAILPOINTS="journal.append.before=kill@3,checkpoint.write=enospc@2"` kills the process with SIGKILL the third
time it passes the first place, and raises ENOSPC the second time it passes the other. Without the variable a failpoint
costs one dictionary look-up. The actions are `kill` (SIGKILL), `stop` (SIGSTOP), `hang` (this thread hangs forever),
and the errors `enospc`, `eio` and `memory`.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter

VARIABLE = "LEARND_FAILPOINTS"
_ERRORS = {"enospc": errno.ENOSPC, "eio": errno.EIO}
_ACTIONS = ("kill", "stop", "hang", "memory", *_ERRORS)


def parse(text: str) -> dict[str, tuple[str, int]]:
    """Return `{name: (action, passing)}` from `name=action[@passing]` pairs. Raises ValueError on any other form."""
    plan = {}
    for item in filter(None, text.split(",")):
        name, _, rest = item.partition("=")
        action, _, passing = rest.partition("@")
        if action not in _ACTIONS:
            raise ValueError(f"failpoint {item!r}: the action is one of {', '.join(_ACTIONS)}")
        if passing and not passing.isdecimal():
            raise ValueError(f"failpoint {item!r}: after the @ comes a number: the passing at which it acts")
        plan[name.strip()] = (action, int(passing or 1))
    return plan


def _of_environment() -> dict[str, tuple[str, int]]:
    try:
        return parse(os.environ.get(VARIABLE, ""))
    except ValueError as error:
        os.write(2, f"learnd: {VARIABLE}: {error}\n".encode())
        raise SystemExit(78) from error


_plan: dict[str, tuple[str, int]] = _of_environment()
_passed: Counter[str] = Counter()


def arm(text: str) -> None:
    """Switch a running process to another plan, and count from zero. Raises ValueError."""
    _plan.clear()
    _plan.update(parse(text))
    _passed.clear()


def failpoint(name: str) -> None:
    """Do what the plan says for this place: usually nothing."""
    if name not in _plan:
        return
    action, passing = _plan[name]
    _passed[name] += 1
    if _passed[name] != passing:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "hang":
        time.sleep(1 << 20)
    elif action == "memory":
        raise MemoryError(f"failpoint {name}")
    else:
        raise OSError(_ERRORS[action], f"{os.strerror(_ERRORS[action])} (failpoint {name})")
