"""`learnd record`: a topic, or a range of it, in a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import SettingsError, StoreError
from learnd.daemon.registry import RECORDER, resolve


def record(settings: Settings, path: Path, end: str, stop: Callable[[], bool]) -> str:
    """Write a recording of the settings' topics, up to `end`; return what to tell. Raises LearndError."""
    if settings.source.name != "kafka":
        raise SettingsError([f"source: topics of Kafka are recorded; {settings.source.name} can be kept as it is"])
    if path.exists():
        raise StoreError(f"{path} exists, and nothing was recorded; remove it, or give another --to")
    recorder = resolve(RECORDER)(settings.source.settings)
    with _display() as display:
        task = display.add_task(path.name, total=1.0, records=0)
        whole = recorder.record(
            path, _end(end), stop, lambda: display.update(task, completed=recorder.share, records=recorder.records)
        )
    if not whole:
        raise StoreError(f"stopped before the end, so there is no {path}; record it again")
    if not recorder.records:
        return f"0 records in {path}: the topics hold none between --start and --end"
    return f"{recorder.records:,} records in {path}; now: learnd replay SETTINGS --from {path}"


def _end(text: str) -> Any:
    """Return where to end: a word, a time, or a mapping of partitions to offsets."""
    try:
        return yaml.safe_load(text) if text.startswith("{") else text
    except yaml.YAMLError as error:
        raise SettingsError([f"--end: {text!r} is no mapping such as {{clicks/0: 1200}}"]) from error


def _display() -> Progress:
    """Return a progress bar on standard error, which shows on a terminal alone."""
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    count = TextColumn("{task.fields[records]:,} records")
    return Progress(*columns, count, console=Console(file=sys.stderr), disable=not sys.stderr.isatty(), transient=True)
