"""A recording as all contestants get it: its samples, decoded once, in the order of the stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.bench import LEAST_SAMPLES
from learnd.daemon.compose import open_source
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import DataError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.values import Block, Float32, Samples, SampleSpec, Task


@dataclass(frozen=True)
class Recorded:
    """The first samples of a recording."""

    spec: SampleSpec
    label: str
    """The fields that hold the label."""
    samples: Samples
    records: int
    """So many of the first records hold these samples."""
    rejected: Mapping[str, int]
    """How many of these records are no sample, by reason."""
    whole: bool
    """Whether the recording holds no other sample."""

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def task(self) -> Task:
        return self.spec.task

    @property
    def inputs(self) -> Float32:
        """The columns of the features (m, width)."""
        return self.spec.matrix(self.samples.inputs)

    @property
    def targets(self) -> Float32:
        """The labels (m, O) as models learn them."""
        return self.samples.targets[self.spec.targets[0].name]

    @cached_property
    def labels(self) -> NDArray[Any]:
        """The labels (m, ...) as tallies count them."""
        nothing = np.broadcast_to(np.float32(0), (len(self), self.task.outputs))
        labels: NDArray[Any] = KINDS[self.task.kind].observe(nothing, self.targets)["label"]
        return labels


def read_recording(settings: Settings, most: int | None) -> Recorded:
    """Decode the recording that the settings name as source, up to `most` samples; None for all.

    Raises SourceError, and DataError if it holds too few samples to compare anything, or if all have the same label.
    """
    spec = settings.samples.spec(settings.model.task)
    parts: list[Samples] = []
    records = samples = 0
    rejected: Counter[str] = Counter()
    whole = True
    for block in _blocks(settings, spec):
        taken = _taken(block, None if most is None else most - samples)
        parts.append(block.samples[: taken.samples])
        records, samples = records + taken.records, samples + taken.samples
        rejected.update(_reasons(block, taken.records))
        if not taken.whole:
            whole = False
            break
    if samples < LEAST_SAMPLES:
        raise DataError(_too_few(settings, records, samples, rejected))
    fields = settings.samples.targets(settings.model.task)[0].label.fields()
    found = Recorded(spec, ", ".join(fields) or "the key", Samples.joined(parts), records, rejected, whole)
    if (found.targets == found.targets[:1]).all():
        raise DataError(_always_the_same(settings, found))
    return found


@dataclass(frozen=True, slots=True)
class _Taken:
    """What is taken of a block: so many of its first records and samples."""

    records: int
    samples: int
    whole: bool  # whether that is all of its samples


def _taken(block: Block, room: int | None) -> _Taken:
    if room is None or len(block.samples) <= room:
        return _Taken(len(block), len(block.samples), whole=True)
    if not room:
        return _Taken(0, 0, whole=False)
    last = int(np.flatnonzero(block.sampled)[room - 1])
    return _Taken(last + 1, room, whole=False)


def _reasons(block: Block, records: int) -> Iterator[str]:
    """Yield the reason of each rejection among the first records of a block."""
    end = int(block.ends[records - 1]) if records else block.start
    yield from (rejection.defect.reason for rejection in block.rejections if rejection.end <= end)


def _blocks(settings: Settings, spec: SampleSpec) -> Iterator[Block]:
    decoder = SampleDecoder(settings.samples, spec)
    with closing(open_source(settings)) as source:
        source.open({}, [])
        while not source.exhausted:
            if (batch := source.read(1.0)) is not None:
                yield decoder.decode(batch)


def _always_the_same(settings: Settings, found: Recorded) -> str:
    more = "" if found.whole else ", or take more of it with --limit"
    return (
        f"{settings.look_at_source().where}: the label ({found.label}) is the same in all {len(found):,} samples, so "
        f"there is nothing to learn or to compare; name a file in which it varies{more}"
    )


def _too_few(settings: Settings, records: int, samples: int, rejected: Mapping[str, int]) -> str:
    where = settings.look_at_source().where
    if not records:
        return f"{where}: it holds no record, so there is nothing to compare on; name a file with records"
    why = ", ".join(f"{count:,} {reason}" for reason, count in rejected.items())
    said = f", and the others were rejected: {why}" if why else ""
    return (
        f"{where}: of {records:,} records {samples} can be learnt from{said}. It takes at least {LEAST_SAMPLES} to "
        "compare anything: correct `samples`, or name another file"
    )
