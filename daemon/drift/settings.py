"""Which drifts are looked for: the settings under `drift`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, PositiveInt, model_validator

from learnd.daemon.foundation.section import Section, did_you_mean

SIGNALS = ("error", "loss", "features", "predictions", "labels")
SEQUENTIAL = ("adwin", "hddm_w", "page_hinkley", "kswin", "ddm")
DISTRIBUTIONS = ("psi", "ks")
_BINARY = ("hddm_w", "ddm")  # of errors that are 0 or 1

Signal = Literal["error", "loss", "features", "predictions", "labels"]
Threshold = Annotated[float, Field(gt=0)]


class _Values(NamedTuple):
    """What an argument may be: in words, and whether a value is such."""

    words: str
    hold: Callable[[float], bool]


def _whole(least: int, most: int) -> _Values:
    return _Values(
        f"a whole number from {least:,} to {most:,}", lambda value: value.is_integer() and least <= value <= most
    )


_SHARE = _Values("above 0 and below 1", lambda value: 0 < value < 1)
_POSITIVE = _Values("above 0", lambda value: value > 0)
_COUNT = _whole(1, 1_000_000_000)

# What River itself takes is wider, and ends in a division by zero or a panic, or never finds anything.
_ARGUMENTS: Mapping[str, Mapping[str, _Values]] = {
    "adwin": {
        "delta": _SHARE,
        "clock": _COUNT,
        "max_buckets": _whole(1, 1000),
        "min_window_length": _COUNT,
        "grace_period": _COUNT,
    },
    "hddm_w": {
        "drift_confidence": _SHARE,
        "warning_confidence": _SHARE,
        "lambda_val": _SHARE,
        "two_sided_test": _whole(0, 1),
    },
    "page_hinkley": {
        "min_instances": _COUNT,
        "delta": _Values("at least 0", lambda value: value >= 0),
        "threshold": _POSITIVE,
        "alpha": _Values("above 0 and at most 1", lambda value: 0 < value <= 1),
    },
    "kswin": {
        "alpha": _SHARE,
        "window_size": _whole(20, 1_000_000),
        "stat_size": _whole(10, 500_000),
        "seed": _whole(0, 2**32 - 1),
    },
    "ddm": {"warm_start": _COUNT, "warning_threshold": _POSITIVE, "drift_threshold": _POSITIVE},
}


class DriftWatch(Section):
    """One look at the stream: what is watched, and by which detector."""

    watch: Signal
    """What is watched. `error` is 0 or 1 for a sample, the share of wrong labels where a sample has several, and for a
    regression the absolute error over itself plus what it was in the beginning. `loss` is that of each update."""

    detector: Literal["adwin", "hddm_w", "page_hinkley", "kswin", "ddm", "psi", "ks"]
    """What looks: at `error` and `loss` a detector of River, by its name; at `features`, `predictions` and `labels` the
    population stability index (`psi`) or the Kolmogorov-Smirnov distance (`ks`) of a window from a reference."""

    warn: Literal["adwin", "hddm_w", "page_hinkley", "kswin", "ddm"] | None = None
    """A second detector, at `error` and `loss`, that only warns: a quicker one that also cries wolf."""

    arguments: dict[str, float] = {}
    """Arguments of River's detector, `{delta: 0.002}`: of `adwin` `delta`, `clock`, `max_buckets`, `min_window_length`
    and `grace_period`; of `hddm_w` `drift_confidence`, `warning_confidence`, `lambda_val` and `two_sided_test`; of
    `page_hinkley` `min_instances`, `delta`, `threshold` and `alpha`; of `kswin` `alpha`, `window_size`, `stat_size` and
    `seed`; of `ddm` `warm_start`, `warning_threshold` and `drift_threshold`."""

    warn_arguments: dict[str, float] = {}
    """Arguments of the one that warns."""

    quiet: PositiveInt = 2_000
    """Samples after a confirmed drift of `error` or `loss` in which no other is reported: it is the same one. After
    a warning, no other comes for a quarter of that."""

    reference: Annotated[int, Field(ge=100)] = 10_000
    """Samples of the reference, for `psi` and `ks`: the first ones, and after a confirmed drift those behind it."""

    renew: bool = True
    """Take a new reference after each confirmed drift. Otherwise the first one stays for good."""

    window: Annotated[int, Field(ge=20)] = 500
    """Samples that are compared with the reference, window after window."""

    warning: Threshold | None = None
    """From which distance on it is a warning. Default: 0.1. Of short windows, it takes at least what chance alone does
    not reach once in a million windows."""

    confirmed: Threshold | None = None
    """From which distance on it is confirmed. Default: 0.25 for `psi`, 0.2 for `ks`."""

    columns: tuple[str, ...] = ()
    """The features that are watched, by their names; all unless given, and of more than 256 every so many."""

    @property
    def thresholds(self) -> tuple[float, float]:
        """The distances of a warning and of a confirmed drift."""
        confirmed = self.confirmed or (0.25 if self.detector == "psi" else 0.2)
        return self.warning or min(0.1, confirmed), confirmed

    @property
    def warns(self) -> bool:
        """Whether it ever reports a warning."""
        return self.detector in (*DISTRIBUTIONS, *_BINARY) or self.warn is not None

    @model_validator(mode="after")
    def _detector_fits(self) -> Self:
        fitting = SEQUENTIAL if self.watch in {"error", "loss"} else DISTRIBUTIONS
        if self.detector not in fitting:
            raise ValueError(f"{self.detector} cannot watch {self.watch}; choose from {', '.join(fitting)}")
        if self.watch == "loss" and {self.detector, self.warn} & set(_BINARY):
            raise ValueError(f"{' and '.join(_BINARY)} count errors of 0 or 1, and a loss is any number; watch error")
        return self

    @model_validator(mode="after")
    def _nothing_idle(self) -> Self:
        """A key that does nothing is a mistake."""
        sequential = ("warn", "arguments", "warn_arguments", "quiet")
        distribution = ("reference", "renew", "window", "warning", "confirmed", "columns")
        idle = sequential if self.detector in DISTRIBUTIONS else distribution
        if found := [name for name in idle if name in self.model_fields_set]:
            raise ValueError(f"{self.detector} has no use for {', '.join(found)}")
        if self.warn_arguments and self.warn is None:
            raise ValueError("warn_arguments are for the detector that warn names, and it names none")
        if self.columns and self.watch != "features":
            raise ValueError(f"columns are of features, and this watches {self.watch}")
        if twice := [
            f"columns.{i}: {name!r} is there already" for i, name in enumerate(self.columns) if name in self.columns[:i]
        ]:
            raise ValueError("\n".join(twice))
        return self

    @model_validator(mode="after")
    def _detectors_take_their_arguments(self) -> Self:
        problems = list(_refused("arguments", self.detector, self.arguments))
        if self.warn is not None:
            problems += _refused("warn_arguments", self.warn, self.warn_arguments)
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @model_validator(mode="after")
    def _thresholds_rise(self) -> Self:
        warning, confirmed = self.thresholds
        if warning > confirmed:
            raise ValueError(f"warning ({warning}) is above confirmed ({confirmed}), and would never be reported")
        if self.detector == "ks" and confirmed > 1:
            raise ValueError(f"confirmed: a distance of ks is at most 1, and never {confirmed:g}")
        return self

    def unknown_columns(self, features: Sequence[str]) -> Iterator[str]:
        """Yield a problem for each watched column that is none of the features: those of a vector are `name.0`."""
        known = sorted({*features, *(name.partition(".")[0] for name in features)})
        for index, name in enumerate(self.columns):
            if name not in known:
                meant = did_you_mean(name, known)
                yield f"columns.{index}: {name!r} is none of the features{meant}; there are {', '.join(known)}"


def _refused(key: str, detector: str, arguments: Mapping[str, float]) -> Iterator[str]:
    """Yield what is wrong with the arguments of a detector."""
    for name, value in arguments.items():
        taken = _ARGUMENTS[detector]
        if name not in taken:
            meant = did_you_mean(name, taken)
            yield f"{key}.{name}: {detector} takes no such argument{meant}; it takes {', '.join(taken)}"
        elif not taken[name].hold(value):
            yield f"{key}.{name}: must be {taken[name].words}, not {value:g}"
    if detector == "kswin" and arguments.get("window_size", 100) < 2 * arguments.get("stat_size", 30):
        yield f"{key}: window_size of kswin (100 unless given) must be at least twice its stat_size (30 unless given)"


DEFAULT_WATCHES = (
    DriftWatch(watch="error", detector="adwin", warn="adwin", warn_arguments={"delta": 0.05, "clock": 8}),
    DriftWatch(watch="features", detector="psi"),
)


def problems_with_watches(watches: Sequence[DriftWatch], task: str) -> Iterator[str]:
    """Yield a problem for each watch that the task has no errors for, and for each that is there twice."""
    for index, watch in enumerate(watches):
        counting = {watch.detector, watch.warn} & set(_BINARY)
        if counting and task in {"regression", "multi_label"}:
            named = " and ".join(sorted(map(str, counting)))
            yield f"drift.{index}: errors of a {task} task are not 0 or 1, as {named} would have them"
        if watch in watches[:index]:
            yield f"drift.{index}: drift.{watches.index(watch)} is the same; leave one of them out"
