"""Whether one model predicts better than another: a paired test that may be looked at behind every sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from learnd.daemon.foundation.counters import Counters, running_sum
from learnd.daemon.values import Float64

Verdict: TypeAlias = Literal["won", "lost"]

# The bets, and what each costs with a difference of -1 to 1. Small bets find small leads, large ones find large leads
# soon.
_BETS = 0.45 * 0.5 ** np.arange(0, 6, 0.5)
_COSTS = (-np.log(1 - 2 * _BETS) - 2 * _BETS) / 4
_STRAY = 10.0  # times what is usual: more than that does not count in what is usual then
_MOST = 1e100  # of a loss without bound, so that sums stay finite


class PairedTest(Counters):
    """Compares the losses of a challenger with those of the model that leads, sample by sample.

    If the challenger has not been better on average, the chance that it is ever said to have won is at most `level`,
    however long one looks and however the stream changes; the same holds for a challenger that has not been worse.
    The evidence is the mixture, over several bets, of the e-processes of Choe and Ramdas, Comparing Sequential
    Forecasters (Operations Research 2023), theorem 3, for differences d in [-1, 1]: the mean of
    exp(bet * sum of d - cost(bet) * sum of (d - mean of those before)**2).

    A loss without bound is divided by what is usual, the mean loss of both before it, and the difference is cut off
    at 1: what is compared, then, is the mean of these, in which one huge error counts no more than a large one. It does
    not change much what is usual, either: it enters that mean as at most ten times what the mean was. Of several
    targets, d is the mean over them.
    """

    def __init__(self, level: float, targets: int = 1) -> None:
        super().__init__(
            samples=np.zeros((), np.int64), lead=np.zeros(()), spread=np.zeros(()), losses=np.zeros(targets)
        )  # the sums of d, of its squared deviations, and of the losses of both
        self._needed = math.log(1 / level)

    @property
    def samples(self) -> int:
        """How many samples were compared."""
        return int(self.arrays["samples"])

    @property
    def lead(self) -> float:
        """By how much the loss of the challenger was lower, on average."""
        return float(self.arrays["lead"]) / max(self.samples, 1)

    @property
    def evidence(self) -> float:
        """The logarithm, to base 10, of the evidence for the challenger: 2 is enough for a level of 1 %."""
        found = _evidence(self.arrays["lead"][None], self.arrays["spread"][None])
        return float(found[0]) / math.log(10)

    def scan(self, leading: Float64, challenging: Float64, *, bounded: Sequence[bool]) -> tuple[int, Verdict] | None:
        """Take in the losses (m, targets) of both, up to 1 if those of a target are `bounded`. Return the index of the
        first sample that decides, and its verdict; None if there is none. A prediction without a finite loss loses
        against any other.
        """
        differences = self._differences(leading, challenging, bounded=bounded)
        count = self.samples + np.arange(len(differences) + 1)
        leads = running_sum(self.arrays["lead"], differences)
        deviations = differences - leads[:-1] / np.maximum(count[:-1], 1)
        spreads = running_sum(self.arrays["spread"], deviations**2)
        self._keep(samples=count[-1], lead=leads[-1], spread=spreads[-1])
        won = _evidence(leads[1:], spreads[1:]) >= self._needed
        lost = _evidence(-leads[1:], spreads[1:]) >= self._needed
        decided = np.flatnonzero(won | lost)
        if not len(decided):
            return None
        first = int(decided[0])
        return first, "won" if won[first] else "lost"

    def _keep(self, **values: Any) -> None:
        self.arrays = {**self.arrays, **{name: np.array(value) for name, value in values.items()}}

    def _differences(self, leading: Float64, challenging: Float64, *, bounded: Sequence[bool]) -> Float64:
        """Return by how much (m,) the losses of the challenger are lower, from -1 to 1."""
        known = np.isfinite(leading), np.isfinite(challenging)
        both = known[0] & known[1]
        one, other = np.where(both, leading, 0.0), np.where(both, challenging, 0.0)
        if not all(bounded):
            one, other = np.minimum(one, _MOST), np.minimum(other, _MOST)
        differences = one - other
        if not all(bounded):
            usual = self._usual(one + other)
            within = np.clip(differences, -usual, usual)
            relative = np.divide(within, usual, out=np.sign(differences), where=usual > 0)
            differences = np.where(bounded, differences, relative)
        each = np.clip(np.where(both, differences, known[1].astype(np.float64) - known[0]), -1, 1)
        mean: Float64 = each[:, 0] if each.shape[1] == 1 else each.mean(axis=1)
        return mean

    def _usual(self, losses: Float64) -> Float64:
        """Return what is usual before each of the losses (m, targets) of both, and take them in."""
        each = zip(self.arrays["losses"].tolist(), losses.T.tolist(), strict=True)
        sums = np.array([_without_strays(before, values, self.samples) for before, values in each]).T
        self._keep(losses=sums[-1])
        usual: Float64 = sums[:-1] / np.maximum(self.samples + np.arange(len(losses)), 1)[:, None]
        return usual


def _without_strays(total: float, losses: Sequence[float], count: int) -> list[float]:
    """Return the sum of `count` losses, and the sum after each of the others: what is far above the mean of all before
    it is added as `_STRAY` times that mean.
    """
    sums = [total]
    for before, loss in enumerate(losses, count):
        most = _STRAY * total / max(before, 1)
        total += min(loss, most) if most > 0 else loss
        sums.append(total)
    return sums


def _evidence(lead: Float64, spread: Float64) -> Float64:
    """Return the logarithm (m,) of the evidence, given the sums (m,) of the differences and of their deviations."""
    bets = lead[:, None] * _BETS - spread[:, None] * _COSTS
    most = bets.max(axis=1)
    found: Float64 = most + np.log(np.exp(bets - most[:, None]).mean(axis=1))
    return found
