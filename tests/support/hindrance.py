"""What holds up the updates of a hindered model, as a file says. It needs no TensorFlow."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

HINDRANCE = "hindrance"
"""A file in the daemon's folder: the seconds that an update takes more; if it is empty, each waits until it is gone."""


def hinder() -> None:
    with suppress(FileNotFoundError):
        while not (text := Path(HINDRANCE).read_text()):
            time.sleep(0.05)
        time.sleep(float(text))
