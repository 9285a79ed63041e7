"""Prequential accuracy on Elec2 in time order, one pass, one sample an update."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from report import Row, Unwatched

from learnd.daemon.bench.bench import compared
from learnd.daemon.bench.contestants import baselines
from learnd.daemon.bench.recorded import read_recording
from learnd.daemon.bench.trained import TrainedContestant, presets
from learnd.daemon.config.file import load_settings

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("ELEC2", ROOT.parent / "shared" / "data" / "elec2.csv.gz"))
EXAMPLE = ROOT / "examples" / "elec2" / "learnd.yaml"

# By contestant, what is measured and what is asked for.
_ASKED = {
    "example": ("the example's settings", "≥ .90"),
    "preset: mlp": ("the preset's default settings", "≥ .88"),
    "preset: auto": ("`preset: auto`, which `init` writes", "≥ .928"),
}


def rows() -> list[Row]:
    if not DATA.exists():
        raise SystemExit(f"{DATA} is missing: name Elec2 as CSV with ELEC2=FILE")
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(EXAMPLE, [f"checkpoint.dir={folder}/state"], os.environ | {"ELEC2": str(DATA)})
        recorded = read_recording(settings, None)
        models = [TrainedContestant("example", settings), *presets(settings, ("mlp", "auto"))]
        comparison = compared([*baselines(recorded.task), *models], recorded, lambda: False, Unwatched()).comparison
    scores = {one.name: one.scores for one in comparison.entries}
    found = []
    for name, (what, target) in _ASKED.items():
        no_change, temporal = scores["no_change"]["accuracy"], scores[name]["kappa_temporal"]
        detail = f"NoChange {no_change:.4f}, kappa-temporal {temporal:.3f}, {len(recorded):,} samples"
        accuracy = f"{scores[name]['accuracy']:.4f}"
        found.append(Row(f"Elec2, prequential accuracy, {what}", target, accuracy, detail))
    return found
