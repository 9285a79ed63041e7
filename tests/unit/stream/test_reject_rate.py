"""The share of rejected records, which in CSV is counted in lines."""

from __future__ import annotations

import numpy as np
import pytest

from learnd.daemon.errors import DataError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.reject_rate import RejectRate
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import Block, RecordBatch


def decoded(*rows: str) -> Block:
    settings = SamplesSettings.model_validate({"format": "csv", "features": {"a": "float"}, "label": "y"})
    values = [row.encode() for row in rows]
    batch = RecordBatch("file-0", 0, np.arange(1, len(rows) + 1), values, columns=("t", "a", "y"))
    return SampleDecoder(settings, settings.spec("binary")).decode(batch)


SWALLOWED = '5,"' + "\n5,1,0" * 20 + '",1'
"""A row by its cells: between two stray quotes there are 20 other rows."""


def test_what_a_record_swallowed_counts_by_its_lines() -> None:
    rate = RejectRate(0.2, 1000)
    rate.add(decoded(*["x,1,1"] * 80, SWALLOWED))
    with pytest.raises(DataError, match=r"21 of the last 101 lines, which are all since this start, were rejected"):
        rate.check_end(fresh=True)


def test_good_records_count_by_their_lines_too() -> None:
    rate = RejectRate(0.2, 1000)
    rate.add(decoded(*['"three\nlines\nof text",1,1'] * 80, *['"three\nlines\nof text",much,1'] * 20))
    rate.check_end(fresh=True)


def test_a_record_of_several_lines_is_told_by_its_dead_letter() -> None:
    (letter,) = decoded("x,1,1", SWALLOWED, "x,2,0").rejections
    assert letter.defect.reason == "wrong_type"
    assert letter.defect.detail.endswith(
        "; the record goes over 21 lines, from a quote in its first on; if that is a stray one: samples.quote: none"
    )


def test_the_reasons_are_those_of_the_records_that_are_counted() -> None:
    rate = RejectRate(0.2, 100)
    rate.add(decoded("x,much,1", *["x,1,1"] * 200))
    bad = decoded(*["x,1"] * 21)
    with pytest.raises(
        DataError, match=r"21 of the last 100 records were rejected.*: wrong_column_count 21\. The last"
    ):
        rate.add(bad)


def test_messages_of_csv_are_counted_one_by_one() -> None:
    given = {"format": "csv", "columns": ["t", "a", "y"], "features": {"a": "float"}, "label": "y"}
    settings = SamplesSettings.model_validate(given)
    batch = RecordBatch("t-0", 0, np.array([1]), [b'"a\nb",much,1'], columns=("t", "a", "y"))
    assert SampleDecoder(settings, settings.spec("binary")).decode(batch).lines is None
