"""Where a model is worse than what looks at no feature at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from learnd.daemon.tasks.contract import Better
from learnd.daemon.tasks.tallies import Scores

_MARGIN = 0.01  # of what is left to the best possible score: less is noise


@dataclass(frozen=True, slots=True)
class Behind:
    """A metric in which a baseline does better than the model."""

    metric: str
    score: float
    baseline: str
    baseline_score: float

    @property
    def text(self) -> str:
        return f"{self.metric} {self.score:.4f}, {self.baseline} {self.baseline_score:.4f}"


def behind(kinds: Mapping[str, Better], scores: Scores, baselines: Mapping[str, Scores]) -> Iterator[Behind]:
    """Yield each of the metrics `kinds` in which the best baseline is clearly ahead of the model."""
    for metric, better in kinds.items():
        rivals = {name: its[metric] for name, its in baselines.items() if metric in its}
        if metric not in scores or not rivals:
            continue
        sign = 1 if better is Better.HIGHER else -1
        name = max(rivals, key=lambda rival: sign * rivals[rival])
        room = 1 - rivals[name] if better is Better.HIGHER else rivals[name]
        if sign * (rivals[name] - scores[metric]) > _MARGIN * room:
            yield Behind(metric, scores[metric], name, rivals[name])
