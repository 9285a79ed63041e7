"""Classes that are not known beforehand: what the decoder makes of them, and what becomes of it in calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from blocks import labels_of

from learnd.daemon.config.file import load_settings
from learnd.daemon.errors import SettingsError
from learnd.daemon.state.progress import Progress
from learnd.daemon.stream.batching import Batcher
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.holdout import HoldoutRule
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import LABEL, Block, Call, ClassNames, RecordBatch, Report, predictions_of


def settings(most: int = 4, **changes: Any) -> SamplesSettings:
    label = {"field": "y", "classes": {"max": most}}
    return SamplesSettings.model_validate({"features": {"a": "float"}, "label": label, **changes})


def decoder(most: int = 4, holdout: HoldoutRule | None = None, **changes: Any) -> SampleDecoder:
    samples = settings(most, **changes)
    return SampleDecoder(samples, samples.spec("classes"), holdout)


def batch(labels: Sequence[Any], start: int = 0, a: Any = 1.5) -> RecordBatch:
    records = [json.dumps({"a": a, "y": label}).encode() for label in labels]
    return RecordBatch("p", start, np.arange(start + 1, start + len(labels) + 1), records)


def indices(block: Block) -> list[int]:
    return labels_of(block)[:, 0].astype(int).tolist()


def test_classes_are_numbered_in_the_order_in_which_they_come() -> None:
    reads = decoder()
    block = reads.decode(batch(["cat", "dog", "cat", "ant"]))
    assert indices(block) == [0, 1, 0, 2]
    assert block.new_classes == ((0, "cat"), (1, "dog"), (3, "ant"))
    block = reads.decode(batch(["ant", "fox", "cat"], 4))
    assert indices(block) == [2, 3, 0]
    assert block.new_classes == ((1, "fox"),)


def test_one_more_than_there_is_room_for_is_rejected_with_the_reason() -> None:
    reads = decoder(most=2)
    block = reads.decode(batch(["cat", "dog", "ant", "cat"]))
    (rejection,) = block.rejections
    assert rejection.defect.reason == "unknown_label"
    assert "'ant' would be a new class" in rejection.defect.detail
    assert "room for 2 (samples.label.classes.max)" in rejection.defect.detail
    assert indices(block) == [0, 1, 0]
    assert indices(reads.decode(batch(["ant", "dog"], 4))) == [1]


def test_a_record_that_is_rejected_for_another_field_makes_no_class() -> None:
    reads = decoder()
    rejected = reads.decode(batch(["cat", "dog"], a="text"))
    assert [rejection.defect.reason for rejection in rejected.rejections] == ["wrong_type"] * 2
    assert rejected.new_classes == ()
    block = reads.decode(batch(["dog", "cat"], 2))
    assert (indices(block), block.new_classes) == ([0, 1], ((0, "dog"), (1, "cat")))


def test_without_its_key_a_record_makes_no_class() -> None:
    reads = decoder(holdout=HoldoutRule(0.1, "key"), key="user")
    records = [b'{"a": 1, "y": "cat", "user": null}', b'{"a": 1, "y": "dog", "user": "u"}']
    block = reads.decode(RecordBatch("p", 0, np.arange(1, 3), records))
    assert block.new_classes == ((1, "dog"),)


@pytest.mark.parametrize(
    ("label", "reason"), [("", "missing"), ("  ", "missing"), (None, "null"), ([1], "wrong_type"), ({}, "wrong_type")]
)
def test_what_is_no_text_and_no_number_is_no_class(label: Any, reason: str) -> None:
    block = decoder().decode(batch([label, "cat"]))
    assert block.rejections[0].defect.reason == reason
    assert indices(block) == [0]


def test_a_number_and_its_text_are_one_class_and_blanks_do_not_count() -> None:
    block = decoder().decode(batch([7, "7", 7.0, " 7 ", "seven"]))
    assert indices(block) == [0, 0, 0, 0, 1]
    assert [name for _, name in block.new_classes] == ["7", "seven"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["1.0", 1, 1.0, "1"], ["1"]),
        ([1, " 1.0 "], ["1"]),
        (["1.5", 1.5], ["1.5"]),
        (["0.0", 0], ["0"]),
        ([1e-7, "1e-07"], ["1e-07"]),
        (["007", 7, "7.00"], ["007", "7", "7.00"]),
        (["1.1", "1.10", 1.1], ["1.1", "1.10"]),
        (["12345678901234567890", 12345678901234567890, "12345678901234567891"],
         ["12345678901234567890", "12345678901234567891"]),
        (["nan", "inf"], ["nan", "inf"]),
    ],
)  # fmt: skip
def test_a_number_is_the_class_of_the_text_that_programs_write_for_it(labels: list[Any], expected: list[str]) -> None:
    block = decoder(9).decode(batch(labels))
    assert [name for _, name in block.new_classes] == expected
    assert not block.rejections


def test_words_for_no_value_are_no_classes_in_csv() -> None:
    reads = decoder(format="csv")
    block = reads.decode(RecordBatch("p", 0, np.arange(1, 5), [b"1,NA", b"1,", b"1,cat", b"1,n a"], ("a", "y")))
    assert [rejection.defect.reason for rejection in block.rejections] == ["missing"] * 2
    assert [name for _, name in block.new_classes] == ["cat", "n a"]


def consumed(batcher: Batcher, progress: Progress) -> list[Call]:
    """Take one call of one update after the other, as the loop does, and count them."""
    calls = []
    while (call := batcher.take(1)) is not None:
        calls.append(call)
        shape = (call.updates, call.rows, 4)
        progress.add(call, Report({LABEL: np.zeros(shape, np.float32)}, *[np.zeros(call.updates, np.float32)] * 2,
                                  np.zeros(call.updates, np.uint8)))  # fmt: skip
    return calls


def test_a_call_brings_the_classes_of_what_it_consumed_alone() -> None:
    batcher, progress = Batcher(2, settings().spec("classes")), Progress()
    batcher.add(decoder().decode(batch(["cat", "dog", "ant", "cat", "fox"])))
    calls = consumed(batcher, progress)
    assert [call.new_classes for call in calls] == [("cat", "dog"), ("ant",)]
    assert progress.classes == ["cat", "dog", "ant"]
    rest = batcher.take_rest()
    assert rest is not None
    assert rest.new_classes == ("fox",)


def test_it_goes_on_from_a_checkpoint_as_if_nothing_had_been_read_ahead() -> None:
    stream = batch(["cat", "dog", "ant", "cat", "fox", "dog", "elk"])
    reads, batcher, progress = decoder(), Batcher(1, settings().spec("classes")), Progress()
    whole = reads.decode(stream)
    batcher.add(whole)
    for _ in range(3):
        call = batcher.take(1)
        assert call is not None
        progress.classes += call.new_classes
    again = decoder()
    again.decode(batch(["elk", "gnu"]))  # of a call that was given up
    again.begin(progress.past)
    rest = again.decode(RecordBatch("p", 3, stream.ends[3:], stream.values[3:]))
    assert indices(rest) == indices(whole)[3:] == [0, 3, 1]
    assert [rejection.defect.reason for rejection in rest.rejections] == ["unknown_label"]


def test_held_out_samples_make_classes_too() -> None:
    rule = HoldoutRule(0.5, "position")
    labels = [f"k{number}" for number in range(12)]
    block = decoder(20, holdout=rule).decode(batch(labels))
    batcher = Batcher(1, settings(20).spec("classes"))
    batcher.add(block)
    call = batcher.take(100)
    assert call is not None
    assert len(call.held) > 2
    held = set(call.held.targets[LABEL][:, 0].astype(int).tolist())
    trained = set(call.batches.targets[LABEL].ravel().astype(int).tolist())
    assert held | trained == set(range(len(call.new_classes)))
    assert list(call.new_classes) == labels[: len(call.new_classes)]


def test_predictions_are_by_the_name_of_what_had_trained_before() -> None:
    batcher = Batcher(1, settings().spec("classes"), origins=True)
    batcher.add(decoder().decode(batch(["cat", "dog", "cat", "ant", "cat"])))
    shares = np.tile(np.array([0.4, 0.3, 0.2, 0.1], np.float32), (5, 1, 1))

    def told(*lengths: int) -> list[Any]:
        progress, values, done = Progress(), [], 0
        for length in lengths:
            call = part.part(done, done + length)
            new = ("cat", "dog", "ant") if not done else ()
            call = progress.with_classes(Call(**{**{n: getattr(call, n) for n in call.__slots__}, "new_classes": new,
                                                 "origins": part.origins}))  # fmt: skip
            report = Report({LABEL: shares[done : done + length]}, *[np.zeros(length, np.float32)] * 2,
                            np.zeros(length, np.uint8))  # fmt: skip
            progress.add(call, report)
            values += list(predictions_of(call, report, 0)) if length == 5 else []
            done += length
        return values

    part = batcher.take(5)
    assert part is not None
    found = [{name: round(share, 1) for name, share in one.value.items()} for one in told(5)]
    assert found == [{}, {"cat": 0.4}, {"cat": 0.4, "dog": 0.3}, {"cat": 0.4, "dog": 0.3},
                     {"cat": 0.4, "dog": 0.3, "ant": 0.2}]  # fmt: skip


def test_names_without_learnt_classes_there_are_none() -> None:
    call = Batcher(1, settings().spec("classes")).take_exactly(0, 1)
    assert call is not None
    assert Progress().with_classes(call).classes is None
    assert Progress(classes=["cat"], classes_trained=1).with_classes(call).classes == ClassNames(["cat"], 1)


@pytest.mark.parametrize("most", [1, 70_000, "many"])
def test_the_room_has_limits(most: Any) -> None:
    with pytest.raises(ValueError, match="max"):
        settings(most)


def test_an_anchor_needs_known_classes(tmp_path: Any) -> None:
    path = tmp_path / "learnd.yaml"
    path.write_text(
        "model: {task: classes}\nsource: {files: {path: x.jsonl}}\n"
        "samples: {features: {a: float}, label: {field: y, classes: {max: 9}}}\n"
        "validate: {anchor: {file: anchor.jsonl}}\n"
    )
    with pytest.raises(SettingsError, match=r"validate\.anchor: its labels are classes from the start"):
        load_settings(path)
