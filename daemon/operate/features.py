"""What each feature does, for those who look: bounded, since a page gets it each second."""

from __future__ import annotations

from collections.abc import Mapping

from learnd.daemon.values import Facts

MOST_FEATURES = 50


def told_of_features(
    records: int,
    distances: Mapping[str, Mapping[str, float]],
    missing: Mapping[str, float],
    rejected: Mapping[str, int],
) -> Facts:
    """Return how far each feature is from its reference, by detector, how often it was missing, and how many records
    were rejected for it. If there are many features, it is of those that stand out most: `left_out` counts the others.
    """

    def rank(name: str) -> tuple[float, float, int, str]:
        farthest = max(distances.get(name, {}).values(), default=-1.0)
        return -farthest, -missing.get(name, 0.0), -rejected.get(name, 0), name

    names = sorted({*distances, *missing, *rejected}, key=rank)
    shown = names[:MOST_FEATURES]
    return {
        "records": records,
        "distances": {name: dict(distances[name]) for name in shown if name in distances},
        "missing": {name: missing[name] for name in shown if name in missing},
        "rejected": {name: rejected[name] for name in shown if name in rejected},
        "left_out": len(names) - len(shown),
    }
