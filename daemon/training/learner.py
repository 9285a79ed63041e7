"""The learner: a model, its optimizer, and the compiled calls that update them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from learnd.daemon.errors import StateMismatchError
from learnd.daemon.training.guard import Guard, reasons_of
from learnd.daemon.training.layers import RunningStandardization
from learnd.daemon.training.models import create_model
from learnd.daemon.training.objects import (
    create_learning_rate,
    create_loss,
    create_metrics,
    create_optimizer,
    take_global_clip_norm,
    take_learning_rate,
)
from learnd.daemon.training.phases import Phases, parameters
from learnd.daemon.training.rate import LearningRate
from learnd.daemon.training.runtime import configure, keras, memory_error, tf
from learnd.daemon.training.settings import GuardSettings, ModelSettings, PhaseSettings, SamplesEnd, TrainSettings
from learnd.daemon.training.step.compiling import Calls, Mode, Step, call_size
from learnd.daemon.training.step.fused import link
from learnd.daemon.training.step.parts import Parts
from learnd.daemon.values import Arrays, Call, Event, Facts, Float32, Report, SampleSpec

log = structlog.get_logger()

_GUARD = "guard/"  # before the names of its variables
_CALL_BYTES = 8 << 20  # of the features of one call: images come in shorter calls than rows of ten numbers


@dataclass(frozen=True, slots=True)
class _Before:
    """What the learner was before an update: phase, mode, rate, and what was written since, the latest last."""

    phase: int
    mode: Mode
    rate: Facts
    values: list[tuple[Any, Any]]


class Learner:
    """Updates a model with calls, predicts with it, and gives and takes its whole state."""

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
        self.model = create_model(model, spec)
        self._phases = Phases(phases, self.model)
        self._phase = 0
        self._optimizer, own_rate = take_learning_rate(create_optimizer(train, self.model))
        self._optimizer.build(self._phases.ever_trained)
        self._base_rates = [create_learning_rate(number, phase, own_rate) for number, phase in enumerate(phases)]
        self._base_rates = self._base_rates or [own_rate]
        self._rate = LearningRate(self._base_rates[0])
        self._parts = self._gather(guard or GuardSettings())
        self._earlier_traces = 0
        self._events: list[Event] = []
        self._before: _Before | None = None
        self._compiled: Calls | None = None  # for this phase
        self._mode: Mode = "one kernel"  # the best that is tried
        self._mode_before: Mode | None = None  # that of the state which was restored, until it is compiled
        self._phases.begin(0)
        self._set_learning_rate()
        self._nothing = _empty_report(train.batch_size, spec.task.outputs)

    def _gather(self, guard: GuardSettings) -> Parts:
        task = self._spec.task
        loss = create_loss(self._train, self.model, task.kind, reduction=_reduction(self._train))
        self._as_probabilities = link(loss)
        return Parts(
            model=self.model,
            optimizer=self._optimizer,
            loss=loss,
            metrics=create_metrics(self._train, task),
            guard=Guard(guard) if guard.sigma is not None else None,
            clip_norm=take_global_clip_norm(self._optimizer),
            outputs=task.outputs,
            widths=((self._spec.width,), (task.label_columns,), ()),
            infer=tf.function(self._inference, reduce_retracing=True, autograph=False),
            kept=self._variables,
        )

    @memory_error()
    def compile(self) -> None:
        """Compile the updates of this phase now, so that no record waits for it; the next update would.

        Raises ModelError, or StateMismatchError where a state was restored, and each mode rounds differently.
        """
        if self._compiled is not None:
            return
        times = self._phases.times(self._phase)
        calls = Calls(self._parts, self._train, self.max_updates, times, at_best=self._mode)
        if self._mode_before not in (None, calls.mode):
            raise StateMismatchError(
                f"the checkpoint was trained with XLA, {self._mode_before}, and the model compiles to {calls.mode} "
                "now, which rounds differently. Nothing was changed. Leave train.xla and XLA_FLAGS as they were, mend "
                "what keeps XLA from compiling, or give a new --state."
            )
        self._mode_before = None
        self._mode = calls.mode  # for good: a resume, which knows the last one alone, goes on in the same
        self._compiled = calls
        self._set_learning_rate()  # to compile has written it

    @property
    def _calls(self) -> Calls:
        self.compile()
        assert self._compiled is not None, "it has just been compiled"
        return self._compiled

    # Training and prediction.

    @memory_error()
    def update(self, call: Call) -> Report:
        """Run the updates of a call, if it has any, each after the prediction of its samples.

        Where a phase ends within the call, the next one begins there.
        """
        if not call.updates:
            return self._nothing
        self._before = _Before(self._phase, self._calls.mode, self._rate.facts(), [])
        self._begin_due_phases()  # the settings may have come to end this one earlier
        reports, done = [], 0
        while done < call.updates:  # a journaled call may be longer than calls are now
            end = min(done + self.max_updates, done + self._updates_left(call.x.shape[1]), call.updates)
            if call.partial:
                reports.append(self._run(self._calls.partial, call, done, end, size=1))
            else:
                reports.append(self._run(self._calls.full, call, done, end, call_size(end - done, self.max_updates)))
            done = end
            self._begin_due_phases()
        return Report.joined(reports)

    def _run(self, step: Step, call: Call, start: int, end: int, size: int) -> Report:
        updates, rows = end - start, call.x.shape[1]
        x, y, weight = (_padded(array[start:end], size) for array in (call.x, call.y, call.weight))
        results = step(x, y, weight, self._rate.of(updates, rows, size), updates)
        self._rate.samples += updates * rows
        assert self._before is not None, "an update notes what it starts from"
        self._before.values.extend(results.before)
        return _report(results.outputs, results.figures, updates)

    def undo(self) -> None:
        """Take the last `update` back, once: be as before it."""
        before = self._before
        assert before is not None, "an update comes first"
        self._return_to(before.phase, before.mode)
        for variable, value in reversed(before.values):
            variable.assign(value)
        self._rate.restore(before.rate)
        self._events.clear()

    @memory_error()
    def predict(self, x: NDArray[Any]) -> Float32:
        """Return the outputs (m, C) of the current weights for features (m, ...), in inference mode."""
        outputs: Float32 = self._parts.infer(x).numpy()
        return outputs

    @property
    def traces(self) -> int:
        """For how many lengths calls were compiled; more than a handful a phase is a bug."""
        return self._earlier_traces + (self._compiled.traces if self._compiled else 0)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update."""
        return float(np.asarray(self._optimizer.learning_rate))

    @property
    def trainable_parameters(self) -> int:
        """How many numbers of the model train in this phase."""
        return parameters(self.model.trainable_variables)

    @property
    def info(self) -> dict[str, str]:
        """Return what the model is, in words."""
        return {
            "model": self.model.name,
            "optimizer": self._optimizer.name,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        }

    def metric_results(self) -> dict[str, float]:
        """Return the Keras metrics of the settings, over every prediction so far."""
        return {metric.name: float(metric.result()) for metric in self._parts.metrics}

    def export(self, path: Path) -> None:
        """Write the model as a `.keras` file for inference."""
        self.model.save(path)

    # What reactions may do to it, between two calls.

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
        """Start the optimizer anew. Its count of iterations too: what corrects the bias of young moments needs it."""
        fresh = type(self._optimizer).from_config(self._optimizer.get_config())
        fresh.build(self._phases.ever_trained)
        for variable, initial in zip(self._optimizer.variables, fresh.variables, strict=True):
            variable.assign(initial.value)
        self._set_learning_rate()

    def refit_standardization(self) -> None:
        """Let each RunningStandardization forget, within its next 2,000 samples, what it has learned before."""
        for layer in self.model._flatten_layers(include_self=False):  # noqa: SLF001  (Keras has no other way)
            if isinstance(layer, RunningStandardization):
                layer.start_refit()

    # Phases.

    @property
    def phase(self) -> int:
        """The number of the phase, from 0; always 0 without phases in the settings."""
        return self._phase

    @property
    def phase_ends_on(self) -> str | None:
        """What ends the phase: `samples`, `plateau`, `drift` or `command`; None where it is the last one."""
        until = self._phases.settings(self._phase).until
        return "samples" if isinstance(until, SamplesEnd) else until

    @memory_error()
    def next_phase(self, cause: str) -> bool:
        """Begin the next phase, whatever the end of this one. False, and nothing happens, where there is none."""
        if self._phase + 1 == len(self._phases):
            return False
        self._go_on(cause)
        return True

    def take_events(self) -> list[Event]:
        """Return the phases that began since this was last asked."""
        events, self._events = self._events, []
        return events

    def _updates_left(self, rows: int) -> int:
        """Return after how many updates of so many samples the phase ends."""
        until = self._phases.settings(self._phase).until
        if not isinstance(until, SamplesEnd):
            return 1 << 62
        return -(-(self._rate.phase_start + until.samples - self._rate.samples) // rows)

    def _begin_due_phases(self) -> None:
        while self._updates_left(1) <= 0:
            self._go_on("samples")

    def _go_on(self, cause: str) -> None:
        self._enter(self._phase + 1)
        self._rate.begin_phase(self._base_rates[self._phase], self._phases.settings(self._phase).warm_up)
        self.compile()  # each phase that it goes through: the mode of one holds for those behind it
        if self._parts.guard is not None:
            self._parts.guard.reset()
        data = {
            "number": self._phase,
            "cause": cause,
            "trainable_parameters": self.trainable_parameters,
            "layers": self._phases.trained_layers(),
        }
        self._events.append(Event("phase", self._rate.samples, data))

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
        self._optimizer.learning_rate.assign(self._rate.of(0, 1, call_size(1, self.max_updates))[0])

    # State.

    def state(self) -> tuple[Arrays, Facts]:
        """Return a copy of every variable by its name, and what else the next updates depend on."""
        arrays = {name: np.array(variable.value.numpy()) for name, variable in self._variables().items()}
        facts = {
            "rate": self._rate.facts(),
            "phase": self._phase,
            "mode": self._calls.mode,
            "by_one": self._train.updates_by_one,
            "columns": self._columns(),
            "label": list(self._spec.task.names),
        }
        return arrays, facts

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """Take over every variable, the phase and the factors of the learning rate.

        Rates that the settings changed since then hold from here on, and a guard begins or ends here. Raises
        StateMismatchError, and changes nothing, where a name, shape or dtype differs, or there is no such phase.
        """
        variables = self._variables()
        if self._guard_is_new_or_gone(arrays):
            variables, arrays = _without_guard(variables), _without_guard(arrays)
        problems = _mismatches(variables, arrays)
        if facts["columns"] != self._columns():
            problems.append("samples.features: other features or values of them, or the same in another order")
        if facts["label"] != list(self._spec.task.names):
            problems.append("samples.label: other classes or values, or the same in another order")
        if facts["phase"] >= len(self._phases):
            raise StateMismatchError(
                f"phases: the model is in phase {facts['phase']}, counted from 0, and the settings end with phase "
                f"{len(self._phases) - 1}. Nothing was changed. Give back the phases that it went through, or give a "
                "new --state directory."
            )
        if problems:
            raise StateMismatchError(
                "the checkpoint is of another model or optimizer than the settings describe:\n  "
                + "\n  ".join(problems)
                + "\nNothing was changed. Go back to the settings that made it, or give a new --state directory."
            )
        self._return_to(facts["phase"], self._mode_after(facts))
        for name, variable in variables.items():
            variable.assign(arrays[name])
        self._restore_rate(facts["rate"])
        self._events.clear()

    def _mode_after(self, facts: Facts) -> Mode | None:
        """Return the mode to go on in: that of before, but for a batch size that allows another one."""
        mode: Mode = facts["mode"]
        same = mode == "graph mode" or facts["by_one"] == self._train.updates_by_one
        return mode if same else None

    def _guard_is_new_or_gone(self, arrays: Arrays) -> bool:
        """Whether the settings have switched the guard on or off since then; one that is new begins anew."""
        if (self._parts.guard is not None) == any(name.startswith(_GUARD) for name in arrays):
            return False
        if self._parts.guard is not None:
            self._parts.guard.reset()
        return True

    def _restore_rate(self, facts: Facts) -> None:
        self._rate.restore(facts)
        self._rate.use(self._base_rates[self._phase])
        before = self.learning_rate
        self._set_learning_rate()
        if self.learning_rate != before:
            log.info("learning_rate_changed", before=before, now=self.learning_rate)

    def _columns(self) -> list[list[Any]]:
        return [
            [column.name, int(column.kind), column.size, _fingerprint(column.values)] for column in self._spec.columns
        ]

    def _variables(self) -> dict[str, Any]:
        """Return each variable by a name that is unique, and the same in every process."""
        guard = self._parts.guard
        parts = {
            "model": self.model.variables,
            "optimizer": self._optimizer.variables,
            "metric": [variable for metric in self._parts.metrics for variable in metric.variables],
            "guard": [] if guard is None else guard.variables,
        }
        return {
            f"{part}/{index:04d}/{variable.path}": variable
            for part, variables in parts.items()
            for index, variable in enumerate(variables)
        }

    def _inference(self, x: Any) -> Any:
        return self._as_probabilities(tf.cast(self.model(x, training=False), tf.float32))


def _report(outputs: Float32, figures: Float32, updates: int) -> Report:
    figures = figures[:updates]
    return Report(outputs[:updates], figures[:, 0], figures[:, 1], reasons_of(figures[:, 2]))


def _reduction(train: TrainSettings) -> str | None:
    """One loss a sample for the fused step, which weighs them itself; Keras' own mean for its `train_step`."""
    return None if train.step == "fused" else "sum_over_batch_size"


def _empty_report(rows: int, outputs: int) -> Report:
    none = np.zeros(0, np.float32)
    return Report(np.zeros((0, rows, outputs), np.float32), none, none, np.zeros(0, np.uint8))


def _padded(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the array with `size` rows; those behind the given ones are never looked at."""
    if len(array) == size:
        return array
    padded = np.zeros((size, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded


def _longest_call(train: TrainSettings, spec: SampleSpec) -> int:
    bytes_an_update = 4 * spec.width * train.batch_size
    return max(1, min(train.max_updates_per_call, _CALL_BYTES // bytes_an_update))


def _fingerprint(values: Sequence[str]) -> str | None:
    """Return what tells listed values in their order from others, short where there are many; None without any."""
    return hashlib.sha256(json.dumps(list(values)).encode()).hexdigest() if values else None


def _without_guard(named: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if not name.startswith(_GUARD)}


def _mismatches(variables: dict[str, Any], arrays: Arrays, most: int = 6) -> list[str]:
    problems = [f"only in the checkpoint: {name}" for name in arrays if name not in variables]
    problems += [f"only in the model: {name}" for name in variables if name not in arrays]
    for name in variables.keys() & arrays.keys():
        have, want = arrays[name], variables[name]
        if have.shape != tuple(want.shape) or have.dtype.name != want.dtype:
            problems.append(f"{name}: {have.shape} {have.dtype} in the checkpoint, {tuple(want.shape)} {want.dtype}")
    return sorted(problems)[:most]
