"""The process in which records are decoded beside the one that trains: it answers batches with blocks.

Both speak by pickles over the standard input and output: what a decoder is made from; then, from here, `READY`; then
the classes that were learnt so far; then batches, and for each its block, with what was counted. It ends with its
input, so that it never outlives the daemon.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import BinaryIO

from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.decoding.tally import FieldTally

READY = "ready"


def main() -> None:
    """Decode until the daemon closes the pipe. The daemon alone says when: signals of the whole group are for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what anyone prints is no answer
    try:
        _serve(requests, answers)
    except (EOFError, BrokenPipeError):
        os._exit(0)  # without a complaint that the last answer could not be written


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    decoder = SampleDecoder(*pickle.load(requests))  # noqa: S301  (the daemon's own, over a pipe of its own)
    _answer(answers, READY)
    decoder.begin(pickle.load(requests))  # noqa: S301
    with ThreadPoolExecutor(1) as writer:  # the daemon may send the next batch before it takes an answer
        written: Future[None] | None = None
        while True:
            batch = pickle.load(requests)  # noqa: S301
            block = decoder.decode(batch)
            tally, decoder.tally = decoder.tally, FieldTally(decoder.tally.missing)
            without_what_is_known = replace(block, ends=block.ends[:0], keys=None, lines=None, note=None)
            if written is not None:
                written.result()
            written = writer.submit(_answer, answers, (without_what_is_known, tally))


def _answer(answers: BinaryIO, answer: object) -> None:
    pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
    answers.flush()


if __name__ == "__main__":
    main()
