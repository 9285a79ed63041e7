"""What a page is shown of the past: bounded, and each thing once."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from learnd.daemon.operate.live import MOST_POINTS, Live
from learnd.daemon.values import Defect, Event, Rejection

POINT: dict[str, Any] = {
    "samples_per_second": 1.0, "loss": None, "learning_rate": 0.1, "lag": None, "rejected": 0, "score": 0.5,
    "baselines": {"no_change": 0.4}, "shares": {},
}  # fmt: skip


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def whole(live: Live) -> list[dict[str, Any]]:
    """Return all points, as a page puts them together; each part is small."""
    news: dict[str, Any] = {"revision": 0, "more": True}
    points: list[dict[str, Any]] = []
    while news["more"]:
        news = live.since(news["revision"])
        assert len(news["points"]) <= 100
        points += news["points"]
    return points


def test_points_are_bounded_and_still_go_back_to_the_start() -> None:
    clock = Clock()
    live, took = Live(clock), 0
    for second in range(10_000):
        clock.now = 1000.0 + second
        if live.due():
            live.point(samples=second, **POINT)
            took += 1
    points = whole(live)
    assert MOST_POINTS // 2 <= len(points) <= MOST_POINTS
    assert points[0]["time_s"] < 1040.0
    assert points[-1]["time_s"] > 10_970.0
    steps = {round(after["time_s"] - before["time_s"]) for before, after in pairwise(points)}
    assert steps == {16}
    assert took < 4000


def test_a_clock_that_goes_back_does_not_stop_the_points() -> None:
    clock = Clock()
    live = Live(clock)
    live.point(samples=0, **POINT)
    assert not live.due()
    clock.now -= 3600
    assert live.due()


def test_each_thing_comes_once_and_facts_only_when_they_change() -> None:
    live = Live(Clock())
    live.point(samples=1, **POINT)
    live.tell("features", {"a": 1})
    first = live.since(0)
    assert (len(first["points"]), first["features"]) == (1, {"a": 1})
    live.tell("features", {"a": 1})
    nothing = live.since(first["revision"])
    assert nothing == {"revision": first["revision"], "more": False, "points": [], "marks": [], "dead_letters": []}
    live.tell("features", {"a": 2})
    live.mark("resume", 5, "resumed")
    later = live.since(first["revision"])
    assert (later["features"], [mark["text"] for mark in later["marks"]]) == ({"a": 2}, ["resumed"])
    assert json.loads(json.dumps(live.since(0))) == live.since(0)


def test_many_marks_of_a_kind_leave_those_of_others() -> None:
    live = Live(Clock())
    live.happened([Event("rollback", 10, {"reason": "command", "samples_taken_back": 1200})])
    for number in range(1000):
        live.mark("checkpoint", number, f"checkpoint {number}")
    marks = live.since(0)["marks"]
    assert len(marks) == 101
    assert marks[0]["text"] == "rolled back by command: 1,200 samples taken back"


def test_a_match_is_told_when_it_is_over_and_when_that_is_taken_back() -> None:
    live = Live(Clock())
    over = {"challenger": "quick", "outcome": "promoted", "compared": 1200}
    back = {"challenger": "quick", "outcome": "taken back", "was": "promoted", "decided_at": 2200}
    live.happened([Event("contest", 2200, over), Event("contest", 2400, back)])
    assert [mark["text"] for mark in live.since(0)["marks"]] == [
        "challenger quick: promoted after 1,200 samples",
        "challenger quick: taken back, promoted at 2,200",
    ]


def test_dead_letters_are_bounded_and_hold_nothing_of_the_records() -> None:
    live = Live(Clock())
    letters = [Rejection("p", n, n + 1, Defect("null", "a: got 'secret'"), b"secret") for n in range(1000)]
    live.rejected(letters)
    told = live.since(0)["dead_letters"]
    assert [letter["start"] for letter in told] == list(range(980, 1000))
    assert "secret" not in json.dumps(told)


def test_events_are_told_in_words() -> None:
    live = Live(Clock())
    columns = {f"c{n}": 0.3 for n in range(9)}
    live.happened(
        [
            Event("drift", 1, {"signal": "features", "level": "confirmed", "columns": columns}),
            Event("reaction", 2, {"on": "drift.confirmed of features", "actions": {"refit_standardization": "done"}}),
            Event("phase", 3, {"number": 1, "cause": "command"}),
            Event("command", 4, {"id": "1", "action": "pause", "by": "me", "outcome": "done"}),
            Event("command", 4, {"id": "2", "action": "reload", "by": "me", "outcome": "refused", "reason": "bad"}),
            Event("score", 5, {"set": "holdout"}),
        ]
    )
    assert [mark["text"] for mark in live.since(0)["marks"]] == [
        "drift of features (confirmed): c0, c1, c2, c3, c4, ...",
        "drift.confirmed of features: refit_standardization done",
        "phase 1, by command",
        "pause by me: done",
        "reload by me: refused: bad",
    ]
    assert (live.outcome("1") or {})["outcome"] == "done"
    assert live.outcome("3") is None
