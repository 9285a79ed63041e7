"""What `--help` shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.testing import CliRunner

from learnd.daemon.actions import COMMANDS
from learnd.daemon.cli import app


def options(command: Any) -> Iterator[Any]:
    yield from (option for option in command.params if option.param_type_name == "option")
    for below in getattr(command, "commands", {}).values():
        yield from options(below)


def test_a_flag_takes_no_value() -> None:
    flags = [option for option in options(typer.main.get_command(app)) if option.is_flag]
    assert {"as_json", "force", "take_over", "version"} <= {flag.name for flag in flags}
    assert [flag.name for flag in flags if flag.metavar != ""] == []


def test_ctl_lists_its_actions_with_their_arguments() -> None:
    told = CliRunner().invoke(app, ["ctl", "--help"]).stdout
    for name in COMMANDS:
        assert f"\n {name} " in told
    assert "learning_rate times=... [over=2000] - " in told
    assert "roll_back - " in told  # as its rule says
