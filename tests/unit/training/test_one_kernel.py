"""Updates by one sample run in one kernel if that is quicker, and the length of calls changes no bit of them."""

from typing import Any

import numpy as np
import pytest
from learners import MIXED, X, Y, bits, call, learner

from learnd.daemon.errors import StateMismatchError
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.runtime import tf
from learnd.daemon.values import State


def runs_in_one_kernel(one: KerasLearner) -> bool:
    """Whether XLA has made one of the loop, by what it says of the program that it has compiled."""
    updates = one._steps.full
    rows, rates = one._train.batch_size, np.ones(33, np.float32)
    x, y = X[: 32 * rows].reshape(32, rows, 5), Y[: 32 * rows].reshape(32, rows, 1)
    weight = np.ones((32, rows), np.float32)
    given = [tf.constant(value) for value in (x, y, weight, rates, np.int32(1))]
    program = updates._function.experimental_get_compiler_ir(*given)(stage="optimized_hlo")  # type: ignore[attr-defined]
    return "xla_cpu_small_call" in program


@pytest.mark.parametrize("build", ["dense", "normalized", "recurrent"])
def test_products_of_a_vector_run_in_one_kernel(build: str) -> None:
    one = learner(MIXED, {"build": f"kinds_of_models:{build}"}, xla=True, optimizer="adam", max_updates_per_call=64)
    assert runs_in_one_kernel(one)
    start, found = one.state(), set()
    for schedule in ([60], [1, 3, 40, 16], [20] * 3):
        one.restore(start)
        done = 0
        for updates in schedule:
            one.update(call(done, updates, 1))
            done += updates
        found.add(bits(one))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("build", "train"),
    [("dense", {"batch_size": 2}), ("steps", {}), ("convolution", {}), ("attention", {})],
    ids=["a batch", "a layer at each step", "a convolution", "attention"],
)
def test_products_of_matrices_do_not(build: str, train: dict[str, Any]) -> None:
    one = learner(MIXED, {"build": f"kinds_of_models:{build}"}, xla=True, max_updates_per_call=32, **train)
    assert not runs_in_one_kernel(one)


def test_a_resume_goes_on_as_it_was_or_says_that_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(**train: Any) -> KerasLearner:
        model = {"build": "kinds_of_models:dense"}
        return learner(MIXED, model, xla=True, max_updates_per_call=32, **train)

    state = made().state()
    assert state.facts["mode"] == "one kernel"
    larger = made(batch_size=2)
    larger.restore(state)
    assert larger.state().facts["mode"] == "kernel by kernel"
    back = made()
    back.restore(larger.state())
    assert back.state().facts["mode"] == "one kernel"
    back.restore(State(state.arrays, {**state.facts, "mode": "kernel by kernel"}))
    assert back.state().facts["mode"] == "kernel by kernel"
    assert not runs_in_one_kernel(back)
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_extra_options=xla_cpu_disable_loop_unrolling=true")
    apart = made()
    assert apart.state().facts["mode"] == "kernel by kernel"
    apart.restore(state)
    with pytest.raises(StateMismatchError, match="with XLA, one kernel, but the model now compiles to kernel by"):
        apart.compile()
