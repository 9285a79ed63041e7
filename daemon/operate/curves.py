"""The course of each score over a whole history, in so few points that a page can draw them."""

from __future__ import annotations

from dataclasses import dataclass, field

from learnd.daemon.tasks.registry import BETTER
from learnd.daemon.values import Facts

_MOST_POINTS = 1_200  # if there are more, every second one goes


@dataclass(slots=True)
class Curve:
    """The values of one metric of one target at each count of samples, by the name of what they are of."""

    points: dict[str, dict[int, float]] = field(default_factory=dict)

    def add(self, samples: int, label: str, value: float) -> None:
        mine = self.points.setdefault(label, {})
        mine[samples] = value
        if len(mine) > _MOST_POINTS:  # each by itself: some come less often than others
            self.points[label] = dict(list(mine.items())[::-2][::-1])  # the newest stays

    def rows(self) -> list[Facts]:
        """Return what is known at each count of samples: `samples`, and `values` by name."""
        found: dict[int, dict[str, float]] = {}
        for label, points in self.points.items():
            for samples, value in points.items():
                found.setdefault(samples, {})[label] = value
        return [{"samples": samples, "values": found[samples]} for samples in sorted(found)]


class Curves:
    """Takes in the lines of a history about scores, in their order."""

    def __init__(self) -> None:
        self._curves: dict[tuple[str, str], Curve] = {}
        self._newest: dict[tuple[str, str], Facts] = {}  # by target and label

    def add(self, line: Facts) -> None:
        """Take in a line about a score. The baselines are those of the longest window, or of the whole run."""
        target, label = line.get("target", ""), _label(line)
        self._newest[target, label] = line
        for metric, value in line["metrics"].items():
            self._curve(target, metric).add(line["samples"], label, value)
        if line["set"] != "prequential":
            return
        windows = [its["window"] for (of, _), its in self._newest.items() if of == target and its["window"] != "all"]
        if line["window"] == max(windows, default="all"):
            for baseline, scores in line["baselines"].items():
                for metric, value in scores.items():
                    self._curve(target, metric).add(line["samples"], baseline, value)

    def facts(self) -> list[Facts]:
        """Return the curves in the order of their metrics: `target`, `metric`, `higher` is better, and the points."""
        return [
            {"target": target, "metric": metric, "higher": _is_higher_better(metric), "points": curve.rows()}
            for (target, metric), curve in self._curves.items()
        ]

    def newest(self) -> list[Facts]:
        """Return the newest scores of each kind: `target`, `label`, `samples`, `metrics` and `baselines`."""
        return [
            {"target": target, "label": label, **{name: line[name] for name in ("samples", "metrics", "baselines")}}
            for (target, label), line in self._newest.items()
        ]

    def _curve(self, target: str, metric: str) -> Curve:
        return self._curves.setdefault((target, metric), Curve())


def _label(line: Facts) -> str:
    if line["set"] != "prequential":
        return str(line["set"])
    return "whole run" if line["window"] == "all" else f"last {line['window']:,}"


def _is_higher_better(metric: str) -> bool | None:
    """Return None for a metric of Keras, of which nobody knows."""
    return BETTER[metric].name == "HIGHER" if metric in BETTER else None
