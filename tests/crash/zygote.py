"""Starts daemons quickly: imports TensorFlow once, and forks a process for each `learnd` command it is asked for.

Reads a JSON line on standard input for each: {"arguments", "failpoints", "output", "folder"}; answers with two JSON
lines on standard output: {"pid"} at the start, {"status"} (as of waitpid) at the end.
"""

import json
import os
import sys

os.environ["PYTHONHASHSEED"] = "0"

from daemon import failpoints
from daemon.cli import main


def child(request: dict[str, object]) -> None:
    os.setsid()
    os.chdir(str(request["folder"]))
    output = os.open(str(request["output"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    failpoints.arm(str(request["failpoints"]))
    sys.argv = ["learnd", *request["arguments"]]
    main()


for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        try:
            child(json.loads(line))
        except SystemExit as error:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(error.code if isinstance(error.code, int) else 1)
    print(json.dumps({"pid": pid}), flush=True)
    print(json.dumps({"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}), flush=True)
