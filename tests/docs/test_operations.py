"""docs/operations.md tells of each message of the log, of each metric, and of each exit code."""

from __future__ import annotations

import re

from processes import ROOT

from learnd.daemon.errors import LearndError, StoppedError
from learnd.daemon.operate.metrics import Metrics

PAGE = (ROOT / "docs" / "operations.md").read_text()
RUNBOOKS = (ROOT / "docs" / "runbooks" / "README.md").read_text()
README = (ROOT / "README.md").read_text()
SHOWN = "".join(path.read_text() for path in (ROOT / "deploy").rglob("learnd*.*"))
CODE = "".join(path.read_text() for name in ("daemon", "connectors") for path in (ROOT / name).rglob("*.py"))
INFO = {"learnd_model"}  # of which nothing is to be seen over time


def told(section: str) -> set[str]:
    """Return what the first cells of a section's tables name."""
    lines = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0].splitlines()
    return {name for line in lines if line.startswith("|") for name in re.findall(r"`([^`{]+)", line.split("|")[1])}


def test_each_message_of_the_log_is_told_and_no_other() -> None:
    logged = set(re.findall(r"log\.(?:info|warning|error|exception)\(\s*\"([^\"]+)\"", CODE))
    assert logged - told("Logs") == set()
    assert {name for name in told("Logs") if f'"{name}"' not in CODE} == set()


def test_each_metric_is_told_and_shown() -> None:
    metrics = {found.name: found.type for found in Metrics().registry.collect() if found.name.startswith("learnd_")}
    names = {name + {"counter": "_total", "info": "_info"}.get(type_, "") for name, type_ in metrics.items()}
    assert names - told("What to watch") == set()
    assert {name for name in metrics if name not in SHOWN} <= INFO


def test_each_exit_code_is_told() -> None:
    kinds = [LearndError, StoppedError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    codes = {str(kind.exit_code) for kind in kinds} | {"2"}  # that of a wrong command line
    for page in (PAGE, RUNBOOKS, README):
        firsts = [line.split("|")[1] for line in page.splitlines() if line.startswith("|")]
        assert codes <= {code for first in firsts for code in first.strip().split(", ")}
