"""The learner: runs calls on the network, phase by phase, and saves and restores its whole state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from learnd.daemon.errors import StateMismatchError
from learnd.daemon.training.class_weights import ClassWeights
from learnd.daemon.training.guard import reasons_of
from learnd.daemon.training.network import Network, refused, values_of
from learnd.daemon.training.objects import create_learning_rate
from learnd.daemon.training.phases import parameters
from learnd.daemon.training.rate import LearningRate
from learnd.daemon.training.runtime import configure, memory_error, value_of
from learnd.daemon.training.settings import GuardSettings, ModelSettings, PhaseSettings, SamplesEnd, TrainSettings
from learnd.daemon.training.step.compiling import CompiledSteps, Mode, Step, best_mode, call_size, longest_call
from learnd.daemon.training.trial import clearly_lower
from learnd.daemon.values import Arrays, Call, Facts, Float64, PhaseBegun, Report, Samples, SampleSpec, State

log = structlog.get_logger()

_TRIAL_SAMPLES, _TRIAL_UPDATES = 500, 8  # of a refit on trial: so many samples, and at least so many updates
_TRIAL_PASSES = 4  # over these samples: as long as a refit lasts


@dataclass(frozen=True, slots=True)
class _Before:
    """The learner before an `update`: phase, mode, rate, and the old values of variables written since, in order."""

    phase: int
    mode: Mode
    rate: Facts
    class_counts: NDArray[np.int64]
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
        *,
        models: int = 1,
        rate_fixable: bool = False,
    ) -> None:
        """Build the network without compiling it; `models` are updated at once in the process. `rate_fixable`: whether
        somebody may call `fix_learning_rate`.

        Raises ModelError, or SettingsError for a name unknown to Keras.
        """
        configure(train.threads, train.seed, loops_as_kernels=train.updates_by_one, models=models)
        self._train, self._spec = train, spec
        self.max_updates = longest_call(train, spec)
        self._network = Network(model, train, spec, guard or GuardSettings(), phases)
        self._class_weights = ClassWeights(train.class_weight, spec.task)
        self._phases, self._phase = self._network.phases, 0
        own_rate = self._network.optimizing.own_rate
        rates = [create_learning_rate(number, phase, own_rate) for number, phase in enumerate(phases)]
        self._base_rates = rates or [own_rate]
        self._rate = LearningRate(self._base_rates[0], self._network.updates_before, fixable=rate_fixable)
        self._earlier_traces = 0
        self._before: _Before | None = None
        self._changes: Sequence[str] = ()
        self._compiled: CompiledSteps | None = None  # for this phase
        self._mode: Mode = best_mode(self._network.parts, train)  # to try
        self._mode_before: Mode | None = None  # the mode of the restored state, until this phase is compiled
        self._phases.begin(0)
        self._set_learning_rate()

    @memory_error()
    def compile(self) -> None:
        """Compile the updates of this phase now, so that no record has to wait for it.

        Raises ModelError, or StateMismatchError if the restored state was trained in another mode: each mode rounds
        differently.
        """
        if self._compiled is not None:
            return
        log.info("compiling", model=self.model.name, phase=self._phase)
        times = self._phases.times(self._phase)
        compiled = CompiledSteps(self._network.parts, self._train, self.max_updates, times, at_best=self._mode)
        if self._mode_before not in (None, compiled.mode):
            raise StateMismatchError(
                f"the checkpoint was trained with XLA, {self._mode_before}, but the model now compiles to "
                f"{compiled.mode}, which rounds differently. Nothing was changed. Restore train.xla and XLA_FLAGS, fix "
                "what keeps XLA from compiling, or give a new --state."
            )
        self._mode_before = None
        self._mode = compiled.mode  # later phases start from it, as they do after a resume, which knows only this mode
        self._compiled = compiled
        self._set_learning_rate()  # compiling has overwritten it

    @property
    def _steps(self) -> CompiledSteps:
        self.compile()
        assert self._compiled is not None, "it has just been compiled"
        return self._compiled

    # Training and prediction.

    @memory_error()
    def update(self, call: Call) -> Report:
        """Run the updates of a call, if it has any. The samples of each update are predicted before it.

        If a phase ends within the call, the next one begins there.
        """
        self._before = _Before(self._phase, self._steps.mode, self._rate.facts(), self._class_weights.counts, [])
        if not call.updates:
            return self._nothing(call.rows)
        phases = self._begin_due_phases(call.first)  # changed settings may end this phase earlier
        reports, done = [], 0
        while done < call.updates:  # a journaled call may be longer than the settings allow now
            end = min(done + self.max_updates, done + self._updates_left(call.rows), call.updates)
            size = 1 if call.partial else call_size(end - done, self.max_updates)
            reports.append(self._run(self._steps.partial if call.partial else self._steps.full, call, done, end, size))
            done = end
            phases += self._begin_due_phases(call.first + done * call.rows)
        return replace(Report.joined(reports), phases=tuple(phases))

    def _run(self, step: Step, call: Call, start: int, end: int, size: int) -> Report:
        updates = end - start
        batches = call.batches[start:end]
        factors = self._class_weights.factors(batches, size)
        results = step(batches.padded(size), self._rate.of(updates, call.rows, size), updates, factors)
        self._rate.advance(updates, call.rows)
        assert self._before is not None, "an update notes what it starts from"
        self._before.values.extend(results.before)
        outputs = {name: output[:updates] for name, output in results.outputs.items()}
        figures = results.figures[:updates]
        return Report(outputs, figures[:, 0], figures[:, 1], reasons_of(figures[:, 2]))

    def _nothing(self, rows: int) -> Report:
        shapes = {target.name: target.task.output_shape for target in self._spec.targets}
        outputs = {name: np.zeros((0, rows, *shape), np.float32) for name, shape in shapes.items()}
        return Report(outputs, np.zeros(0, np.float32), np.zeros(0, np.float32), np.zeros(0, np.uint8))

    def undo(self) -> None:
        """Undo the last `update`. Only once."""
        before = self._before
        assert before is not None, "an update comes first"
        self._return_to(before.phase, before.mode)
        for variable, value in reversed(before.values):
            variable.assign(value)
        self._rate.restore(before.rate)
        self._class_weights.counts = before.class_counts

    @memory_error()
    def predict(self, inputs: Arrays) -> Arrays:
        """Return the outputs (m, C) for each target, given inputs (m, ...), in inference mode."""
        return self._network.predict(inputs)

    @property
    def served_otherwise(self) -> tuple[str, str] | None:
        """How `predict` differs from what `update` predicts, and the way out; None if it does not."""
        return self._network.served_otherwise

    @property
    def model(self) -> Any:
        return self._network.model

    @property
    def traces(self) -> int:
        """The number of call lengths compiled so far; more than a handful per phase is a bug."""
        return self._earlier_traces + (self._compiled.traces if self._compiled else 0)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update."""
        return float(np.asarray(self._network.optimizing.rate))

    @property
    def trainable_parameters(self) -> int:
        """The number of parameters that train in this phase."""
        return parameters(self.model.trainable_variables)

    @property
    def info(self) -> dict[str, str]:
        """The names of model and optimizer, and the versions of Keras and TensorFlow."""
        return self._network.info()

    def metric_results(self) -> dict[str, float]:
        """Return the Keras metrics of the settings, over every prediction so far."""
        return {metric.name: float(metric.result()) for metric in self._network.parts.metrics}

    def shares(self) -> dict[str, float]:
        """Return the share that each member of a mixture has in its predictions, by name; empty if it is none."""
        return self._network.shares()

    def memory(self) -> Facts:
        """Return what a memory of the stream holds, and how many samples it gave; empty without one."""
        return self._network.memory()

    def export(self, path: Path) -> list[str]:
        """Write the model as a `.keras` file, and return each layer that needs more than Keras. Raises OSError."""
        return self._network.export(path)

    # For actions, between two calls.

    def boost(self, factor: float, over: int) -> None:
        """Multiply the learning rate by `factor`, which returns to 1 over `over` samples. A new one replaces it."""
        self._rate.boost(factor, over)
        self._set_learning_rate()

    def slow_down(self, factor: float) -> None:
        """Multiply the learning rate by `factor` for good."""
        self._rate.slow_down(factor)
        self._set_learning_rate()

    @property
    def base_learning_rate(self) -> float:
        """The learning rate of the next update before the factors of warm-up, rules and rollbacks."""
        return self._rate.base(call_size(1, self.max_updates))

    def fix_learning_rate(self, rate: float) -> None:
        """Set the base of the learning rate, until a phase begins or the settings say another."""
        self._rate.fix(rate)
        self._set_learning_rate()

    def reset_moments(self) -> None:
        """Reset the optimizer's moments."""
        self._network.optimizing.reset()
        self._set_learning_rate()

    def refit_standardization(self) -> None:
        """Let the running statistics of the inputs adapt quickly to new samples."""
        self._network.refit_standardization()

    @property
    def trial_samples(self) -> int:
        """How many samples `refit_helps` needs: whole updates, enough for new statistics and for a comparison."""
        return self._train.batch_size * max(_TRIAL_UPDATES, _TRIAL_SAMPLES // self._train.batch_size)

    def refit_helps(self, recent: Samples) -> bool:
        """Whether a refit would clearly have helped with the `trial_samples` latest samples. Changes nothing.

        False as well if a trial would take too long: with a model's own step, or shortly before a phase ends. They
        are trained again on trial, for as long as a refit lasts, without one and with one, and both times taken back.
        What counts are the losses of the second half, each before its update: by then, the statistics of the refit are
        those of these samples.
        """
        rows = self._train.batch_size
        updates = _TRIAL_PASSES * len(recent) // rows
        if self._network.parts.by_own_step or self._updates_left(rows) <= updates:
            return False  # the model's own step would take minutes; the end of a phase would compile the next one
        batches = Samples.joined([recent] * _TRIAL_PASSES).in_batches(updates, rows)
        call = Call((), batches, recent[:0], partial=False, records=0)
        plain = self._tried(call)
        with self._network.refitting():
            refitted = self._tried(call)
        return clearly_lower(refitted[len(refitted) // 2 :], plain[len(plain) // 2 :])

    def _tried(self, call: Call) -> Float64:
        """Return the loss of each update of a call (K,), and undo them."""
        losses = self.update(call).loss.astype(np.float64)
        self.undo()
        return losses

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
        """Begin the next phase after `samples` samples of the stream. Return None if there is none."""
        return None if self._phase + 1 == len(self._phases) else self._go_on(cause, samples)

    def _updates_left(self, rows: int) -> int:
        """Return after how many updates of `rows` samples the phase ends."""
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
        self.compile()  # even a phase that ends at once: its mode limits that of later phases
        self._reset_guard()
        return self.phase_from(cause, samples)

    def phase_from(self, cause: str, samples: int) -> PhaseBegun:
        """Return the phase as one that begins after `samples` samples of the stream."""
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
            self._before.values.extend((variable, value_of(variable)) for variable in guard.variables)
        guard.reset()

    def _return_to(self, phase: int, mode: Mode | None) -> None:
        """Go back to a phase, and to the given mode if there is one."""
        if self._compiled is None or (phase, mode) != (self._phase, self._compiled.mode):
            self._enter(phase, mode)

    def _enter(self, phase: int, mode_before: Mode | None = None) -> None:
        """Set what trains in a phase, and drop the compiled updates of the phase before."""
        self._phase = phase
        self._phases.begin(phase)
        self._rate.use(self._base_rates[phase])
        self._earlier_traces = self.traces
        self._compiled = None
        self._mode = mode_before or self._mode
        self._mode_before = mode_before

    def _set_learning_rate(self) -> None:
        self._network.optimizing.rate.assign(self._rate.of(0, 1, call_size(1, self.max_updates))[0])

    # State.

    @property
    def changes(self) -> Sequence[str]:
        """What of the model, beside its variables, is not as it was when the restored state was made."""
        return self._changes

    def state(self) -> State:
        """Return a copy of every variable by its name, and the other facts that the next updates depend on."""
        facts = {
            **self._network.facts(),
            "rate": self._rate.facts(),
            "class_counts": self._class_weights.counts.tolist(),
            "phase": self._phase,
            "mode": self._steps.mode,
            "by_one": self._train.updates_by_one,
        }
        return State(values_of(self._network.variables()), facts)

    def restore(self, state: State) -> None:
        """Take over every variable, the phase and the factors of the learning rate.

        If the settings have changed the learning rates since then, the new ones hold; if they have switched the guard
        on or off, it starts or stops here; if layers are configured otherwise, that is logged. Raises
        StateMismatchError, and changes nothing, if a name, shape or dtype differs, or if there is no such phase.
        """
        facts = state.facts
        if facts["phase"] >= len(self._phases):
            raise StateMismatchError(
                f"phases: the model is in phase {facts['phase']}, counted from 0, but the settings end with phase "
                f"{len(self._phases) - 1}. Nothing was changed. Restore the phases it has gone through, or give a "
                "new --state directory."
            )
        if problems := self._network.mismatches(state.arrays, facts):
            raise refused(problems)
        self._return_to(facts["phase"], self._mode_after(facts))
        self._network.assign(state.arrays)
        self._restore_rate(facts["rate"])
        self._class_weights.restore(facts["class_counts"])
        self._changes = self._network.changes(facts)
        if self._changes:
            log.warning("model_changed", changes=self._changes, consequence="it goes on as it is built now")

    def _mode_after(self, facts: Facts) -> Mode | None:
        """Return the mode of the checkpoint; None if a changed batch size allows another one."""
        mode: Mode = facts["mode"]
        same = mode == "graph mode" or facts["by_one"] == self._train.updates_by_one
        return mode if same else None

    def _restore_rate(self, facts: Facts) -> None:
        self._rate.restore(facts)
        before = self.learning_rate
        self._set_learning_rate()
        if self.learning_rate != before:
            log.info("learning_rate_changed", before=before, now=self.learning_rate)
