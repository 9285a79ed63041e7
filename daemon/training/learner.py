"""The learner: runs calls on the network, phase by phase, and gives and takes its whole state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from learnd.daemon.errors import StateMismatchError
from learnd.daemon.training.guard import reasons_of
from learnd.daemon.training.network import Network, refused, values_of
from learnd.daemon.training.objects import create_learning_rate
from learnd.daemon.training.phases import parameters
from learnd.daemon.training.rate import LearningRate
from learnd.daemon.training.runtime import configure, keras, memory_error, tf
from learnd.daemon.training.settings import GuardSettings, ModelSettings, PhaseSettings, SamplesEnd, TrainSettings
from learnd.daemon.training.step.compiling import CompiledSteps, Mode, Step, call_size
from learnd.daemon.values import Arrays, Call, Facts, PhaseBegun, Report, SampleSpec, State

log = structlog.get_logger()

_CALL_BYTES = 8 << 20  # of the inputs of one call: images come in shorter calls than rows of ten numbers


@dataclass(frozen=True, slots=True)
class _Before:
    """What the learner was before an update: phase, mode, rate, and what was written since, the latest last."""

    phase: int
    mode: Mode
    rate: Facts
    values: list[tuple[Any, Any]]


class KerasLearner:
    """A `contracts.Learner`: updates a Keras model with calls, and predicts with it."""

    @memory_error()
    def __init__(
        self,
        model: ModelSettings,
        train: TrainSettings,
        spec: SampleSpec,
        guard: GuardSettings | None = None,
        phases: Sequence[PhaseSettings] = (),
    ) -> None:
        """Build; to compile comes later. Raises ModelError, or SettingsError for a name that Keras does not know."""
        configure(train.threads, train.seed, loops_as_kernels=train.updates_by_one)
        self._train = train
        self._spec = spec
        self.max_updates = _longest_call(train, spec)
        self._network = Network(model, train, spec, guard or GuardSettings(), phases)
        self._phases = self._network.phases
        self._phase = 0
        own_rate = self._network.own_rate
        self._base_rates = [create_learning_rate(number, phase, own_rate) for number, phase in enumerate(phases)]
        self._base_rates = self._base_rates or [own_rate]
        self._rate = LearningRate(self._base_rates[0])
        self._earlier_traces = 0
        self._before: _Before | None = None
        self._compiled: CompiledSteps | None = None  # for this phase
        self._mode: Mode = "one kernel"  # the best that is tried
        self._mode_before: Mode | None = None  # that of the state which was restored, until it is compiled
        self._phases.begin(0)
        self._set_learning_rate()

    @memory_error()
    def compile(self) -> None:
        """Compile the updates of this phase now, so that no record waits for it; the next update would.

        Raises ModelError, or StateMismatchError if a state was restored that was trained in another mode: each mode
        rounds differently.
        """
        if self._compiled is not None:
            return
        times = self._phases.times(self._phase)
        compiled = CompiledSteps(self._network.parts, self._train, self.max_updates, times, at_best=self._mode)
        if self._mode_before not in (None, compiled.mode):
            raise StateMismatchError(
                f"the checkpoint was trained with XLA, {self._mode_before}, and the model compiles to {compiled.mode} "
                "now, which rounds differently. Nothing was changed. Leave train.xla and XLA_FLAGS as they were, mend "
                "what keeps XLA from compiling, or give a new --state."
            )
        self._mode_before = None
        self._mode = compiled.mode  # for good: a resume, which knows the last one alone, goes on in the same
        self._compiled = compiled
        self._set_learning_rate()  # to compile has written it

    @property
    def _steps(self) -> CompiledSteps:
        self.compile()
        assert self._compiled is not None, "it has just been compiled"
        return self._compiled

    # Training and prediction.

    @memory_error()
    def update(self, call: Call) -> Report:
        """Run the updates of a call, if it has any, each after the prediction of its samples.

        If a phase ends within the call, the next one begins there.
        """
        self._before = _Before(self._phase, self._steps.mode, self._rate.facts(), [])
        if not call.updates:
            return self._nothing(call.rows)
        phases = self._begin_due_phases(call.first)  # the settings may have come to end this one earlier
        reports, done = [], 0
        while done < call.updates:  # a journaled call may be longer than calls are now
            end = min(done + self.max_updates, done + self._updates_left(call.rows), call.updates)
            if call.partial:
                reports.append(self._run(self._steps.partial, call, done, end, size=1))
            else:
                reports.append(self._run(self._steps.full, call, done, end, call_size(end - done, self.max_updates)))
            done = end
            phases += self._begin_due_phases(call.first + done * call.rows)
        return replace(Report.joined(reports), phases=tuple(phases))

    def _run(self, step: Step, call: Call, start: int, end: int, size: int) -> Report:
        updates = end - start
        results = step(call.batches[start:end].padded(size), self._rate.of(updates, call.rows, size), updates)
        self._rate.samples += updates * call.rows
        assert self._before is not None, "an update notes what it starts from"
        self._before.values.extend(results.before)
        outputs = {name: output[:updates] for name, output in results.outputs.items()}
        figures = results.figures[:updates]
        return Report(outputs, figures[:, 0], figures[:, 1], reasons_of(figures[:, 2]))

    def _nothing(self, rows: int) -> Report:
        outputs = {target.name: np.zeros((0, rows, target.task.outputs), np.float32) for target in self._spec.targets}
        none = np.zeros(0, np.float32)
        return Report(outputs, none, none, np.zeros(0, np.uint8))

    def undo(self) -> None:
        """Take the last `update` back, once: be as before it."""
        before = self._before
        assert before is not None, "an update comes first"
        self._return_to(before.phase, before.mode)
        for variable, value in reversed(before.values):
            variable.assign(value)
        self._rate.restore(before.rate)

    @memory_error()
    def predict(self, inputs: Arrays) -> Arrays:
        """Return the outputs (m, C) of the current weights for each target, of inputs (m, ...), in inference mode."""
        return self._network.predict(inputs)

    @property
    def model(self) -> Any:
        """The Keras model."""
        return self._network.model

    @property
    def traces(self) -> int:
        """For how many lengths calls were compiled; more than a handful a phase is a bug."""
        return self._earlier_traces + (self._compiled.traces if self._compiled else 0)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update."""
        return float(np.asarray(self._network.optimizer.learning_rate))

    @property
    def trainable_parameters(self) -> int:
        """How many numbers of the model train in this phase."""
        return parameters(self.model.trainable_variables)

    @property
    def info(self) -> dict[str, str]:
        """Return what the model is, in words."""
        return {
            "model": self.model.name,
            "optimizer": self._network.optimizer.name,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        }

    def metric_results(self) -> dict[str, float]:
        """Return the Keras metrics of the settings, over every prediction so far."""
        return {metric.name: float(metric.result()) for metric in self._network.parts.metrics}

    def export(self, path: Path) -> None:
        """Write the model as a `.keras` file for inference."""
        self.model.save(path)

    # What actions may do to it, between two calls.

    def boost(self, factor: float, over: int) -> None:
        """Multiply the learning rate by `factor`, which falls back to 1 linearly over so many samples.

        One boost replaces another.
        """
        self._rate.boost(factor, over)
        self._set_learning_rate()

    def slow_down(self, factor: float) -> None:
        """Multiply the learning rate by `factor` for good."""
        self._rate.slow_down(factor)
        self._set_learning_rate()

    def reset_moments(self) -> None:
        """Forget what the optimizer has gathered of earlier gradients."""
        self._network.reset_moments()
        self._set_learning_rate()

    def refit_standardization(self) -> None:
        """Let the running statistics of the inputs learn anew, quickly."""
        self._network.refit_standardization()

    # Phases.

    @property
    def phase(self) -> int:
        """The number of the phase, from 0; always 0 without phases in the settings."""
        return self._phase

    @property
    def phase_ends_on(self) -> str | None:
        """What ends the phase: `samples`, `plateau`, `drift` or `command`; None if it is the last one."""
        until = self._phases.settings(self._phase).until
        return "samples" if isinstance(until, SamplesEnd) else until

    @memory_error()
    def next_phase(self, cause: str, samples: int) -> PhaseBegun | None:
        """Begin the next phase behind so many samples of the stream. None, and nothing happens, if there is none."""
        if self._phase + 1 == len(self._phases):
            return None
        return self._go_on(cause, samples)

    def _updates_left(self, rows: int) -> int:
        """Return after how many updates of so many samples the phase ends."""
        until = self._phases.settings(self._phase).until
        if not isinstance(until, SamplesEnd):
            return 1 << 62
        return -(-(self._rate.phase_start + until.samples - self._rate.samples) // rows)

    def _begin_due_phases(self, samples: int) -> list[PhaseBegun]:
        begun = []
        while self._updates_left(1) <= 0:
            begun.append(self._go_on("samples", samples))
        return begun

    def _go_on(self, cause: str, samples: int) -> PhaseBegun:
        self._enter(self._phase + 1)
        self._rate.begin_phase(self._base_rates[self._phase], self._phases.settings(self._phase).warm_up)
        self.compile()  # each phase that it goes through: the mode of one holds for those behind it
        self._reset_guard()
        data = {
            "number": self._phase,
            "cause": cause,
            "trainable_parameters": self.trainable_parameters,
            "layers": self._phases.trained_layers(),
        }
        return PhaseBegun(samples, self.phase_ends_on, data)

    def _reset_guard(self) -> None:
        """Let the guard learn anew what is usual; `undo` takes that back, too."""
        guard = self._network.parts.guard
        if guard is None:
            return
        if self._before is not None:
            self._before.values.extend((variable, np.array(variable.value.numpy())) for variable in guard.variables)
        guard.reset()

    def _return_to(self, phase: int, mode: Mode | None) -> None:
        """Be in a phase as the learner was before, and in its mode if there is one."""
        if self._compiled is None or (phase, mode) != (self._phase, self._compiled.mode):
            self._enter(phase, mode)
            self._rate.use(self._base_rates[phase])

    def _enter(self, phase: int, mode_before: Mode | None = None) -> None:
        """Set what trains in a phase; what is compiled is of another one."""
        self._phase = phase
        self._phases.begin(phase)
        self._earlier_traces = self.traces
        self._compiled = None
        self._mode = mode_before or self._mode
        self._mode_before = mode_before

    def _set_learning_rate(self) -> None:
        self._network.optimizer.learning_rate.assign(self._rate.of(0, 1, call_size(1, self.max_updates))[0])

    # State.

    def state(self) -> State:
        """Return a copy of every variable by its name, and what else the next updates depend on."""
        facts = {
            **self._network.facts(),
            "rate": self._rate.facts(),
            "phase": self._phase,
            "mode": self._steps.mode,
            "by_one": self._train.updates_by_one,
        }
        return State(values_of(self._network.variables()), facts)

    def restore(self, state: State) -> None:
        """Take over every variable, the phase and the factors of the learning rate.

        Rates that the settings changed since then hold from here on, and a guard begins or ends here. Raises
        StateMismatchError, and changes nothing, if a name, shape or dtype differs, or there is no such phase.
        """
        facts = state.facts
        if facts["phase"] >= len(self._phases):
            raise StateMismatchError(
                f"phases: the model is in phase {facts['phase']}, counted from 0, and the settings end with phase "
                f"{len(self._phases) - 1}. Nothing was changed. Give back the phases that it went through, or give a "
                "new --state directory."
            )
        if problems := self._network.mismatches(state.arrays, facts):
            raise refused(problems)
        self._return_to(facts["phase"], self._mode_after(facts))
        self._network.assign(state.arrays)
        self._restore_rate(facts["rate"])

    def _mode_after(self, facts: Facts) -> Mode | None:
        """Return the mode to go on in: that of before, but for a batch size that allows another one."""
        mode: Mode = facts["mode"]
        same = mode == "graph mode" or facts["by_one"] == self._train.updates_by_one
        return mode if same else None

    def _restore_rate(self, facts: Facts) -> None:
        self._rate.restore(facts)
        self._rate.use(self._base_rates[self._phase])
        before = self.learning_rate
        self._set_learning_rate()
        if self.learning_rate != before:
            log.info("learning_rate_changed", before=before, now=self.learning_rate)


def _longest_call(train: TrainSettings, spec: SampleSpec) -> int:
    return max(1, min(train.max_updates_per_call, _CALL_BYTES // (spec.bytes_a_sample * train.batch_size)))
