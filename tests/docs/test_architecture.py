"""The five small changes of docs/architecture.md are applied to a copy of the code, one by one, and used."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import ROOT

DOCUMENT = ROOT / "docs" / "architecture.md"
CHANGE = re.compile(r"^<!-- change: (?P<name>\w+) -->\n+```diff\n(?P<diff>.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGES = {match["name"]: match["diff"] for match in CHANGE.finditer(DOCUMENT.read_text(encoding="utf-8"))}

COUNTS = """
model: {preset: linear, task: counts}
source: {files: {path: stream.jsonl}}
samples: {features: {n: float}, label: y}
http: {listen: null}
"""


def changed(name: str, folder: Path) -> Path:
    """Return a folder with a copy of the code under one change, importable as `learnd`."""
    for part in ("daemon", "connectors"):
        shutil.copytree(ROOT / part, folder / "code" / part, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "apply", "-"], cwd=folder / "code", input=CHANGES[name], text=True, check=True)
    package = folder / "path" / "learnd"
    package.mkdir(parents=True)
    for part in ("daemon", "connectors"):
        (package / part).symlink_to(folder / "code" / part)
    for file in (folder / "code" / "daemon" / "public").glob("*.py"):
        (package / file.name).symlink_to(file)
    lines = [json.dumps({"n": n, "y": n % 3}) for n in range(200)]
    (folder / "stream.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def python(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder / "path")}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


def run(folder: Path, settings: str, *more: str) -> dict[str, Any]:
    (folder / "learnd.yaml").write_text(settings)
    told: dict[str, Any] = json.loads(python(folder, "-m", "learnd", "run", "learnd.yaml", "--json", *more))
    return told


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_one_new_file_and_one_line(name: str) -> None:
    files = re.findall(r"^--- (\S+)\n\+\+\+ (\S+)$", CHANGES[name], re.MULTILINE)
    new = [after for before, after in files if before == "/dev/null"]
    registry = [part for part in CHANGES[name].split("--- ") if part.startswith("a/")]
    assert (len(new), len(registry)) == (1, 1)
    assert sum(line.startswith("+") and not line.startswith("+++") for line in registry[0].splitlines()) == 1
    assert not any(line.startswith("-") and not line.startswith("---") for line in CHANGES[name].splitlines())


def test_there_is_a_change_of_each_kind() -> None:
    assert list(CHANGES) == ["counts", "slow_down", "logarithm", "counting", "where"]


def test_a_kind_of_task(tmp_path: Path) -> None:
    told = run(changed("counts", tmp_path), COUNTS)
    assert told["samples_trained"] == 200
    assert set(told["scores"]) == {"mae", "rmse", "r2"}


def test_an_action(tmp_path: Path) -> None:
    folder = changed("slow_down", tmp_path)
    settings = COUNTS.replace("counts", "regression")
    run(folder, settings)
    asked = python(folder, "-m", "learnd", "ctl", "state", "slow_down", "--why", "to see it")
    assert "slow_down" in asked
    run(folder, settings)
    lines = [json.loads(line) for line in (folder / "state" / "scores.jsonl").read_text().splitlines()]
    (command,) = [line for line in lines if line["event"] == "command"]
    assert (command["action"], command["outcome"], command["why"]) == ("slow_down", "done", "to see it")


def test_a_kind_of_feature(tmp_path: Path) -> None:
    settings = COUNTS.replace("counts", "regression").replace("n: float", "n: {log: true}")
    told = run(changed("logarithm", tmp_path), settings)
    assert told["samples_trained"] == 200


def test_a_source(tmp_path: Path) -> None:
    settings = COUNTS.replace("counts", "binary").replace("{files: {path: stream.jsonl}}", "{counting: {to: 77}}")
    assert run(changed("counting", tmp_path), settings)["samples_trained"] == 77


def test_a_verb(tmp_path: Path) -> None:
    folder = changed("where", tmp_path)
    (folder / "learnd.yaml").write_text(COUNTS.replace("counts", "regression"))
    assert python(folder, "-m", "learnd", "where", "learnd.yaml") == f"{folder / 'state'}\n"
