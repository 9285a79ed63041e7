"""The anchor set: the samples of a file that never trains."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from learnd.daemon.contracts import Decoder, Source
from learnd.daemon.errors import SettingsError, SourceError


def read_anchor(file: Path, source: Source, decoder: Decoder) -> tuple[Any, Any, Any]:
    """Return x, y and the weights of every sample of a source that reads `file`, and close the source.

    Raises SettingsError if a record is not a sample, or if there is none.
    """
    try:
        blocks = _read(source, decoder)
    except SourceError as error:
        why = error if file.exists() else f"there is no file {file}; correct its name"
        raise SettingsError([f"validate.anchor.file: {why}"]) from error
    rejections = [rejection for block in blocks for rejection in block.rejections]
    if rejections or not any(len(block.x) for block in blocks):
        what = f"{rejections[0].defect.detail} (at {rejections[0].start})" if rejections else "it holds no record"
        raise SettingsError([f"validate.anchor.file: {file} must hold samples alone: {what}"])
    x, y, weight = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("x", "y", "weight"))
    return x, y, weight


def _read(source: Source, decoder: Decoder) -> list[Any]:
    blocks = []
    with closing(source):
        source.open({}, [])
        while not source.exhausted:
            if (batch := source.read(1.0)) is not None:
                blocks.append(decoder.decode(batch))
    return blocks
