"""`learnd support-bundle`: what one sends along with a question, in one archive. Changes nothing.

Of the state directory it takes what holds neither secrets, which are never in there, nor records: no dead letters, no
predictions and no weights.
"""

from __future__ import annotations

import io
import platform
import sys
import tarfile
import time
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from learnd.daemon.errors import StoreError
from learnd.daemon.operate.summary import to_json
from learnd.daemon.state.directory import check_state_directory
from learnd.daemon.state.lock import holder_of
from learnd.daemon.verbs.options import Force, StateArgument, check_output
from learnd.daemon.verbs.status import answer_of, facts_of

_WHOLE = ("settings.json", "summary.json", "epochs.json", "lock", "checkpoints/*/manifest.json")
_ENDS = ("scores.jsonl", "journal/*.log")
_MOST_BYTES = 1_000_000  # of the end of a file that only grows

verb = typer.Typer()


@verb.command("support-bundle")
def support_bundle(
    directory: StateArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The archive.")] = Path("learnd-support.tar.gz"),
    log: Annotated[
        typer.FileBinaryRead | None,
        typer.Option("--log", metavar="FILE", help="What the daemon wrote to standard error: its end goes in, too."),
    ] = None,
    force: Force = False,
) -> None:
    """Collect what tells how a daemon is, in one archive: neither secrets nor records nor weights."""
    check_state_directory(directory, "There is nothing to collect.")
    check_output(output, "--output", force=force, kept=[] if log is None else [Path(log.name)])
    members = {"versions.json": _versions(), **dict(_told(directory)), **dict(_kept(directory))}
    if log is not None:
        members["log.txt"] = _end_of_stream(log)
    try:
        with tarfile.open(output, "w:gz") as archive:
            for name, content in members.items():
                _add(archive, f"learnd-support/{name}", content)
    except OSError as error:
        raise StoreError(f"{output} cannot be written: {error.strerror}. Name another file with --output.") from error
    print(f"{output} holds {', '.join(members)}.")
    if log is None:
        print("The log is not in it: give it with --log FILE, or send what the daemon wrote to standard error, too.")


def _versions() -> bytes:
    packages = {found.metadata["Name"]: found.version for found in distributions()}
    machine = {"python": sys.version, "platform": platform.platform(), "machine": platform.machine()}
    return to_json({**machine, "packages": dict(sorted(packages.items()))}).encode()


def _told(root: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what `learnd status` tells, and the metrics if the daemon answers."""
    yield "status.json", to_json(facts_of(root)).encode()
    holder = holder_of(root)
    if holder is not None and (metrics := answer_of(holder, "/metrics")) is not None:
        yield "metrics.txt", metrics


def _kept(root: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what the state directory holds; of long files the end. What cannot be read says why."""
    for pattern in (*_WHOLE, *_ENDS):
        for path in sorted(root.glob(pattern)):
            try:
                content = path.read_bytes() if pattern in _WHOLE else _end_of(path)
            except OSError as error:  # a daemon may remove a checkpoint or a segment meanwhile
                content = f"cannot be read: {error.strerror}\n".encode()
            yield str(path.relative_to(root)), content


def _end_of(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - _MOST_BYTES))
        return file.read()


def _end_of_stream(stream: BinaryIO) -> bytes:
    """Return the end of what may be a pipe."""
    end = b""
    while block := stream.read(_MOST_BYTES):
        end = (end + block)[-_MOST_BYTES:]
    return end


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(content), int(time.time()), 0o600
    archive.addfile(member, io.BytesIO(content))
