"""Named places where a test makes the process die or a write fail, for the crash tests that users may run too.

`LEARND_FAILPOINTS="journal.append.before=kill@3,checkpoint.write=enospc@2"` kills the process with SIGKILL
at the third passing of one and raises ENOSPC at the second passing of the other. Without the variable a
failpoint costs one dictionary look-up. The actions are `kill` (SIGKILL), `stop` (SIGSTOP), `hang` (this thread, for
good), and the errors `enospc`, `eio` and `memory`.
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
    """Return `{name: (action, passing)}` of `name=action[@passing]` pairs. Raises ValueError on another form."""
    plan = {}
    for item in filter(None, text.split(",")):
        name, _, rest = item.partition("=")
        action, _, passing = rest.partition("@")
        if action not in _ACTIONS:
            raise ValueError(f"failpoint {item!r}: the action is one of {', '.join(_ACTIONS)}")
        if passing and not passing.isdecimal():
            raise ValueError(f"failpoint {item!r}: behind the @ comes the number of the passing")
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
    """Take over another plan in a running process, and count from zero. Raises ValueError."""
    _plan.clear()
    _plan.update(parse(text))
    _passed.clear()


def failpoint(name: str) -> None:
    """Do what the environment asks for at this place, which is nothing as a rule."""
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
