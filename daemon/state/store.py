"""Checkpoints on disk: `checkpoints/<sequence>-<epoch>/` with arrays, facts and a manifest, written atomically.

A checkpoint is written to a temporary directory, synced, and renamed; the epoch is checked just before the rename. A
checkpoint that does not verify to the last byte is never used: it is set aside, and the one before it is used.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog
from safetensors.numpy import load, save

from learnd.daemon.errors import StoreError
from learnd.daemon.foundation.failpoints import failpoint
from learnd.daemon.foundation.files import sync_directory, write_synced
from learnd.daemon.values import Facts, State, canonical_json

log = structlog.get_logger()

_FORMAT = 3
_ARRAYS, _FACTS, _MANIFEST, _PIN = "arrays.safetensors", "facts.json", "manifest.json", "pinned"


class BrokenCheckpointError(Exception):
    """Raised if a checkpoint does not verify. Handled inside this package, by using the one before it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint as read from disk: the state that the next call depends on, and its manifest."""

    path: Path
    manifest: Facts
    state: State

    @property
    def sequence(self) -> int:
        return int(self.manifest["sequence"])


class CheckpointStore:
    """The checkpoints of one state directory. `may_publish(epoch, sequence)` says which of them are valid."""

    def __init__(self, root: Path, may_publish: Callable[[int, int], bool]) -> None:
        self._root = root / "checkpoints"
        self._broken = root / "broken"
        self._may_publish = may_publish

    def write(self, state: State, manifest: Facts, fence: Callable[[], None]) -> int:
        """Write a checkpoint, and return its size in bytes. `manifest` gives `sequence`, `epoch` and whether to `pin`.

        Raises OSError, or what `fence` raises; earlier checkpoints stay as they are.
        """
        failpoint("checkpoint.before")
        place = self._root / f"{manifest['sequence']:08d}-{manifest['epoch']:06d}"
        beside = self._root / f".{place.name}.new"
        self._root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        try:
            size = _write_files(beside, state, manifest)
            if manifest.get("pin"):
                pin(beside)
            failpoint("checkpoint.fence.before")
            fence()
            failpoint("checkpoint.rename.before")
            beside.rename(place)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        failpoint("checkpoint.rename.after")
        sync_directory(self._root)
        failpoint("checkpoint.after")
        return size

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint that verifies. Broken ones are set aside.

        Raises StoreError if there are checkpoints but none verifies: only the operator may choose to start over.
        """
        paths = self.paths()
        for path in paths:
            try:
                return self.load(path)
            except BrokenCheckpointError as error:
                self._set_aside(path, error)
        if paths or self._has_broken():
            raise StoreError(
                f"{self._root.parent}: no checkpoint verifies; the broken ones are in {self._broken}. Nothing was "
                "trained: learnd does not start from scratch by accident. Restore the directory from a backup, or give "
                "a new --state."
            )
        return None

    def load(self, path: Path) -> Checkpoint:
        """Return a checkpoint after verifying every byte. Raises BrokenCheckpointError, or StoreError as `manifest`."""
        manifest = self.manifest(path)
        files = {name: _read(path / name) for name in manifest["files"]}
        for name, data in files.items():
            if hashlib.sha256(data).hexdigest() != manifest["files"][name]["sha256"]:
                raise BrokenCheckpointError(f"{name}: its SHA-256 is not the one in the manifest")
        return Checkpoint(path, manifest, State(load(files[_ARRAYS]), json.loads(files[_FACTS])))

    def manifest(self, path: Path) -> Facts:
        """Return the manifest of a checkpoint. Raises BrokenCheckpointError if it does not verify.

        Raises StoreError if it cannot be read or has another format: that does not mean that it is broken.
        """
        data = _read(path / _MANIFEST)
        try:
            manifest: Facts = json.loads(data)
            checksum = manifest.pop("sha256")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise BrokenCheckpointError(f"{_MANIFEST}: not a manifest") from error
        if data != _sealed(manifest) or checksum != hashlib.sha256(canonical_json(manifest)).hexdigest():
            raise BrokenCheckpointError(f"{_MANIFEST}: its SHA-256 does not match its content")
        if manifest["format"] != _FORMAT:
            raise StoreError(
                f"{path} has the format {manifest['format']}, but this learnd reads {_FORMAT}. Nothing was changed. "
                "Use the version of learnd that wrote it, or give a new --state directory."
            )
        return manifest

    @property
    def highest_epoch(self) -> int:
        """The highest epoch that has published here; 0 if there is none."""
        return max((_epoch_sequence(path)[0] for path in self._root.glob("[0-9]*-[0-9]*")), default=0)

    def paths(self) -> list[Path]:
        """Return the paths of the valid checkpoints, newest first: those published by the epoch in charge."""
        found = [path for path in self._root.glob("[0-9]*-[0-9]*") if path.is_dir()]
        return sorted((path for path in found if self._may_publish(*_epoch_sequence(path))), reverse=True)

    def manifests(self) -> dict[str, Facts]:
        """Return the manifests of all checkpoints by name. Broken ones are set aside."""
        found = {}
        for path in self.paths():
            try:
                found[path.name] = self.manifest(path)
            except BrokenCheckpointError as error:
                self._set_aside(path, error)
        return found

    def prune(self, keep: Iterable[str], epoch: int) -> None:
        """Remove all checkpoints except those named and the pinned ones, and leftovers of kills up to `epoch`."""
        kept = set(keep)
        for path in self._root.glob("[0-9]*-[0-9]*"):
            if path.name not in kept and not is_pinned(path):
                doomed = path.with_name(f".{path.name}.old")
                path.rename(doomed)
                failpoint("checkpoint.prune.between")
                shutil.rmtree(doomed, ignore_errors=True)
        for leftover in [*self._root.glob(".*.old"), *self._root.glob(".*.new")]:
            if _epoch_sequence(Path(leftover.stem.removeprefix(".")))[0] <= epoch:
                shutil.rmtree(leftover, ignore_errors=True)

    def _set_aside(self, path: Path, error: BrokenCheckpointError) -> None:
        self._broken.mkdir(exist_ok=True)
        taken = sum(1 for _ in self._broken.glob(f"{path.name}*"))
        aside = path.rename(self._broken / (f"{path.name}.{taken}" if taken else path.name))
        log.error("checkpoint_broken", checkpoint=path.name, reason=str(error), set_aside=str(aside))

    def _has_broken(self) -> bool:
        return self._broken.is_dir() and any(self._broken.iterdir())


def _read(path: Path) -> bytes:
    """Return the bytes of a file. Raises BrokenCheckpointError if it is missing, StoreError if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BrokenCheckpointError(f"{path.name}: missing") from error
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read: {error.strerror}. Nothing was changed. Repair the disk or the permissions, and "
            "start again."
        ) from error


def pin(path: Path) -> None:
    """Keep a checkpoint forever."""
    (path / _PIN).touch()


def unpin(path: Path) -> None:
    """Let a checkpoint go as others do."""
    (path / _PIN).unlink(missing_ok=True)


def is_pinned(path: Path) -> bool:
    return (path / _PIN).exists()


def _write_files(directory: Path, state: State, manifest: Facts) -> int:
    """Write and sync the files of a checkpoint, the manifest last. Return their size in bytes."""
    files = {_ARRAYS: save(state.arrays), _FACTS: canonical_json(state.facts)}
    for name, data in files.items():
        failpoint("checkpoint.write")
        write_synced(directory / name, data)
    entries = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    sealed = _sealed({**manifest, "format": _FORMAT, "files": entries})
    failpoint("checkpoint.manifest.before")
    write_synced(directory / _MANIFEST, sealed)
    sync_directory(directory)
    return sum(len(data) for data in files.values()) + len(sealed)


def _sealed(manifest: Facts) -> bytes:
    """Return the bytes of a manifest, with its own SHA-256 added."""
    seal = hashlib.sha256(canonical_json(manifest)).hexdigest()
    return canonical_json({**manifest, "sha256": seal}) + b"\n"


def _epoch_sequence(path: Path) -> tuple[int, int]:
    sequence, _, epoch = path.name.partition("-")
    return int(epoch), int(sequence)
