from __future__ import annotations

import os
import threading
from pathlib import Path

from source_streams.stream import JSON, Stream, json_lines

from learnd.connectors.files.settings import StdinSettings
from learnd.connectors.files.stdin import StdinSource


def pipe(root: Path) -> Stream:
    """The first start reads the pipe; later ones find it at its end and have the spool."""
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(json_lines())

    threading.Thread(target=feed, daemon=True).start()
    return Stream(lambda: StdinSource(StdinSettings(), JSON, root, reading))
