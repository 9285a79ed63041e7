from __future__ import annotations

from pathlib import Path

import numpy as np
from source_streams.stream import N, Stream

from learnd.connectors.scripted import Moment, ScriptedSource, Step
from learnd.daemon.values import RecordBatch


def script(_root: Path) -> Stream:
    steps: list[Step] = []
    for first in range(0, N, 700):
        ids = range(first, min(first + 700, N))
        values = [b'{"id": %d}' % i for i in ids]
        note = {"part": 1} if first == 0 else None
        steps += [RecordBatch("part-1", first, np.array(ids, np.int64) + 1, values, note=note), Moment.PAUSE]
    return Stream(lambda: ScriptedSource(steps))
