"""What `learnd init` writes against River's learners, on streams that drift, made by River's generators.

The settings were chosen on streams of the same generators: these say how the defaults do, and not how they would do on
streams that nobody has looked at.
"""

from __future__ import annotations

import csv
import itertools
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from files_bench import written_settings
from report import Row, Unwatched
from river import ensemble
from river.datasets import synth

from learnd.daemon.bench.bench import compared
from learnd.daemon.bench.contestants import baselines
from learnd.daemon.bench.recorded import read_recording
from learnd.daemon.bench.rivers import RiverContestant, rivers
from learnd.daemon.bench.trained import TrainedContestant

SAMPLES, EVERY = 20_000, 5_000
SHORT = {"SRPClassifier": "SRP", "ARFClassifier": "ARF", "AMFClassifier": "AMF", "ALMAClassifier": "ALMA"}


def rows() -> list[Row]:
    found, ranks = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, (task, stream) in STREAMS.items():
            path = Path(folder, f"{name}.csv")
            write_stream(path, stream())
            row, rank = measured(name, path, task)
            found.append(row)
            ranks.append(rank)
            print(f"  {row.what}: {row.measured}, {row.detail}", flush=True)
    what = f"the rank of `preset: auto` among learnd's and River's learners, mean over {len(ranks)} streams"
    return [*found, Row(what, "above all of River's", f"{statistics.mean(ranks):.2f}", f"ranks {ranks}")]


def measured(name: str, path: Path, task: str) -> tuple[Row, int]:
    """Return the row of a stream, and the rank of what `init` writes."""
    settings = written_settings(path, "label", task)
    recorded = read_recording(settings, None)
    forest = [] if task == "regression" else [RiverContestant("River SRPClassifier", _random_patches)]
    field = [*baselines(recorded.task), TrainedContestant("learnd", settings), *rivers(recorded.spec), *forest]
    comparison = compared(field, recorded, lambda: False, Unwatched()).comparison
    order = [one.name for one in comparison.entries]
    scores = {_short(one.name): one.scores[comparison.metric] for one in comparison.entries if one.name != "learnd"}
    ours = next(one for one in comparison.entries if one.name == "learnd")
    best = next(one for one in comparison.entries if one.maker == "river")
    sure = comparison.surely_better(ours, best), comparison.surely_better(best, ours)
    told = {(True, False): "surely better than", (False, True): "surely worse than"}.get(sure, "not told apart from")
    detail = f"{told} the best of River's: " + ", ".join(f"{short} {score:.4g}" for short, score in scores.items())
    what = f"{name}, {len(recorded):,} samples, `init` and `run` as they come, {comparison.metric}"
    return Row(what, "", f"{ours.scores[comparison.metric]:.4g}", detail), order.index("learnd") + 1


def _short(name: str) -> str:
    return SHORT.get(name.removeprefix("River "), name)


def _random_patches() -> Any:
    return ensemble.SRPClassifier(n_models=10, seed=1)


Sample = tuple[dict[Any, Any], Any]


def _turns(kind: Any, variants: Sequence[int], **more: Any) -> Iterator[Sample]:
    """Yield samples of one concept after the other, `EVERY` of each."""
    for turn in itertools.count():
        variant = variants[turn % len(variants)]
        yield from itertools.islice(kind(variant, seed=10 + turn, **more), EVERY)


# By name, the task and the samples.
STREAMS: dict[str, tuple[str, Callable[[], Iterator[Sample]]]] = {
    "Agrawal, turns": ("binary", lambda: _turns(synth.Agrawal, [0, 4, 6, 3])),
    "SEA with 10 % noise, turns": ("binary", lambda: _turns(synth.SEA, [0, 1, 2, 3], noise=0.1)),
    "STAGGER, turns": ("binary", lambda: _turns(synth.STAGGER, [0, 1, 2])),
    "sine, turns": ("binary", lambda: _turns(synth.Sine, [0, 1, 2, 3])),
    "hyperplane that turns": (
        "binary",
        lambda: iter(synth.Hyperplane(seed=2, n_drift_features=5, mag_change=0.001, noise_percentage=0.05)),
    ),
    "LED with 10 % noise": (
        "classes",
        lambda: iter(synth.LEDDrift(seed=3, noise_percentage=0.1, irrelevant_features=True, n_drift_features=4)),
    ),
    "random RBF that moves": (
        "classes",
        lambda: iter(synth.RandomRBFDrift(4, 4, n_classes=5, change_speed=0.001, n_drift_centroids=25)),
    ),
    "Friedman that drifts": (
        "regression",
        lambda: iter(synth.FriedmanDrift(drift_type="gra", position=(5_000, 12_000), seed=9)),
    ),
}


def write_stream(path: Path, stream: Iterator[Sample]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        for number, (x, y) in enumerate(itertools.islice(stream, SAMPLES)):
            if number == 0:
                writer.writerow([*(f"x{name}" for name in x), "label"])
            writer.writerow([*x.values(), int(y) if isinstance(y, bool) else y])
