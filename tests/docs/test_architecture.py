"""The five small changes of docs/architecture.md are applied to a copy of the code, one after the other, and used."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import ROOT, Zygote, history, succeeded

DOCUMENT = ROOT / "docs" / "architecture.md"
CHANGE = re.compile(r"^<!-- change: (?P<name>\w+) -->\n+```diff\n(?P<diff>.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGES = {match["name"]: match["diff"] for match in CHANGE.finditer(DOCUMENT.read_text(encoding="utf-8"))}

COUNTS = """
model: {preset: linear, task: counts}
source: {files: {path: stream.jsonl}}
samples: {features: {n: float}, label: y}
train: {max_updates_per_call: 32}
http: {listen: null}
"""


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """A `learnd` from a copy of the code under all the changes."""
    folder = tmp_path_factory.mktemp("changed")
    for part in ("daemon", "connectors"):
        shutil.copytree(ROOT / part, folder / "code" / part, ignore=shutil.ignore_patterns("__pycache__"))
    for change in CHANGES.values():
        subprocess.run(["git", "apply", "-"], cwd=folder / "code", input=change, text=True, check=True)
    package = folder / "path" / "learnd"
    package.mkdir(parents=True)
    for part in ("daemon", "connectors"):
        (package / part).symlink_to(folder / "code" / part)
    for file in (folder / "code" / "daemon" / "public").glob("*.py"):
        (package / file.name).symlink_to(file)
    zygote = Zygote(code=package.parent)
    yield zygote
    zygote.close()


def run(zygote: Zygote, folder: Path, settings: str) -> dict[str, Any]:
    lines = [json.dumps({"n": n, "y": n % 3}) for n in range(200)]
    (folder / "stream.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "learnd.yaml").write_text(settings)
    return succeeded(zygote.run(folder, "run", "learnd.yaml", "--json")).json()


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


def test_a_kind_of_task(changed: Zygote, tmp_path: Path) -> None:
    told = run(changed, tmp_path, COUNTS)
    assert told["samples_trained"] == 200
    assert set(told["scores"]) == {"mae", "rmse", "r2"}


def test_an_action(changed: Zygote, tmp_path: Path) -> None:
    settings = COUNTS.replace("counts", "regression")
    run(changed, tmp_path, settings)
    asked = succeeded(changed.run(tmp_path, "ctl", "state", "slow_down", "--why", "to see it"))
    assert "slow_down" in asked.stdout
    run(changed, tmp_path, settings)
    (command,) = history(tmp_path / "state", "command")
    assert (command["action"], command["outcome"], command["why"]) == ("slow_down", "done", "to see it")


def test_a_kind_of_feature(changed: Zygote, tmp_path: Path) -> None:
    settings = COUNTS.replace("counts", "regression").replace("n: float", "n: {log: true}")
    assert run(changed, tmp_path, settings)["samples_trained"] == 200


def test_a_source(changed: Zygote, tmp_path: Path) -> None:
    settings = COUNTS.replace("counts", "binary").replace("{files: {path: stream.jsonl}}", "{counting: {to: 77}}")
    assert run(changed, tmp_path, settings)["samples_trained"] == 77


def test_a_verb(changed: Zygote, tmp_path: Path) -> None:
    (tmp_path / "learnd.yaml").write_text(COUNTS.replace("counts", "regression"))
    where = succeeded(changed.run(tmp_path, "where", "learnd.yaml"))
    assert where.stdout == f"{tmp_path / 'state'}\n"
