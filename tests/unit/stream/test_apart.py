"""Decoding in a process of its own: what comes of a stream does not tell where it was decoded."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from learnd.daemon.stream.decoding import apart
from learnd.daemon.stream.decoding.apart import DecoderApart
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.holdout import HoldoutRule
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import Block, RecordBatch

SETTINGS = SamplesSettings.model_validate(
    {
        "features": {"a": {"type": "float", "default": 0.5}, "b": "integer", "c": {"hash": 9, "default": "none"}},
        "label": {"field": "y", "classes": {"max": 3}},
        "weight": {"expression": "where(a > 0, 2, 1)"},
        "key": "k",
    }
)
MADE_FROM = SETTINGS, SETTINGS.spec("classes"), HoldoutRule(0.3, "key")


def batch(start: int) -> RecordBatch:
    rng = np.random.default_rng(start)
    values = []
    for _ in range(50):
        record: dict[str, Any] = {"a": rng.normal(), "b": int(rng.integers(9)), "c": "x", "k": str(rng.integers(20))}
        record["y"] = f"class {rng.integers(1 + start // 100)}"
        if rng.random() < 0.3:
            record[str(rng.choice(["a", "b", "c", "y", "z"]))] = [None, "text", 3.5][rng.integers(3)]
        values.append(json.dumps(record).encode() if rng.random() < 0.95 else b"no json")
    ends = np.arange(start + 1, start + 51)
    keys = [b"key %d" % end for end in ends]
    return RecordBatch("p", start, ends, values, keys=keys, lines=[1] * 50, timestamps_s=ends / 2, note={"n": start})


BATCHES = [batch(start) for start in range(0, 600, 50)]


def here() -> SampleDecoder:
    return SampleDecoder(*MADE_FROM)


def assert_same(blocks: Sequence[Block], expected: Sequence[Block]) -> None:
    for block, other in zip(blocks, expected, strict=True):
        for name in block.__slots__:
            ours, theirs = getattr(block, name), getattr(other, name)
            if name == "samples":
                ours, theirs = [
                    [*samples.inputs.values(), *samples.targets.values(), samples.weight] for samples in (ours, theirs)
                ]
            np.testing.assert_equal(ours, theirs, name)


@pytest.fixture
def beside() -> Iterator[DecoderApart]:
    decoder = DecoderApart(here(), MADE_FROM, "always")
    yield decoder
    decoder.close()


def pid_of(decoder: DecoderApart) -> int | None:
    process = decoder._process
    return None if process is None else process._process.pid


def test_blocks_and_counts_are_the_same(beside: DecoderApart) -> None:
    alone = here()
    beside.begin(["class 3"])
    alone.begin(["class 3"])
    assert_same([beside.decode(each) for each in BATCHES], [alone.decode(each) for each in BATCHES])
    assert vars(beside.tally) == vars(alone.tally)
    assert any(alone.tally.rejected.values())
    assert any(alone.tally.missing.values())


@pytest.mark.parametrize("large", [1, 1000])
def test_blocks_are_the_same_and_in_order_if_some_are_left_to_the_process(
    monkeypatch: pytest.MonkeyPatch, beside: DecoderApart, large: int
) -> None:
    monkeypatch.setattr(apart, "_LARGE", large)
    alone, blocks, given = here(), [], []
    for each in BATCHES[:8]:
        blocks += beside.take(each)
        given.append(len(blocks))
    blocks += beside.rest()
    blocks.append(beside.decode(BATCHES[8]))
    assert_same(blocks, [alone.decode(each) for each in BATCHES[:9]])
    assert given == [number + int(large > 1) for number in range(8)]


def test_what_was_left_to_a_process_that_ends_is_decoded_here(
    monkeypatch: pytest.MonkeyPatch, beside: DecoderApart
) -> None:
    monkeypatch.setattr(apart, "_LARGE", 1)
    alone = here()
    blocks = [block for each in BATCHES[:6] for block in beside.take(each)]
    assert len(blocks) == 5
    os.kill(pid_of(beside) or 0, signal.SIGKILL)
    blocks += [block for each in BATCHES[6:] for block in beside.take(each)]
    blocks += beside.rest()
    assert_same(blocks, [alone.decode(each) for each in BATCHES])


def test_whoever_begins_anew_has_forgotten_the_classes(beside: DecoderApart) -> None:
    alone = here()
    for decoder in (beside, alone):
        decoder.decode(BATCHES[-1])
        decoder.begin(["class 7"])
    assert_same([beside.decode(BATCHES[3])], [alone.decode(BATCHES[3])])


def test_it_goes_on_here_if_the_process_is_killed(beside: DecoderApart) -> None:
    alone = here()
    blocks = [beside.decode(each) for each in BATCHES[:6]]
    os.kill(pid_of(beside) or 0, signal.SIGKILL)
    with capture_logs() as logs:
        blocks += [beside.decode(each) for each in BATCHES[6:]]
    assert_same(blocks, [alone.decode(each) for each in BATCHES])
    assert [line["event"] for line in logs] == ["decoder_process_lost"]
    assert "nothing is lost" in logs[0]["consequence"]


def test_it_goes_on_here_if_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch, beside: DecoderApart) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    alone = here()
    with capture_logs() as logs:
        assert_same([beside.decode(each) for each in BATCHES], [alone.decode(each) for each in BATCHES])
    assert [(line["event"], "/nowhere/python" in line["reason"]) for line in logs] == [("decoder_process_lost", True)]


def test_it_ends_with_the_daemon_and_not_by_a_signal_for_the_daemon(beside: DecoderApart) -> None:
    beside.decode(BATCHES[0])
    process = pid_of(beside)
    assert process is not None
    os.kill(process, signal.SIGTERM)
    os.kill(process, signal.SIGINT)
    beside.decode(BATCHES[1])
    assert pid_of(beside) == process
    beside.close()
    assert not Path(f"/proc/{process}").exists()


def test_a_thread_that_waits_for_it_gets_its_block_when_it_is_closed(beside: DecoderApart) -> None:
    beside.decode(BATCHES[0])
    os.kill(pid_of(beside) or 0, signal.SIGSTOP)  # so that the thread waits
    blocks: list[Block] = []
    waits = threading.Thread(target=lambda: blocks.append(beside.decode(BATCHES[1])))
    waits.start()
    with capture_logs() as logs:
        beside.close()
        waits.join(60)
    alone = here()
    alone.decode(BATCHES[0])
    assert_same(blocks, [alone.decode(BATCHES[1])])
    assert logs == []


@pytest.mark.parametrize(("when", "form"), [("never", "json"), ("auto", "json"), ("auto", "csv"), ("auto", "parquet")])
def test_there_is_none_before_it_pays(when: str, form: str) -> None:
    decoder = DecoderApart.of(here(), MADE_FROM, when, form)
    decoder.decode(BATCHES[0])
    assert pid_of(decoder) is None


def test_it_starts_once_decoding_takes_a_tenth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_processors", lambda: 2)
    monkeypatch.setattr(apart, "_WINDOW_S", 0.05)
    decoder, alone = DecoderApart.of(here(), MADE_FROM, "auto", "json"), here()
    rounds = 0
    try:
        while pid_of(decoder) is None or not decoder._process._begun:  # type: ignore[union-attr]
            assert_same([decoder.decode(each) for each in BATCHES], [alone.decode(each) for each in BATCHES])
            rounds += 1
        assert rounds > 1, "it was here until the process was ready"
        assert_same([decoder.decode(each) for each in BATCHES], [alone.decode(each) for each in BATCHES])
    finally:
        decoder.close()
