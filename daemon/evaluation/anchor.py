"""The anchor set: the samples of a file that never trains."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from learnd.daemon.contracts import Decoder, Source
from learnd.daemon.errors import SettingsError, SourceError
from learnd.daemon.values import Block, Samples


def read_anchor(file: Path, source: Source, decoder: Decoder) -> Samples:
    """Return every sample of a source that reads `file`, and close the source.

    Raises SettingsError if a record is not a sample, or if there is none.
    """
    try:
        blocks = _read(source, decoder)
    except SourceError as error:
        why = error if file.exists() else f"there is no file {file}; correct its name"
        raise SettingsError([f"validate.anchor.file: {why}"]) from error
    rejections = [rejection for block in blocks for rejection in block.rejections]
    if rejections or not any(len(block.samples) for block in blocks):
        what = f"{rejections[0].defect.detail} (at {rejections[0].start})" if rejections else "it holds no record"
        raise SettingsError([f"validate.anchor.file: {file} must hold samples alone: {what}"])
    return Samples.joined([block.samples for block in blocks])


def _read(source: Source, decoder: Decoder) -> list[Block]:
    blocks = []
    with closing(source):
        source.open({}, [])
        while not source.exhausted:
            if (batch := source.read(1.0)) is not None:
                blocks.append(decoder.decode(batch))
    return blocks
