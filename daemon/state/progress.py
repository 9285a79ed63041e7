"""Progress: how far the stream was consumed, and what happened to its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from learnd.daemon.foundation.recent import RecentRows
from learnd.daemon.values import Call, ClassNames, Facts, KeyedRows, Note, Past, Positions, Report, State, known_before

log = structlog.get_logger()


@dataclass(slots=True)
class Progress:
    """Counts over the life of the model. `samples` went through updates, including skipped ones; whatever is due at a
    sample count uses this count.
    """

    calls: int = 0
    records: int = 0
    samples: int = 0
    samples_trained: int = 0
    samples_held_out: int = 0
    updates: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    positions: Positions = field(default_factory=dict)
    starts: Positions = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)  # that were learnt, in the order in which they came
    classes_trained: int = 0  # of them, that came with a trained sample
    set_aside: dict[str, list[list[int]]] = field(default_factory=dict)  # ranges of positions that were rolled back
    recent: RecentRows | None = None  # the records that later windows are made of; None unless samples are windows

    @property
    def past(self) -> Past:
        """What the decoding of the next record depends on."""
        return Past(tuple(self.classes), None if self.recent is None else self.recent.state())

    def with_classes(self, call: Call) -> Call:
        """Return a call that is about to run with the names of the learnt classes, if there are any."""
        if not self.classes and not call.new_classes:
            return call
        return replace(call, classes=ClassNames([*self.classes, *call.new_classes], self.classes_trained))

    def add(self, call: Call, report: Report) -> None:
        """Count a call that has run."""
        self.calls += 1
        self.records += call.records
        self.samples_held_out += len(call.held)
        self.rejected.update(rejection.defect.reason for rejection in call.rejections)
        for name in call.new_classes:
            log.info("class.new", name=name, consequence="the model has a unit for it, which begins to learn")
        self.classes += call.new_classes
        if self.recent is not None:
            _remember(self.recent, call.keyed)
        if self.classes and call.samples:
            (labels,) = call.batches.targets.values()
            self.classes_trained = int(known_before(labels.ravel(), self.classes_trained)[-1])
        for span in call.spans:
            self.starts.setdefault(span.partition, span.start)
            self.positions[span.partition] = span.end
        if call.notes:
            self.notes = _folded([*filter(self._needs, self.notes), *call.notes])
        skips = report.skips()
        skipped = sum(skips.values())
        self.samples += call.samples
        self.updates += call.updates - skipped
        self.skipped.update(skips)
        self.samples_trained += (call.updates - skipped) * call.rows

    def _needs(self, note: Note) -> bool:
        until = note.get("until")
        return until is None or any(self.positions.get(partition, 0) < end for partition, end in until.items())

    def mark(self) -> Facts:
        """Return what `take_back` needs to take back what trains from now on."""
        counts = {"samples": self.samples, "samples_trained": self.samples_trained, "updates": self.updates}
        return {**counts, "positions": dict(self.positions)}

    def take_back(self, then: Facts) -> list[tuple[str, int, int]]:
        """Set aside what was trained since `then`, the mark of the state that the model was rolled back to.

        Return the partition, start and end of each range. Positions, the count of `samples` and the classes that came
        do not go back.
        """
        trained = self.samples_trained - then["samples_trained"]
        self.rejected.update({"rolled_back": trained} if trained else {})
        self.samples_trained -= trained
        self.updates = then["updates"]
        spans = []
        for partition, end in self.positions.items():
            ranges = self.set_aside.setdefault(partition, [])
            start = then["positions"].get(partition, self.starts[partition])
            start = max(start, ranges[-1][1]) if ranges else start
            if start < end:
                ranges.append([start, end])
                spans.append((partition, start, end))
        return spans

    @property
    def updates_skipped(self) -> int:
        return sum(self.skipped.values())

    @property
    def updates_seen(self) -> int:
        return self.updates + self.updates_skipped

    @property
    def mostly_not_finite(self) -> bool:
        """Whether most updates were skipped since they were not finite."""
        return 2 * self.skipped["non_finite"] > self.updates_seen

    def stream_facts(self) -> Facts:
        """Return the counts that depend only on the stream. They are part of the digest."""
        return {
            "positions": dict(self.positions),
            "samples_trained": self.samples_trained,
            "samples_held_out": self.samples_held_out,
            "samples_rejected": dict(sorted(self.rejected.items())),
            "updates": self.updates,
            "updates_skipped": self.updates_skipped,
            **({"classes": list(self.classes)} if self.classes else {}),
        }

    def ranges(self) -> dict[str, list[list[int]]]:
        """Return the records that made the model: ranges of positions for each partition, without their ends."""
        return {partition: self._ranges_of(partition, end) for partition, end in self.positions.items()}

    def _ranges_of(self, partition: str, end: int) -> list[list[int]]:
        holes = self.set_aside.get(partition, [])
        starts = [self.starts[partition], *(hole_end for _, hole_end in holes)]
        ends = [*(hole_start for hole_start, _ in holes), end]
        return [[start, stop] for start, stop in zip(starts, ends, strict=True) if start < stop]

    def state(self) -> State:
        facts = {
            **self.stream_facts(),
            "calls": self.calls,
            "records": self.records,
            "samples": self.samples,
            "classes_trained": self.classes_trained,
            "skipped": dict(sorted(self.skipped.items())),
            "starts": dict(self.starts),
            "notes": [dict(note) for note in self.notes],
            "set_aside": self.set_aside,
        }
        recent = {} if self.recent is None else {"recent": self.recent.state()}
        return State.joined(recent, deepcopy(facts))

    def restore(self, state: State) -> None:
        facts = deepcopy(state.facts)
        for name in ("calls", "records", "samples", "samples_trained", "samples_held_out", "updates", "positions"):
            setattr(self, name, facts[name])
        self.classes, self.classes_trained = facts.get("classes", []), facts["classes_trained"]
        self.skipped, self.rejected = Counter(facts["skipped"]), Counter(facts["samples_rejected"])
        self.starts, self.notes, self.set_aside = facts["starts"], facts["notes"], facts["set_aside"]
        if self.recent is not None:
            self.recent.restore(state.part("recent") if "recent" in facts else State())


def _remember(recent: RecentRows, keyed: Sequence[KeyedRows]) -> None:
    """Keep records for later windows, and tell when the first key is forgotten."""
    before = recent.forgotten
    for part in keyed:
        recent.add(part.keys, part.rows, anew=part.anew)
    if recent.forgotten and not before:
        log.warning(
            "window.key_forgotten",
            keys=len(recent),
            consequence="there are more keys than that; one that was forgotten begins anew when it comes again",
            way_out="raise samples.window.keys",
        )


def _folded(notes: list[Note]) -> list[Note]:
    """Return the notes with their `current` facts merged into one last note. Later values replace earlier ones."""
    current: dict[str, Any] = {}
    rest = []
    for note in notes:
        current |= note.get("current", {})
        rest.append({key: value for key, value in note.items() if key != "current"})
    return [*filter(None, rest), *([{"current": current}] if current else [])]
