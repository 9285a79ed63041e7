"""The command `learnd`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, NoReturn

import structlog
import typer

from learnd.daemon.config.file import load_settings, schema
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import LearndError, RestartError, SettingsError, StoppedError, StoreError
from learnd.daemon.operate.logs import configure_logging
from learnd.daemon.operate.settings import LogSettings
from learnd.daemon.operate.signals import StopSignal, stop_at_once

app = typer.Typer(
    name="learnd",
    help="Trains a Keras model from a live stream: each record exactly once, resumable to the last bit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
checkpoints = typer.Typer(help="Look at checkpoints, verify them, export the model.", no_args_is_help=True)
app.add_typer(checkpoints, name="checkpoints")

SettingsPath = Annotated[Path, typer.Argument(metavar="SETTINGS", help="The settings file (YAML).")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override a setting: train.batch_size=32.")
]
StateDir = Annotated[Path | None, typer.Option("--state", metavar="DIR", help="The state directory.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(metadata.version("learnd"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Hold what may stand before the verb."""


@app.command()
def run(
    settings_path: SettingsPath,
    overrides: Overrides = None,
    state: StateDir = None,
    as_json: AsJson = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the state directory from a daemon that hangs or is gone.")
    ] = False,
) -> None:
    """Train from the stream until it ends, or until a signal; resume where the last run was."""
    from learnd.daemon.config.first_look import problems

    settings = _load(settings_path, overrides, state, problems)
    _train(settings, as_json, take_over=take_over)


@app.command()
def replay(
    settings_path: SettingsPath,
    recording: Annotated[Path, typer.Option("--from", metavar="FILE", help="The recorded stream.")],
    overrides: Overrides = None,
    state: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Train on a recorded stream, as fast as it goes, into a fresh state directory."""
    from learnd.daemon.verbs.replay import replay_settings

    settings = replay_settings(_load(settings_path, overrides, None), recording, state)
    print(f"learnd: state in {settings.checkpoint.dir}", file=sys.stderr)
    _train(settings, as_json, recorded=True)


@app.command()
def record(
    settings_path: SettingsPath,
    recording: Annotated[Path, typer.Option("--to", metavar="FILE", help="A .jsonl, .jsonl.zst or .parquet file.")],
    start: Annotated[
        str | None, typer.Option("--start", help="Where to begin: as source.kafka.start, which it overrides.")
    ] = None,
    end: Annotated[
        str, typer.Option("--end", help="Where to end: latest, an age, a time, or {TOPIC/PARTITION: OFFSET}.")
    ] = "latest",
    overrides: Overrides = None,
) -> None:
    """Write a topic of Kafka, or a range of it, to a file that `replay` takes."""
    from learnd.daemon.config.first_look import problems
    from learnd.daemon.verbs.record import record as record_topics

    extra = [] if start is None else [f"source.kafka.start={start}"]
    settings = _load(settings_path, [*(overrides or []), *extra], None, problems)
    with StopSignal(settings.shutdown_timeout_s) as stop:
        print(record_topics(settings, recording, end, stop), file=sys.stderr)


@app.command()
def validate(settings_path: SettingsPath, overrides: Overrides = None, state: StateDir = None) -> None:
    """Check a settings file: every problem with its line. Exit code 78 where there is one."""
    from learnd.daemon.compose import problems_with_data, problems_with_model
    from learnd.daemon.config.first_look import doubts, problems

    def further(given: Settings) -> Sequence[str]:
        return problems(given) or problems_with_data(given) or problems_with_model(given)

    settings = _load(settings_path, overrides, state, further)
    spec = settings.samples.spec(settings.model.task)
    for doubt in doubts(settings):
        print(f"learnd: warning: {doubt}", file=sys.stderr)
    print(f"{settings_path}: ok ({spec.width} columns, {spec.task.kind} task)")


@app.command()
def init(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A file of records: JSON lines, CSV or Parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")] = Path(
        "learnd.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented settings file for DATA, with what its first records show."""
    from learnd.daemon.stream.inferring.infer import infer_settings

    if output.exists() and not force:
        raise SettingsError([f"{output} exists; give another --output, or --force to overwrite it"])
    text = infer_settings(data, folder=output.parent)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{output} cannot be written: {error.strerror}; give another --output") from error
    print(f"wrote {output}; look it through, then: learnd run {output}")


@app.command()
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where stream and state go.")] = Path("learnd-demo"),
    rate: Annotated[float, typer.Option("--rate", min=1, help="Records a second.")] = 200.0,
) -> None:
    """Learn from a live stream whose concept changes half-way, while you watch."""
    from learnd.daemon.verbs.demo import run_demo

    configure_logging(LogSettings(level="warning"))
    run_demo(directory, rate)


@app.command()
def ctl(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The state directory.")],
    action: Annotated[str, typer.Argument(metavar="ACTION", help="pause, resume, next_phase, checkpoint, ...")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE")] = None,
    why: Annotated[str, typer.Option("--why", help="For the history.")] = "",
) -> None:
    """Command the daemon that keeps its state in DIR; one that does not run obeys when it starts."""
    from learnd.daemon.verbs.ctl import ask

    print(ask(directory, action, arguments or [], why))


@app.command(name="schema")
def print_schema() -> None:
    """Print the JSON Schema of the settings file, for editors."""
    print(json.dumps(schema(), indent=2))


@checkpoints.command("ls")
def checkpoints_ls(directory: Annotated[Path, typer.Argument(metavar="DIR")], as_json: AsJson = False) -> None:
    """List the checkpoints of a state directory, newest first."""
    from learnd.daemon.verbs.checkpoints import listing, listing_text

    rows = listing(directory)
    print(json.dumps(rows) if as_json else listing_text(rows))


@checkpoints.command("show")
def checkpoints_show(
    directory: Annotated[Path, typer.Argument(metavar="DIR")],
    as_json: AsJson = False,
) -> None:
    """Show the newest checkpoint that verifies: its digest, and which records made it."""
    from learnd.daemon.verbs.checkpoints import manifest_text, newest_manifest

    manifest = newest_manifest(directory)
    print(json.dumps(manifest) if as_json else manifest_text(manifest))


@checkpoints.command("verify")
def checkpoints_verify(directory: Annotated[Path, typer.Argument(metavar="DIR")]) -> None:
    """Read every checkpoint to the last byte. Exit code 74 where one is broken."""
    from learnd.daemon.verbs.checkpoints import verify

    print(verify(directory))


@checkpoints.command("pin")
def checkpoints_pin(
    directory: Annotated[Path, typer.Argument(metavar="DIR")],
    sequence: Annotated[int, typer.Argument(metavar="SEQUENCE")],
) -> None:
    """Keep a checkpoint for good."""
    from learnd.daemon.verbs.checkpoints import pin_sequence

    print(f"pinned {pin_sequence(directory, sequence).name}")


@checkpoints.command("export")
def checkpoints_export(
    directory: Annotated[Path, typer.Argument(metavar="DIR")],
    output: Annotated[Path, typer.Argument(metavar="FILE.keras")],
    sequence: Annotated[int | None, typer.Option("--sequence", help="Which one; the newest without.")] = None,
) -> None:
    """Write the model of a checkpoint as a .keras file, for inference in plain Keras."""
    from learnd.daemon.verbs.checkpoints import export

    print(f"wrote {export(directory, output, sequence)}")


def _load(
    path: Path,
    overrides: list[str] | None,
    state: Path | None,
    further: Callable[[Settings], Sequence[str]] | None = None,
) -> Settings:
    """`further`: what else is to be right, that shows in the files which the settings name."""
    extra = [] if state is None else [f"checkpoint.dir={json.dumps(str(state))}"]
    settings = load_settings(path, [*(overrides or []), *extra], further=further)
    configure_logging(settings.log)
    return settings


def _train(settings: Settings, as_json: bool, *, recorded: bool = False, take_over: bool = False) -> None:
    stop = StopSignal(settings.shutdown_timeout_s)
    try:
        with stop:
            from learnd.daemon.compose import Options
            from learnd.daemon.compose import run as run_app

            summary = run_app(settings, stop, Options(take_over=take_over, http=not recorded, recorded=recorded))
    except RestartError as restart:
        if stop():
            raise StoppedError(
                "stopped after it had repeated the journal, and saved; the new settings hold from the next start"
            ) from restart
        _start_anew()
    print(summary.json() if as_json else summary.text(), end="\n" if as_json else "")


def _start_anew() -> NoReturn:
    """Go on as the same command in the same process, of which nothing stays."""
    arguments = [argument for argument in sys.orig_argv[1:] if argument != "--take-over"]  # that is done
    try:
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606  (no shell is wanted)
    except OSError as error:
        raise StoreError(
            f"{sys.executable} cannot be started anew, as the new settings want it: {error.strerror}. Everything is "
            "saved; start again."
        ) from error


def _out_of_memory(error: MemoryError) -> str:
    detail = f" ({error})" if str(error) else ""
    return (
        f"learnd: out of memory{detail}. Nothing is lost: what trained is in the last checkpoint and the journal, and "
        "a start with more memory goes on from there. What takes it: the model (hash sizes times embedding, hidden), "
        "train.batch_size, source max_record_bytes."
    )


def main() -> NoReturn:
    """Run the command; turn an error into its message and exit code."""
    stop_at_once()
    configure_logging(LogSettings())
    try:
        app()
    except LearndError as error:
        print(f"learnd: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except MemoryError as error:
        print(_out_of_memory(error), file=sys.stderr)
        sys.exit(70)
    except Exception:  # noqa: BLE001  (the last resort: a fault of learnd's own)
        structlog.get_logger().exception(
            "internal_fault",
            consequence="this is a fault of learnd; what a run has trained is kept, and a start goes on from there",
        )
        sys.exit(70)
    sys.exit(0)


if __name__ == "__main__":
    main()
