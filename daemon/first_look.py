"""The settings held against what can be seen of their source, before anything is read or trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from daemon.settings import Settings
from daemon.stream.declared import missing_columns


def missing_in_source(settings: Settings) -> list[str]:
    """Return a problem for each declared column that the first records lack; none where a state directory has begun.

    Then the columns were there once, and records that lack one are rejected.
    """
    if has_begun(settings):
        return []
    glance = settings.look_at_source()
    return _missing(settings, glance.columns, glance.where)


def doubts(settings: Settings) -> Iterator[str]:
    """Yield what may be a mistake, or be otherwise when the daemon runs."""
    glance = settings.look_at_source()
    if glance.away is not None:
        yield f"{glance.where}: {glance.away}; a run waits for it with follow: true, and ends with 74 without"
    if glance.problem is not None:
        yield glance.problem
    if has_begun(settings):
        yield from _missing(settings, glance.columns, glance.where)
    holdout = settings.validation.holdout
    if holdout is not None and holdout.by == "key" and settings.samples.key is None:
        yield (
            "validate.holdout: by key, but samples.key names none: records to which the source gives no key go by "
            "their position"
        )


def has_begun(settings: Settings) -> bool:
    return (settings.checkpoint.dir / "checkpoints").exists()


def _missing(settings: Settings, columns: tuple[str, ...] | None, where: str) -> list[str]:
    return missing_columns(settings.samples, columns, Path(where).name) if columns else []
