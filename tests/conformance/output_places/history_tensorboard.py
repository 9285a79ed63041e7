from __future__ import annotations

from pathlib import Path

from event_files import events_in
from output_places.place import Place

from learnd.connectors.outputs.event_file import EventFile
from learnd.daemon.values import Event


def place(root: Path) -> Place:
    path = root / "logs" / "events.out.tfevents.learnd"

    def write(output: EventFile, item: int) -> None:
        output.write([Event("training", item, {"loss": 0.5})], 0.0)

    return Place(lambda: EventFile(path), write, lambda: [event.step for event in events_in(path)])
