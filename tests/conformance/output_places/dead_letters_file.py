from __future__ import annotations

import json
from pathlib import Path

from output_places.place import Place

from learnd.connectors.outputs.dead_letter_file import DeadLetterFile
from learnd.daemon.values import Defect, Rejection


def rejection(item: int) -> Rejection:
    return Rejection("p", item, item + 1, Defect("missing", "x"), b"%d" % item)


def place(root: Path) -> Place:
    path = root / "dead-letters.jsonl"

    def write(output: DeadLetterFile, item: int) -> None:
        output.write([rejection(item)])

    return Place(
        lambda: DeadLetterFile(path),
        write,
        lambda: [json.loads(line)["start"] for line in path.read_text().splitlines()],
    )
