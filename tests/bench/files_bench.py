"""Files that packages ship: `learnd init` and `learnd run` without an edit, against baselines and River's linear model.

All of them come from `daemon.bench`, as in `learnd bench`: the same samples, each scored by test-then-train over the
whole stream from its second sample on.
"""

from __future__ import annotations

import csv
import gzip
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from report import Row, Unwatched

from learnd.daemon.bench.bench import compared
from learnd.daemon.bench.comparison import metric_of
from learnd.daemon.bench.contestants import baselines
from learnd.daemon.bench.recorded import read_recording
from learnd.daemon.bench.rivers import rivers
from learnd.daemon.bench.trained import TrainedContestant
from learnd.daemon.config.file import load_settings
from learnd.daemon.config.settings import Settings
from learnd.daemon.verbs.init import known, settings_text

# By file, the label, and the task if it is not the one that shows in the values.
OF_RIVER = {
    "airline-passengers.csv": ("passengers", None),
    "chick-weights.csv": ("weight", None),
    "water-flow.csv": ("Water flow [l/s]", None),
    "phishing.csv.gz": ("is_phishing", None),
    "shuttle.csv.gz": ("anomaly", None),
    "sp500.csv.gz": ("next_day_return", None),
    "trump_approval.csv.gz": ("five_thirty_eight", None),
    "segment.csv.zip": ("category", None),
    "solar-flare.csv.zip": ("c-class-flares", "regression"),
}
OF_SKLEARN = ("iris", "wine", "breast_cancer", "diabetes", "digits")


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [measured(data, label, task) for data, label, task in files(folder)]


def files(folder: Path) -> Iterator[tuple[Path, str, str | None]]:
    """Unpack the files. Yield each one with its label and its task."""
    import river.datasets
    from sklearn import datasets

    shipped = Path(river.datasets.__file__).parent
    for name, (label, task) in OF_RIVER.items():
        content = (shipped / name).read_bytes()
        if name.endswith(".gz"):
            content = gzip.decompress(content)
        if name.endswith(".zip"):
            with zipfile.ZipFile(shipped / name) as archive:
                content = archive.read(archive.namelist()[0])
        path = folder / f"{name.partition('.')[0]}.csv"
        path.write_bytes(content)
        yield path, label, task
    for name in OF_SKLEARN:
        bunch = getattr(datasets, f"load_{name}")()
        path = folder / f"{name}.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*bunch.feature_names, "target"])
            named = None if name in {"diabetes", "digits"} else bunch.target_names
            for x, y in zip(bunch.data.tolist(), bunch.target.tolist(), strict=True):
                writer.writerow([*x, y if named is None else named[y]])
        yield path, "target", None


def measured(data: Path, label: str, task: str | None) -> Row:
    """Write settings, train, and compare."""
    settings = written_settings(data, label, task)
    recorded = read_recording(settings, None)
    river, *_ = rivers(recorded.spec)
    field = [*baselines(recorded.task), TrainedContestant("learnd", settings), river]
    comparison = compared(field, recorded, lambda: False, Unwatched()).comparison
    metric = metric_of(recorded.task)
    baseline = "running_mean" if metric == "mae" else "majority"
    scores = {one.name: one.scores[metric] for one in comparison.entries}
    asked = {
        "mae": "MAE ≤ 1.05 × River's, ≤ the mean's",
        "accuracy": "accuracy ≥ River's - .01, ≥ the majority's",
    }[metric]
    detail = f"River {scores[river.name]:.4g}, {baseline} {scores[baseline]:.4g}, {len(recorded):,} samples"
    if rejected := sum(recorded.rejected.values()):
        detail += f", {rejected:,} rejected"
    return Row(f"{data.stem}, `init` and `run` as they come, {metric}", asked, f"{scores['learnd']:.4g}", detail)


def written_settings(data: Path, label: str, task: str | None) -> Settings:
    """Return the settings that `learnd init` writes for the file."""
    file = data.with_suffix(".yaml")
    file.write_text(settings_text(data, known(label, task, None), file.parent))
    return load_settings(file)
