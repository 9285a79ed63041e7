"""A `learnd` command that the zygote runs.

As a script it stands for `learnd` in a shell: it takes the zygote's socket and the arguments, and is to a shell what
the command would be, killed and stopped with it, for a hundredth of the time that TensorFlow takes to load. For that
it imports little.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence


class Command:
    """It runs until `close` at the latest, and `pid` is its own until then."""

    def __init__(
        self,
        zygote: str,
        arguments: Sequence[str],
        folder: str,
        environment: Mapping[str, str],
        descriptors: Sequence[int],
        memory: int | None = None,
    ) -> None:
        """Start it with these descriptors as its standard input, output and error."""
        request = {"arguments": arguments, "folder": folder, "environment": dict(environment), "memory": memory}
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.connect(zygote)
        socket.send_fds(self._connection, [json.dumps(request).encode()], descriptors)
        self.pid = self._answer("pid")

    def wait(self, timeout_s: float | None = None) -> int:
        """Return its exit code, negative if a signal ended it. Raises TimeoutError."""
        self._connection.settimeout(timeout_s)
        return self._answer("status")

    def close(self) -> None:
        self._connection.close()

    def _answer(self, name: str) -> int:
        message = self._connection.recv(1024)
        assert message, "the zygote has ended"
        value: int = json.loads(message)[name]
        return value


def main(zygote: str, *arguments: str) -> None:
    """Run a command with what this process has, and end as it ends."""
    command = Command(zygote, arguments, os.getcwd(), os.environ, [0, 1, 2])  # noqa: PTH109
    passed_on = (signal.SIGINT, signal.SIGTERM)
    for number in passed_on:
        signal.signal(number, lambda given, _: os.kill(command.pid, given))
    status = command.wait()
    if status < 0:
        for number in passed_on:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
