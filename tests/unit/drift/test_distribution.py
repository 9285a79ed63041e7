"""Windows against a reference: which column moved, when, and once."""

from typing import Any

import numpy as np
import pytest

from learnd.daemon.drift.distribution import DistributionWatch, binned, kolmogorov_smirnov, stability_index
from learnd.daemon.drift.settings import DriftWatch

NAMES = ("a", "b", "flag")


def watch(detector: str, **settings: Any) -> DistributionWatch:
    usual = {"watch": "features", "detector": detector, "reference": 2000, "window": 500}
    return DistributionWatch(DriftWatch.model_validate(usual | settings), NAMES)


def rows(count: int, seed: int = 1, shift: float = 0.0, scale: float = 1.0) -> Any:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, count))
    return np.stack([a, b * scale + shift, rng.random(count) < 0.05], axis=1).astype(np.float32)


def scanned(looking: DistributionWatch, table: Any, step: int = 10_000, before: int = 0) -> list[Any]:
    found = []
    for start in range(0, len(table), step):
        part = table[start : start + step]
        found += looking.scan(part, before + start + 1 + np.arange(len(part)))
    return found


@pytest.mark.parametrize("detector", ["psi", "ks"])
@pytest.mark.parametrize("change", [{"shift": 1.0}, {"scale": 10.0}, {"scale": 0.1}])
def test_the_column_that_moved_is_named_at_the_end_of_the_window(detector: str, change: dict[str, float]) -> None:
    table = np.concatenate((rows(4000), rows(2000, seed=2, **change)))
    (drift,) = scanned(watch(detector, reference=2000, renew=False), table)
    count, level, data = drift
    assert (count, level, list(data["columns"])) == (4500, "confirmed", ["b"])


@pytest.mark.parametrize("detector", ["psi", "ks"])
def test_rows_that_are_not_finite_are_in_no_distribution(detector: str) -> None:
    table = np.concatenate((rows(4000), rows(2000, seed=2, shift=1.0)))
    plain = scanned(watch(detector), table)
    spoilt = np.insert(table, [3, 1500, 3900], [[np.nan, 0, 0], [0, np.inf, 0], [0, 0, -np.inf]], axis=0)
    assert [found[1:] for found in scanned(watch(detector), spoilt)] == [found[1:] for found in plain] != []


@pytest.mark.parametrize("detector", ["psi", "ks"])
def test_a_stationary_stream_has_no_drift(detector: str) -> None:
    assert scanned(watch(detector), rows(60_000)) == []


@pytest.mark.parametrize("detector", ["psi", "ks"])
@pytest.mark.parametrize("at", [1, 1999, 2000, 3210, 4600])
def test_cuts_and_restores_change_nothing(detector: str, at: int) -> None:
    table = np.concatenate((rows(4000), rows(3000, seed=2, shift=2.0), rows(4000, seed=3)))
    whole = scanned(watch(detector), table)
    assert len(whole) >= 2
    first, second = watch(detector), watch(detector)
    found = scanned(first, table[:at], step=7)
    second.restore(first.state())
    assert found + scanned(second, table[at:], step=331, before=at) == whole


def test_a_renewed_reference_is_what_the_stream_is_now() -> None:
    table = np.concatenate((rows(3000), rows(6000, seed=2, shift=3.0)))
    assert [count for count, *_ in scanned(watch("psi"), table)] == [3500]


def test_with_a_fixed_reference_a_column_is_reported_again_only_after_it_came_back() -> None:
    table = np.concatenate((rows(2500), rows(2000, seed=2, shift=3), rows(2000, seed=3), rows(1000, seed=4, shift=3)))
    found = scanned(watch("psi", renew=False), table)
    assert [(count, level) for count, level, _ in found] == [(3000, "confirmed"), (7000, "confirmed")]


def test_a_warning_is_below_a_confirmed_drift() -> None:
    found = scanned(watch("psi", renew=False), np.concatenate((rows(2500), rows(500, seed=2, shift=0.45))))
    assert [level for _, level, _ in found] == ["warning"]


def test_a_value_that_never_was_counts_in_a_column_of_two_values() -> None:
    reference = np.zeros((1000, 1), np.float32)
    assert stability_index(binned(reference), reference[None, :500])[0, 0] == 0
    assert stability_index(binned(reference), reference[None, :500] - 1)[0, 0] == 0  # up to the minimum is one bin
    assert stability_index(binned(reference), reference[None, :500] + 1)[0, 0] > 5


def test_the_index_is_that_of_its_formula() -> None:
    reference = np.arange(1, 1001, dtype=np.float32)[:, None]
    upper = np.arange(501, 1001, dtype=np.float32)[:, None]
    edges, counts = binned(reference)[:11, 0], binned(reference)[11:, 0]
    q = np.maximum(counts / 1000, 0.001)
    p = np.maximum(np.histogram(upper[:, 0], [-np.inf, *(edges + 0.5), np.inf])[0] / 500, 0.001)
    assert stability_index(binned(reference), upper[None])[0, 0] == pytest.approx(np.sum((p - q) * np.log(p / q)))


def test_the_distance_is_that_of_scipy() -> None:
    from scipy.stats import ks_2samp

    old, new = rows(700), rows(300, seed=5, shift=0.3)
    with_equal_values = [np.round(each, 1) for each in (old, new)]
    for reference, window in ((old, new), with_equal_values, (new, old), (old + 10, new), (old, new + 10)):
        ours = kolmogorov_smirnov(np.sort(reference, axis=0), window[None])[0]
        assert ours.tolist() == pytest.approx([ks_2samp(reference[:, i], window[:, i]).statistic for i in range(3)])


@pytest.mark.parametrize("measure", [stability_index, kolmogorov_smirnov])
def test_a_window_is_as_far_by_itself_as_among_others(measure: Any) -> None:
    old, new = rows(700), rows(1200, seed=5, shift=0.3)
    for columns in (slice(None), slice(1)):
        reference = binned(old[:, columns]) if measure is stability_index else np.sort(old[:, columns], axis=0)
        together = measure(reference, new[:, columns].reshape(4, 300, -1))
        alone = [measure(reference, new[None, at : at + 300, columns])[0] for at in range(0, 1200, 300)]
        assert np.array_equal(together, alone)


def _moving(count: int) -> dict[str, Any]:
    """Return columns that change by their nature: each says something about when, and nothing about how."""
    order = np.arange(count)
    rng = np.random.default_rng(4)
    walk = np.cumsum(rng.normal(size=count))
    return {
        "a number that counts": order,
        "seconds since 1970": 1.7e9 + 60.0 * order,
        "a slow clock": np.sin(2 * np.pi * order / 86_400),
        "a rising number with noise": order / 1000 + rng.normal(size=count),
        "a random walk": walk,
        "a season": 3 * np.sin(order / 300) + rng.normal(size=count),
    }


@pytest.mark.parametrize("detector", ["psi", "ks"])
@pytest.mark.parametrize("name", _moving(1))
def test_a_column_that_changes_by_its_nature_is_reported_once_as_not_compared(detector: str, name: str) -> None:
    table = rows(20_000)
    table[:, 1] = _moving(20_000)[name]
    ((count, level, data),) = scanned(watch(detector), table)
    assert (count, level, list(data["columns"])) == (2000, "unsteady", ["b"])


def test_a_column_that_is_named_is_compared_whatever_it_is() -> None:
    table = rows(6000)
    table[:, 1] = np.arange(6000)
    found = scanned(watch("psi", columns=NAMES), table)
    assert [(level, list(data["columns"])) for _, level, data in found] == [("confirmed", ["b"])] * 2


def test_each_reference_judges_anew_which_columns_are_steady() -> None:
    """Here `b` counts in the first reference, then both change, and `b` is steady in the next one until it drifts."""
    first, second, third = rows(3000), rows(4500, seed=2), rows(1000, seed=3, shift=3.0)
    first[:, 1] = np.arange(3000)
    second[:, 0] += 3
    third[:, 0] += 3
    found = scanned(watch("psi"), np.concatenate((first, second, third)))
    assert [(level, list(data["columns"])) for _, level, data in found] == [
        ("unsteady", ["b"]),
        ("confirmed", ["a"]),
        ("confirmed", ["b"]),
    ]


@pytest.mark.parametrize("detector", ["psi", "ks"])
def test_a_reference_shorter_than_two_windows_cannot_tell_what_is_steady(detector: str) -> None:
    table = rows(2000)
    table[:, 1] = np.arange(2000)
    found = scanned(watch(detector, reference=300, renew=False), table)
    assert [(level, list(data["columns"])) for _, level, data in found] == [("confirmed", ["b"])]
