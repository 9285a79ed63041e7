"""The values that travel from the source to the weights. They hold columns, not one object per record.

Letters in shapes: n records, m samples (records that were not rejected), K updates, B samples per update, O columns of
a target, C outputs of the model for that target.

A *position* is, per partition, the offset after the last record. A resume first reads the record that starts there.
"""

from learnd.daemon.values.arrays import Arrays, Facts, Float32, Float64, Int64, Note, Positions, finite
from learnd.daemon.values.calls import Call, ClassNames, JournalEntry, PhaseBegun, Report, Skip, known_before
from learnd.daemon.values.columnar import Columnar
from learnd.daemon.values.commands import Ahead, Command
from learnd.daemon.values.events import Event, in_words
from learnd.daemon.values.predictions import Prediction, as_json, predictions_of
from learnd.daemon.values.records import (
    CONTENT,
    EPOCHS,
    FOLDER,
    RAW,
    SOURCE_REASONS,
    Block,
    Defect,
    Fate,
    KeyedRows,
    Origin,
    Past,
    RecordBatch,
    RecordFormat,
    RecordSample,
    Rejection,
    Span,
)
from learnd.daemon.values.said import Said, said_rows
from learnd.daemon.values.samples import (
    FEATURES,
    LABEL,
    Column,
    ColumnKind,
    InputSpec,
    Samples,
    SampleSpec,
    TargetSpec,
    Task,
    Window,
)
from learnd.daemon.values.state import State, canonical_json

__all__ = [
    "CONTENT",
    "EPOCHS",
    "FEATURES",
    "FOLDER",
    "LABEL",
    "RAW",
    "SOURCE_REASONS",
    "Ahead",
    "Arrays",
    "Block",
    "Call",
    "ClassNames",
    "Column",
    "ColumnKind",
    "Columnar",
    "Command",
    "Defect",
    "Event",
    "Facts",
    "Fate",
    "Float32",
    "Float64",
    "InputSpec",
    "Int64",
    "JournalEntry",
    "KeyedRows",
    "Note",
    "Origin",
    "Past",
    "PhaseBegun",
    "Positions",
    "Prediction",
    "RecordBatch",
    "RecordFormat",
    "RecordSample",
    "Rejection",
    "Report",
    "Said",
    "SampleSpec",
    "Samples",
    "Skip",
    "Span",
    "State",
    "TargetSpec",
    "Task",
    "Window",
    "as_json",
    "canonical_json",
    "finite",
    "in_words",
    "known_before",
    "predictions_of",
    "said_rows",
]
