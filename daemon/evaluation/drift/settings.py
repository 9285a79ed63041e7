"""Which drifts are looked for: the settings under `drift`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from daemon.section import Section

SIGNALS = ("error", "loss", "features", "predictions", "labels")
SEQUENTIAL = ("adwin", "hddm_w", "page_hinkley", "kswin", "ddm")
DISTRIBUTIONS = ("psi", "ks")
_BINARY = ("hddm_w", "ddm")  # of errors that are 0 or 1

Signal = Literal["error", "loss", "features", "predictions", "labels"]
Threshold = Annotated[float, Field(gt=0)]


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
    """Arguments of River's detector: `{delta: 0.002}`."""

    warn_arguments: dict[str, float] = {}
    """Arguments of the one that warns."""

    quiet: PositiveInt = 2_000
    """Samples after a confirmed drift of `error` or `loss` in which no other is reported: it is the same one. After
    a warning, no other comes for a quarter of that."""

    reference: PositiveInt = 10_000
    """Samples of the reference, for `psi` and `ks`: the first ones, and after a confirmed drift those behind it."""

    renew: bool = True
    """Take a new reference after each confirmed drift. Otherwise the first one stays for good."""

    window: PositiveInt = 500
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
        return self

    @model_validator(mode="after")
    def _thresholds_rise(self) -> Self:
        warning, confirmed = self.thresholds
        if warning > confirmed:
            raise ValueError(f"warning ({warning}) is above confirmed ({confirmed}), and would never be reported")
        return self


DEFAULT_WATCHES = (
    DriftWatch(watch="error", detector="adwin", warn="adwin", warn_arguments={"delta": 0.05, "clock": 8}),
    DriftWatch(watch="features", detector="psi"),
)
