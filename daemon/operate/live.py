"""What happened lately, for a page that is opened at any time. It is bounded, and only of this process."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from learnd.daemon.values import Event, Facts, Rejection, in_words

MOST_POINTS = 900  # if there are more, every second one goes, and the next ones come half as often
_MOST_MARKS = 100  # of a kind
_MOST_DEAD_LETTERS = 20
_MOST_COMMANDS = 1_000
_MOST_TEXT = 200  # characters of a mark
_FIRST_EVERY_S = 1.0
_MOST_AT_ONCE = 100  # points


@dataclass(frozen=True, slots=True)
class Point:
    """How learning went at a time, in seconds since 1970. What is not known is None, not finite, or left out."""

    time_s: float
    samples: int
    samples_per_second: float
    loss: float | None
    learning_rate: float | None
    lag: int | None
    rejected: int
    score: float | None  # over the window, in the metric that is shown
    baselines: Mapping[str, float | None]
    shares: Mapping[str, float]  # of the loop's time, by activity, in about a second before


class Live:
    """Remembers points, marks, the last dead letters and what became of commands. Any thread may use it.

    Each thing that is remembered has a number, the revision that it came with. `since` returns those after a revision.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970."""
        self._clock = clock
        self._lock = threading.Lock()
        self._revision = 0
        self._points: list[tuple[int, Point]] = []
        self._every_s = _FIRST_EVERY_S
        self._marks: dict[str, deque[tuple[int, Facts]]] = {}
        self._dead_letters: deque[tuple[int, Facts]] = deque(maxlen=_MOST_DEAD_LETTERS)
        self._facts: dict[str, tuple[int, Any]] = {}
        self._commands: dict[str, Facts] = {}

    def due(self) -> bool:
        """Whether it is time for another point."""
        return not self._points or not 0 <= self._clock() - self._points[-1][1].time_s < self._every_s - 0.1

    def point(self, **values: Any) -> None:
        """Remember how learning goes now: the fields of a `Point`, without the time."""
        with self._lock:
            self._points.append((self._next(), Point(time_s=self._clock(), **values)))
            if len(self._points) > MOST_POINTS:
                self._points = self._points[::-2][::-1]  # the newest stays
                self._every_s *= 2

    def tell(self, name: str, value: Any) -> None:
        """Remember a fact, which replaces the one of the same name."""
        with self._lock:
            if name not in self._facts or self._facts[name][1] != value:
                self._facts[name] = (self._next(), value)

    def happened(self, events: Iterable[Event]) -> None:
        """Remember what is worth a mark, and what became of commands."""
        for event in events:
            if event.kind == "command":
                self._answer(event)
            if (text := in_words(event)) is not None:
                self.mark(event.kind, event.samples, text)

    def mark(self, kind: str, samples: int, text: str) -> None:
        """Remember that something happened, after so many samples."""
        fact = {"time_s": self._clock(), "kind": kind, "samples": samples, "text": text[:_MOST_TEXT]}
        with self._lock:
            self._marks.setdefault(kind, deque(maxlen=_MOST_MARKS)).append((self._next(), fact))

    def rejected(self, rejections: Sequence[Rejection]) -> None:
        """Remember why and where records became dead letters, and nothing of what they hold."""
        with self._lock:
            for found in rejections[-_MOST_DEAD_LETTERS:]:
                place = {"partition": found.partition, "start": found.start, "end": found.end}
                self._dead_letters.append(
                    (self._next(), {"time_s": self._clock(), "reason": found.defect.reason, **place})
                )

    def outcome(self, command: str) -> Facts | None:
        """Return what became of a command, by its id; None if that is not known."""
        with self._lock:
            return self._commands.get(command)

    def since(self, revision: int) -> dict[str, Any]:
        """Return what came after a revision (0 for all), the `revision` that this leads to, and if there is `more`.

        It is a part that is written as JSON within a moment: the loop may wait for it.
        """
        with self._lock:
            points = [found for found in self._points if found[0] > revision]
            end = points[_MOST_AT_ONCE - 1][0] if len(points) > _MOST_AT_ONCE else self._revision
            marks = [found for kind in self._marks.values() for found in kind if revision < found[0] <= end]
            letters = [letter for number, letter in self._dead_letters if revision < number <= end]
            facts = {name: value for name, (number, value) in self._facts.items() if revision < number <= end}
            more = end < self._revision
        return {
            "revision": end,
            "more": more,
            "points": [_as_facts(point) for number, point in points if number <= end],
            "marks": [mark for _, mark in sorted(marks, key=itemgetter(0))],
            "dead_letters": letters,
            **facts,
        }

    def _answer(self, event: Event) -> None:
        with self._lock:
            self._commands[event.data["id"]] = {"samples": event.samples, **event.data}
            if len(self._commands) > _MOST_COMMANDS:
                del self._commands[next(iter(self._commands))]

    def _next(self) -> int:
        self._revision += 1
        return self._revision


def _as_facts(point: Point) -> Facts:
    return {name: getattr(point, name) for name in Point.__dataclass_fields__}
