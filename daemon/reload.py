"""A reload: the settings file is read again while the daemon runs.

It is whole or not at all: everything is checked first. What it takes up changes no model, so it is done before the
command is in the journal, with its outcome. A resume reads the file as it is then, and could not find out what became
of an earlier reload.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from learnd.daemon.actions.contract import DONE, REFUSED
from learnd.daemon.actions.reload import RELOAD
from learnd.daemon.config.changes import Change, changes
from learnd.daemon.config.defaults import keep_defaults
from learnd.daemon.config.first_look import problems
from learnd.daemon.config.given_settings import GivenSettings
from learnd.daemon.config.record import as_shown, record_of
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import LearndError
from learnd.daemon.http.checks import problems_with_http
from learnd.daemon.operate.logs import configure_logging
from learnd.daemon.operate.signals import StopSignal
from learnd.daemon.operate.telemetry import Telemetry
from learnd.daemon.state.keeper import Keeper
from learnd.daemon.stream.reader import Reader
from learnd.daemon.values import Command, Facts

if TYPE_CHECKING:
    from learnd.daemon.http.server import HttpServer

log = structlog.get_logger()

_LOOK_EVERY_S = 1.0  # at the file


@dataclass(frozen=True, slots=True)
class Running:
    """The parts of a daemon that take up settings while it runs."""

    keeper: Keeper
    reader: Reader
    monitor: Telemetry
    server: HttpServer | None


class Reload:
    """Carries out reloads that somebody, a signal or a changed file asks for. For the loop's thread only."""

    def __init__(self, given: GivenSettings, signals: StopSignal) -> None:
        self._given = given
        self._signals = signals
        self._next_look_s = 0.0
        self._settings: Settings | None = None
        self._running: Running | None = None

    def begin(self, settings: Settings, running: Running) -> None:
        """From now on, the daemon runs with these settings, and in these parts."""
        self._running = running
        self._settings = _with_defaults(settings, running)
        if self._signals.ignores_hangup:
            log.info(
                "hangup_ignored",
                reason="it was ignored when the daemon was started, as nohup does",
                consequence="the signal SIGHUP asks for no reload",
                action="learnd ctl DIR reload",
            )

    def ahead(self, commands: Sequence[Command]) -> tuple[Command, ...]:
        """Return the commands of a call, each reload among them carried out. A signal or a changed file adds one."""
        if (by := self._asked()) is not None:
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            commands = [*commands, Command(secrets.token_hex(8), RELOAD, by=by, at=at)]
        return tuple(
            replace(command, became=self._outcome()) if command.action == RELOAD else command for command in commands
        )

    def _asked(self) -> str | None:
        """Return what asks for a reload; None if nothing does."""
        assert self._settings is not None, "begin comes first"
        if self._signals.reload_asked():
            return "signal SIGHUP"
        if not self._settings.reload_on_change or time.monotonic() < self._next_look_s:
            return None
        self._next_look_s = time.monotonic() + _LOOK_EVERY_S
        return "change of the file" if self._given.changed() else None

    def _outcome(self) -> Facts:
        """Reload, and return what became of it, for the history and whoever has asked."""
        assert self._running is not None, "begin comes first"
        try:
            changed = self._reloaded(self._running)
        except LearndError as error:
            self._running.monitor.settings_kept()
            log.warning(
                "settings_kept",
                reason=str(error),
                consequence="the daemon runs on with the settings that it had, all of them",
                action="correct the file and reload, or start again with it",
            )
            return {"outcome": REFUSED, "reason": str(error)}
        shown = {change.key: change.shown() for change in changed}
        log.info("settings_reloaded", changed=shown)
        return {"outcome": DONE, "changed": shown}

    def _reloaded(self, running: Running) -> list[Change]:
        """Take up what the file says now, and return what has changed. Raises LearndError, and nothing has then."""
        assert self._settings is not None, "begin comes first"
        settings = _with_defaults(self._given.read(_problems), running)
        changed = changes(self._settings, settings)
        if late := [change.key for change in changed if not change.live]:
            they = "they take" if len(late) > 1 else "it takes"
            raise LearndError(f"{', '.join(late)}: {they} effect at a restart; nothing was changed.")
        running.keeper.take_up(settings.checkpoint, record_of(settings, running.keeper.settings_record))
        running.reader.limit_rejections(settings.dead_letters.max_rate, settings.dead_letters.window)
        if running.server is not None:
            running.server.take_up(settings.http)
        running.monitor.settings_read(as_shown(settings))
        self._signals.timeout_s = settings.shutdown_timeout_s
        configure_logging(settings.log)
        self._settings = settings
        return changed


def _with_defaults(settings: Settings, running: Running) -> Settings:
    """Return the settings with the defaults that the state directory was begun with, as a start does."""
    return keep_defaults(settings, running.keeper.settings_record["defaults"])[0]


def _problems(settings: Settings) -> list[str]:
    return [*problems(settings), *problems_with_http(settings.http)]
