from __future__ import annotations

import numpy as np
import pytest

from learnd.daemon.stream.holdout import HoldoutRule


@pytest.mark.parametrize("by", ["key", "position"])
def test_the_share_is_about_what_was_asked_for(by: str) -> None:
    starts = np.arange(100_000) * 137
    keys = [f"user-{index}" for index in range(100_000)]
    held = HoldoutRule(0.02, by).held_out("clicks.jsonl", starts, keys)  # type: ignore[arg-type]
    assert 1_800 < held.sum() < 2_200


def test_the_choice_is_the_same_for_ever() -> None:
    positions = HoldoutRule(0.3, "position").held_out("p", np.arange(12), None)
    assert np.flatnonzero(positions).tolist() == [2, 5, 8, 9, 11]
    keys = HoldoutRule(0.3, "key").held_out("p", np.arange(12), [f"u{index}" for index in range(12)])
    assert np.flatnonzero(keys).tolist() == [3, 6, 7, 8]


def test_partitions_differ() -> None:
    rule = HoldoutRule(0.5, "position")
    starts = np.arange(1000)
    same = (rule.held_out("a", starts, None) == rule.held_out("b", starts, None)).mean()
    assert 0.4 < same < 0.6


def test_by_position_keys_do_not_count() -> None:
    rule = HoldoutRule(0.5, "position")
    starts = np.arange(100)
    np.testing.assert_array_equal(rule.held_out("a", starts, ["k"] * 100), rule.held_out("a", starts, None))


def test_a_record_without_a_key_goes_by_its_position() -> None:
    by_key, by_position = HoldoutRule(0.5, "key"), HoldoutRule(0.5, "position")
    starts = np.arange(100)
    keys = ["k" if index % 2 else None for index in range(100)]
    held = by_key.held_out("a", starts, keys)
    np.testing.assert_array_equal(held[::2], by_position.held_out("a", starts, None)[::2])
    assert len(set(held[1::2].tolist())) == 1


def test_text_and_bytes_are_one_key() -> None:
    rule = HoldoutRule(0.5, "key")
    starts = np.arange(20)
    texts = [f"u{index}" for index in range(20)]
    np.testing.assert_array_equal(
        rule.held_out("a", starts, texts), rule.held_out("a", starts, [text.encode() for text in texts])
    )


@pytest.mark.parametrize("share", [-0.1, 1, 2])
def test_a_share_that_cannot_be(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        HoldoutRule(share, "key")


def test_more_keys_than_the_cache_holds() -> None:
    rule = HoldoutRule(0.5, "key")
    keys = [f"u{index}" for index in range(150_000)]
    first = rule.held_out("a", np.arange(len(keys)), keys)
    np.testing.assert_array_equal(first, rule.held_out("a", np.arange(len(keys)), keys))
    assert len(rule._key_hash) <= 65_536
