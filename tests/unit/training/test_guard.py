"""The guard: harmless on a stationary stream of any distribution, hard on strays, and never locked."""

from typing import Any

import numpy as np
import pytest
from learners import NUMBERS, X, Y, bits, call, learner
from numpy.typing import NDArray

from learnd.daemon.training.guard import Guard, reasons_of
from learnd.daemon.training.runtime import tf
from learnd.daemon.training.settings import GuardSettings
from learnd.daemon.values import Skip


def judged(losses: Any, norms: Any = None, **settings: Any) -> NDArray[np.uint8]:
    """Return the verdict of a guard on each of the losses, and norms, in turn."""
    guard = Guard(GuardSettings(**settings))

    @tf.function(jit_compile=True)
    def judge(losses: Any, norms: Any) -> Any:
        verdicts = tf.TensorArray(tf.float32, size=losses.shape[0], element_shape=())
        for k in tf.range(losses.shape[0]):
            verdict = tf.add_n([losses[k] * 0, norms[k] * 0, *guard.flags(losses[k], norms[k])])
            guard.learn(losses[k], norms[k], tf.math.is_finite(verdict))
            verdicts = verdicts.write(k, verdict)
        return verdicts.stack()

    losses = np.asarray(losses, np.float32)
    norms = np.ones_like(losses) if norms is None else np.asarray(norms, np.float32)
    verdicts = reasons_of(judge(losses, norms).numpy())
    assert np.isfinite(guard.variables[0].numpy()).all()
    return verdicts


rng = np.random.default_rng(0)
RARE = np.where(rng.random(100_000) < 0.001, 7.0, 0.001) * rng.lognormal(0, 0.5, 100_000)
STATIONARY = {
    "squared errors": rng.normal(size=100_000) ** 2,
    "squared errors with heavy tails": rng.standard_t(3, size=100_000) ** 2,
    "a rare class": RARE,
    "a margin mostly kept": np.maximum(0, rng.normal(-2, 1, size=100_000)),
    "log-normal over ten decades": rng.lognormal(0, 4, size=100_000),
    "small batches": rng.gamma(8, 0.1, size=100_000),
}


@pytest.mark.parametrize("losses", STATIONARY.values(), ids=STATIONARY)
def test_a_stationary_stream_is_let_through(losses: Any) -> None:
    assert np.count_nonzero(judged(losses)) <= 5


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_strays_are_skipped_by_their_reason_as_long_as_they_come(scale: float) -> None:
    losses = rng.gamma(2, 0.3, size=50_000) * scale
    norms = rng.gamma(2, 0.3, size=50_000)
    strays = np.arange(300, 50_000, 1000)
    losses[strays] = 1e6 * scale
    norms[strays + 300] = 1e5
    losses[strays + 600] = np.nan
    verdicts = judged(losses, norms)
    assert (verdicts[strays] == Skip.LOSS).all()
    assert (verdicts[strays + 300] == Skip.GRADIENT_NORM).all()
    assert (verdicts[strays + 600] == Skip.NON_FINITE).all()
    assert np.count_nonzero(verdicts) == 3 * len(strays)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_a_stream_that_changes_does_not_lock_it(share: float) -> None:
    losses = rng.gamma(2, 0.3, size=6_000)
    changed = (np.arange(6_000) >= 1000) & (rng.random(6_000) < share)
    losses[changed] = 1e6 * losses[changed] + 1e5
    skipped = judged(losses) != Skip.NONE
    assert 5 < np.count_nonzero(skipped) < 100
    assert not skipped[2000:].any()


def test_what_is_zero_says_nothing() -> None:
    """As with a sample weight of 0: the first real loss is no stray for that."""
    assert not judged(np.concatenate([np.zeros(1000), np.ones(100)])).any()


@pytest.mark.parametrize("train", [{"xla": True}, {"xla": False}, {"step": "train_on_batch"}])
def test_a_stray_leaves_every_variable_as_it_was_but_the_guards(train: dict[str, Any]) -> None:
    x, y = X.copy(), Y.copy()
    y[60] = 1e9
    model = {"preset": "linear", "task": "regression"}
    one = learner(NUMBERS, model, optimizer="adam", loss="mean_squared_error", **train)
    one.update(call(0, 32, 1, 4))
    one.update(call(32, 28, 1, 4))
    before = one.state().arrays
    report = one.update(call(60, 1, 1, 4, x=x, y=y))
    after = one.state().arrays
    assert report.skipped.tolist() == [Skip.LOSS]
    assert report.skips() == {"loss": 1}
    assert [name for name in before if not np.array_equal(before[name], after[name])] == ["guard/0000/statistics"]
    assert not one.update(call(61, 20, 1, 4)).skipped.any()


def test_its_statistics_are_state() -> None:
    whole, half = learner(NUMBERS), learner(NUMBERS)
    whole.update(call(0, 32, 1, 4))
    half.update(call(0, 16, 1, 4))
    resumed = learner(NUMBERS)
    resumed.restore(half.state())
    resumed.update(call(16, 16, 1, 4))
    assert bits(resumed) == bits(whole)


def test_turned_off_it_has_no_variables() -> None:
    one = learner(NUMBERS, guard={"sigma": None})
    assert not [name for name in one.state().arrays if name.startswith("guard")]
    y = Y.copy()
    y[40] = 1e9
    one.update(call(0, 32, 1, 4))
    assert not one.update(call(32, 20, 1, 4, y=y)).skipped.any()
