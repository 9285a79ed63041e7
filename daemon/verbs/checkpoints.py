"""`learnd checkpoints`: list, show, verify, pin, unpin and export them. Only `export` imports TensorFlow."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learnd.daemon.config.place import settings_of_state
from learnd.daemon.errors import StoreError
from learnd.daemon.operate.summary import leads_text
from learnd.daemon.reactions.kept_copy import KeptCopy
from learnd.daemon.state.look import checkpoint_of, path_of, store_of
from learnd.daemon.state.store import BrokenCheckpointError, Checkpoint, is_pinned, pin, unpin
from learnd.daemon.training.export_formats import needs_of, problem_with_directory, problem_with_name
from learnd.daemon.values import Facts, State
from learnd.daemon.verbs.options import AsJson, Force, StateArgument, check_output

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from learnd.daemon.config.settings import Settings
    from learnd.daemon.contest.contest import Contest
    from learnd.daemon.evaluation.certainty.certainty import Certainty
    from learnd.daemon.evaluation.evaluation import Evaluation

_SHOWN = ("sequence", "digest", "samples_trained", "positions", "ranges", "scores", "parent", "classes")
_MOST_NAMED = 8
_GOOD = {True: "good", False: "not good", None: "not known to be good"}

SequenceOption = Annotated[int | None, typer.Option("--sequence", help="The checkpoint's number. Default: the newest.")]
SequenceArgument = Annotated[int, typer.Argument(metavar="SEQUENCE", help="The checkpoint's number.")]

verb = typer.Typer()
group = typer.Typer(help="Look at checkpoints, verify them, export the model.", no_args_is_help=True)
verb.add_typer(group, name="checkpoints")


@group.command("ls")
def print_listing(directory: StateArgument, as_json: AsJson = False) -> None:
    """List the checkpoints of a state directory, newest first."""
    rows = listing(directory)
    print(json.dumps(rows) if as_json else listing_text(rows))


@group.command("show")
def print_newest(directory: StateArgument, as_json: AsJson = False) -> None:
    """Show the newest checkpoint that verifies: its digest, and which records made it."""
    manifest = newest_manifest(directory)
    print(json.dumps(manifest) if as_json else manifest_text(manifest))


@group.command("verify")
def print_verified(directory: StateArgument) -> None:
    """Read every checkpoint to the last byte. The exit code is 74 if one is broken."""
    print(verify(directory))


@group.command("pin")
def pin_one(directory: StateArgument, sequence: SequenceArgument) -> None:
    """Keep a checkpoint for good."""
    print(f"pinned {_changed(pin, directory, sequence)}")


@group.command("unpin")
def unpin_one(directory: StateArgument, sequence: SequenceArgument) -> None:
    """Keep a checkpoint no longer than others: the daemon removes it with its next one, if enough newer ones stay."""
    print(f"unpinned {_changed(unpin, directory, sequence)}")


@group.command("export")
def export_model(
    directory: StateArgument,
    output: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to write: NAME.keras, NAME.onnx, NAME.tflite, or a directory.")
    ],
    sequence: SequenceOption = None,
    best: Annotated[
        bool, typer.Option("--best", metavar="", help="The copy in it that scored best, which a rule with stop keeps.")
    ] = False,
    force: Force = False,
) -> None:
    """Write the model of a checkpoint for inference without learnd: for Keras, ONNX or LiteRT, or as a SavedModel.

    The ending of FILE says which; a SavedModel, which TensorFlow Serving takes, is a directory without one.
    """
    check_output(output, "FILE", force=force)
    if (problem := problem_with_name(output) or problem_with_directory(output, force=force)) is not None:
        raise StoreError(f"{output}: nothing was written; {problem}")
    if foreign := export(directory, output, sequence, best=best):
        print(f"learnd: warning: {_told(output, foreign)}", file=sys.stderr)
    if needed := needs_of(output):
        print(f"learnd: warning: {output} needs {needed}.", file=sys.stderr)
    print(f"wrote {output}")


def listing(root: Path) -> list[dict[str, Any]]:
    """Return a row for each checkpoint, newest first; a broken one has its `error`."""
    store = store_of(root)
    rows: list[dict[str, Any]] = []
    for path in store.paths():
        try:
            manifest = store.manifest(path)
            row = {key: manifest[key] for key in ("sequence", "samples_trained", "digest", "scores", "created_s")}
            rows.append({"name": path.name, "pinned": is_pinned(path), "good": manifest.get("good"), **row})
        except BrokenCheckpointError as error:
            rows.append({"name": path.name, "pinned": is_pinned(path), "error": str(error)})
    return rows


def listing_text(rows: list[dict[str, Any]]) -> str:
    """Return the listing as aligned lines."""
    lines = []
    for row in rows:
        if "error" in row:
            lines.append(f"{row['name']}  broken: {row['error']}")
            continue
        made = datetime.fromtimestamp(row["created_s"], UTC).isoformat(timespec="seconds")
        scores = "  ".join(f"{name} {value:.4f}" for name, value in list(row["scores"].items())[:2])
        mark = f"  {_GOOD[row['good']]}" + ("  pinned" if row["pinned"] else "")
        lines.append(
            f"{row['name']}  {made}  {row['samples_trained']:>12,} samples  {row['digest'][:12]}  {scores}{mark}"
        )
    return "\n".join(lines)


def newest_manifest(root: Path) -> Facts:
    """Return the description of the newest checkpoint that verifies. Changes nothing. Raises StoreError."""
    checkpoint = checkpoint_of(root)
    manifest, progress = checkpoint.manifest, checkpoint.state.part("progress").facts
    beside = {"good": manifest.get("good"), "created_s": manifest["created_s"], "epoch": manifest["epoch"]}
    beside["phase"] = manifest.get("phase", 0)
    beside["contest"] = manifest.get("contest")
    beside["taken_back"] = progress["set_aside"]
    beside["files"] = {note["partition"]: note["path"] for note in progress["notes"] if "partition" in note}
    return {**{key: manifest[key] for key in _SHOWN}, **beside}


def manifest_text(manifest: Facts) -> str:
    """Return the description as lines for people."""
    made = datetime.fromtimestamp(manifest["created_s"], UTC).isoformat(timespec="seconds")
    lines = [
        f"checkpoint   {manifest['sequence']} of {made}, after {manifest['parent']}",
        f"state        {_GOOD[manifest['good']]}",
        f"trained      {manifest['samples_trained']:,} samples, and is in phase {manifest['phase']}",
        f"digest       {manifest['digest']}",
    ]
    if (leads := leads_text(manifest["contest"])) is not None:
        lines.append(f"leads        {leads}")
    lines += [f"score        {name} {value:.4f}" for name, value in manifest["scores"].items()]
    if manifest["classes"]:
        lines.append(f"classes      {', '.join(manifest['classes'])}")
    for partition, ranges in manifest["ranges"].items():
        lines += [f"records      {partition} {start:,} to {end:,}" for start, end in ranges]
    for partition, ranges in manifest["taken_back"].items():
        lines += [f"taken back   {partition} {start:,} to {end:,}" for start, end in ranges]
    lines += [f"file         {partition} is {path}" for partition, path in manifest["files"].items()]
    return "\n".join(lines)


def verify(root: Path) -> str:
    """Read every byte of every checkpoint. Raises StoreError if one is broken, or if there is none."""
    store = store_of(root)
    problems, good = [], 0
    for path in store.paths():
        try:
            store.load(path)
            good += 1
        except BrokenCheckpointError as error:
            problems.append(f"{path}: {error}")
    if problems or not good:
        found = "\n  ".join(problems) or "there is no checkpoint"
        raise StoreError(f"{root}: {good} checkpoints verify, {len(problems)} do not:\n  {found}")
    return f"{root}: all {good} checkpoints verify"


def _changed(change: Callable[[Path], None], root: Path, sequence: int) -> str:
    """Pin or unpin the checkpoint of that number, and return its name. Raises StoreError if there is none."""
    path = path_of(store_of(root), root, sequence)
    try:
        change(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be changed: {error.strerror}. It is as it was.") from error
    return path.name


def export(root: Path, output: Path, sequence: int | None, *, best: bool = False) -> list[str]:
    """Write the model of a checkpoint, and return each layer that needs more than Keras to open.

    `best`: not the model itself, but the copy that scored best. The names of learnt classes go beside it, as a list in
    `NAME.classes.json`. Raises StoreError, ModelError.
    """
    checkpoint = checkpoint_of(root, sequence)
    learner = restored_learner(root, checkpoint)
    if best:
        learner.restore(_best_of(root, checkpoint))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        foreign = learner.export(output)
        if classes := checkpoint.manifest["classes"]:
            output.with_suffix(".classes.json").write_text(json.dumps(classes) + "\n")
    except OSError as error:
        raise StoreError(f"{output} cannot be written: {error.strerror or error}") from error
    return foreign


def _best_of(root: Path, checkpoint: Checkpoint) -> State:
    """Return the state of the model that scored best, as a checkpoint has it. Raises StoreError if it has none."""
    reactions = checkpoint.state.part("reactions")
    kept = reactions.part("early_stop").part("best") if "early_stop" in reactions.facts else KeptCopy().state()
    if kept.facts["progress"] is None:
        raise StoreError(
            f"{root}: checkpoint {checkpoint.sequence} has no copy of the model that scored best. Nothing was written. "
            "One is kept if a rule of the settings has stop, from the first score on (learnd fit --patience). "
            "Leave out --best for the model as it is."
        )
    return kept.part("learner")


def _told(output: Path, foreign: list[str]) -> str:
    """Return what to do about layers that are not built-in ones, of which the first few are named."""
    named = ", ".join(foreign[:_MOST_NAMED]) + (", …" if len(foreign) > _MOST_NAMED else "")
    return (
        f"{output} does not open in plain Keras, but only where these can be imported, with their modules imported "
        f"first: {named}. A functional or Sequential model of built-in layers and learnd's opens anywhere."
    )


def restored_certainty(settings: Settings, checkpoint: Checkpoint) -> Mapping[str, Certainty]:
    """Return what says something with predictions as it stands in a checkpoint, by target; none if nothing does."""
    return restored_evaluation(settings, checkpoint).certainty


def restored_evaluation(settings: Settings, checkpoint: Checkpoint) -> Evaluation:
    """Return the scores as they stand in a checkpoint."""
    from learnd.daemon.compose import build_evaluation

    evaluation = build_evaluation(settings)
    evaluation.restore(checkpoint.state.part("evaluation"))
    return evaluation


def restored_learner(root: Path, checkpoint: Checkpoint) -> Contest:
    """Build the model of a checkpoint of a state directory. Raises StoreError, ModelError."""
    settings = settings_of_state(root)
    from learnd.daemon.compose import build_learner

    learner = build_learner(settings)
    learner.restore(checkpoint.state.part("learner"))
    return learner
