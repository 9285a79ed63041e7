"""How labels are read, by what their field holds."""

from __future__ import annotations

from learnd.daemon.stream.decoding.categories import AgainstReader, BooleanReader, ListedReader, listed
from learnd.daemon.stream.decoding.columns import ColumnReader
from learnd.daemon.stream.decoding.defects import Reason
from learnd.daemon.stream.decoding.learnt import LearntReader
from learnd.daemon.stream.decoding.numbers import NumberReader
from learnd.daemon.stream.decoding.tensors import OneHotReader, TensorReader
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.decoding.vectors import LabelsReader, VectorReader
from learnd.daemon.tasks.label import Against, Boolean, Form, Learnt, Number, OneHot, OneOf, SomeOf, Vector


def label_reader(form: Form, texts: Texts, shape: tuple[int, ...] = ()) -> ColumnReader:
    """Return what reads the labels of a field, which holds tensors of them if there is a `shape`."""
    reader: ColumnReader
    match form:
        case Boolean():
            reader = BooleanReader(Reason.UNKNOWN_LABEL, texts)
        case Learnt(most):
            reader = LearntReader(most, texts)
        case OneOf(values):
            reader = ListedReader(listed(values), Reason.UNKNOWN_LABEL, texts)
        case Against(value):
            reader = AgainstReader(value, texts)
        case OneHot(values):
            reader = OneHotReader(len(values), texts)
        case SomeOf(names):
            reader = LabelsReader(names)
        case Vector(size):
            reader = VectorReader(size, texts)
        case Number():
            reader = NumberReader(texts)
    return TensorReader(shape, reader, texts) if shape else reader
