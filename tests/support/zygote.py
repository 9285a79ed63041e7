"""Starts `learnd` commands quickly: imports TensorFlow and the connectors once, then forks a process for each command.

It listens on a UNIX socket, whose path is the only line on standard output. Each connection is one command:

- the client sends one message, `{"arguments", "folder", "environment", "memory"}`, and with it the descriptors of the
  command's standard input, output and error; the environment is the whole one, and `memory`, if it is not null,
  is how many bytes more than now the command's address space may take;
- it is answered `{"pid"}` at once, and `{"status"}` once the command has ended: the exit code, negative if a signal
  ended it. The process stays, as a zombie, until the connection closes: so its number is nobody else's;
- a connection that closes before the command has ended kills it, and whoever connects next finds it dead.

The zygote and all its commands end when standard input closes, that is, with the test process, however that ends.
"""

import gc
import hashlib
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from learnd.command import main
from learnd.daemon import cli  # noqa: F401  (imported before any fork, like the run and the learner)
from learnd.daemon import run as app  # noqa: F401
from learnd.daemon.foundation import failpoints
from learnd.daemon.registry import OUTPUTS, SOURCES, resolve
from learnd.daemon.training import learner, runtime

_LONGEST_MESSAGE = 1 << 20
_FLAGS = os.environ.get("TF_XLA_FLAGS", "")
_PROGRAMS = os.environ.get("LEARND_TESTS_PROGRAMS")  # the folder of what other commands have compiled, if any


class Server:
    """Handles one event at a time. If several wait, the one of the oldest connection comes first."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._running: set[int] = set()
        # Not epoll, since a fork would share it. Also, poll reports in the order of registration.
        self._selector = selectors.PollSelector()
        self._selector.register(0, selectors.EVENT_READ)
        self._when_readable(listener, self._accept)

    def serve(self) -> None:
        """Return when standard input closes, after killing the commands that are left."""
        while (key := self._selector.select()[0][0]).fd != 0:
            key.data()
        for pid in self._running:  # left by a failed test
            os.kill(pid, signal.SIGKILL)

    def _when_readable(self, file: socket.socket | int, callback: Callable[[], None]) -> None:
        self._selector.register(file, selectors.EVENT_READ, callback)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self._when_readable(connection, partial(self._start, connection))

    def _start(self, connection: socket.socket) -> None:
        message, descriptors, _, _ = socket.recv_fds(connection, _LONGEST_MESSAGE, 3)
        self._selector.unregister(connection)
        if not message:  # the client was killed before it asked for anything
            connection.close()
            return
        pid = os.fork()
        if pid == 0:
            connection.close()
            self._run(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self._running.add(pid)
        process = os.pidfd_open(pid)
        self._when_readable(connection, partial(self._close, connection, pid, process))
        self._when_readable(process, partial(self._tell_status, connection, process))
        _answer(connection, {"pid": pid})

    def _tell_status(self, connection: socket.socket, process: int) -> None:
        self._selector.unregister(process)
        ended = os.waitid(os.P_PIDFD, process, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        _answer(connection, {"status": ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status})

    def _close(self, connection: socket.socket, pid: int, process: int) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self._running.remove(pid)
        with suppress(KeyError):  # its end was already reported
            self._selector.unregister(process)
        self._selector.unregister(connection)
        os.close(process)
        connection.close()

    def _run(self, request: dict[str, Any], descriptors: list[int]) -> NoReturn:
        """Run the command in the fork, and exit there: the fork must not go on as the server."""
        status = 99
        try:
            self._let_go()
            _become(request, descriptors)
            main()
        except SystemExit as error:
            sys.stdout.flush()
            sys.stderr.flush()
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:  # noqa: BLE001
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _let_go(self) -> None:
        """Close the server's descriptors, or clients would not see its connections close."""
        for key in self._selector.get_map().values():
            os.close(key.fd)


def _answer(connection: socket.socket, answer: dict[str, int]) -> None:
    with suppress(ConnectionError):  # a client that is gone is handled in its turn
        connection.send(json.dumps(answer).encode())


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Make the fork look like a process that a shell has started."""
    os.setsid()
    os.chdir(request["folder"])
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    importlib.reload(runtime)  # sets environment variables that TensorFlow reads when it compiles
    sys.path[:0] = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))
    if _PROGRAMS:
        _share_programs(Path(_PROGRAMS))
    if request["memory"] is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + request["memory"]
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.argv = ["learnd", *request["arguments"]]
    sys.orig_argv = [sys.executable, "-m", "learnd", *request["arguments"]]  # a restart executes this


def _share_programs(folder: Path) -> None:
    """Take compiled programs from where others with the same flags of XLA put theirs, which the daemon sets late.

    TensorFlow knows a program by its operations, shapes, names and threads, and not by flags. It looks in the folder
    of a descriptor. It renames whole files into their places, so a kill leaves no part of a program behind.
    """
    configure, looks_in = learner.configure, int(_FLAGS.rpartition("/")[2])

    def configured(*given: Any, **options: Any) -> None:
        configure(*given, **options)
        flags = folder / hashlib.sha256(os.environ["XLA_FLAGS"].encode()).hexdigest()
        flags.mkdir(exist_ok=True, parents=True)
        opened = os.open(flags, os.O_RDONLY)
        os.dup2(opened, looks_in, inheritable=False)
        os.close(opened)

    learner.configure = configured


if __name__ == "__main__":
    for connector in (*(source.factory for source in SOURCES.values()), *OUTPUTS.values()):
        resolve(connector)  # imported when the settings name it: a third of a second with its libraries
    gc.freeze()  # no fork should collect what was imported
    with (
        tempfile.TemporaryDirectory(prefix="learnd-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
    ):
        path = f"{folder}/zygote"
        listener.bind(path)
        listener.listen()
        print(path, flush=True)
        Server(listener).serve()
