"""The learning rate of each update: the rate from the settings, times the factors that apply at its sample.

All of it is a function of the sample count, and is computed before a call for each of its updates. So it does not
depend on how updates are grouped into calls. The compiled loop only uses the rates it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.training.architecture import configuration_of
from learnd.daemon.training.runtime import tf
from learnd.daemon.values import Facts, Float32, Float64

Schedule: TypeAlias = Callable[[Any], Any]  # a Keras schedule: count to rate


@dataclass(frozen=True, slots=True)
class OfUpdates:
    """The schedule of a compiled model. As in Keras, it counts updates, and goes on through phases."""

    schedule: Schedule


Base: TypeAlias = float | Schedule | OfUpdates


@dataclass(frozen=True, slots=True)
class _Ramp:
    """A factor that changes linearly from `first` to 1, over `over` samples from `start` on."""

    first: float
    start: int
    over: int

    def at(self, samples: NDArray[np.int64]) -> Float64:
        left = np.clip((self.start + self.over - samples) / self.over, 0, 1)
        factors: Float64 = 1 + (self.first - 1) * left
        return factors


class LearningRate:
    """The base rate, or a schedule over the samples of the phase or over all updates, times boost, slow-down and
    warm-up.
    """

    def __init__(self, base: Base, updates: int = 0, *, fixable: bool = False) -> None:
        """`updates` are those that the model had before. `fixable`: whether somebody may `fix` the base."""
        self.samples = 0  # that went through updates, including skipped ones
        self._updates = updates  # including skipped ones
        self.phase_start = 0
        self._base = base
        self._fixable = fixable
        self._fixed: Facts | None = None  # takes the place of a base, until a phase begins
        self._slow_down = 1.0
        self._ramps: dict[str, _Ramp] = {}
        self._compiled: Any = None

    def of(self, updates: int, rows: int, size: int) -> Float32:
        """Return rates (size + 1,): for the next updates of `rows` samples each, and for the one after them."""
        rates = np.zeros(size + 1, np.float32)
        counts = self.samples + rows * np.arange(updates + 1, dtype=np.int64)
        factors = self._factors(counts)
        rates[: updates + 1] = factors * self._bases(counts, self._updates + np.arange(updates + 1), size)
        return rates

    def base(self, size: int) -> float:
        """Return the rate of the next update before factors. `size` is one of those that `of` is called with."""
        bases = self._bases(np.array([self.samples]), np.array([self._updates]), size)
        return float(np.ravel(bases).astype(np.float32)[0])

    def advance(self, updates: int, rows: int) -> None:
        """Go on behind so many updates of `rows` samples."""
        self.samples += updates * rows
        self._updates += updates

    def begin_phase(self, base: Base, warm_up: int) -> None:
        """Set another base. A schedule counts from here; the rate rises from 0 over `warm_up` samples."""
        self.use(base)
        self._fixed = None
        self.phase_start = self.samples
        self._ramps = {name: ramp for name, ramp in self._ramps.items() if name != "warm_up"}
        if warm_up:
            self._ramps["warm_up"] = _Ramp(1 / warm_up, self.samples, warm_up)

    def use(self, base: Base) -> None:
        self._base, self._compiled = base, None

    def boost(self, factor: float, over: int) -> None:
        """Multiply the rate by `factor`, which returns to 1 over `over` samples. A new boost replaces the last one."""
        self._ramps["boost"] = _Ramp(factor, self.samples, over)

    def slow_down(self, factor: float) -> None:
        """Multiply the rate by `factor` from here on."""
        self._slow_down *= factor

    def fix(self, rate: float) -> None:
        """Use this rate in the place of the base, until a phase begins. What multiplies the base multiplies it."""
        self._fixed = {"rate": rate, "instead_of": _told(self._base)}

    def facts(self) -> Facts:
        ramps = {name: [ramp.first, ramp.start, ramp.over] for name, ramp in self._ramps.items()}
        return {
            "samples": self.samples,
            "updates": self._updates,
            "phase_start": self.phase_start,
            "slow_down": self._slow_down,
            "fixed": self._fixed,
            "ramps": ramps,
        }

    def restore(self, facts: Facts) -> None:
        """Continue from `facts`. A fixed rate is dropped if it took the place of another base than there is now, or if
        nobody is there any more to fix one.
        """
        self.samples, self._updates, self.phase_start = facts["samples"], facts["updates"], facts["phase_start"]
        self._slow_down, fixed = facts["slow_down"], facts.get("fixed")
        stands = fixed is not None and self._fixable and fixed["instead_of"] == _told(self._base)
        self._fixed = fixed if stands else None
        self._ramps = {name: _Ramp(*ramp) for name, ramp in facts["ramps"].items()}

    def _factors(self, counts: NDArray[np.int64]) -> Float64:
        factors = np.full(len(counts), self._slow_down)
        for ramp in self._ramps.values():
            factors *= ramp.at(counts)
        return factors

    def _bases(self, samples: NDArray[np.int64], updates: NDArray[np.int64], size: int) -> Float32 | float:
        """Return the rate before factors, at each count."""
        if self._fixed is not None:
            return float(self._fixed["rate"])
        if isinstance(self._base, float):
            return self._base
        if isinstance(self._base, OfUpdates):
            return self._at(self._base.schedule, updates, size)
        return self._at(self._base, samples - self.phase_start, size)

    def _at(self, schedule: Schedule, counts: NDArray[np.int64], size: int) -> Float32:
        """Return the schedule's rate at each count, by a compiled loop of the same length as the updates' loop."""
        if self._compiled is None:
            self._compiled = tf.function(partial(_each, schedule), jit_compile=True, autograph=False)
        rates: Float32 = self._compiled(np.resize(counts, size + 1), tf.constant(len(counts))).numpy()[: len(counts)]
        return rates


def _told(base: Base) -> float | str:
    """Return a base as a fact, to compare it with others."""
    if isinstance(base, float):
        return base
    return f"of updates: {configuration_of(base.schedule)}" if isinstance(base, OfUpdates) else configuration_of(base)


def _each(schedule: Schedule, counts: Any, size: Any) -> Any:
    rates = tf.TensorArray(tf.float32, size=counts.shape[0], element_shape=())

    def body(k: Any, rates: Any) -> tuple[Any, Any]:
        return k + 1, rates.write(k, tf.cast(schedule(counts[k]), tf.float32))

    return tf.while_loop(lambda k, _: k < size, body, (tf.constant(0), rates))[1].stack()
