"""The summary at the end of a run: JSON for scripts, a table for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from learnd.daemon.foundation.files import replace_synced
from learnd.daemon.tasks.behind import Behind

SUMMARY_FILE = "summary.json"
GO_ON = "other rules go on from here, and so does learnd ctl DIR resume with the next start"
_MOST_DECIDED = 5  # matches that are over: the latest
_ENOUGH = 100  # samples held out, for scores that say more than how few they are

_Scores = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did. The fields are the keys of `summary.json` and of `--json`, which scripts rely on.

    Counts, scores and baselines are of the whole stream, from its first record, over all resumes. `seconds`,
    `samples` and `samples_per_second` are of this process. `holdout_scores` are the last that were published.
    """

    digest: str
    samples_trained: int
    samples_rejected: Mapping[str, int]
    samples_held_out: int
    updates: int
    updates_skipped: int
    updates_skipped_by_reason: Mapping[str, int]
    scores: _Scores
    baselines: Mapping[str, _Scores]
    holdout_scores: _Scores
    holdout_unscored: str | None  # why there are none although a holdout is asked for
    behind_baselines: Sequence[Behind]  # where what looks at no feature does better
    stopped_early: str | None  # why a rule has ended the run
    contest: Mapping[str, Any]  # which model leads, and what became of the others
    seconds: float
    samples: int
    samples_per_second: float

    def json(self) -> str:
        """Return one line of JSON, with null for NaN and infinities."""
        return to_json(asdict(self))

    def write(self, folder: Path) -> Path:
        """Write `summary.json` into the folder, whole or not at all. Raises OSError."""
        path = folder / SUMMARY_FILE
        replace_synced(path, f"{self.json()}\n".encode())
        return path

    def text(self) -> str:
        """Return the summary for people: some aligned lines, and the scores beside their baselines."""
        rejected = sum(self.samples_rejected.values())
        by_reason = ", ".join(f"{reason} {count:,}" for reason, count in sorted(self.samples_rejected.items()))
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.updates_skipped_by_reason.items())
        skipped = f", {self.updates_skipped:,} skipped ({reasons})" if self.updates_skipped else ""
        rows = {
            "trained": f"{self.samples_trained:,} samples in {self.updates:,} updates{skipped}",
            "rejected": f"{rejected:,}" + (f" ({by_reason})" if rejected else ""),
            "held out": f"{self.samples_held_out:,}",
            "this run": f"{self.samples:,} samples in {self.seconds:.1f} s, {self.samples_per_second:,.0f} samples/s",
            "digest": self.digest,
        }
        lines = [f"{name:<12}{value}" for name, value in rows.items()]
        held = [f"{metric} {_cell(score)}" for metric, score in self.holdout_scores.items()]
        few = f" (of {self.samples_held_out} samples: too few to judge by)" if self.samples_held_out < _ENOUGH else ""
        lines += [f"{'holdout':<12}{', '.join(held)}{few}"] if held else []
        lines += [f"{'holdout':<12}not scored: {self.holdout_unscored}"] if self.holdout_unscored else []
        lines += [f"{'leads':<12}{leads}"] if (leads := leads_text(self.contest)) else []
        lines += [f"{'ended':<12}by a rule: {self.stopped_early}; {GO_ON}"] if self.stopped_early else []
        return "\n".join([*lines, "", *score_lines(self.scores, self.baselines), *self._behind_lines()]) + "\n"

    def _behind_lines(self) -> list[str]:
        """Say where a baseline is ahead: a table of many numbers does not."""
        if not self.behind_baselines:
            return []
        found = "; ".join(behind.text for behind in self.behind_baselines)
        return ["", f"the model is behind what looks at no feature: {found}"]


def leads_text(contest: Mapping[str, Any] | None) -> str | None:
    """Return which model leads, what became of its challengers, and who still challenges it; None if nobody ever did.

    `contest` is None of a checkpoint that does not know.
    """
    if not contest or not (contest["decided"] or contest["challengers"]):
        return None
    over = [f"{one['challenger']} {one['outcome']} at {one['samples']:,} samples" for one in contest["decided"]]
    on = [f"{name} still challenges" for name in contest["challengers"]]
    return f"{contest['leads']}; {', '.join([*over[-_MOST_DECIDED:], *on])}"


def score_lines(scores: _Scores, baselines: Mapping[str, _Scores]) -> list[str]:
    """Return a line for each metric, a column for the model and for each baseline."""
    names = list(baselines)
    width = max(len(name) for name in (*names, "model", "12345.6789")) + 2
    head = f"{'':<16}" + "".join(f"{name:>{width}}" for name in ("model", *names))
    lines = [head]
    for metric, score in scores.items():
        cells = (score, *(baselines[name].get(metric) for name in names))
        lines.append(f"{metric:<16}" + "".join(f"{_cell(value):>{width}}" for value in cells))
    return lines


def _cell(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.4f}"


def to_json(value: Any) -> str:
    """Return one line of strict JSON, which has no NaN and no infinities: they are null."""
    return json.dumps(_finite(value), allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    """Return a NumPy scalar as a number, and anything else as its text."""
    return _finite(value.item()) if hasattr(value, "item") else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
