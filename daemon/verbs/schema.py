"""`learnd schema`: the settings as a JSON Schema."""

from __future__ import annotations

import json

import typer

from learnd.daemon.config.file import schema

verb = typer.Typer()


@verb.command(name="schema")
def print_schema() -> None:
    """Print the JSON Schema of the settings file, for editors."""
    print(json.dumps(schema(), indent=2))
