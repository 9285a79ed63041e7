"""What a comparison comes to, in a sentence or two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from learnd.daemon.bench.comparison import Comparison, Entry

_MUCH_FASTER = 1.5  # times: less is noise, and no reason


def times_text(times: float) -> str:
    """Return how many times as two digits that mean something: 1.4, 12, 230."""
    return f"{times:.2g}" if times < 10 else f"{float(f'{times:.2g}'):,.0f}"


def chosen(comparison: Comparison) -> Entry | None:
    """Return what of learnd's to use; None if nothing is surely better than the best baseline."""
    return next((one for one in _of_learnd(comparison) if comparison.beats_baselines(one)), None)


def advice(comparison: Comparison) -> str:
    """Say what to use and what it costs; plainly, if nothing is better than the baselines."""
    if not any(map(comparison.beats_baselines, comparison.entries)):
        return _nothing(comparison)
    one = chosen(comparison)
    if one is None:
        return _elsewhere_alone(comparison)
    sentences = [f"Use `{one.name}`: {_scored(comparison, one)}{_found(comparison, one)}{_cost(comparison, one)}."]
    sentences += [*_elsewhere(one), *_cheaper(comparison, one)]
    if comparison.best is not one:
        sentences.append(_better_elsewhere(comparison, one))
    return " ".join(sentences)


def _nothing(comparison: Comparison) -> str:
    """Say why there is nothing to use: a model that is ahead, which is only not proven, or none that is."""
    baseline = comparison.best_baseline
    if baseline is None:
        return "No baseline is through, so nothing can be said."
    metric, before = comparison.metric, comparison.entries[: comparison.entries.index(baseline)]
    if ahead := [one for one in before if one.scores.get(metric) != baseline.scores.get(metric)]:
        return _not_proven(comparison, next((one for one in ahead if one.maker == "learnd"), ahead[0]), baseline)
    found = f"No model is ahead of `{baseline.name}` ({_scored(comparison, baseline)}), which looks at no feature"
    if comparison.few:
        return f"{found}. {_telling(comparison)} are too few to say anything: give more."
    return (
        f"{found}. On this recording no model is worth what it costs: look at the features and the label, or let more "
        "samples decide."
    )


def _not_proven(comparison: Comparison, one: Entry, baseline: Entry) -> str:
    evidence = f"evidence {comparison.evidence(one, baseline):.2f} of the {comparison.needed:.2f} that make it sure"
    found = (
        f"Nothing is surely better than `{baseline.name}`, which looks at no feature, by {_telling(comparison)}. "
        f"`{one.name}` is ahead, and only not proven: {_scored(comparison, one)} against "
        f"{_scored(comparison, baseline)}, {evidence}{_found(comparison, one)}. Give more samples."
    )
    return found if comparison.best is one else f"{found} {_better_elsewhere(comparison, one)}"


def _telling(comparison: Comparison) -> str:
    """Return how many samples tell contestants apart: `1 sample`, `103 samples of rare labels`."""
    count = comparison.telling
    return f"{count:,} sample{'' if count == 1 else 's'}{' of rare labels' if comparison.one_class_is_rare else ''}"


def _elsewhere_alone(comparison: Comparison) -> str:
    one = next(one for one in comparison.entries if comparison.beats_baselines(one))
    return (
        f"None of learnd's models is surely better than the best baseline. `{one.name}` is: {_scored(comparison, one)}"
        f"{_cost(comparison, one)}."
    )


def _elsewhere(one: Entry) -> Iterator[str]:
    """Say if what is served does not predict as it was compared."""
    if one.ran.served_otherwise is not None:
        how, way_out = one.ran.served_otherwise
        yield f"`learnd predict` and exports predict {how}, and may score lower: where these count, {way_out}."


def _cheaper(comparison: Comparison, one: Entry) -> Sequence[str]:
    """Name the fastest of learnd's that is not surely worse, if it is much faster."""
    own = one.ran.samples_per_second
    alike = [
        (other.ran.samples_per_second / own, other)
        for other in _of_learnd(comparison)
        if own and other.ran.samples_per_second and comparison.beats_baselines(other)
        if other is not one and not comparison.surely_better(one, other)
    ]
    times, other = max(alike, key=lambda pair: pair[0], default=(0.0, one))
    if times < _MUCH_FASTER:
        return []
    return [
        f"`{other.name}` ({_scored(comparison, other)}) is not told apart from it and {times_text(times)} × as fast."
    ]


def _better_elsewhere(comparison: Comparison, one: Entry) -> str:
    best = comparison.best
    if best.maker == "baseline":
        return f"`{best.name}`, which looks at no feature, has a better score, but that is not sure."
    sure = "surely better" if comparison.surely_better(best, one) else "ahead of it, but not told apart"
    return f"`{best.name}` is {sure}: {_scored(comparison, best)}{_cost(comparison, best)}."


def _of_learnd(comparison: Comparison) -> list[Entry]:
    return [one for one in comparison.entries if one.maker == "learnd"]


def _scored(comparison: Comparison, one: Entry) -> str:
    score = one.scores.get(comparison.metric)
    return "no score" if score is None else f"{comparison.metric} {score:.4g}"


def _found(comparison: Comparison, one: Entry) -> str:
    """Return `, recall 0.25 and precision 0.81 of the label 1`, where a class is rare."""
    if not comparison.one_class_is_rare:
        return ""
    names = comparison.task.names
    of = f" of the label {names[1]}" if comparison.task.kind == "binary" and names else ""
    told = [
        f"{name} {one.scores[name]:.2g}"
        for name in ("recall", "precision", "macro_recall", "macro_precision")
        if name in one.scores
    ]
    return f", {' and '.join(told)}{of}" if told else ""


def _cost(comparison: Comparison, one: Entry) -> str:
    """Return `, 40,000 samples/s, 5 × the time of preset: linear`, as far as it was measured."""
    speed, times, cheapest = one.ran.samples_per_second, comparison.times_cheapest(one), comparison.cheapest
    if speed is None:
        return ""
    found = f", {speed:,.0f} samples/s"
    if times is None or cheapest is None or cheapest is one:
        return found
    return f"{found}, {times_text(times)} × the time of `{cheapest.name}`"
