"""Decoded blocks of files, and what is in blocks of one input and one target."""

from pathlib import Path

from learnd.connectors.files.settings import FilesSettings
from learnd.connectors.files.source import FilesSource
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import FEATURES, LABEL, Block, Float32, SampleSpec


def blocks_of(path: Path, samples: SamplesSettings, spec: SampleSpec) -> list[Block]:
    """Return the whole file, as a run decodes it."""
    decoder = SampleDecoder(samples, spec)
    source = FilesSource(FilesSettings(path=str(path)), samples.record_format())
    source.open({}, [])
    blocks = []
    while not source.exhausted:
        if (batch := source.read(1.0)) is not None:
            blocks.append(decoder.decode(batch))
    source.close()
    return blocks


def features_of(block: Block) -> Float32:
    """Return the features of the samples (m, columns)."""
    return block.samples.inputs[FEATURES]


def labels_of(block: Block) -> Float32:
    """Return the labels of the samples (m, O)."""
    return block.samples.targets[LABEL]
