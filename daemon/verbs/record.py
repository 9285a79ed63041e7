"""`learnd record`: write a topic, or a range of it, to a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from learnd.daemon.config.first_look import problems
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import SettingsError, StoreError
from learnd.daemon.operate.signals import StopSignal
from learnd.daemon.registry import RECORDER, resolve
from learnd.daemon.verbs.options import Overrides, SettingsFile, load

if TYPE_CHECKING:
    from rich.progress import Progress

verb = typer.Typer()


@verb.command()
def record(
    file: SettingsFile,
    recording: Annotated[Path, typer.Option("--to", metavar="FILE", help="A .jsonl, .jsonl.zst or .parquet file.")],
    start: Annotated[
        str | None, typer.Option("--start", help="Where to begin: as source.kafka.start, which it overrides.")
    ] = None,
    end: Annotated[
        str, typer.Option("--end", help="Where to end: latest, an age, a time, or {TOPIC/PARTITION: OFFSET}.")
    ] = "latest",
    overrides: Overrides = None,
) -> None:
    """Write a topic of Kafka, or a range of it, to a file that `replay` takes."""
    extra = [] if start is None else [f"source.kafka.start={start}"]
    settings = load(file, [*(overrides or []), *extra], further=problems)
    with StopSignal(settings.shutdown_timeout_s) as stop:
        print(record_topics(settings, recording, end, stop), file=sys.stderr)


def record_topics(settings: Settings, path: Path, end: str, stop: Callable[[], bool]) -> str:
    """Write a recording of the settings' topics, up to `end`, and return what to print. Raises LearndError."""
    if settings.source.name != "kafka":
        raise SettingsError(
            [f"source: record takes topics of Kafka; what {settings.source.name} reads can be kept as it is"]
        )
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
        raise SettingsError([f"--end: {text!r} is not a mapping such as {{clicks/0: 1200}}"]) from error


def _display() -> Progress:
    """Return a progress bar on standard error, which shows only on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    count = TextColumn("{task.fields[records]:,} records")
    return Progress(*columns, count, console=Console(file=sys.stderr), disable=not sys.stderr.isatty(), transient=True)
