"""Which checkpoints to keep: a pure function of their manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.state.settings import CheckpointSettings
from daemon.values import Facts


def kept(manifests: Mapping[str, Facts], settings: CheckpointSettings) -> Sequence[str]:
    """Return the names to keep: the newest, and the best by their score. `manifests` is by name."""
    newest = sorted(manifests, reverse=True)[: settings.keep]
    best = settings.best
    if best is None:
        return newest
    scores = {name: _score(manifest, best.metric, best.window) for name, manifest in manifests.items()}
    scored = [(score, name) for name, score in scores.items() if score is not None]
    ranked = sorted(scored, reverse=best.mode == "max")
    return [*newest, *[name for _, name in ranked[: best.keep]]]


def _score(manifest: Facts, metric: str, window: int | None) -> float | None:
    scores = manifest["scores"] if window is None else manifest["window_scores"].get(str(window), {})
    value = scores.get(metric)
    return None if value is None else float(value)
