"""Which checkpoints to keep: a pure function of their manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from learnd.daemon.state.settings import CheckpointSettings
from learnd.daemon.values import Facts


def newest(manifests: Mapping[str, Facts], settings: CheckpointSettings) -> Sequence[str]:
    """Return the names of the newest checkpoints to keep, newest first. `manifests` is by name."""
    return sorted(manifests, reverse=True)[: settings.keep]


def best(manifests: Mapping[str, Facts], settings: CheckpointSettings) -> Sequence[str]:
    """Return the names of the checkpoints to keep for their score, the best first."""
    best = settings.best
    if best is None:
        return []
    scores = {name: _score(manifest, best.metric, best.window) for name, manifest in manifests.items()}
    scored = [(score, name) for name, score in scores.items() if score is not None]
    ranked = sorted(scored, reverse=best.mode == "max")
    return [name for _, name in ranked[: best.keep]]


def _score(manifest: Facts, metric: str, window: int | None) -> float | None:
    scores = manifest["scores"] if window is None else manifest["window_scores"].get(str(window), {})
    value = scores.get(metric)
    return None if value is None else float(value)
