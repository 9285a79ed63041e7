"""Fine-tuning in phases, against the head alone and against everything at once, at the same learning rates.

The network and the digits are those of examples/fine_tuning: pre-trained on 0 to 4, then 5 to 9 as a stream, once.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bare import call
from report import Row

from learnd.daemon.config.file import load_settings
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.runtime import configure
from learnd.daemon.training.settings import PhaseSettings
from learnd.daemon.values import LABEL

EXAMPLE = Path(__file__).parents[2] / "examples" / "fine_tuning"
SEEDS = (1, 2, 3, 4, 5)
PARTS = {"all": slice(None), "the first 60": slice(60), "from 300 on": slice(300, None)}


def rows() -> list[Row]:
    configure(threads=1, seed=7, loops_as_kernels=True)
    sys.path.insert(0, str(EXAMPLE))
    import digits

    settings = load_settings(EXAMPLE / "learnd.yaml", environ={})
    last = settings.phases[-1]
    ways = {
        "in three phases": settings.phases,
        "the head alone": (last.model_copy(update={"unfreeze": "head"}),),
        "everything at once": (last,),
    }
    scores: dict[str, list[Any]] = {way: [] for way in ways}
    for seed in SEEDS:
        parts = digits.split(seed)
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder) / "base.keras"
            digits.pretrained(*parts["trained"], seed).save(base)
            for way, phases in ways.items():
                scores[way].append(accuracies(settings, base, phases, *parts["new"]))
    return [row(way, scores[way]) for way in ways]


def row(way: str, found: list[dict[str, float]]) -> Row:
    means = {part: statistics.mean(each[part] for each in found) for part in PARTS}
    whole = [each["all"] for each in found]
    told = ", ".join(f"{part} {mean:.3f}" for part, mean in means.items() if part != "all")
    what = f"a network of the digits 0 to 4 learns 5 to 9 as a stream, {way}: prequential accuracy"
    return Row(what, "", f"{means['all']:.3f} ({min(whole):.3f} to {max(whole):.3f})", f"{told}; seeds 1 to 5")


def accuracies(settings: Any, base: Path, phases: tuple[PhaseSettings, ...], x: Any, y: Any) -> dict[str, float]:
    """Return the prequential accuracy on the stream and on parts of it."""
    spec = settings.samples.spec("classes")
    model = settings.model.model_copy(update={"load": base})
    train = settings.train.model_copy(update={"max_updates_per_call": 64})
    learner, guesses = KerasLearner(model, train, spec, settings.guard, phases), []
    for start in range(0, len(x), 64):
        labels = y[start : start + 64, None].astype(np.float32)
        report = learner.update(call(x[start : start + 64], labels, start))
        guesses.append(report.outputs[LABEL][:, 0].argmax(axis=1))
    right = np.concatenate(guesses) == y
    return {name: float(right[part].mean()) for name, part in PARTS.items()}


if __name__ == "__main__":
    for each in rows():
        print(each, flush=True)
