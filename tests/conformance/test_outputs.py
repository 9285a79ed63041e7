"""What every output must do: each check runs on each output in the registry, and on the history.

An output joins with a line in the registry and a module `output_places/KEY.py`, whose `place` makes a place for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from output_places.place import Place

from learnd.daemon.contracts import Output
from learnd.daemon.registry import OUTPUTS

FILES = ["dead_letters.file", "predictions.file", "history.tensorboard", "history"]


def place_of(key: str) -> Callable[[Path], Place]:
    make: Callable[[Path], Place] = importlib.import_module(f"output_places.{key.replace('.', '_')}").place
    return make


@pytest.fixture(params=[*OUTPUTS, "history"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place_of(request.param)(tmp_path)


def opened(place: Place, mark: int | None = None) -> Output:
    output = place.make()
    output.open(mark)
    return output


def written(place: Place, output: Output, *items: int) -> int:
    """Write items, make them durable, and return the mark after them."""
    for item in items:
        place.write(output, item)
    mark = output.mark()
    output.sync()
    return mark


def test_what_is_synced_is_there(place: Place) -> None:
    output = opened(place)
    written(place, output, 1, 2, 3)
    assert place.read() == [1, 2, 3]
    output.close()


def test_a_mark_grows_with_what_is_written_and_only_with_that(place: Place) -> None:
    output = opened(place)
    marks = [output.mark(), written(place, output, 1), output.mark(), written(place, output, 2, 3)]
    output.close()
    assert marks[0] < marks[1] == marks[2] < marks[3]


def test_what_came_before_a_mark_stays_and_what_came_after_is_dropped_if_it_can_be(place: Place) -> None:
    output = opened(place)
    mark = written(place, output, 1, 2)
    written(place, output, 3, 4)
    output.close()
    output = opened(place, mark)
    assert output.mark() == mark
    written(place, output, 5)
    output.close()
    assert place.read() == ([1, 2, 5] if place.cuts else [1, 2, 3, 4, 5])


def test_without_a_mark_nothing_is_dropped(place: Place) -> None:
    output = opened(place)
    written(place, output, 1)
    output.close()
    output = opened(place, None)
    written(place, output, 2)
    output.close()
    assert place.read() == [1, 2]


def test_opened_again_it_goes_on_at_the_mark(place: Place) -> None:
    output = opened(place)
    mark = written(place, output, 1)
    written(place, output, 2)
    output.open(mark)
    assert output.mark() == mark
    written(place, output, 3)
    output.close()
    assert place.read() == ([1, 3] if place.cuts else [1, 2, 3])


def test_closes_whatever_happened_before(place: Place) -> None:
    place.make().close()
    output = opened(place)
    written(place, output, 1)
    output.close()
    output.close()
    assert place.read() == [1]


def test_its_place_is_the_same_for_every_start(place: Place) -> None:
    assert place.make().place == place.make().place != ""


@pytest.mark.parametrize("key", FILES)
@given(lives=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 99)), max_size=6))
def test_after_any_lives_there_is_what_the_marks_cover(
    key: str, lives: list[tuple[int, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each life opens at a mark of an earlier one, writes and marks, then writes what no mark covers."""
    place = place_of(key)(tmp_path_factory.mktemp("lives"))
    marks: list[tuple[int, list[int]]] = [(0, [])]
    item = 0
    for covered, lost, which in lives:
        mark, items = marks[which % len(marks)]
        marks = marks[: which % len(marks) + 1]
        output = opened(place, mark)
        assert place.read() == items
        new = list(range(item, item + covered))
        marks.append((written(place, output, *new), items + new))
        written(place, output, *range(item + covered, item + covered + lost))
        output.close()
        item += covered + lost
    output = opened(place, marks[-1][0])
    output.close()
    assert place.read() == marks[-1][1]
