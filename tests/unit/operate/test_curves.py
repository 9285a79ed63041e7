"""The course of scores, for a page."""

from __future__ import annotations

from typing import Any

from learnd.daemon.operate.curves import _MOST_POINTS, Curves


def line(samples: int, window: int | str = "all", **more: Any) -> dict[str, Any]:
    return {
        "samples": samples,
        "set": "prequential",
        "window": window,
        "metrics": {"accuracy": samples / 1e6},
        "baselines": {"majority": {"accuracy": 0.5, "kappa": 0.0}},
        **more,
    }


def curve(curves: Curves, metric: str = "accuracy", target: str = "") -> list[Any]:
    (found,) = (its["points"] for its in curves.facts() if (its["metric"], its["target"]) == (metric, target))
    return list(found)


def test_there_is_a_curve_of_each_metric_with_what_it_is_of() -> None:
    curves = Curves()
    for samples in (100, 200):
        curves.add(line(samples))
        curves.add(line(samples, 50, metrics={"accuracy": 0.7}))
        curves.add(line(samples, 80, metrics={"accuracy": 0.8}, baselines={"majority": {"accuracy": 0.6}}))
    curves.add(line(200, set="holdout", metrics={"accuracy": 0.9}))
    assert curve(curves)[1] == {
        "samples": 200,
        "values": {"whole run": 0.0002, "last 50": 0.7, "last 80": 0.8, "majority": 0.6, "holdout": 0.9},
    }
    assert [its["higher"] for its in curves.facts()] == [True, True]
    assert [(its["label"], its["samples"]) for its in curves.newest()] == [
        ("whole run", 200),
        ("last 50", 200),
        ("last 80", 200),
        ("holdout", 200),
    ]


def test_each_target_has_curves_of_its_own() -> None:
    curves = Curves()
    curves.add(line(100, target="a"))
    curves.add(line(100, target="b", metrics={"mae": 2.0}, baselines={}))
    assert [(its["target"], its["metric"], its["higher"]) for its in curves.facts()] == [
        ("a", "accuracy", True),
        ("a", "kappa", True),
        ("b", "mae", False),
    ]


def test_a_long_history_is_thinned_and_its_newest_point_stays() -> None:
    curves = Curves()
    for samples in range(1, 10 * _MOST_POINTS + 1):
        curves.add(line(samples, baselines={}))
        assert len(curve(curves)) <= _MOST_POINTS if samples % 997 == 0 else True
    points = curve(curves)
    assert _MOST_POINTS // 2 <= len(points) <= _MOST_POINTS
    assert points[-1]["samples"] == 10 * _MOST_POINTS
    assert points[0]["samples"] < 20


def test_what_comes_less_often_is_thinned_by_itself() -> None:
    curves = Curves()
    for samples in range(1, 5 * _MOST_POINTS + 1):
        curves.add(line(samples, baselines={}))
        if samples % 10 == 0:
            curves.add(line(samples, set="holdout", baselines={}))
    held = [point["samples"] for point in curve(curves) if "holdout" in point["values"]]
    assert held == list(range(10, 5 * _MOST_POINTS + 1, 10))


def test_a_metric_of_keras_has_no_better_way() -> None:
    curves = Curves()
    curves.add(line(1, metrics={"top_k": 0.2}, baselines={}))
    assert curves.facts()[0]["higher"] is None
