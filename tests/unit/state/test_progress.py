"""What made the model, after some of it was taken back."""

from dataclasses import replace

import numpy as np
from calls import made_call, made_report

from learnd.daemon.state.progress import Progress
from learnd.daemon.tasks.known import Known
from learnd.daemon.values import Call, Report, Span


def call(start: int, end: int, skipped: int = 0) -> tuple[Call, Report]:
    count = end - start
    nothing = np.zeros((count, 1, 1))
    report = made_report(nothing, np.arange(count) < skipped)
    return made_call(nothing, nothing, first=start, spans=(Span("p", start, end),)), report


def test_what_was_taken_back_is_not_in_the_ranges_and_counts_as_rolled_back() -> None:
    progress = Progress()
    progress.add(*call(0, 100))
    then = progress.state().facts
    progress.add(*call(100, 150, skipped=10))
    assert progress.take_back(then) == [("p", 100, 150)]
    progress.add(*call(150, 200))
    assert progress.ranges() == {"p": [[0, 100], [150, 200]]}
    assert (progress.samples, progress.samples_trained, progress.updates) == (200, 150, 150)
    assert progress.rejected == {"rolled_back": 40}
    assert progress.positions == {"p": 200}


def test_a_second_return_to_the_same_time_sets_aside_only_what_came_since() -> None:
    progress = Progress()
    progress.add(*call(0, 100))
    then = progress.state().facts
    progress.add(*call(100, 150))
    progress.take_back(then)
    progress.add(*call(150, 180))
    assert progress.take_back(then) == [("p", 150, 180)]
    assert progress.ranges() == {"p": [[0, 100]]}
    assert progress.rejected == {"rolled_back": 80}


def test_all_of_it_comes_back_from_a_checkpoint() -> None:
    progress = Progress()
    progress.add(*call(0, 100))
    then = progress.state().facts
    progress.add(*call(100, 150))
    progress.take_back(then)
    resumed = Progress()
    resumed.restore(progress.state())
    assert resumed == progress


def test_a_partition_that_was_new_is_taken_back_whole() -> None:
    progress = Progress()
    progress.add(*call(5, 10))
    progress.take_back(Progress().state().facts)
    assert progress.ranges() == {"p": []}
    assert progress.samples_trained == 0


def test_notes_are_kept_while_they_are_needed_and_of_current_facts_the_latest() -> None:
    progress = Progress()
    notes = [
        {"starts": {"p": 0}, "current": {"p": 1, "q": 1}},
        {"lost": {"p": [5, 35]}, "until": {"p": 35}, "current": {"p": 2}},
        {"until": {}, "current": {"p": 3}},
    ]
    for number, note in enumerate(notes):
        made, report = call(10 * number, 10 * number + 10)
        progress.add(replace(made, notes=(note,)), report)
    lost = {"lost": {"p": [5, 35]}, "until": {"p": 35}}
    assert progress.notes == [{"starts": {"p": 0}}, lost, {"until": {}}, {"current": {"p": 3, "q": 1}}]
    made, report = call(30, 40)
    progress.add(replace(made, notes=({"until": {}, "current": {"q": 2}},)), report)
    assert progress.notes == [{"starts": {"p": 0}}, {"until": {}}, {"current": {"p": 3, "q": 2}}]


def test_a_class_has_come_whatever_is_taken_back() -> None:
    """As the scores have it, which nothing takes back: two classes before, and a third in what was rolled back."""
    progress = Progress(classes=["cat", "dog", "ant"])
    known = Known()

    def add(labels: list[int]) -> None:
        start, targets = progress.samples, np.array(labels).reshape(-1, 1, 1)
        report = made_report(np.zeros((len(labels), 1, 3)), np.zeros(len(labels), bool))
        span = Span("p", start, start + len(labels))
        progress.add(made_call(np.zeros((len(labels), 1, 1)), targets, first=start, spans=(span,)), report)
        known.follow(np.array(labels))

    add([0, 1])
    then = progress.state().facts
    add([2, 0])
    progress.take_back(then)
    assert progress.classes_trained == known.stand(np.array([0]))[0] == 3
    add([1])
    assert progress.classes_trained == known.stand(np.array([0]))[0] == 3
