"""The share of rejected records, which in CSV is counted in lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blocks import blocks_of

from learnd.daemon.errors import DataError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.reject_rate import RejectRate
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import FEATURES, Block, RecordBatch


def decoded(*rows: str) -> Block:
    settings = SamplesSettings.model_validate({"format": "csv", "features": {"a": "float"}, "label": "y"})
    values = [row.encode() for row in rows]
    lines = [row.count("\n") + 1 for row in rows]
    several = lines if max(lines) > 1 else None
    batch = RecordBatch("file-0", 0, np.arange(1, len(rows) + 1), values, columns=("t", "a", "y"), lines=several)
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
        "; the record goes over 21 lines, from the quote at byte 3 of its first line on; if that is a stray one: "
        "samples.quote: none"
    )


@pytest.mark.parametrize(
    ("row", "byte"),
    [('"a\nb",much,1', 1), ('"x, y",""1,"a\nb",1', 12), ('5",1,"a""b\n",1', 6), ('"x"y,"a\n"', 6)],
)
def test_it_names_the_quote_that_goes_over_the_line(row: str, byte: int) -> None:
    (letter,) = decoded(row).rejections
    assert f"goes over 2 lines, from the quote at byte {byte} of its first line on" in letter.defect.detail


def in_files(directory: Path, content: str, given: dict[str, Any]) -> list[Block]:
    """Return the blocks of a file as the decoder gives them under these settings."""
    path = directory / "a.csv"
    path.write_text(content)
    samples = SamplesSettings.model_validate({"format": "csv", "features": {"a": "float"}, "label": "y"} | given)
    return blocks_of(path, samples, samples.spec("binary"))


@pytest.mark.parametrize("given", [{}, {"columns": ["t", "a", "y"]}])
def test_what_is_counted_in_lines_is_what_comes_from_a_file(tmp_path: Path, given: dict[str, Any]) -> None:
    """The batch tells, not the settings: those of messages may be used for a file, too."""
    (block,) = in_files(tmp_path, f"t,a,y\nx,1,1\n{SWALLOWED}\nx,2,0\n", given)
    assert block.lines == [1, 21, 1]
    (letter,) = block.rejections
    assert "the record goes over 21 lines, from the quote at byte 3" in letter.defect.detail


def test_a_row_that_is_too_wide_is_one_reject_and_its_text_no_record(tmp_path: Path) -> None:
    (block,) = in_files(tmp_path, 't,a,y\n1,"hello\n7,8,1\nbye",0,4\nx,2,0\n', {})
    assert len(block) == 2
    assert block.lines == [3, 1]
    assert block.samples.inputs[FEATURES].tolist() == [[2.0]]
    (letter,) = block.rejections
    assert letter.defect.reason == "wrong_column_count"
    assert "the record goes over 3 lines, from the quote at byte 3 of its first line on" in letter.defect.detail


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


def test_another_limit_judges_what_comes_next() -> None:
    rate = RejectRate(0.2, 10)
    rate.limit(1, 10)
    rate.add(decoded(*["x,much,1"] * 10))
    rate.limit(0.5, 10)
    rate.add(decoded("x,1,1"))  # nobody is judged for what the limit before has let through
    with pytest.raises(DataError, match=r"9 of the last 10 records were rejected, over the limit of 50%"):
        rate.add(decoded("x,much,1"))


def test_a_longer_window_goes_on_with_what_is_known_and_a_shorter_one_with_the_latest() -> None:
    rate = RejectRate(0.5, 4)
    rate.add(decoded(*["x,1,1"] * 2, *["x,much,1"] * 2))
    rate.limit(0.5, 6)
    rate.add(decoded("x,much,1"))  # 3 of 6
    with pytest.raises(DataError, match="4 of the last 6 records"):
        rate.add(decoded("x,much,1"))
    rate = RejectRate(0.5, 4)
    rate.add(decoded(*["x,1,1"] * 2, *["x,much,1"] * 2))
    rate.limit(0.5, 2)
    with pytest.raises(DataError, match="2 of the last 2 records"):
        rate.add(decoded("x,much,1"))


def test_records_that_lack_a_field_are_held_no_longer_than_the_limit_says() -> None:
    rate = RejectRate(0.2, 1000)
    rate.add(decoded(",,1"))
    assert rate.lacking is not None
    rate.limit(1, 1000)
    assert rate.lacking is None
