"""Files that packages ship: `learnd init` and `learnd run` without an edit, against baselines and River's linear model.

River's model gets the very columns that learnd decodes, scaled by its StandardScaler, and the label of a regression
scaled by its TargetStandardScaler. Both are scored by test-then-train over the whole stream.
"""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from report import Row

from learnd.daemon.compose import open_source
from learnd.daemon.config.file import load_settings
from learnd.daemon.config.settings import Settings
from learnd.daemon.run import Options, run
from learnd.daemon.stream.decoding.decoder import SampleDecoder

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
    summary = run(settings, lambda: False, Options(http=False, display=False))
    regression = settings.model.task == "regression"
    metric, baseline = ("mae", "running_mean") if regression else ("accuracy", "majority")
    ours, theirs = summary.scores[metric], river_score(settings)
    simple = summary.baselines[baseline][metric]
    asked = "MAE ≤ 1.05 × River's, ≤ the mean's" if regression else "accuracy ≥ River's - .01, ≥ the majority's"
    detail = f"River {theirs:.4g}, {baseline} {simple:.4g}, {summary.samples_trained:,} samples"
    if rejected := sum(summary.samples_rejected.values()):
        detail += f", {rejected:,} rejected"
    return Row(f"{data.stem}, `init` and `run` as they come, {metric}", asked, f"{ours:.4g}", detail)


def written_settings(data: Path, label: str, task: str | None) -> Settings:
    """Return the settings that `learnd init` writes for the file."""
    file = data.with_suffix(".yaml")
    told = ["--label", label, *(["--task", task] if task else [])]
    command = [sys.executable, "-m", "learnd", "init", str(data), "--output", str(file), *told]
    subprocess.run(command, check=True, capture_output=True)
    return load_settings(file, [f"checkpoint.dir={data.with_suffix('.state')}"])


def river_score(settings: Settings) -> float:
    """Return the score of River's linear model over the same samples, in the same order."""
    from river import linear_model, metrics, preprocessing

    kind = settings.model.task
    score: Any = metrics.MAE() if kind == "regression" else metrics.Accuracy()
    if kind == "regression":
        last: Any = preprocessing.TargetStandardScaler(linear_model.LinearRegression())
    else:
        last = linear_model.LogisticRegression() if kind == "binary" else linear_model.SoftmaxRegression()
    model = preprocessing.StandardScaler() | last
    for features, label in samples(settings):
        guess = model.predict_one(features)
        score.update(label, guess if guess is not None else type(label)(0))
        model.learn_one(features, label)
    return float(score.get())


def samples(settings: Settings) -> Iterator[tuple[dict[str, float], Any]]:
    spec = settings.samples.spec(settings.model.task)
    decoder = SampleDecoder(settings.samples, spec)
    make = {"regression": float, "binary": bool, "classes": int}[settings.model.task]
    with closing(open_source(settings)) as source:
        source.open({}, [])
        while not source.exhausted:
            if (batch := source.read(1.0)) is None:
                continue
            block = decoder.decode(batch).samples
            (inputs,), (targets,) = block.inputs.values(), block.targets.values()
            for x, y in zip(inputs.tolist(), targets[:, 0].tolist(), strict=True):
                yield {str(index): value for index, value in enumerate(x)}, make(y)
