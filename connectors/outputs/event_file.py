"""The history as a file of events that TensorBoard shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from learnd.connectors.outputs import event_records as records
from learnd.daemon.foundation.append_file import AppendFile
from learnd.daemon.values import Event, in_words


class EventFile(AppendFile):
    """A `contracts.Events`: a record for each event, of its numbers by tag, or of its words. The step is `samples`.

    A resume writes the records that it has cut off once more, as long as they were, with other times. So a TensorBoard
    that has read them already goes on where it is.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "tensorboard")

    def write(self, events: Iterable[Event], time_s: float) -> None:
        """Append a record for each event that has something to show. `time_s` is Unix time."""
        if found := b"".join(_record(event, time_s) for event in events):
            self.append(records.beginning(time_s) + found if self.is_empty else found)

    def _whole(self, size: int, mark: int | None) -> int:
        """Return where the records end that stay: at the mark, if the file is long enough."""
        return mark if mark is not None and mark <= size else records.whole_records(self._descriptor, size)


def _record(event: Event, time_s: float) -> bytes:
    if values := dict(_scalars(event)):
        return records.scalars(time_s, event.samples, values)
    words = in_words(event)
    return b"" if words is None else records.text(time_s, event.samples, f"events/{event.kind}", words)


def _scalars(event: Event) -> Iterator[tuple[str, float]]:
    """Yield the numbers of an event, each with its tag. TensorBoard groups tags by what comes before the `/`."""
    data = event.data
    match event.kind:
        case "score":
            yield from _scores(data)
        case "training":
            yield from data.items()
        case "mixture":
            yield from _tagged("mixture", data["shares"])
        case "memory":
            yield from _tagged("memory", data["held"])
            yield "memory/replayed", data["replayed"]
        case "epoch":
            yield from _tagged("epoch", data["logs"])


def _scores(data: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the scores of a set, and those of the baselines beside the predictions."""
    of = f"{data['target']}." if "target" in data else ""
    window = "" if data["window"] == "all" else f"_last_{data['window']}"
    yield from _tagged(data["set"], data["metrics"], of, window)
    if "forgetting" in data:
        yield from _tagged(data["set"], {"forgetting": data["forgetting"]}, of)
    if data["set"] == "prequential":
        for baseline, scores in data["baselines"].items():
            yield from _tagged(f"baseline/{baseline}", scores, of, window)


def _tagged(group: str, values: Mapping[str, float | None], of: str = "", end: str = "") -> Iterator[tuple[str, float]]:
    """Yield values with their tags, without those that are not known."""
    for name, value in values.items():
        if value is not None:
            yield f"{group}/{of}{name}{end}", value
