"""When many updates are skipped as not finite, the model hardly learns, and the run says so."""

from typing import Any

import numpy as np
import pytest
from rig import WATCHES, Rig, Stream, errors

from learnd.daemon.errors import DataError
from learnd.daemon.reactions.skip_rate import SkipRate
from learnd.daemon.values import Skip

ROLL_BACK = [{"on": "update.non_finite", "after": 50, "do": ["roll_back"]}]


def skips(*parts: tuple[int, Skip]) -> Any:
    return np.concatenate([np.full(count, kind) for count, kind in parts])


def fed(rules: list[Any], *parts: tuple[int, Skip], cut: int = 250) -> Rig:
    kinds = skips(*parts)
    rig = Rig(rules, WATCHES)
    rig.feed(Stream(errors((len(kinds), 0.2)), kinds), [*range(0, len(kinds), cut), len(kinds)])
    return rig


@pytest.mark.parametrize("cut", [1, 250, 1700])
def test_more_than_a_fifth_of_a_thousand_updates_end_the_run(cut: int) -> None:
    rig = fed([], (1000, Skip.NONE), (799, Skip.NONE), (201, Skip.NON_FINITE), (300, Skip.NONE), cut=cut)
    assert not rig.reactions.good
    with pytest.raises(DataError, match="More than a fifth of 1,000 updates in a row were skipped"):
        rig.reactions.check()


@pytest.mark.parametrize("kind", [Skip.LOSS, Skip.GRADIENT_NORM])
def test_those_that_the_guard_skips_do_not(kind: Skip) -> None:
    rig = fed([], (1000, kind))
    rig.reactions.check()
    assert rig.reactions.good


def test_it_shows_as_soon_as_it_is_sure() -> None:
    rig = fed([], (50, Skip.NONE), (201, Skip.NON_FINITE))
    assert not rig.reactions.good
    with pytest.raises(DataError):
        rig.reactions.check()


def test_a_block_that_learns_makes_it_good_again() -> None:
    assert not fed([], (201, Skip.NON_FINITE), (1798, Skip.NONE)).reactions.good
    assert fed([], (201, Skip.NON_FINITE), (1799, Skip.NONE)).reactions.good


def test_a_fifth_of_them_do_not() -> None:
    rig = fed([], (200, Skip.NON_FINITE), (800, Skip.NONE))
    rig.reactions.check()
    assert rig.reactions.good


def test_a_rule_that_rolls_back_goes_first() -> None:
    rig = fed(ROLL_BACK, (2000, Skip.NONE), (6000, Skip.NON_FINITE))
    rig.reactions.check()
    assert not rig.reactions.good


def test_a_restart_goes_on_but_the_model_is_not_good_until_it_learns() -> None:
    rig, again = fed([], (1200, Skip.NON_FINITE)), Rig([], WATCHES)
    again.reactions.restore(rig.reactions.state())
    again.progress.restore(rig.progress.state())
    again.reactions.check()
    assert not again.reactions.good


def test_a_stream_that_ends_early_is_judged_as_a_whole() -> None:
    rig = fed([], (3, Skip.NONE), (4, Skip.NON_FINITE))
    with pytest.raises(DataError, match="4 of 7 updates were skipped"):
        rig.reactions.check_end()
    fed([], (4, Skip.NONE), (4, Skip.NON_FINITE)).reactions.check_end()
    Rig([], WATCHES).reactions.check_end()


def test_a_good_update_after_a_restart_is_no_news() -> None:
    before, again = SkipRate(), SkipRate()
    before.add(skips((201, Skip.NON_FINITE), (49, Skip.NONE)))
    again.restore(before.state())
    again.add(skips((1, Skip.NONE)))
    assert (again.too_high, again.news) == (True, False)
    again.add(skips((1, Skip.NON_FINITE)))
    assert again.news
