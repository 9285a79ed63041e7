"""Decoding in a process of its own, so that it does not hold the interpreter's lock while the loop needs it.

Nothing depends on where a record is decoded: if the process cannot be started, or ends, decoding goes on here.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from learnd.daemon.stream.decoding import worker
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.decoding.tally import FieldTally
from learnd.daemon.values import Block, RecordBatch

log = structlog.get_logger()

_HOLD_THE_LOCK = ("json", "avro", "tf_example")  # formats whose parsers do; Arrow and the readers of images do not
_BUSY = 0.1  # the share of the time from which on it pays: the process takes a tenth more time, and memory
_WINDOW_S = 1.0
_LARGE = 1_000  # records: a source that had so many has more
_PIPE_BYTES = 1 << 20
_PATIENCE_S = 5.0
_ENDED = (OSError, EOFError, pickle.PickleError, ValueError)  # what reading from its pipes raises, or from closed ones
_CONSEQUENCE = "records are decoded by the daemon itself, slower; nothing is lost"


class DecoderApart:
    """Decodes beside the daemon once the stream is fast, and here until then. A `contracts.Decoder`.

    All but `close` is for one thread at a time.
    """

    def __init__(self, here: SampleDecoder, made_from: Sequence[Any], when: str) -> None:
        """`made_from` are what another decoder like `here` is made from. `when` is `auto`, `always` or `never`."""
        self._here = here
        self._made_from = tuple(made_from)
        self._wanted = when != "never"
        self._load = None if when == "always" else _Load()
        self._process: _Process | None = None
        self._taken: deque[RecordBatch] = deque()  # of which there are no blocks yet
        self._classes: list[str] = []  # that were learnt so far
        self._behind = False  # whether some of them were learnt in the process

    @classmethod
    def of(cls, here: SampleDecoder, made_from: Sequence[Any], when: str, record_format: str) -> DecoderApart:
        """Return one that decodes apart only where that can be faster."""
        pays = record_format in _HOLD_THE_LOCK and _processors() > 1
        return cls(here, made_from, when if pays or when == "always" else "never")

    @property
    def tally(self) -> FieldTally:
        return self._here.tally

    def begin(self, classes: Sequence[str]) -> None:
        self._end()
        self._taken.clear()
        self._here.begin(classes)
        self._classes, self._behind = list(classes), False

    def decode(self, batch: RecordBatch) -> Block:
        (block,) = [*self.take(batch), *self.rest()]
        return block

    def take(self, batch: RecordBatch) -> list[Block]:
        """Take a batch, and return the blocks that are ready, in the order of their batches.

        The block of a large batch comes with the next one, or with the `rest`: so nobody has to wait for the other.
        """
        self._taken.append(batch)
        try:
            if (process := self._running()) is not None:
                process.ask(batch)
        except _ENDED as error:
            self._give_up(error)
        return self._blocks(left=int(len(batch) >= _LARGE))

    def rest(self) -> list[Block]:
        """Return the blocks of all batches that were taken."""
        return self._blocks(left=0)

    def missing_columns(self, columns: Sequence[str]) -> list[str]:
        return self._here.missing_columns(columns)

    def missing_fields(self, record: bytes) -> list[str]:
        return self._here.missing_fields(record)

    def close(self) -> None:
        """End the process, if there is one. A thread that waits for it decodes here what it has taken."""
        self._wanted = False
        self._end()

    def _running(self) -> _Process | None:
        """Return the process if it can decode; start it if that is due."""
        at_once = self._load is None
        if self._wanted and self._process is None and (self._load is None or self._load.busy):
            self._process = _Process(self._made_from)
        process = self._process
        return process if process is not None and process.ready(self._classes, wait=at_once) else None

    def _blocks(self, left: int) -> list[Block]:
        """Return the blocks of all batches that were taken, but for as many as may be left to the process."""
        blocks, process = [], self._process
        try:
            while process is not None and process.asked and len(self._taken) > left:
                blocks.append(self._answered(process))
        except _ENDED as error:
            self._give_up(error)
            process = None
        if process is None or not process.asked:
            blocks += [self._decoded_here() for _ in range(len(self._taken))]
        return blocks

    def _answered(self, process: _Process) -> Block:
        block, tally = process.answer()
        batch = self._taken.popleft()
        self._here.tally.add(tally)
        self._behind = True
        self._classes += [name for _, name in block.new_classes]
        return replace(block, ends=batch.ends, keys=batch.keys, lines=batch.lines, note=batch.note)

    def _decoded_here(self) -> Block:
        if self._behind:
            self._here.begin(self._classes)
            self._behind = False
        started = time.perf_counter()
        block = self._here.decode(self._taken.popleft())
        if self._load is not None:
            self._load.add(started, time.perf_counter())
        self._classes += [name for _, name in block.new_classes]
        return block

    def _give_up(self, error: Exception) -> None:
        if self._wanted:
            log.warning("decoder_process_lost", reason=str(error) or "it has ended", consequence=_CONSEQUENCE)
        self.close()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end()


class _Load:
    """Whether decoding takes much of the time."""

    def __init__(self) -> None:
        self.busy = False
        self._since_s = time.perf_counter()
        self._spent_s = 0.0

    def add(self, start_s: float, end_s: float) -> None:
        """Take in that a batch was decoded, and judge once a window is over."""
        self._spent_s += end_s - start_s
        if (passed_s := end_s - self._since_s) >= _WINDOW_S:
            self.busy = self._spent_s >= _BUSY * passed_s
            self._since_s, self._spent_s = end_s, 0.0


class _Process:
    """The process, as the reader's thread sees it. All but `end` raises one of `_ENDED` once it has ended."""

    def __init__(self, made_from: tuple[Any, ...]) -> None:
        command = [sys.executable, "-P", "-m", worker.__name__]
        self._process = subprocess.Popen(  # noqa: S603  (no signal of the terminal reaches it)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdin is not None, "a pipe"
        assert self._process.stdout is not None, "a pipe"
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._begun = False
        self.asked = 0  # batches without an answer
        for pipe in (self._requests, self._answers):
            with suppress(OSError, AttributeError):  # of all a user's pipes there may be no room left; or no Linux
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._send(made_from)

    def ready(self, classes: Sequence[str], *, wait: bool) -> bool:
        """Return whether it can decode; it then goes on behind these classes, unless it did before."""
        if not self._begun:
            if not select.select([self._answers], [], [], None if wait else 0)[0]:
                return False
            answer = pickle.load(self._answers)  # noqa: S301  (the worker's, over a pipe of its own)
            assert answer == worker.READY, "it says so first"
            self._send(list(classes))
            self._begun = True
        return True

    def ask(self, batch: RecordBatch) -> None:
        """Have a batch decoded behind those before it."""
        self._send(batch)
        self.asked += 1

    def answer(self) -> tuple[Block, FieldTally]:
        """Return the next block without what its batch has, and what was counted."""
        answer: tuple[Block, FieldTally] = pickle.load(self._answers)  # noqa: S301
        self.asked -= 1
        return answer

    def end(self) -> None:
        """End it. Whoever waits for it then finds that it has ended; only then do the pipes close."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_S)
        for pipe in (self._requests, self._answers):
            with suppress(OSError):  # half a question is left
                pipe.close()

    def _send(self, question: object) -> None:
        pickle.dump(question, self._requests, pickle.HIGHEST_PROTOCOL)
        self._requests.flush()


def _processors() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # no Linux
        return os.cpu_count() or 1
