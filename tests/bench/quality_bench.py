"""What drift detection, reactions and the guard are worth: with what `init` writes against the same without them.

One set of default settings for all streams, five seeds each; a figure is the mean over them, with the range behind it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from accuracy_bench import DATA
from calls import made_call
from engine import trained
from quality_streams import Stream, elec2, hyperplane, poisoned, rescaled, sea, stationary
from report import Row
from steady_streams import STREAMS, Steady, spec_of

from learnd.daemon.drift.sequential import SequentialWatch
from learnd.daemon.drift.settings import DEFAULT_WATCHES, DriftWatch
from learnd.daemon.reactions.settings import DEFAULT_REACTIONS, Reaction
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.tasks.scoring import errors as signal_errors
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.settings import ModelSettings, TrainSettings
from learnd.daemon.values import LABEL, Event, Float64, SampleSpec

SEEDS = (11, 12, 13, 14, 15)  # the defaults were chosen on others


def errors(
    stream: Stream,
    seed: int,
    rules: Sequence[Reaction] = DEFAULT_REACTIONS,
    watches: Sequence[DriftWatch] = DEFAULT_WATCHES,
) -> Float64:
    """Return whether each prediction was wrong, made before the update on its sample, one sample an update."""
    x, y = stream
    spec = _spec(x.shape[1], "binary")
    return trained(_learner(spec, seed), spec, x, y[:, None], rules, watches).errors


def _spec(columns: int, task: str) -> SampleSpec:
    fields = {f"x{column}": "float" for column in range(columns)}
    return SamplesSettings.model_validate({"features": fields, "label": "y"}).spec(task)


def _learner(spec: SampleSpec, seed: int) -> KerasLearner:
    model = ModelSettings(preset="auto", task=spec.task.kind)
    return KerasLearner(model, TrainSettings(seed=seed, max_updates_per_call=1000), spec)


def abrupt() -> Row:
    def after(wrong: Float64) -> float:
        return float(np.mean([wrong[drift : drift + 2_000].mean() for drift in (10_000, 20_000, 30_000)]))

    def pair(seed: int) -> tuple[float, float]:
        stream = sea(seed)
        return after(errors(stream, seed)), after(errors(stream, seed, ()))

    what = "SEA, abrupt drifts every 10,000: error of the 2,000 samples after each, against no reactions"
    return _ratio(what, "≤ 0.9 ×", pair, "error")


def of_an_oracle() -> Row:
    """Return what the best reaction that we know would gain if it came with the very first sample of each drift."""

    def after(seed: int, factor: float) -> float:
        (x, y), spec, wrong = sea(seed), _spec(3, "binary"), []
        learner = _learner(spec, seed)
        for start in range(0, len(x), 10_000):
            if start:
                learner.boost(factor, 500)
            rows = slice(start, start + 10_000)
            report = learner.update(made_call(x[rows, None], y[rows][:, None, None], first=start))
            wrong.append(signal_errors(spec.task, report.outputs[LABEL][:2_000, 0], y[rows][:2_000, None]))
        return float(np.mean(wrong[1:]))

    def pair(seed: int) -> tuple[float, float]:
        return min(after(seed, factor) for factor in (2.0, 3.0, 5.0)), after(seed, 1.0)

    what = "the same, the learning rate times 2, 3 or 5, whichever is best, from the very sample of each drift on"
    return _ratio(what, "", pair, "error")


def in_runs() -> Row:
    """Labels that stay for 20 samples on average, beside columns that alone tell nine of ten."""

    def pair(seed: int) -> tuple[float, float]:
        rng = np.random.default_rng(seed)
        y = (np.cumsum(rng.random(500_000) < 0.05) % 2).astype(np.float32)
        x = rng.normal(size=(len(y), 8)).astype(np.float32) + 0.75 * y[:, None]
        return 1 - float(errors((x, y), seed)[1:].mean()), float((y[1:] == y[:-1]).mean())

    return _ratio(
        "500,000 samples whose labels come in runs: accuracy against that of no_change", "> 1 ×", pair, "accuracy"
    )


def unchanged() -> Row:
    def pair(seed: int) -> tuple[float, float]:
        stream = stationary(seed)
        return float(errors(stream, seed).mean()), float(errors(stream, seed, ()).mean())

    return _ratio("a stationary stream of 100,000: error against no reactions", "≤ 1.01 ×", pair, "error")


def steady() -> list[Row]:
    """Return a row for each of ten streams that stay, with a holdout. A rollback too many would end them with 65."""
    found = []
    for name, stream_of in STREAMS.items():
        rollbacks = []

        def pair(
            seed: int, stream_of: Callable[[int, int], Steady] = stream_of, rollbacks: list[Event] = rollbacks
        ) -> tuple[float, float]:
            stream = stream_of(seed, 60_000)
            spec = spec_of(stream.task)
            usual = trained(_learner(spec, seed), spec, stream.x, stream.y, holdout=True)
            bare = trained(_learner(spec, seed), spec, stream.x, stream.y, (), (), holdout=True)
            rollbacks += usual.of_kind("rollback")
            return float(np.nanmean(usual.errors)), float(np.nanmean(bare.errors))

        what = f"a stream of 60,000 that stays, {name}: error against neither drift detection nor reactions"
        row = _ratio(what, "≤ 1.005 ×, no rollback", pair, "error")
        found.append(replace(row, measured=f"{row.measured}, {len(rollbacks)} rollbacks"))
    return found


def turning() -> Row:
    def pair(seed: int) -> tuple[float, float]:
        stream = hyperplane(seed)
        return float(errors(stream, seed).mean()), float(errors(stream, seed, ()).mean())

    return _ratio("a hyperplane that turns all the time: error against no reactions", "≤ 1.005 ×", pair, "error")


def other_units() -> list[Row]:
    found = []
    for name, rules in (("", DEFAULT_REACTIONS), (", without reactions", ())):

        def pair(seed: int, rules: Sequence[Reaction] = rules) -> tuple[float, float]:
            stream = rescaled(seed)
            wrong, half = errors(stream, seed, rules), len(stream[0]) // 2
            return 1 - float(wrong[half + 5_000 : half + 7_000].mean()), 1 - float(wrong[half - 2_000 : half].mean())

        what = f"features in other units from half-way on: accuracy 5,000 samples later, against before{name}"
        found.append(_ratio(what, "≥ 0.97 ×" if not name else "", pair, "accuracy"))
    return found


def detectors() -> list[Row]:
    found = []
    for name in ("adwin", "hddm_w"):
        settings = DriftWatch.model_validate({"watch": "error", "detector": name, "quiet": 1})
        delays = []
        for seed in range(100):
            rng = np.random.default_rng(seed)
            rising = np.concatenate((rng.random(5_000) < 0.2, rng.random(3_000) < 0.4)).astype(np.float64)
            confirmed = [count for count, level, _ in _scan(settings, rising) if level == "confirmed" and count > 5_000]
            delays.append(confirmed[0] - 5_000 if confirmed else 3_000)
        steady = (np.random.default_rng(1).random(1_000_000) < 0.2).astype(np.float64)
        alarms = sum(level == "confirmed" for _, level, _ in _scan(settings, steady))
        figures = f"delay {statistics.median(delays):.0f}, false alarms {alarms}"
        target = "delay ≤ 200, false alarms ≤ 2" if name == "adwin" else "only warns"
        what = f"{name} on errors of rate .2, then .4: median delay; false alarms on a million of rate .2"
        found.append(Row(what, target, figures, f"100 runs, delays {min(delays)} to {max(delays)}"))
    return found


def _scan(settings: DriftWatch, values: Float64) -> list[tuple[int, str, object]]:
    return list(SequentialWatch(settings).scan(values, np.arange(1, len(values) + 1)))


def spoilt() -> Row:
    def pair(seed: int) -> tuple[float, float]:
        clean, bad = poisoned(seed)
        right = bad[1] == clean[1]
        last = slice(len(right) - 20_000, None)
        return (
            1 - float(errors(bad, seed)[last][right[last]].mean()),
            1 - float(errors(clean, seed)[last].mean()),
        )

    what = "1 % wrong labels in bursts, 0.1 % huge features: accuracy of the last 20,000, against the clean stream"
    return _ratio(what, "≥ 0.98 ×", pair, "accuracy, wrong labels not counted")


def electricity() -> Row:
    if not DATA.exists():
        raise SystemExit(f"{DATA} is missing: name Elec2 as CSV with ELEC2=FILE")
    stream = elec2(DATA)

    def pair(seed: int) -> tuple[float, float]:
        return 1 - float(errors(stream, seed).mean()), 1 - float(errors(stream, seed, ()).mean())

    return _ratio("Elec2: prequential accuracy against no reactions", "≥ 1 ×", pair, "accuracy")


def _ratio(what: str, target: str, pair: Callable[[int], tuple[float, float]], unit: str) -> Row:
    pairs = [pair(seed) for seed in SEEDS]
    each = [one / other for one, other in pairs]
    one, other = (statistics.mean(column) for column in zip(*pairs, strict=True))
    measured = f"{one / other:.3f} × ({min(each):.3f} to {max(each):.3f})"
    return Row(what, target, measured, f"{unit} {one:.4f} against {other:.4f}, seeds {SEEDS[0]} to {SEEDS[-1]}")


def rows() -> list[Row]:
    return [
        abrupt(),
        of_an_oracle(),
        turning(),
        in_runs(),
        unchanged(),
        *steady(),
        *other_units(),
        *detectors(),
        spoilt(),
        electricity(),
    ]


if __name__ == "__main__":
    import sys

    for name in sys.argv[1:] or ["rows"]:
        print(name, globals()[name](), flush=True)
