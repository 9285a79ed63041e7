"""What every part that has a state must do with it. The parts are found by themselves; each needs a maker."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from safetensors.numpy import load, save
from stateful import PARTS, Part

import learnd.daemon
from learnd.daemon.errors import StateMismatchError
from learnd.daemon.training.runtime import configure
from learnd.daemon.values import State, canonical_json

configure(threads=1, seed=7, loops_as_kernels=True)  # the first operation of the process fixes the threads


@pytest.fixture(params=PARTS, ids=str)
def part(request: pytest.FixtureRequest) -> Part:
    found: Part = request.param
    return found


def fed(part: Part, *cuts: int) -> tuple[Any, list[object]]:
    """Return a new one that has taken in its stream up to the last cut, and what it told."""
    made, told = part.make(), []
    for start, end in pairwise((0, *cuts)):
        told += part.feed(made, start, end)
    return made, told


def stored(state: State) -> State:
    """Return what a checkpoint gives back of a state."""
    return State(load(save(state.arrays)), json.loads(canonical_json(state.facts)))


def implementations() -> Iterator[type]:
    """Yield every class of the daemon that gives a state and takes one, but for contracts and what others derive from.

    What has no module of its own to import is no part of the daemon.
    """
    for module in pkgutil.walk_packages(learnd.daemon.__path__, "learnd.daemon."):
        if module.name.endswith("__main__"):
            continue
        for found in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(found) and found.__module__ == module.name and _has_state(found):
                yield found


def _has_state(found: type) -> bool:
    is_contract = getattr(found, "_is_protocol", False) or inspect.isabstract(found)
    return not is_contract and all(callable(getattr(found, name, None)) for name in ("state", "restore"))


def test_every_part_is_tried() -> None:
    without = set(implementations()) - {part.of for part in PARTS}
    assert not without, "make them in tests/support/stateful.py"


def test_to_take_and_give_back_changes_nothing(part: Part) -> None:
    made, _ = fed(part, part.length // 2)
    state = made.state()
    made.restore(state)
    assert made.state() == state


def test_a_state_is_a_copy(part: Part) -> None:
    made, _ = fed(part, part.length // 2)
    state, other = made.state(), part.make()
    kept = state.clone()
    other.restore(state)
    for each in (made, other):
        part.feed(each, part.length // 2, part.length)
        assert state == kept, "going on changes no state that was given or taken"
    after = made.state()
    for array in after.arrays.values():
        array.fill(7)
    after.facts.clear()
    assert made.state() == other.state(), "nor does a state change the part that gave it"


@pytest.mark.parametrize("share", [0.0, 0.34, 0.71])
def test_one_that_was_stored_goes_on_as_the_original_would(part: Part, share: float) -> None:
    at = int(part.length * share)
    original, _ = fed(part, at) if at else fed(part)
    clone = part.make()
    clone.restore(stored(original.state()))
    assert clone.state() == original.state()
    told = [part.feed(each, at, part.length) for each in (original, clone)]
    assert repr(told[0]) == repr(told[1])
    assert clone.state() == original.state()


def test_how_the_stream_was_cut_does_not_show(part: Part) -> None:
    end = part.length
    whole, told = fed(part, end)
    for cuts in ([1, 2], [end // 3, end // 3 + 1, end * 5 // 6], [end - 1]):
        cut, told_by_cut = fed(part, *cuts, end)
        assert part.without_cuts(cut) == part.without_cuts(whole)
        assert sorted(map(repr, told_by_cut)) == sorted(map(repr, told))


def test_a_state_of_another_part_is_refused_and_changes_nothing(part: Part) -> None:
    if part.foreign is None:
        assert part.takes_any
        return
    made, _ = fed(part, part.length // 2)
    before, foreign = made.state(), part.foreign().state()
    with pytest.raises(StateMismatchError):
        made.restore(foreign)
    assert made.state() == before
