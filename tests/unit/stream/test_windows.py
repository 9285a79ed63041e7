"""Windows over the records of a key: what the decoder makes of them, what the settings refuse, what is forecast."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learnd.connectors.files.epochs import EpochsSource
from learnd.connectors.files.settings import EpochsSettings
from learnd.daemon.errors import SettingsError
from learnd.daemon.state.progress import Progress
from learnd.daemon.stream.batching import Batcher
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.encoding import Encoder
from learnd.daemon.stream.holdout import HoldoutRule
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import FEATURES, LABEL, Block, Call, Fate, Past, Positions, RecordBatch, Report, SampleSpec


def settings(window: Mapping[str, Any], **changes: Any) -> SamplesSettings:
    given: dict[str, Any] = {"features": {"v": "float"}, "label": "y", "key": "of", "window": window}
    return SamplesSettings.model_validate(given | changes)


def decoder(samples: SamplesSettings, holdout: HoldoutRule | None = None) -> SampleDecoder:
    return SampleDecoder(samples, samples.spec("regression"), holdout)


def batch(
    records: Sequence[Mapping[str, Any]], start: int = 0, keys: Sequence[bytes | None] | None = None
) -> RecordBatch:
    ends = np.arange(start + 1, start + len(records) + 1)
    return RecordBatch("p", start, ends, [json.dumps(record).encode() for record in records], keys=keys)


def stream(text: str, first: int = 1) -> list[dict[str, Any]]:
    """Return a record for each letter, which is its key; values count up."""
    return [{"of": key, "v": first + index, "y": 10 * (first + index)} for index, key in enumerate(text)]


def windows(reads: SampleDecoder, records: Sequence[Mapping[str, Any]], start: int = 0) -> list[list[float]]:
    return reads.decode(batch(records, start)).samples.inputs[FEATURES][:, :, 0].tolist()


def test_a_window_ends_with_the_record_and_holds_those_of_its_key_alone() -> None:
    reads = decoder(settings({"length": 3}))
    assert windows(reads, stream("abaa")) == [[0, 0, 1], [0, 0, 2], [0, 1, 3], [1, 3, 4]]
    assert windows(reads, stream("ba", 5), 4) == [[0, 2, 5], [3, 4, 6]]


def test_a_forecast_sees_what_came_some_records_before_and_a_first_one_sees_nothing() -> None:
    samples = settings({"length": 2, "ahead": 2}, label="v")
    block = decoder(samples).decode(batch(stream("aabaaa")))
    leave, train = Fate.LEAVE_OUT, Fate.TRAIN
    assert block.fates.tolist() == [leave, leave, leave, train, train, train]
    assert block.samples.inputs[FEATURES][:, :, 0].tolist() == [[0, 1], [1, 2], [2, 4]]
    assert block.samples.targets[LABEL][:, 0].tolist() == [4, 5, 6]
    assert not block.rejections


def test_a_rejected_record_is_in_no_window_and_one_without_its_key_is_rejected() -> None:
    reads = decoder(settings({"length": 2}))
    records = stream("aaaa")
    records[1]["v"] = "x"
    records[2]["of"] = None
    block = reads.decode(batch(records))
    assert block.samples.inputs[FEATURES][:, :, 0].tolist() == [[0, 1], [1, 4]]
    assert block.rejections[1].defect.detail == "of: null, but the window needs it as the key"


def test_without_a_field_the_key_is_that_of_the_record_and_those_without_are_one_sequence() -> None:
    reads = decoder(settings({"length": 2}, key=None))
    block = reads.decode(batch(stream("xxxx"), keys=[b"a", None, b"a", None]))
    assert block.samples.inputs[FEATURES][:, :, 0].tolist() == [[0, 1], [0, 2], [1, 3], [2, 4]]
    assert windows(reads, stream("x", 5), 4) == [[4, 5]]


def test_held_out_records_are_in_later_windows_too() -> None:
    held = decoder(settings({"length": 2}), HoldoutRule(0.5, "position")).decode(batch(stream("a" * 40)))
    plain = decoder(settings({"length": 2})).decode(batch(stream("a" * 40)))
    assert {Fate.TRAIN, Fate.HOLD_OUT} <= set(held.fates.tolist())
    assert np.array_equal(held.samples.inputs[FEATURES], plain.samples.inputs[FEATURES])


def test_what_a_call_brings_along_lets_another_decoder_go_on() -> None:
    samples = settings({"length": 3, "ahead": 1, "keys": 2}, label="v")
    spec, records = samples.spec("regression"), stream("abacabca" * 5)
    reads, whole = decoder(samples), decoder(samples).decode(batch(stream("abacabca" * 5)))
    assert samples.window is not None
    progress, batcher = Progress(recent=samples.window.recent_rows(spec.width)), Batcher(3, spec)
    batcher.add(reads.decode(batch(records)))
    trained = 0
    for updates in (1, 2, 1):
        call = batcher.take(updates)
        assert call is not None
        progress.add(call, nothing(call))
        trained += call.samples
        at = progress.positions["p"]
        restored = Progress(recent=samples.window.recent_rows(spec.width))
        restored.restore(progress.state())
        assert restored.past.recent == progress.past.recent
        again = decoder(samples)
        again.begin(restored.past)
        rest = again.decode(batch(records[at:], at))
        assert np.array_equal(rest.samples.inputs[FEATURES], whole.samples.inputs[FEATURES][trained:])


def nothing(call: Call) -> Report:
    none = np.zeros(call.updates, np.float32)
    return Report({}, none, none, np.zeros(call.updates, np.uint8))


def test_an_encoder_sees_the_records_that_it_is_given_and_its_windows_end_with_them() -> None:
    encode = Encoder(settings({"length": 3, "ahead": 1}, label="v"), "regression")
    given = [{"of": "a", "v": 1}, {"of": "a", "v": 2}]
    for _ in range(2):
        found = encode(given)
        assert isinstance(found, np.ndarray)
        assert found[:, :, 0].tolist() == [[0, 0, 1], [0, 1, 2]]


def test_an_encoder_makes_the_same_windows_in_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(self: SampleDecoder, batch: RecordBatch) -> Block:
        time.sleep(0.001)  # others have their turn
        return decode(self, batch)

    decode = SampleDecoder.decode
    monkeypatch.setattr(SampleDecoder, "decode", slowly)
    encode = Encoder(settings({"length": 2}), "regression")

    def as_alone(first: int) -> bool:
        found = encode([{"of": "a", "v": first}, {"of": "a", "v": first + 1}])
        assert isinstance(found, np.ndarray)
        return bool(found[:, :, 0].tolist() == [[0, first], [first, first + 1]])

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(as_alone, range(40)))


def test_a_naive_forecast_is_the_last_value_and_a_seasonal_one_that_of_a_season_before() -> None:
    samples = settings(
        {"length": 4, "ahead": 1, "season": 3}, features={"w": "float", "x": {"field": "v", "type": "float"}}
    )
    samples = samples.model_copy(update={"label": samples.label.model_copy(update={"field": "v"})})  # type: ignore[union-attr]
    spec = samples.spec("regression")
    records = [{**record, "w": -1} for record in stream("aaaaaa")]
    block = SampleDecoder(samples, spec).decode(batch(records))
    found = spec.naive(LABEL, block.samples.inputs)
    assert found["naive"][:, 0].tolist() == [1, 2, 3, 4, 5]
    assert found["seasonal_naive"][:, 0].tolist() == [1, 2, 1, 2, 3], "before a season is over, the last value"


def test_a_season_ago_a_value_may_have_been_zero() -> None:
    samples = settings({"length": 3, "ahead": 1, "season": 3}, features={"v": "float"}, label="v")
    reads, spec = decoder(samples), samples.spec("regression")
    records = [{"of": "a", "v": value} for value in (0, -0.0, 5, 6, 7, 8)]
    found = spec.naive(LABEL, reads.decode(batch(records)).samples.inputs)
    assert found["seasonal_naive"][:, 0].tolist() == [0, 0, 0, 0, 5]
    more = spec.naive(
        LABEL, reads.decode(batch([{"of": "b", "v": 1}, {"of": "b", "v": -0.5}, *records[:1]], 6)).samples.inputs
    )
    assert more["seasonal_naive"][:, 0].tolist() == [1, 6]


@pytest.mark.parametrize("window", [{"length": 4}, {"length": 4, "ahead": 1}])
def test_without_earlier_labels_in_its_windows_there_is_no_naive_forecast(window: Mapping[str, Any]) -> None:
    spec: SampleSpec = settings(window).spec("regression")
    assert spec.naive(LABEL, spec.zeros(2).inputs) == {}


def test_a_spec_says_what_a_window_is() -> None:
    spec = settings({"length": 4}, features={"v": "float", "k": {"hash": 5}}).spec("regression")
    assert spec.inputs[0].shape == (4, 2)
    assert spec.inputs[0].described == "a window of 4 records of 2 columns"
    assert [column.name for column in spec.columns] == ["v", "k"]


IMAGE = {"image": {"size": [4, 4]}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"features": {"v": "float", "p": IMAGE}}, "'p' is an image of 4 × 4 × 3; leave one of both out"),
        ({"inputs": {"a": ["v"], "b": ["w"]}, "features": {"v": "float", "w": "float"}}, "there are 2 inputs"),
        ({"inputs": {"a": {"features": ["v"], "shape": [1, 1]}}}, "samples.inputs.a.shape: a window says the shape"),
    ],
)
def test_what_cannot_be_a_window(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=r"samples\.(window|inputs)") as caught:
        settings({"length": 3}, **changes).spec("regression")
    assert said in str(caught.value)


def test_a_window_that_is_given_back_is_no_forecast() -> None:
    assert settings({"length": 3}, label={"from": "inputs"}).spec("regression").task.shape == (3, 1)
    with pytest.raises(SettingsError, match=r"samples\.window\.ahead: a label that is the window itself"):
        settings({"length": 3, "ahead": 1}, label={"from": "inputs"}).spec("regression")


def test_classes_that_are_learnt_cannot_be_forecast() -> None:
    samples = settings({"length": 3, "ahead": 1}, label={"field": "y", "classes": {"max": 4}})
    with pytest.raises(SettingsError, match=r"samples\.window\.ahead: classes that are learnt"):
        samples.spec("classes")


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ({"length": 1}, "greater than or equal to 2"),
        ({"length": 4, "season": 3}, "season: only of a forecast"),
        ({"length": 4, "ahead": 2, "season": 1}, "holds labels from 2 to 5 records before"),
        ({"length": 4, "ahead": 2, "season": 6}, "holds labels from 2 to 5 records before"),
    ],
)
def test_settings_of_a_window_that_cannot_be(window: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settings(window)


def test_a_label_may_be_a_feature_of_a_forecast_alone() -> None:
    settings({"length": 3, "ahead": 1}, label="v")
    with pytest.raises(ValueError, match="is the label as well"):
        settings({"length": 3}, label="v")


def test_windows_begin_anew_with_each_epoch_also_behind_a_resume(tmp_path: Path) -> None:
    samples, records = settings({"length": 3}), [{"of": "a", "v": "x", "y": 0}, *stream("abaabb")]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    epochs = EpochsSettings(path=str(tmp_path / "a.jsonl"), epochs=3, shuffle=False)
    spec, expected = samples.spec("regression"), 3 * windows(decoder(samples), records)
    assert samples.window is not None
    progress, batcher = Progress(recent=samples.window.recent_rows(spec.width)), Batcher(4, spec)
    for block in decoded(epochs, samples, {}, Past()):
        batcher.add(block)
    trained: list[list[float]] = []
    while (call := batcher.take(1)) is not None:
        trained += call.batches.inputs[FEATURES][0, :, :, 0].tolist()
        progress.add(call, nothing(call))
        rest = [block.samples.inputs[FEATURES] for block in decoded(epochs, samples, progress.positions, progress.past)]
        assert trained + np.concatenate(rest)[:, :, 0].tolist() == expected


def decoded(epochs: EpochsSettings, samples: SamplesSettings, positions: Positions, past: Past) -> Iterator[Block]:
    """Yield all that is to come behind these positions, of which this past is left."""
    source, reads = EpochsSource(epochs, samples.record_format()), decoder(samples)
    source.open(positions, [])
    reads.begin(past)
    while (batch := source.read(0)) is not None:
        yield reads.decode(batch)


@pytest.mark.parametrize(("shuffle", "refused"), [(True, True), (False, False)])
def test_records_that_are_shuffled_make_no_windows(shuffle: bool, refused: bool) -> None:
    source = EpochsSettings(path="a.jsonl", shuffle=shuffle)
    problem = source.problem_with(settings({"length": 3}).record_format())
    assert ("--no-shuffle" in (problem or "")) == refused
    without = SamplesSettings.model_validate({"features": {"v": "float"}, "label": "y"})
    assert source.problem_with(without.record_format()) is None


def test_a_decoder_that_begins_anew_forgets() -> None:
    reads = decoder(settings({"length": 2}))
    windows(reads, stream("a"))
    reads.begin(Past())
    assert windows(reads, stream("a", 2), 1) == [[0, 2]]
