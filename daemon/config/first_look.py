"""Compares the settings with what can be seen of their files and source, before anything is read or trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from learnd.daemon.config.settings import Settings
from learnd.daemon.config.source_choice import SourceChoice
from learnd.daemon.errors import SettingsError
from learnd.daemon.foundation.section import Section
from learnd.daemon.state.directory import DEAD_LETTERS_FILE, OWN_NAMES, foreign_files, has_consumed
from learnd.daemon.stream.decoding.declared import missing_columns

_OWN_PLACES = {(), *((name,) for name in OWN_NAMES)}  # the first part of a path within the state directory


def problems(settings: Settings) -> list[str]:
    """Return a problem for each file that cannot be read, a state directory that is none, and each column that the
    source does not have.

    If there are none, return those of fields that cannot be read together.
    """
    found = [*_unreadable(settings), *_foreign(settings), *_overwritten(settings), *missing_in_source(settings)]
    return found or _undecodable(settings)


def missing_in_source(settings: Settings) -> list[str]:
    """Return a problem for each declared column that the first records lack.

    Once records were consumed there is none: the columns were there, and records that lack one are rejected.
    """
    glance = settings.look_at_source()
    missing = _missing(settings, glance.columns, glance.where)
    return [] if missing and has_consumed(settings.checkpoint.dir) else missing


def doubts(settings: Settings) -> Iterator[str]:
    """Yield what may be a mistake, or may change before the daemon runs."""
    glance = settings.look_at_source()
    yield from _missing(settings, glance.columns, glance.where)  # otherwise a problem
    for key, section in _sections(settings, ""):
        if (doubt := section.doubt()) is not None:
            yield f"{key}: {doubt}"
    holdout = settings.validation.holdout
    keyed = settings.source.settings.keys_each(settings.samples.record_format())
    if holdout is not None and holdout.by == "key" and settings.samples.key is None and not keyed:
        yield (
            "validate.holdout: by key, but samples.key names none: records without a key from the source are "
            "chosen by their position"
        )


def _unreadable(settings: Settings) -> Iterator[str]:
    for at, section in _sections(settings, ""):
        for name in section.reads:
            path = getattr(section, name)
            try:
                if path is not None:
                    path.open("rb").close()
            except OSError as error:
                yield f"{at}.{name}: {path} cannot be read: {error.strerror}"


def _foreign(settings: Settings) -> Iterator[str]:
    """Yield a problem if the state directory is a folder of other things: learnd would write among them."""
    root = settings.checkpoint.dir
    try:
        names = foreign_files(root)
    except OSError:
        return  # taking the lock tells of it
    if names:
        shown = ", ".join(names[:3]) + (", ..." if names[3:] else "")
        yield (
            f"checkpoint.dir: {root} holds other things ({shown}) and is no state directory. Nothing was written "
            "there. Give one that is new, empty, or was learnd's before: --state DIR"
        )


def _overwritten(settings: Settings) -> Iterator[str]:
    """Yield a problem for each output that is one of the daemon's own files."""
    root, letters = settings.checkpoint.dir.resolve(), settings.dead_letters.file
    files = {
        "dead_letters.file": letters,
        "predictions.file": settings.predictions.file,
        "history.tensorboard": settings.history.event_file,
    }
    for key, file in files.items():
        path = file.resolve() if file is not None else None
        if path is not None and path.is_relative_to(root) and path.relative_to(root).parts[:1] in _OWN_PLACES:
            yield f"{key}: {file} is what learnd itself writes there; nothing was written. Give another name"
        if key == "predictions.file" and path == (letters or root / DEAD_LETTERS_FILE).resolve():
            yield f"{key}: dead letters are written to {file} already"


def _undecodable(settings: Settings) -> list[str]:
    from learnd.daemon.stream.decoding.decoder import SampleDecoder

    try:
        SampleDecoder(settings.samples, settings.samples.spec(settings.model.task))
    except SettingsError as error:
        return error.problems
    return []


def _sections(section: Section, key: str) -> Iterator[tuple[str, Section]]:
    """Yield a section and those within it, each with its key, but not the items of lists and mappings."""
    yield key, section
    for name in type(section).model_fields:
        value, at = getattr(section, name), f"{key}.{name}" if key else name
        if isinstance(value, SourceChoice):
            at = f"{at}.{value.name}"
            value = value.settings
        if isinstance(value, Section):
            yield from _sections(value, at)


def _missing(settings: Settings, columns: tuple[str, ...] | None, where: str) -> list[str]:
    return missing_columns(settings.samples, columns, Path(where).name) if columns else []
