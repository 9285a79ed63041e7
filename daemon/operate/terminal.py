"""A terminal that takes no output, as after Ctrl-S or behind a connection that hangs, must not hold the training."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import structlog

from learnd.daemon.foundation.descriptors import write_out

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

log = structlog.get_logger()

_MOST_WAITING = 1 << 16  # bytes
_PATIENCE_S = 1.0


@contextmanager
def never_waiting() -> Iterator[None]:
    """Let what is printed on terminals within wait in memory, and not the one who prints.

    If more than 64 KiB wait, all that comes is dropped until the terminal has taken them, and a log line says so then.
    At the end the terminal has a second to take the rest; if it does not, whatever the process still prints does not
    wait either.
    """
    streams = {name: getattr(sys, name) for name in ("stdout", "stderr")}  # None where it was closed
    terminals = {name: stream for name, stream in streams.items() if stream is not None and stream.isatty()}
    writer = _Writer()
    for name, stream in terminals.items():
        setattr(sys, name, _through(writer, stream))
    try:
        yield
    finally:
        if writer.end(_PATIENCE_S):
            for name, stream in terminals.items():
                setattr(sys, name, stream)


def is_behind(stream: TextIO) -> bool:
    """Whether a terminal has not yet taken what was printed before."""
    raw = getattr(stream, "buffer", None)
    return isinstance(raw, _Terminal) and raw.writer.is_behind


def _through(writer: _Writer, stream: TextIO) -> TextIO:
    raw = _Terminal(writer, stream.fileno())
    # typeshed wants a buffer, and with write_through any raw stream will do
    return io.TextIOWrapper(raw, stream.encoding, stream.errors, write_through=True)  # type: ignore[type-var]


class _Terminal(io.RawIOBase):
    """A descriptor that a `_Writer` writes to."""

    def __init__(self, writer: _Writer, descriptor: int) -> None:
        self.writer = writer
        self._descriptor = descriptor
        self._to = os.dup(descriptor)  # it is /dev/null for a while, when libraries are silenced

    def write(self, data: ReadableBuffer, /) -> int:
        given = bytes(data)
        self.writer.put(self._to, given)
        return len(given)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._to)

    def close(self) -> None:
        if not self.closed:
            os.close(self._to)
        super().close()


class _Writer:
    """A thread that writes to descriptors, in the order of `put`. It starts with the first, and lasts until `end`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._dropped = 0
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)

    @property
    def is_behind(self) -> bool:
        return bool(self._waiting)

    def put(self, descriptor: int, data: bytes) -> None:
        """Have this written, or drop it if too much waits already. After the end, write it."""
        with self._changed:
            if self._ended:
                write_out(descriptor, data)
            elif self._dropped or (self._waiting and self._bytes + len(data) > _MOST_WAITING):
                self._dropped += 1
            else:
                self._waiting.append((descriptor, data))
                self._bytes += len(data)
                if self._thread.ident is None:
                    self._thread.start()
                self._changed.notify_all()

    def end(self, patience_s: float) -> bool:
        """End once all is written. Return whether it was within `patience_s`; if not, it goes on."""
        with self._changed:
            self._ended = self._changed.wait_for(lambda: not self._waiting, patience_s)
            self._changed.notify_all()
        if self._ended and self._thread.ident is not None:
            self._thread.join(patience_s)  # it may have a log line to write
        return self._ended

    def _run(self) -> None:
        while (piece := self._next()) is not None:
            write_out(*piece)
            if dropped := self._written(piece):
                log.warning("terminal_behind", missing=dropped, reason="the terminal took no output for a while")

    def _next(self) -> tuple[int, bytes] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            return self._waiting[0] if self._waiting else None

    def _written(self, piece: tuple[int, bytes]) -> int:
        """Take note of it, and return how many pieces were dropped if all is written."""
        with self._changed:
            self._waiting.popleft()
            self._bytes -= len(piece[1])
            self._changed.notify_all()
            if self._waiting:
                return 0
            dropped, self._dropped = self._dropped, 0
            return dropped
