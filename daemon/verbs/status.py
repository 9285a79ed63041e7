"""`learnd status`: what the daemon of a state directory does, and how far it is. Changes nothing."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import typer

from learnd.daemon.control.inbox import Inbox
from learnd.daemon.errors import StoreError
from learnd.daemon.operate.summary import GO_ON, leads_text, to_json
from learnd.daemon.state.directory import check_state_directory, newest_sound_manifest
from learnd.daemon.state.journal import Journal
from learnd.daemon.state.lock import Holder, holder_of
from learnd.daemon.values import Facts
from learnd.daemon.verbs.options import AsJson, StateArgument

_PATIENCE_S = 3.0  # a daemon that loads TensorFlow may not answer
_KNOWS = ("consuming", "paused", "finishing")  # the states in which it knows more than its newest checkpoint
_GOOD = {True: "good", False: "not good", None: "not known to be good"}

verb = typer.Typer()


@verb.command()
def status(directory: StateArgument, as_json: AsJson = False) -> None:
    """Tell what the daemon that keeps its state in DIR does: from the directory, and from itself if it answers."""
    facts = facts_of(directory)
    print(to_json(facts) if as_json else text_of(facts))


def facts_of(root: Path) -> dict[str, Any]:
    """Return what `--json` prints; counts and scores are those of the newest checkpoint unless the daemon answers.

    Raises StoreError if `root` is no state directory, or cannot be read.
    """
    check_state_directory(root, "There is nothing to tell.")
    holder, manifest = holder_of(root), newest_sound_manifest(root)
    live = None if holder is None else _asked(holder)
    saved = manifest or {}
    newest: Mapping[str, Any] = live if live is not None and live["state"] in _KNOWS else saved
    return {
        "state": "not running" if holder is None else "running" if live is None else live["state"],
        "process": None if holder is None else holder.process,
        "url": None if holder is None else holder.url,
        "answers": None if holder is None or holder.url is None else live is not None,
        "paused": newest.get("paused"),
        "stopped_early": saved.get("stopped_early"),
        "samples": newest.get("samples", 0),
        "phase": newest.get("phase", 0),
        "contest": newest.get("contest"),
        "checkpoint": _checkpoint(manifest),
        "journal": None if holder is not None else _to_repeat(root, saved),
        "scores": newest.get("scores", {}),
        "commands": Inbox(root).listed(),
        "live": live,
    }


def text_of(facts: Mapping[str, Any]) -> str:
    """Return the facts as lines for people."""
    where = f" as process {facts['process']}" if facts["process"] is not None else ""
    lines = [f"daemon       {facts['state']}{where}" + (f", {facts['url']}" if facts["url"] else "")]
    live = facts["live"]
    if facts["answers"] is False:
        lines.append(f"no answer    from {facts['url']} within {_PATIENCE_S:g} s; what follows is from the directory")
    if live is not None and live.get("not_ready") and (facts["state"] == "consuming" or not _is_alive(live)):
        lines.append(f"not ready    {live['not_ready']}")
    if facts["paused"] is not None:
        lines.append(f"paused       {facts['paused']}; learnd ctl DIR resume")
    if facts["stopped_early"] is not None:
        lines.append(f"ended        by a rule: {facts['stopped_early']}; {GO_ON}")
    lines.append(f"samples      {facts['samples']:,} went through updates, in phase {facts['phase']}")
    if (leads := leads_text(facts["contest"])) is not None:
        lines.append(f"leads        {leads}")
    if live is not None:
        lag = f"{sum(live['lag'].values()):,} {live['lag_unit']}" if live["lag_unit"] else "not known yet"
        speed = f"{live['samples_per_second']:,.0f} samples/s" if _is_alive(live) else "none any more"
        queue = f"; {live['queued']:,} samples wait in the queue" if live.get("queued") else ""
        lines.append(f"speed        {speed}; unread: {lag}{queue}")
    lines.append(f"checkpoint   {_checkpoint_text(facts['checkpoint'])}")
    if facts["journal"]:
        lines.append(
            f"journal      {facts['journal']:,} samples more, behind the checkpoint: the next start repeats them"
        )
    lines += [f"score        {name} {value:.4f}" for name, value in facts["scores"].items() if value is not None]
    lines += [f"waiting      {_command_text(command)}" for command in facts["commands"]]
    return "\n".join(lines)


def _is_alive(live: Mapping[str, Any]) -> bool:
    """Whether the daemon says so; one of an earlier version does not tell."""
    return bool(live.get("alive", True))


def _command_text(command: Mapping[str, Any]) -> str:
    why = f": {command['why']}" if command.get("why") else ""
    return f"{command.get('action')}, asked by {command.get('by')} at {command.get('at')}{why}"


def answer_of(holder: Holder, path: str) -> bytes | None:
    """Return what the holder of a state directory answers over HTTP; None if it does not."""
    if holder.url is None:
        return None
    connection = _connection(holder.url)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _connection(url: str) -> HTTPConnection:
    """Return a connection to a daemon. Its certificate is of a name, and not of the address here, so it is not checked:
    the address is from the daemon's own file, nothing is given away, and the answer names its process.
    """
    scheme, _, address = url.partition("://")
    if scheme == "http":
        return HTTPConnection(address, timeout=_PATIENCE_S)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    return HTTPSConnection(address, timeout=_PATIENCE_S, context=trusting)


def _asked(holder: Holder) -> Facts | None:
    """Return what the daemon says of itself; None if it does not answer, or another process does."""
    try:
        answer = json.loads(answer_of(holder, "/status") or b"null")
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and answer.get("process") == holder.process else None


def _to_repeat(root: Path, saved: Facts) -> int | None:
    """Return how many samples went through updates behind the checkpoint; None if the journal cannot tell."""
    try:
        return sum(entry.updates * entry.rows for entry in Journal(root / "journal").read(saved.get("calls", 0)))
    except (StoreError, OSError):
        return None


def _checkpoint(manifest: Facts | None) -> dict[str, Any] | None:
    if manifest is None:
        return None
    shown = ("sequence", "digest", "samples_trained", "created_s", "good")
    return {**{key: manifest.get(key) for key in shown}, "age_s": max(0.0, time.time() - manifest["created_s"])}


def _checkpoint_text(checkpoint: Mapping[str, Any] | None) -> str:
    if checkpoint is None:
        return "none yet"
    return (
        f"{checkpoint['sequence']}, {checkpoint['age_s']:,.0f} s old, {checkpoint['samples_trained']:,} samples "
        f"trained, {_GOOD[checkpoint['good']]}, digest {checkpoint['digest'][:12]}"
    )
