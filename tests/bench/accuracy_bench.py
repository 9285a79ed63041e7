"""Prequential accuracy on Elec2 in time order, one pass, one sample an update."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from report import Row

from learnd.daemon.config.file import load_settings
from learnd.daemon.run import Options, run

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("ELEC2", ROOT.parent / "shared" / "data" / "elec2.csv.gz"))
EXAMPLE = ROOT / "examples" / "elec2" / "learnd.yaml"


def rows() -> list[Row]:
    if not DATA.exists():
        raise SystemExit(f"{DATA} is missing: name Elec2 as CSV with ELEC2=FILE")
    found = []
    for name, target, preset in (
        ("the example's settings", "≥ .90", None),
        ("the preset's default settings", "≥ .88", "mlp"),
        ("`preset: auto`, which `init` writes", "≥ .928", "auto"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            settings = load_settings(EXAMPLE, [f"checkpoint.dir={folder}/state"], os.environ | {"ELEC2": str(DATA)})
            if preset is not None:
                plain = {"model": type(settings.model)(preset=preset), "train": type(settings.train)()}
                settings = settings.model_copy(update=plain)
            summary = run(settings, lambda: False, Options(http=False, display=False))
        scores, no_change = summary.scores, summary.baselines["no_change"]["accuracy"]
        kappa = scores["kappa_temporal"]
        detail = f"NoChange {no_change:.4f}, kappa-temporal {kappa:.3f}, {summary.samples_trained:,} samples"
        found.append(Row(f"Elec2, prequential accuracy, {name}", target, f"{scores['accuracy']:.4f}", detail))
    return found
