"""Starts `learnd` commands quickly: imports TensorFlow once, and forks a process for each command.

Reads JSON lines on standard input and answers each with one on standard output:

- `{"arguments", "failpoints", "folder", "stdin", "stdout", "stderr", "environment", "memory"}` starts a command, and is
  answered `{"pid"}`; `memory`, where it is not null, is how many bytes more than now its address space may take;
- `{"wait": pid}` is answered `{"status"}` once it has ended: the exit code, negative where a signal ended it.
"""

import gc
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from daemon import app, checkpoints, failpoints  # noqa: F401  (imported before any fork, like the learner)
from daemon.cli import main
from daemon.training import learner  # noqa: F401


def start(request: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        _become(request)
        main()
    except SystemExit as error:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(error.code if isinstance(error.code, int) else 1)
    except BaseException:  # noqa: BLE001  (a fork must not go on as the zygote)
        sys.excepthook(*sys.exc_info())
        os._exit(99)
    os._exit(98)


def _become(request: dict[str, Any]) -> None:
    """Turn a fork into what a shell would have started."""
    os.setsid()
    os.chdir(request["folder"])
    os.dup2(os.open(request["stdin"], os.O_RDONLY), 0)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.environ.update(request["environment"])
    failpoints.arm(request["failpoints"])
    if request["memory"] is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + request["memory"]
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.argv = ["learnd", *request["arguments"]]


if __name__ == "__main__":
    gc.freeze()  # what was imported is garbage in no fork
    running: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = {"status": os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])}
            running.remove(request["wait"])
        else:
            answer = {"pid": start(request)}
            running.add(answer["pid"])
        print(json.dumps(answer), flush=True)
    for pid in running:  # a test that failed left it
        os.kill(pid, signal.SIGKILL)
