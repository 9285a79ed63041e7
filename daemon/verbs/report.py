"""`learnd report`: how a model came to be what it is, as one page that needs nothing else. Changes nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from learnd.daemon.config.place import settings_of_state, state_at
from learnd.daemon.config.record import as_shown
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import DataError, StoreError
from learnd.daemon.http.page import report as document_of
from learnd.daemon.operate.curves import Curves
from learnd.daemon.operate.summary import to_json
from learnd.daemon.state.directory import check_state_directory
from learnd.daemon.state.history import HISTORY_FILE, oldest_first
from learnd.daemon.state.look import checkpoint_of
from learnd.daemon.state.store import Checkpoint
from learnd.daemon.values import Event, Facts, in_words
from learnd.daemon.verbs.evaluate import Scored
from learnd.daemon.verbs.given import Place
from learnd.daemon.verbs.options import Force, check_output

_MOST_MARKS = 300  # of a kind

verb = typer.Typer()


@verb.command()
def report(
    place: Place,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")] = Path(
        "report.html"
    ),
    evaluated_on: Annotated[
        Path | None, typer.Option("--evaluate", metavar="FILE", help="Labelled records to score the model on, too.")
    ] = None,
    force: Force = False,
) -> None:
    """Write one page about a model: the course of its scores, what happened, which records made it, its settings.

    It holds neither secrets nor records, and asks for nothing elsewhere.
    """
    root = state_at(place)
    check_state_directory(root, "There is nothing to tell.")
    checkpoint = checkpoint_of(root, None)
    settings = settings_of_state(root)
    check_output(output, "--output", force=force, kept=[place, *([] if evaluated_on is None else [evaluated_on])])
    told = {
        "where": str(root),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        **_of_checkpoint(checkpoint),
        **_of_history(root / HISTORY_FILE),
        "settings": as_shown(settings),
        "evaluated": None if evaluated_on is None else _evaluated(root, checkpoint, settings, evaluated_on),
    }
    try:
        output.write_text(document_of(to_json(told)), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{output} cannot be written: {error.strerror}. Name another file with --output.") from error
    print(f"wrote {output}")


def _of_checkpoint(checkpoint: Checkpoint) -> Facts:
    """Return what the newest checkpoint tells: the tiles at the top, the ranges of records, and what was rejected."""
    manifest, progress = checkpoint.manifest, checkpoint.state.part("progress").facts
    rejected: Mapping[str, int] = progress["samples_rejected"]
    created = datetime.fromtimestamp(manifest["created_s"], UTC).isoformat(timespec="seconds")
    tiles: list[tuple[str, Any, str]] = [
        ("samples trained", manifest["samples_trained"], f"in {progress['updates']:,} updates"),
        ("held out", progress["samples_held_out"], "never trained on"),
        ("rejected", sum(rejected.values()), "dead letters"),
        ("skipped", progress["updates_skipped"], "updates"),
        ("phase", manifest["phase"], ""),
        ("checkpoint", manifest["sequence"], created),
        ("good", {True: "yes", False: "no"}.get(manifest["good"], "not known"), ""),
        ("digest", manifest["digest"][:12], manifest["digest"]),
    ]
    return {"tiles": tiles, "ranges": manifest["ranges"], "rejected": rejected}


def _of_history(path: Path) -> Facts:
    """Return the course of the scores, and the events: of each kind the latest."""
    curves, marks = Curves(), dict[str, deque[tuple[int, Facts]]]()
    for number, line in enumerate(oldest_first(path)):
        kind, samples, time = line["event"], line["samples"], line["time"]
        if kind == "score":
            curves.add(line)
            continue
        data = {name: value for name, value in line.items() if name not in ("event", "samples", "time")}
        if (text := in_words(Event(kind, samples, data))) is not None:
            mark = {"kind": kind, "samples": samples, "time": time, "text": text}
            marks.setdefault(kind, deque(maxlen=_MOST_MARKS)).append((number, mark))
    found = sorted((mark for kind in marks.values() for mark in kind), key=lambda mark: mark[0])
    return {"curves": curves.facts(), "newest": curves.newest(), "marks": [mark for _, mark in found]}


def _evaluated(root: Path, checkpoint: Checkpoint, settings: Settings, file: Path) -> Facts:
    """Return how the model does on the records of a file. What cannot be decoded is told on standard error."""
    scored = Scored.nothing(settings, checkpoint)
    try:
        scored.add_all(root, checkpoint, settings, file)
    except DataError as error:
        if not scored.records:
            raise
        typer.echo(f"learnd: warning: {error}", err=True)
    return {"file": file.name, **scored.facts()}
