"""A learner that follows a script in its features, for tests of what trains one. Needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learnd.daemon.contracts import Change
from learnd.daemon.values import (
    Arrays,
    Call,
    Event,
    Facts,
    Float32,
    PhaseBegun,
    Report,
    Samples,
    SampleSpec,
    Skip,
    State,
)

_MODULUS = 1 << 61


class ScriptedLearner:
    """A `contracts.Contested`. Two columns of its features are the script, if they are there: `prediction` is what it
    predicts, 0.5 otherwise, and `skip` is the `Skip` of an update, the largest of its samples.

    `seen` is the first column of each sample that trained it, in order. `done` is what was done to it, and behind how
    many samples. Its `weight` tells both, to the last sample.
    """

    trainable_parameters = 1
    learning_rate = 0.5
    changes: Sequence[str] = ()

    def __init__(self, spec: SampleSpec, ends: Sequence[int | str] = ()) -> None:
        """`ends` are those of its phases, but for the last one: `plateau`, `drift` or `command`, or behind the update
        that reaches so many samples.
        """
        self.info = {"model": "scripted"}
        self.weight = 0
        self.samples = 0
        self.seen: list[float] = []
        self.done: list[list[object]] = []
        self.phase = 0
        self._spec = spec
        self._columns = {column.name: index for index, column in enumerate(spec.columns)}
        self._ends = ends
        self._before = self.state()

    def compile(self) -> None:
        """Nothing is compiled."""

    def update(self, call: Call) -> Report:
        self._before = self.state()
        phases = self._begin_due_phases(call.first)
        skipped = self._column(call.batches, "skip", 0).max(axis=1, initial=0).astype(np.uint8)
        for index, skip in enumerate(skipped.tolist()):
            if skip == Skip.NONE:
                self._learn(call.batches[index])
            self.samples += call.rows
            phases += self._begin_due_phases(call.first + (index + 1) * call.rows)
        loss = np.where(skipped == Skip.NON_FINITE, np.nan, 1).astype(np.float32)
        return Report(self._predicted(call.batches), loss, loss, skipped, tuple(phases))

    def predict(self, inputs: Arrays) -> Arrays:
        return self._predicted(Samples(inputs, {}, np.ones(len(next(iter(inputs.values()))), np.float32)))

    def metric_results(self) -> dict[str, float]:
        return {}

    def shares(self) -> dict[str, float]:
        return {}

    def memory(self) -> Facts:
        return {}

    def undo(self) -> None:
        self.restore(self._before)

    def boost(self, factor: float, over: int) -> None:
        self._do("boost", factor, over)

    def slow_down(self, factor: float) -> None:
        self._do("slow_down", factor)

    def reset_moments(self) -> None:
        self._do("reset_moments")

    def refit_standardization(self) -> None:
        self._do("refit_standardization")

    def try_out(self, name: str, change: Change, samples: int) -> str | None:  # noqa: ARG002
        self._do(f"try {name}", samples)
        return None

    def go_back(self, state: State, samples: int) -> Sequence[Event]:  # noqa: ARG002
        self.restore(state)
        return ()

    trial_samples = 1

    def refit_helps(self, recent: Samples) -> bool:  # noqa: ARG002
        return True

    @property
    def phase_ends_on(self) -> str | None:
        if self.phase == len(self._ends):
            return None
        end = self._ends[self.phase]
        return end if isinstance(end, str) else "samples"

    def next_phase(self, cause: str, samples: int) -> PhaseBegun | None:
        if self.phase == len(self._ends):
            return None
        self._do("next_phase")
        return self._begin(cause, samples)

    def state(self) -> State:
        arrays = {"weight": np.array([self.weight, self.samples]), "seen": np.array(self.seen, np.float32)}
        return State(arrays, {"done": [list(entry) for entry in self.done], "phase": self.phase})

    def restore(self, state: State) -> None:
        self.weight, self.samples = state.arrays["weight"].tolist()
        self.seen = state.arrays["seen"].tolist()
        self.done = [list(entry) for entry in state.facts["done"]]
        self.phase = state.facts["phase"]

    def _learn(self, batch: Samples) -> None:
        values = self._features(batch)[:, 0]
        self.weight = (self.weight * 31 + 1 + int(values.sum())) % _MODULUS
        self.seen += values.tolist()

    def _do(self, name: str, *arguments: float) -> None:
        self.done.append([name, self.samples, *arguments])
        self.weight = self.weight * 37 % _MODULUS

    def _begin_due_phases(self, samples: int) -> list[PhaseBegun]:
        begun = []
        while isinstance(end := dict(enumerate(self._ends)).get(self.phase), int) and end <= self.samples:
            begun.append(self._begin("samples", samples))
        return begun

    def _begin(self, cause: str, samples: int) -> PhaseBegun:
        self.phase += 1
        return self.phase_from(cause, samples)

    def phase_from(self, cause: str, samples: int) -> PhaseBegun:
        data: Facts = {"number": self.phase, "cause": cause, "trainable_parameters": 1, "layers": []}
        return PhaseBegun(samples, self.phase_ends_on, data)

    def _predicted(self, samples: Samples) -> Arrays:
        predicted = self._column(samples, "prediction", 0.5)
        shapes = {target.name: target.task.output_shape for target in self._spec.targets}
        return {
            name: np.tile(predicted.reshape(*predicted.shape, *[1] * len(shape)), shape)
            for name, shape in shapes.items()
        }

    def _column(self, samples: Samples, name: str, otherwise: float) -> Float32:
        index = self._columns.get(name)
        if index is None:
            return np.full(samples.weight.shape, otherwise, np.float32)
        return self._features(samples)[..., index]

    def _features(self, samples: Samples) -> Float32:
        return samples.inputs[self._spec.inputs[0].name]
