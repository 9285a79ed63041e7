"""The paired test: how often it is wrong, how soon it is right, and that it does not see where calls are cut."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from learnd.daemon.contest.paired import PairedTest

SEEDS = 200


def brier(seed: int, samples: int, *, noise: tuple[float, float]) -> list[NDArray[Any]]:
    """Return the losses of two forecasts of a coin with a known bias, each off by normal noise."""
    rng = np.random.default_rng(seed)
    bias = rng.uniform(0.1, 0.9, samples)
    came = rng.random(samples) < bias
    return [(np.clip(bias + rng.normal(0, scale, samples), 0, 1) - came) ** 2 for scale in noise]


def scanned(test: PairedTest, leading: Any, challenging: Any, *, bounded: bool = True) -> Any:
    """Take in the losses (m,) of both on a single target."""
    return test.scan(leading[:, None], challenging[:, None], bounded=[bounded])


def verdicts(samples: int, noise: tuple[float, float], level: float = 0.01) -> list[Any]:
    return [scanned(PairedTest(level), *brier(seed, samples, noise=noise)) for seed in range(SEEDS)]


def test_one_that_is_no_better_hardly_ever_wins() -> None:
    found = verdicts(4_000, (0.1, 0.1), level=0.05)
    for verdict in ("won", "lost"):
        assert sum(one is not None and one[1] == verdict for one in found) <= 0.05 * SEEDS


def test_one_that_is_better_wins_soon_and_one_that_is_worse_loses() -> None:
    assert {one[1] for one in verdicts(6_000, (0.2, 0.0))} == {"won"}
    assert {one[1] for one in verdicts(6_000, (0.0, 0.2))} == {"lost"}
    assert np.median([one[0] for one in verdicts(6_000, (0.2, 0.0))]) < 1_500


def test_the_evidence_is_that_of_the_formula() -> None:
    leading, challenging = brier(1, 50, noise=(0.3, 0.1))
    one = PairedTest(1e-9)
    assert scanned(one, leading, challenging) is None
    differences = leading - challenging
    before = [0.0, *(differences[:end].mean() for end in range(1, 50))]
    bets = 0.45 * 2.0 ** (-np.arange(12) / 2)
    costs = (-np.log(1 - 2 * bets) - 2 * bets) / 4
    found = np.exp(bets * differences.sum() - costs * ((differences - before) ** 2).sum()).mean()
    assert one.evidence == pytest.approx(np.log10(found))
    assert one.lead == pytest.approx(differences.mean())
    assert one.samples == 50


@given(st.lists(st.integers(1, 300), max_size=8), st.booleans())
def test_where_it_is_cut_makes_no_difference(cuts: list[int], bounded: bool) -> None:
    leading, challenging = brier(3, 400, noise=(0.2, 0.1))
    whole, cut = PairedTest(0.01), PairedTest(0.01)
    scanned(whole, leading, challenging, bounded=bounded)
    bounds = [0, *np.minimum(np.cumsum(cuts), 400).tolist(), 400] if cuts else [0, 400]
    for start, end in pairwise(bounds):
        scanned(cut, leading[start:end], challenging[start:end], bounded=bounded)
    assert cut.state() == whole.state()


def test_a_loss_without_bound_counts_by_what_is_usual() -> None:
    rng = np.random.default_rng(5)
    leading, challenging = np.abs(rng.normal(0, 2, 3_000)), np.abs(rng.normal(0, 1, 3_000))
    found = [scanned(PairedTest(0.01), leading * unit, challenging * unit, bounded=False) for unit in (1e-6, 1.0, 1e6)]
    assert found[0] == found[1] == found[2]
    assert found[0] is not None
    assert found[0][1] == "won"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("glitch", [1e6, 1.5e308])
def test_a_glitch_takes_no_power(glitch: float) -> None:
    """One label is far off, for both."""
    rng = np.random.default_rng(5)
    leading, challenging = np.abs(rng.normal(0, 1, 3_000)), np.abs(rng.normal(0, 0.7, 3_000))
    usual = scanned(PairedTest(0.01), leading, challenging, bounded=False)
    leading[10] = challenging[10] = glitch
    found = scanned(PairedTest(0.01), leading, challenging, bounded=False)
    assert (usual[1], found[1]) == ("won", "won")
    assert found[0] < 1.5 * usual[0]


@pytest.mark.filterwarnings("error")
def test_losses_of_any_size_are_compared() -> None:
    leading = np.array([0.0, 0.0, 5e-324, 1e-320, 1e-300, 1.0, 1e300, 1.7e308, np.inf, np.nan, 1.0] * 300)
    for challenging in (leading, leading[::-1], np.roll(leading, 1)):
        one = PairedTest(1e-9)
        scanned(one, leading, challenging, bounded=False)
        assert np.isfinite(one.evidence)
        assert abs(one.lead) < 0.1
    assert np.isfinite(one.arrays["losses"]).all()


def test_where_all_losses_grow_what_is_usual_grows_too() -> None:
    losses = np.abs(np.random.default_rng(8).normal(0, 1, (2, 1_500)))
    losses[:, 300:] *= 100
    one = PairedTest(1e-9)
    scanned(one, *losses, bounded=False)
    assert one.arrays["losses"][0] > 0.7 * losses.sum()


@pytest.mark.parametrize("bounded", [True, False])
def test_who_predicts_nothing_loses(bounded: bool) -> None:
    some, none = np.full(500, 0.3), np.full(500, np.nan)
    assert scanned(PairedTest(0.01), some, none, bounded=bounded)[1] == "lost"
    assert scanned(PairedTest(0.01), none, some, bounded=bounded)[1] == "won"
    assert scanned(PairedTest(0.01), none, none, bounded=bounded) is None


def test_of_several_targets_no_unit_counts_more() -> None:
    rng = np.random.default_rng(6)
    both = [np.abs(rng.normal(0, scales, (3_000, 2))) for scales in ([1, 2], [2, 1])]
    for unit in (1e-3, 1.0, 1e3):
        units = np.array([1.0, unit])
        one = PairedTest(0.01, targets=2)
        assert one.scan(both[0] * units, both[1] * units, bounded=[False, False]) is None, (
            "each is better at one of two"
        )
    better = np.array([1.0, 1e3]) * np.abs(rng.normal(0, [1, 1], (3_000, 2)))
    found = PairedTest(0.01, targets=2).scan(both[0] * [1.0, 1e3], better, bounded=[False, False])
    assert found is not None
    assert found[1] == "won"


def test_bounded_and_unbounded_targets_stand_beside_each_other() -> None:
    rng = np.random.default_rng(7)
    leading, challenging = rng.random((2, 2_000, 2))
    leading[:, 1], challenging[:, 1] = 1e6 * leading[:, 1], 1e6 * challenging[:, 1]
    whole, cut = PairedTest(1e-9, targets=2), PairedTest(1e-9, targets=2)
    whole.scan(leading, challenging, bounded=[True, False])
    for start, end in pairwise([0, 1, 700, 2_000]):
        cut.scan(leading[start:end], challenging[start:end], bounded=[True, False])
    assert cut.state() == whole.state()
    assert abs(whole.lead) < 0.05
