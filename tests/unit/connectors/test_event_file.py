"""What TensorBoard is told: the numbers of the history under tags, and the words of what happened."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_files import events_in, told_in

from learnd.connectors.outputs.event_file import EventFile
from learnd.daemon.values import Event

SCORE: dict[str, Any] = {"set": "prequential", "window": "all", "metrics": {"accuracy": 0.75}, "baselines": {}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.out.tfevents.learnd"


@pytest.fixture
def told(path: Path) -> Callable[..., list[tuple[int, str, Any]]]:
    """Writes events, and returns what the file tells then."""

    def write(*events: Event) -> list[tuple[int, str, Any]]:
        output = opened(path, 0)
        output.write(events, 1.5)
        output.close()
        return told_in(path)

    return write


def opened(path: Path, mark: int | None) -> EventFile:
    output = EventFile(path)
    output.open(mark)
    return output


def losses(*samples: int) -> list[Event]:
    return [Event("training", count, {"loss": count / 2}) for count in samples]


def test_scores_of_each_set_have_a_group_of_their_own(told: Callable[..., list[Any]]) -> None:
    baselines = {"no_change": {"accuracy": 0.5}, "priors": {"log_loss": 0.25}}
    assert told(
        Event("score", 300, {**SCORE, "baselines": baselines}),
        Event("score", 300, {**SCORE, "window": 100, "baselines": {"no_change": {"accuracy": 0.125}}}),
        Event("score", 300, {**SCORE, "set": "holdout", "baselines": baselines}),
        Event("score", 300, {**SCORE, "set": "anchor", "target": "price", "forgetting": 0.5}),
    ) == [
        (300, "prequential/accuracy", 0.75),
        (300, "baseline/no_change/accuracy", 0.5),
        (300, "baseline/priors/log_loss", 0.25),
        (300, "prequential/accuracy_last_100", 0.75),
        (300, "baseline/no_change/accuracy_last_100", 0.125),
        (300, "holdout/accuracy", 0.75),
        (300, "anchor/price.accuracy", 0.75),
        (300, "anchor/price.forgetting", 0.5),
    ]


def test_losses_rates_shares_and_memories_are_numbers_too(told: Callable[..., list[Any]]) -> None:
    assert told(
        Event("training", 1, {"loss": 2.5, "learning_rate": 0.5}),
        Event("mixture", 2, {"shares": {"columns": 0.25, "lags": 0.75}}),
        Event("memory", 3, {"held": {"all": 60}, "replayed": 7}),
        Event("epoch", 4, {"epoch": 0, "logs": {"loss": 0.5, "val_loss": None}, "learning_rate": 0.5}),
    ) == [
        (1, "loss", 2.5),
        (1, "learning_rate", 0.5),
        (2, "mixture/columns", 0.25),
        (2, "mixture/lags", 0.75),
        (3, "memory/all", 60),
        (3, "memory/replayed", 7),
        (4, "epoch/loss", 0.5),
    ]


def test_what_happened_is_told_in_words(told: Callable[..., list[Any]]) -> None:
    assert told(
        Event("phase", 5, {"number": 1, "cause": "plateau"}),
        Event("checkpoint", 5, {"sequence": 3, "digest": "ab"}),
        Event("command", 6, {"action": "pause", "by": "caf\udce9 \u00e9", "outcome": "done"}),
    ) == [(5, "events/phase", "phase 1, by plateau"), (6, "events/command", "pause by caf\\udce9 \u00e9: done")]


def test_a_record_has_the_time_and_large_steps(path: Path, told: Callable[..., list[Any]]) -> None:
    counts = [0, 127, 128, 2**40 + 1]
    told(*losses(*counts))
    assert [(event.step, event.wall_time) for event in events_in(path)] == [(count, 1.5) for count in counts]


def test_numbers_are_kept_in_32_bits(told: Callable[..., list[Any]]) -> None:
    values = [0.1, 1e300, -1e300, 0.0]
    shown = [value for *_, value in told(*(Event("training", 0, {"loss": value}) for value in values))]
    assert shown == [np.float32(0.1), math.inf, -math.inf, 0]


def test_records_of_any_length_can_be_found_again(path: Path) -> None:
    """Longer ones than what is looked at at once, too."""
    output = opened(path, None)
    for size in (0, 1, 127, 128, 70_000, 1_100_000, 3):
        output.write([Event("phase", size, {"number": 0, "cause": "x" * size})], 0)
    output.close()
    output = opened(path, None)
    output.write(losses(9), 0)
    output.close()
    assert [step for step, *_ in told_in(path)] == [0, 1, 127, 128, 70_000, 1_100_000, 3, 9]


@pytest.mark.parametrize("lost", range(1, 60, 7))
@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_somebody_cut_keeps_its_whole_records(path: Path, lost: int, known: bool) -> None:
    output = opened(path, None)
    ends = []
    for samples in (1, 2, 3):
        output.write(losses(samples), 0)
        ends.append(output.mark())
    output.close()
    path.write_bytes(path.read_bytes()[:-lost])
    output = opened(path, ends[-1] if known else None)
    output.write(losses(4), 0)
    output.close()
    kept = [1, 2] if ends[-1] - lost >= ends[1] else [1]
    assert [step for step, *_ in told_in(path)] == [*kept, 4]


def test_what_comes_after_the_mark_is_written_over_with_as_many_bytes(path: Path) -> None:
    """A TensorBoard that has read it goes on where it is."""
    output = opened(path, None)
    output.write(losses(1), 0)
    mark = output.mark()
    output.write([*losses(2), Event("phase", 2, {"number": 1, "cause": "plateau"})], 1.0)
    output.close()
    before = path.read_bytes()
    output = opened(path, mark)
    output.write([*losses(2), Event("phase", 2, {"number": 1, "cause": "plateau"})], 1e9 + 0.1)
    output.close()
    after = path.read_bytes()
    assert (len(after), after[:mark]) == (len(before), before[:mark])
    assert [event.wall_time for event in events_in(path)] == [0, 1e9 + 0.1, 1e9 + 0.1]


def test_zeros_that_a_crash_left_are_no_records(path: Path) -> None:
    output = opened(path, None)
    output.write(losses(1), 0)
    output.close()
    path.write_bytes(path.read_bytes() + bytes(500))
    output = opened(path, None)
    output.write(losses(2), 0)
    output.close()
    assert [step for step, *_ in told_in(path)] == [1, 2]
