"""The inbox of commands: a folder in the state directory, with a file for each waiting command.

The daemon writes a command to the journal with the next call, so that a resume repeats it at the same record. Then it
removes the file. If it is killed in between, it finds the file again, and knows by the command's id that the command
was carried out.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import structlog
from pydantic import ValidationError

from learnd.daemon.actions import ACTIONS
from learnd.daemon.control.control_state import ControlState
from learnd.daemon.errors import StoreError
from learnd.daemon.foundation.failpoints import failpoint
from learnd.daemon.foundation.files import replace_synced
from learnd.daemon.values import Command, Facts

log = structlog.get_logger()


class Inbox:
    """The commands waiting in the state directory `root`, in the order of their file names."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "commands"
        self._left: set[Path] = set()  # what cannot be read or removed

    def put(self, command: Command) -> Path:
        """Leave a command for the daemon. Return its file; removing it cancels the command. Raises StoreError.

        A command without an id gets one. Files are ordered by the time of the command, then by its id.
        """
        command = command if command.id else replace(command, id=secrets.token_hex(8))
        path = self._path(command)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_synced(path, json.dumps(asdict(command)).encode())
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}. The command was not given.") from error
        return path

    def put_back(self, commands: Iterable[Command]) -> None:
        """Leave the commands of a lost call again."""
        for command in commands:
            self.put(command)

    def new(self, control: ControlState) -> tuple[Command, ...]:
        """Return the waiting commands that were not carried out yet. Remove the others, which a kill has left here."""
        waiting = self.waiting()
        if old := [command for command in waiting if control.has_obeyed(command)]:
            self.remove(old)
        return tuple(command for command in waiting if command not in old)

    def waiting(self) -> tuple[Command, ...]:
        """Return the waiting commands. A file that is not a command is removed, with a line in the log."""
        read = (self._read(path) for path in self._files())
        return tuple(command for command in read if command is not None)

    def listed(self) -> list[Facts]:
        """Return what waits as it is written, for those who only look."""
        found = []
        for path in self._files():
            try:
                command = json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue  # it was carried out just now, or is not a command
            found += [command] if isinstance(command, dict) else []
        return found

    def remove(self, commands: Iterable[Command]) -> None:
        """Remove commands that are in the journal or were carried out before."""
        failpoint("inbox.remove.before")
        for command in commands:
            self._unlink(self._path(command))

    def _path(self, command: Command) -> Path:
        return self._folder / f"{command.at.replace(':', '')}-{command.id}.json"

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self._folder.iterdir() if path.suffix == ".json")
        except FileNotFoundError:
            return []
        except OSError as error:
            self._leave(self._folder, error)
            return []

    def _read(self, path: Path) -> Command | None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None  # it was cancelled just now
        except OSError as error:
            self._leave(path, error)
            return None
        try:
            command = Command(**json.loads(content))
            ACTIONS[command.action].model_validate(command.arguments)
            its_file = self._path(command)
        except (ValueError, TypeError, KeyError, AttributeError, ValidationError) as error:
            self._refuse(path, f"not a command: {error}")
            return None
        if path != its_file:
            self._refuse(path, f"a command that belongs in {its_file.name}")
            return None
        return command

    def _refuse(self, path: Path, reason: str) -> None:
        if path not in self._left:
            log.warning("command_refused", file=str(path), reason=reason, consequence="it is removed")
        self._unlink(path)

    def _unlink(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._leave(path, error)

    def _leave(self, path: Path, error: OSError) -> None:
        """Say, once, that a path is left alone: the training must not end for what somebody put into this folder."""
        if path not in self._left:
            self._left.add(path)
            log.error(
                "command_left",
                file=str(path),
                reason=error.strerror,
                consequence="a command in it acts once it can be read",
                action="give the folder and what is in it to the user that learnd runs as",
            )
