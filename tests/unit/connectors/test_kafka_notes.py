"""What the source remembers of partitions: which ranges, for how long, and by whom."""

from __future__ import annotations

import numpy as np

from learnd.connectors.kafka.clients.contract import Fetched
from learnd.connectors.kafka.notes import PartitionNotes, lose

STARTS = {"starts": {"t/0": 0}}


def fetched(first: int, last: int) -> Fetched:
    rows = last - first
    return Fetched("t/0", np.arange(first, last), [b""] * rows, [None] * rows, None, np.zeros(rows, np.int64))


def test_schemas_that_were_missed_are_those_of_the_noted_ranges() -> None:
    ranges = [[first + 1, first + 3, [7, first]] for first in range(0, 100, 10)]
    notes = [{"schemas": {"t/0": [one]}} for one in reversed(ranges)]
    known = PartitionNotes({}, [STARTS, *notes])
    ends = np.arange(1, 101)
    assert known.missed_schema("t/0", 7, ends).tolist() == [end % 10 in {1, 2, 3} for end in ends]
    assert np.flatnonzero(known.missed_schema("t/0", 50, ends)).tolist() == [50, 51, 52]
    assert not known.missed_schema("t/0", 8, ends).any()
    assert not known.missed_schema("t/1", 7, ends).any()


def test_a_note_of_ranges_says_until_when_it_is_needed() -> None:
    known = PartitionNotes({}, [STARTS])
    known.skip("t/0", 10, 20, 0.0)
    batch = known.noted(lose("t/0", 5, 10))
    assert batch.note == {
        "lost": {"t/0": [5, 10]},
        "skipped": {"t/0": [[10, 20, 0.0]]},
        "skipped_records": 10,
        "until": {"t/0": 20},
    }
    known.start_at({"t/1": 3})
    started = known.noted(lose("t/0", 20, 30))
    assert started.note is not None
    assert "until" not in started.note


def test_ranges_that_a_checkpoint_covers_are_forgotten() -> None:
    known = PartitionNotes({}, [STARTS])
    for first in range(0, 100, 10):
        known.skip("t/0", first, first + 5, 0.0)
    known.forget({"t/0": 52})
    assert known.jump("t/0", 30) == 30
    assert [known.jump("t/0", position) for position in (53, 60, 90)] == [55, 65, 95]
    kept = known.kept(fetched(40, 100))
    assert kept is not None
    assert kept.offsets.tolist() == [o for o in range(40, 100) if o < 50 or o % 10 >= 5]


def test_a_thread_that_was_given_up_writes_nothing_when_it_wakes_up() -> None:
    known = PartitionNotes({}, [STARTS])
    hung, new = object(), object()
    known.reader = hung
    known.reader = new
    known.skip("t/0", 0, 10, 0.0, by=hung)
    known.start_at({"t/0": 9}, by=hung)
    assert known.jump("t/0", 0) == 0
    assert known.starts == {"t/0": 0}
    batch = lose("t/0", 0, 1)
    assert known.noted(batch).note == {"lost": {"t/0": [0, 1]}, "until": {"t/0": 1}}
    known.skip("t/0", 0, 10, 0.0, by=new)
    assert known.jump("t/0", 0) == 10


def test_a_leader_epoch_is_noted_when_it_changes() -> None:
    known = PartitionNotes({}, [STARTS, {"current": {"t/0": 3}}, {"current": {"t/0": 4, "t/1": 9}}])
    assert known.epochs == {"t/0": 4, "t/1": 9}
    batch = lose("t/0", 0, 1)
    known.lead("t/0", 4)
    assert "current" not in (known.noted(batch).note or {})
    known.lead("t/0", 5)
    known.lead("t/1", -1)
    assert (known.noted(batch).note or {})["current"] == {"t/0": 5, "t/1": -1}


def test_the_epochs_of_records_stay_with_them() -> None:
    some = Fetched("t/0", np.arange(4), [b""] * 4, [None] * 4, None, np.zeros(4, np.int64), [1, 1, 2, 3])
    assert some.epoch == 3
    assert some.rows(slice(0, 3)).epoch == 2
    assert some.rows(np.array([True, True, False, False])).epoch == 1
    assert fetched(0, 4).rows(slice(0, 2)).epoch == -1


def test_records_of_a_later_epoch_or_before_a_truncation_are_not_those_that_were_read() -> None:
    def of(first: int, epoch: int) -> Fetched:
        return Fetched(
            "t/0", np.arange(first, first + 2), [b""] * 2, [None] * 2, None, np.zeros(2, np.int64), [epoch] * 2
        )

    known = PartitionNotes({}, [STARTS, {"current": {"t/0": 3}}])
    assert known.still_holds(of(0, 3))
    assert not known.still_holds(of(0, 4))
    known.truncate("t/0", 10)
    note = known.noted(lose("t/0", 10, 12)).note
    assert note == {"current": {"t/0": -1}, "truncated": {"t/0": 10}, "lost": {"t/0": [10, 12]}, "until": {"t/0": 12}}
    again = PartitionNotes({}, [STARTS, note])
    assert not again.still_holds(of(8, 4))
    assert again.still_holds(of(10, 4))
