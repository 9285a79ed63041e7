"""Rejected records as JSON lines in a file."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from daemon.errors import StoreError
from daemon.failpoints import failpoint
from daemon.values import Rejection

log = structlog.get_logger()


class DeadLetterFile:
    """A `contracts.DeadLetters`: one JSON object a line, whose mark is the length of the file in bytes.

    Bytes are written as text under `value`, or as `value_base64` where they are not UTF-8; keys and
    headers likewise. What a failed write left behind is cut off, or overwritten by the next one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._length = 0

    def open(self, mark: int) -> None:
        """Go on at `mark`. Raises StoreError."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            size = os.fstat(self._descriptor).st_size
            self._length = min(mark, size)
            os.ftruncate(self._descriptor, self._length)
            _sync_directory(self._path.parent)
        except OSError as error:
            raise self._failed(error) from error
        if size < mark:
            consequence = f"the first {mark} bytes of rejected records are no longer all there; new ones follow"
            log.warning("dead_letters.shortened", file=str(self._path), bytes=size, consequence=consequence)

    def write(self, rejections: Iterable[Rejection]) -> None:
        """Append rejections, all of them or none. Raises StoreError."""
        data = b"".join(msgspec.json.encode(_letter(rejection)) + b"\n" for rejection in rejections)
        if not data:
            return
        try:
            failpoint("dead_letters.write")
            self._write_at(self._length, data)
        except OSError as error:
            self._cut_off()
            raise self._failed(error) from error
        self._length += len(data)

    def flush(self) -> int:
        """Make what was written durable and return the length in bytes. Raises StoreError."""
        try:
            failpoint("dead_letters.flush")
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._failed(error) from error
        return self._length

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _write_at(self, offset: int, data: bytes) -> None:
        left = memoryview(data)
        while left:
            written = os.pwrite(self._descriptor, left, offset)
            left, offset = left[written:], offset + written

    def _cut_off(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._length)
        except OSError as error:
            log.warning("dead_letters.not_cut", file=str(self._path), error=str(error))

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(
            f"{self._path}: rejected records cannot be written: {error.strerror}. Without them it could not be said "
            "what was left out of the model, so nothing is trained past this point; make room or mend the permissions, "
            "and start again."
        )


def _letter(rejection: Rejection) -> dict[str, Any]:
    letter: dict[str, Any] = {
        "reason": rejection.defect.reason,
        "detail": rejection.defect.detail,
        "partition": rejection.partition,
        "start": rejection.start,
        "end": rejection.end,
        **_readable("value", rejection.value),
    }
    if rejection.key is not None:
        letter |= _readable("key", rejection.key)
    if rejection.headers:
        letter["headers"] = [{"name": name, **_readable("value", value)} for name, value in rejection.headers]
    if rejection.timestamp_s is not None:
        letter["timestamp"] = rejection.timestamp_s
    return letter


def _readable(name: str, value: bytes) -> dict[str, str]:
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
