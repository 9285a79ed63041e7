"""The stream that every source has to read: records with the ids 0 to N - 1, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from learnd.daemon.contracts import Source
from learnd.daemon.values import Note, Positions, RecordFormat

N = 3000
JSON = RecordFormat("json")
CSV = RecordFormat("csv")
RAW = RecordFormat("raw")


@dataclass
class Stream:
    """A stream that was written: `make` builds a source on it, `rename` moves what it is read from, if possible."""

    make: Callable[[], Source]
    rename: Callable[[], None] | None = None

    def open(self, positions: Positions | None = None, notes: list[Note] | None = None) -> Source:
        """Open a new source, as a daemon that starts again would."""
        source = self.make()
        source.open(positions or {}, notes or [])
        return source


def json_lines(first: int = 0, last: int = N) -> bytes:
    return b"".join(b'{"id": %d, "text": "%s"}\n' % (i, b"x" * (i % 50)) for i in range(first, last))


def whole_files(root: Path) -> Path:
    """Write a file for each record, in two folders, with ids in the order in which they are read."""
    names = sorted((f"{n % 2}/{n}.json" for n in range(N)), key=lambda name: hashlib.sha256(name.encode()).digest())
    for folder in ("0", "1"):
        (root / folder).mkdir(parents=True)
    for number, name in enumerate(names):
        (root / name).write_bytes(b'{"id": %d}' % number)
    return root


def csv_lines() -> bytes:
    return b"\xef\xbb\xbfid,text\r\n" + b"".join(b'%d,"a ""quoted""\nline, of %d"\r\n' % (i, i) for i in range(N))
