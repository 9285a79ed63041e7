"""Settings of drift detection: the section `drift`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, PositiveInt, model_validator

from learnd.daemon.foundation.section import Section, did_you_mean, meant_or_known

SEQUENTIAL = ("adwin", "hddm_w", "page_hinkley", "kswin", "ddm")
DISTRIBUTIONS = ("psi", "ks")
_BINARY = ("hddm_w", "ddm")  # take errors of 0 or 1

Signal = Literal["error", "loss", "features", "predictions", "labels"]
GIVEN = ("features", "labels")
"""The signals that are there before a call has run."""

Threshold = Annotated[float, Field(gt=0)]


class _Values(NamedTuple):
    """The values that an argument may have: in words, and as a check."""

    words: str
    hold: Callable[[float], bool]


def _whole(least: int, most: int) -> _Values:
    return _Values(
        f"a whole number from {least:,} to {most:,}", lambda value: value.is_integer() and least <= value <= most
    )


_SHARE = _Values("above 0 and below 1", lambda value: 0 < value < 1)
_POSITIVE = _Values("above 0", lambda value: value > 0)
_COUNT = _whole(1, 1_000_000_000)

# River itself accepts more, but then divides by zero, panics, or never finds anything.
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
    """One signal to watch for drift, and the detector that watches it."""

    watch: Signal
    """The signal. `error` is 0 or 1 for a sample, or the share of wrong labels if it has several. For a regression
    it is the absolute error divided by the sum of itself and the mean error at the beginning. `loss` is the loss of
    each update."""

    detector: Literal["adwin", "hddm_w", "page_hinkley", "kswin", "ddm", "psi", "ks"]
    """The detector. For `error` and `loss`: a River detector, by its name. For `features`, `predictions` and `labels`:
    the population stability index (`psi`) or the Kolmogorov-Smirnov distance (`ks`) of a window from a reference."""

    warn: Literal["adwin", "hddm_w", "page_hinkley", "kswin", "ddm"] | None = None
    """A second detector for `error` and `loss`, which only warns: a faster one that may have more false alarms."""

    arguments: dict[str, float] = {}
    """Arguments of the River detector, such as `{delta: 0.002}`. `adwin`: `delta`, `clock`, `max_buckets`,
    `min_window_length`, `grace_period`. `hddm_w`: `drift_confidence`, `warning_confidence`, `lambda_val`,
    `two_sided_test`. `page_hinkley`: `min_instances`, `delta`, `threshold`, `alpha`. `kswin`: `alpha`, `window_size`,
    `stat_size`, `seed`. `ddm`: `warm_start`, `warning_threshold`, `drift_threshold`."""

    warn_arguments: dict[str, float] = {}
    """Arguments of the detector that `warn` names."""

    quiet: PositiveInt = 2_000
    """Samples after a confirmed drift of `error` or `loss` during which no other is reported, since it is the same
    drift. After a warning, no other follows for a quarter of that."""

    reference: Annotated[int, Field(ge=100)] = 10_000
    """Samples in the reference of `psi` and `ks`: the first of the stream, or the first after a confirmed drift."""

    renew: bool = True
    """Take a new reference after each confirmed drift. Otherwise the first one stays forever."""

    window: Annotated[int, Field(ge=20)] = 500
    """Samples in each window that is compared with the reference."""

    warning: Threshold | None = None
    """The distance from which there is a warning. Default: 0.1. For short windows it is raised, so that chance alone
    reaches it less than once in a million windows."""

    confirmed: Threshold | None = None
    """The distance from which a drift is confirmed. Default: 0.25 for `psi`, 0.2 for `ks`."""

    columns: tuple[str, ...] = ()
    """The names of the features to watch. Default: all but those that tell the time, and those that change within the
    reference already, such as counters; if there are more than 256 columns, evenly spaced ones."""

    @property
    def thresholds(self) -> tuple[float, float]:
        """The distances for a warning and for a confirmed drift."""
        confirmed = self.confirmed or (0.25 if self.detector == "psi" else 0.2)
        return self.warning or min(0.1, confirmed), confirmed

    @property
    def warns(self) -> bool:
        """Whether it ever reports a warning."""
        return self.detector in (*DISTRIBUTIONS, *_BINARY) or self.warn is not None

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels of the drifts that it reports."""
        return ("warning", "confirmed") if self.warns else ("confirmed",)

    @model_validator(mode="after")
    def _detector_fits(self) -> Self:
        fitting = SEQUENTIAL if self.watch in {"error", "loss"} else DISTRIBUTIONS
        if self.detector not in fitting:
            raise ValueError(f"{self.detector} cannot watch {self.watch}; choose from {', '.join(fitting)}")
        if self.watch == "loss" and {self.detector, self.warn} & set(_BINARY):
            raise ValueError(f"{' and '.join(_BINARY)} take errors of 0 or 1, but a loss is any number; watch error")
        return self

    @model_validator(mode="after")
    def _nothing_idle(self) -> Self:
        """Raise ValueError for a key that would do nothing."""
        sequential = ("warn", "arguments", "warn_arguments", "quiet")
        distribution = ("reference", "renew", "window", "warning", "confirmed", "columns")
        idle = sequential if self.detector in DISTRIBUTIONS else distribution
        if found := [name for name in idle if name in self.model_fields_set]:
            raise ValueError(f"{self.detector} has no use for {', '.join(found)}")
        if self.warn_arguments and self.warn is None:
            raise ValueError("warn_arguments are for the detector that warn names, but warn is not given")
        if self.columns and self.watch != "features":
            raise ValueError(f"columns name features, but this watches {self.watch}")
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
            raise ValueError(f"warning ({warning}) is above confirmed ({confirmed}), so it would never be reported")
        if self.detector == "ks" and confirmed > 1:
            raise ValueError(f"confirmed: a distance of ks is at most 1, so never {confirmed:g}")
        return self

    def unknown_columns(self, features: Sequence[str]) -> Iterator[str]:
        """Yield a problem for each watched column that is not a feature. Those of a vector are called `name.0`."""
        known = sorted({*features, *(name.partition(".")[0] for name in features)})
        for index, name in enumerate(self.columns):
            if name not in known:
                yield f"columns.{index}: {name!r} is none of the features{meant_or_known(name, known)}"


def _refused(key: str, detector: str, arguments: Mapping[str, float]) -> Iterator[str]:
    """Yield the problems with the arguments of a detector."""
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


def problems_with_watches(watches: Sequence[DriftWatch], task: str, *, tensors: bool) -> Iterator[str]:
    """Yield a problem for each watch that the task has no errors for, and for each that is there twice.

    `tensors` says whether its labels are.
    """
    for index, watch in enumerate(watches):
        counting = {watch.detector, watch.warn} & set(_BINARY)
        if counting and (tensors or task in {"regression", "multi_label"}):
            named = " and ".join(sorted(map(str, counting)))
            of = f"{task} task with a shape" if tensors else f"{task} task"
            yield f"drift.{index}: errors of a {of} are not 0 or 1, as {named} would have them"
        if watch in watches[:index]:
            yield f"drift.{index}: drift.{watches.index(watch)} is the same; leave one of them out"
