"""What the drills have measured: kept for one another in build/drills, and told as a table in docs/runbooks/README.md.

As a script: forget what was measured before (`forget`), or write the table (`table`).
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict, dataclass

from drill import Drill, Outcome
from processes import ROOT

FOLDER = ROOT / "build" / "drills"
PAGE = ROOT / "docs" / "runbooks" / "README.md"
BEGIN, END = "<!-- drills: made by `make drills` -->\n", "<!-- end of drills -->\n"

_HEAD = "| alert | what was broken | it fired after | what mended it | it resolved after |\n" + "| --- " * 5 + "|\n"


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    alert: str
    broken_by: str
    fired_min: int
    mended_by: str
    resolved_min: int
    beside: list[str]

    def text(self) -> str:
        beside = f"; with {', '.join(self.beside)}" if self.beside else ""
        link = f"[{self.alert}](#{self.alert.lower()})"
        cells = [link, self.broken_by, f"{self.fired_min} min{beside}", self.mended_by, f"{self.resolved_min} min"]
        return f"| {' | '.join(cells)} |\n"


def remember(drill: Drill, outcome: Outcome) -> None:
    """Keep an outcome for the table."""
    fired, resolved = round(outcome.fired_min), round(outcome.resolved_min)
    line = Line(drill.alert, drill.broken_by, fired, drill.mended_by, resolved, sorted(drill.accompanied_by))
    FOLDER.mkdir(parents=True, exist_ok=True)
    name = f"{drill.alert} {drill.broken_by}".replace("/", " ")
    (FOLDER / f"{name}.json").write_text(json.dumps(asdict(line)))


def table() -> str:
    """Return the table of all outcomes, in the order of the runbooks."""
    page = PAGE.read_text()
    lines = [Line(**json.loads(path.read_text())) for path in FOLDER.glob("*.json")]
    lines.sort(key=lambda line: (page.index(f"\n## {line.alert}\n"), line.broken_by))
    return _HEAD + "".join(line.text() for line in lines)


def put_in(page: str, table: str) -> str:
    """Return a page with this table in the place of the one before."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


if __name__ == "__main__":
    if sys.argv[1:] == ["forget"]:
        shutil.rmtree(FOLDER, ignore_errors=True)
    else:
        PAGE.write_text(put_in(PAGE.read_text(), table()))
        print(table(), end="")
