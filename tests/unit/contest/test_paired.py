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


def verdicts(samples: int, noise: tuple[float, float], level: float = 0.01) -> list[Any]:
    return [PairedTest(level).scan(*brier(seed, samples, noise=noise), bounded=True) for seed in range(SEEDS)]


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
    assert one.scan(leading, challenging, bounded=True) is None
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
    whole.scan(leading, challenging, bounded=bounded)
    bounds = [0, *np.minimum(np.cumsum(cuts), 400).tolist(), 400] if cuts else [0, 400]
    for start, end in pairwise(bounds):
        cut.scan(leading[start:end], challenging[start:end], bounded=bounded)
    assert cut.state() == whole.state()


def test_a_loss_without_bound_counts_by_what_is_usual() -> None:
    rng = np.random.default_rng(5)
    leading, challenging = np.abs(rng.normal(0, 2, 3_000)), np.abs(rng.normal(0, 1, 3_000))
    found = [PairedTest(0.01).scan(leading * unit, challenging * unit, bounded=False) for unit in (1e-6, 1.0, 1e6)]
    assert found[0] == found[1] == found[2]
    assert found[0] is not None
    assert found[0][1] == "won"


@pytest.mark.parametrize("bounded", [True, False])
def test_who_predicts_nothing_loses(bounded: bool) -> None:
    some, none = np.full(500, 0.3), np.full(500, np.nan)
    assert PairedTest(0.01).scan(some, none, bounded=bounded)[1] == "lost"  # type: ignore[index]
    assert PairedTest(0.01).scan(none, some, bounded=bounded)[1] == "won"  # type: ignore[index]
    assert PairedTest(0.01).scan(none, none, bounded=bounded) is None
