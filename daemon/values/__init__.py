"""The values that travel from the source to the weights. Columns, rather than an object per record.

Letters in shapes: n records, m samples (records that were not rejected), K updates, B samples an update,
O columns of the label. The trailing dimensions of `x` are those of one sample's features.

A *position* is, per partition, the offset after the last record; to resume is to read the record that
starts at the position.
"""

from learnd.daemon.values.arrays import Arrays, Facts, Float32, Float64, Int64, Note, Positions, finite
from learnd.daemon.values.calls import Call, JournalEntry, Report, Skip
from learnd.daemon.values.events import Event
from learnd.daemon.values.records import Defect, Fate, Origin, RecordBatch, RecordFormat, Rejection, Span
from learnd.daemon.values.samples import Block, Column, ColumnKind, SampleSpec, Task

__all__ = [
    "Arrays",
    "Block",
    "Call",
    "Column",
    "ColumnKind",
    "Defect",
    "Event",
    "Facts",
    "Fate",
    "Float32",
    "Float64",
    "Int64",
    "JournalEntry",
    "Note",
    "Origin",
    "Positions",
    "RecordBatch",
    "RecordFormat",
    "Rejection",
    "Report",
    "SampleSpec",
    "Skip",
    "Span",
    "Task",
    "finite",
]
