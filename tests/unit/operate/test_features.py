"""What a page is told of features: bounded, however many there are."""

from __future__ import annotations

from learnd.daemon.operate.features import MOST_FEATURES, told_of_features


def test_those_that_stand_out_most_are_told_and_the_others_counted() -> None:
    names = [f"f{number:03}" for number in range(MOST_FEATURES + 10)]
    distances = {name: {"psi": number / 100, "ks": 0.0} for number, name in enumerate(names)}
    told = told_of_features(7, distances, {names[0]: 0.5, names[-1]: 0.25}, {names[1]: 3})
    assert set(told["distances"]) == set(names[10:])
    assert (told["missing"], told["rejected"], told["left_out"]) == ({names[-1]: 0.25}, {}, 10)
    assert told["records"] == 7


def test_a_few_are_all_told_whatever_is_known_of_them() -> None:
    told = told_of_features(7, {"a": {"psi": 0.1}}, {"b": 0.5}, {"c": 3})
    assert (told["distances"], told["missing"], told["rejected"]) == ({"a": {"psi": 0.1}}, {"b": 0.5}, {"c": 3})
    assert told["left_out"] == 0
