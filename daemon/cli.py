"""The command `learnd`: its verbs, and what becomes of an error."""

from __future__ import annotations

import importlib
import sys
from importlib import metadata
from typing import Annotated, NoReturn

import structlog
import typer

from learnd.daemon.errors import LearndError
from learnd.daemon.operate.logs import configure_logging
from learnd.daemon.operate.settings import LogSettings

VERBS = (
    "run",
    "fit",
    "replay",
    "record",
    "validate",
    "init",
    "bench",
    "demo",
    "status",
    "top",
    "report",
    "support_bundle",
    "ctl",
    "schema",
    "checkpoints",
    "predict",
    "evaluate",
    "encode",
)
"""The modules of `daemon.verbs`, in the order of `learnd --help`. Each has a `verb`, with its command or its group."""

app = typer.Typer(
    name="learnd",
    help="Trains a Keras model from a live stream: each record exactly once, resumable to the last bit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for name in VERBS:
    app.add_typer(importlib.import_module(f"learnd.daemon.verbs.{name}").verb)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(metadata.version("learnd"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", metavar="", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Hold what may stand before the verb."""


def main() -> NoReturn:
    """Run the command; turn an error into its message and exit code."""
    configure_logging(LogSettings())
    try:
        app()
    except LearndError as error:
        print(f"learnd: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except MemoryError as error:
        print(_out_of_memory(error), file=sys.stderr)
        sys.exit(70)
    except Exception:  # noqa: BLE001  (the last resort: a fault of learnd itself)
        structlog.get_logger().exception(
            "internal_fault",
            consequence="this is a fault of learnd; what a run has trained is kept, and a start goes on from there",
        )
        sys.exit(70)
    sys.exit(0)


def _out_of_memory(error: MemoryError) -> str:
    detail = f" ({error})" if str(error) else ""
    return (
        f"learnd: out of memory{detail}. Nothing is lost: the last checkpoint and the journal hold what was trained, "
        "and a start with more memory goes on from there. What takes memory: the model (hash sizes times embedding, "
        "hidden), train.batch_size, source max_record_bytes."
    )
