"""The files that notes in the journal and in checkpoints name."""

from __future__ import annotations

from collections.abc import Sequence

from learnd.connectors.files.partition import FilePartition, partition_name
from learnd.daemon.values import Note, Positions, RecordFormat


def noted_partitions(
    notes: Sequence[Note], positions: Positions, fmt: RecordFormat, max_record_bytes: int
) -> list[FilePartition]:
    """Return the partitions that notes name, in order, each to be read from its position; a file's last note counts."""
    by_ordinal = {note["ordinal"]: note for note in notes}
    return [
        FilePartition.from_note(note, positions.get(partition_name(ordinal)), fmt, max_record_bytes)
        for ordinal, note in sorted(by_ordinal.items())
    ]
