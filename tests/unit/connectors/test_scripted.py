import numpy as np
import pytest

from learnd.connectors.scripted import Moment, ScriptedSource, between
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Defect, RecordBatch


def batch(partition: str, first: int, last: int, **more: object) -> RecordBatch:
    ends = np.arange(first + 1, last + 1) * 10
    return RecordBatch(partition, first * 10, ends, [b"%d" % i for i in range(first, last)], **more)  # type: ignore[arg-type]


def test_plays_its_steps_in_order() -> None:
    source = ScriptedSource([batch("a", 0, 2), Moment.PAUSE, SourceError("away"), batch("b", 0, 1)])
    source.open({}, [])
    assert source.lag() == {"a": 2, "b": 1}
    first = source.read(1)
    assert first is not None
    assert first.values == [b"0", b"1"]
    assert source.read(1) is None
    with pytest.raises(SourceError, match="away"):
        source.read(1)
    assert not source.exhausted
    last = source.read(1)
    assert last is not None
    assert last.partition == "b"
    assert source.exhausted
    assert source.read(1) is None


def test_an_endless_script_waits_for_ever() -> None:
    source = ScriptedSource([], endless=True, live=True)
    source.open({}, [])
    assert source.read(0) is None
    assert not source.exhausted


def test_a_note_is_sent_once() -> None:
    steps = [batch("a", 0, 1, note={"n": 1}), batch("a", 1, 2, note={"n": 1})]
    source = ScriptedSource(steps)
    source.open({}, [])
    assert [(b := source.read(0)) and b.note for _ in steps] == [{"n": 1}, None]
    source = ScriptedSource(steps)
    source.open({}, [{"n": 1}])
    assert [(b := source.read(0)) and b.note for _ in steps] == [None, None]


def test_a_range_that_is_not_in_the_script_is_an_error() -> None:
    source = ScriptedSource([batch("a", 0, 3)])
    source.open({}, [])
    assert [b.values for b in source.read_range("a", 10, 20)] == [[b"1"]]
    with pytest.raises(SourceError, match="from 15 to 30"):
        list(source.read_range("a", 15, 30))


def test_what_lies_between_two_positions_keeps_what_belongs_to_it() -> None:
    whole = batch(
        "a",
        0,
        4,
        keys=[b"k0", b"k1", b"k2", b"k3"],
        headers=[[("h", b"%d" % i)] for i in range(4)],
        timestamps_s=np.arange(4.0),
        defects={0: Defect("x", "first"), 2: Defect("x", "third")},
    )
    part = between(whole, 10, 30)
    assert part is not None
    assert (part.start, part.ends.tolist(), part.values) == (10, [20, 30], [b"1", b"2"])
    assert part.keys == [b"k1", b"k2"]
    assert part.headers == [[("h", b"1")], [("h", b"2")]]
    assert part.timestamps_s is not None
    assert part.timestamps_s.tolist() == [1.0, 2.0]
    assert part.defects == {1: Defect("x", "third")}
    assert between(whole, 40, 90) is None
