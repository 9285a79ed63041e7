"""The code blocks of README.md, docs/*.md and the examples' README.md are run, in order, each document in a folder of
its own.

A comment on the line before a `bash` or `yaml` block says what it is:

- `<!-- run -->`: a script for bash; it must exit with 0. `python` is that of the tests, and `learnd` this very code,
  forked where TensorFlow is imported already, and with HTTP on a free port: the usual one may be taken where the
  tests run.
- `<!-- file: NAME -->`: the content of a file, for the blocks after it. A settings file is validated, too.
- `<!-- settings -->`: a whole settings file; it must validate.
- `<!-- not run: WHY -->`.

The folder holds a copy of examples/.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import ROOT, SUPPORT, Zygote

from learnd.daemon.config.file import load_settings

DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*/README.md")])
BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>.+?) -->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    place: str
    marker: str
    language: str
    text: str


def blocks(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    return [
        Block(
            f"{document.relative_to(ROOT)}:{text[: match.start('text')].count(chr(10))}",
            match["marker"] or "",
            match["language"],
            match["text"],
        )
        for match in BLOCK.finditer(text)
    ]


def install_learnd(folder: Path, zygote: Zygote) -> None:
    """Put a `learnd` where `run` has the shell look first. Python starts faster without packages."""
    client = [sys.executable, "-I", "-S", str(SUPPORT / "command.py"), zygote.socket]
    learnd = folder / ".bin" / "learnd"
    learnd.parent.mkdir()
    learnd.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = run ]; then shift; set -- run --set http.listen=127.0.0.1:0 "$@"; fi\n'
        f'exec {shlex.join(client)} "$@"\n'
    )
    learnd.chmod(0o755)


def run(script: str, folder: Path) -> None:
    path = os.pathsep.join([str(folder / ".bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{script}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_says_what_it_is(document: Path) -> None:
    known = re.compile(r"run|settings|file: \S+|not run: .+")
    unmarked = [b.place for b in blocks(document) if b.language in {"bash", "yaml"} and not known.fullmatch(b.marker)]
    assert not unmarked


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_blocks_do_what_they_say(document: Path, zygote: Zygote, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    install_learnd(tmp_path, zygote)
    for block in blocks(document):
        if block.marker == "run":
            run(block.text, tmp_path)
        elif block.marker == "settings":
            validate(block.text, tmp_path / "settings-of-a-block.yaml")
        elif block.marker.startswith("file: "):
            file = tmp_path / block.marker.removeprefix("file: ")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
            if block.language == "yaml":
                validate(block.text, file)


def validate(text: str, file: Path) -> None:
    file.write_text(text, encoding="utf-8")
    load_settings(file)
