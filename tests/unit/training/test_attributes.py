"""Attributes of objects in a checkpoint: what is held comes back exactly, and what would not is refused."""

import json
import os.path
from collections import Counter, OrderedDict, defaultdict, deque
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from learnd.daemon.training.attributes import Holding, NotHoldableError, given_back, is_code
from learnd.daemon.values import canonical_json


class Point(NamedTuple):
    x: int
    y: int


SINGLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from([np.float32(0.1), np.int64(3), np.bool_(True), len, np.less, np.mean, os.path.join, Counter]),
    st.builds(lambda shape: np.arange(np.prod(shape, dtype=int), dtype=np.float16).reshape(shape), st.just((2, 3))),
    st.builds(lambda: np.array(7)),
)
KEYS = st.one_of(st.integers(), st.text(max_size=3), st.booleans(), st.tuples(st.integers(), st.text(max_size=2)))
VALUES = st.recursive(
    SINGLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
    ),
    max_leaves=12,
)


def written(value: Any) -> str:
    """Return all that there is to know of a value: types, order, and the bits of numbers."""
    if isinstance(value, list | tuple):
        return f"{type(value)}{[written(item) for item in value]}"
    if isinstance(value, dict):
        return f"{type(value)}{[(written(key), written(item)) for key, item in value.items()]}"
    if isinstance(value, np.ndarray | np.generic):
        return f"{type(value)}{value.dtype}{value.shape}{value.tobytes()!r}"
    return f"{type(value)}{value!r}"


def back(value: Any) -> Any:
    """Return what comes back of a value by way of the files of a checkpoint."""
    holding = Holding()
    fact = holding.fact(value)
    return given_back(json.loads(canonical_json(fact)), load(save(holding.arrays)))


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_what_is_held_comes_back_as_it_was(value: Any) -> None:
    assert written(back(value)) == written(value)


ARRAY = np.zeros((4, 3))
ROW = [1]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (deque([1]), "an object of the type deque"),
        (Counter("ab"), "type Counter"),
        (defaultdict(list), "type defaultdict"),
        (OrderedDict(), "type OrderedDict"),
        (Point(1, 2), "type Point"),
        (range(3), "type range"),
        (bytearray(b"ab"), "type bytearray"),
        ({1, 2}, "type set"),
        (np.ma.masked_array([1]), "type MaskedArray"),
        (partial(len), "type partial"),
        (ROW.append, "a function that no module has under its name"),
        (lambda: 0, "a function that no module has"),
        (np.array(["a"]), "an array of the type <U1"),
        (np.zeros(2, ">f4"), "an array of the type >f4"),
        (ARRAY.T, "not in C order"),
        ([ARRAY, ARRAY], "a ndarray that it or another one of them holds elsewhere"),
        ([ARRAY, {"part": ARRAY[1]}], "shares its memory with another one"),
        ((ROW, ROW), "a list that it or another"),
        ([{}, *[ROW] * 2], "a list that it or another"),
    ],
)
def test_what_would_come_back_otherwise_is_refused(value: Any, words: str) -> None:
    with pytest.raises(NotHoldableError) as raised:
        Holding().fact(value)
    assert words in str(raised.value)


def test_a_list_in_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(NotHoldableError):
        Holding().fact(value)


def test_a_function_that_is_gone_is_told() -> None:
    with pytest.raises(NotHoldableError, match=r"the function os\.path:joined, which is no longer there"):
        given_back({"function": "os.path:joined"}, {})


def test_code_has_no_state() -> None:
    assert all(is_code(value) for value in (len, json.dumps, lambda: 0, Counter, np.less, dict.fromkeys))
    assert not any(is_code(value) for value in (ROW.append, partial(len), Counter(), "text", Counter().update))
