"""What is in decoded blocks of one input and one target."""

from learnd.daemon.values import FEATURES, LABEL, Block, Float32


def features_of(block: Block) -> Float32:
    """Return the features of the samples (m, columns)."""
    return block.samples.inputs[FEATURES]


def labels_of(block: Block) -> Float32:
    """Return the labels of the samples (m, O)."""
    return block.samples.targets[LABEL]
