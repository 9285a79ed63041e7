"""The network: a model with its optimizer, losses, metrics and guard, and all their variables by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from learnd.daemon.errors import ModelError, SettingsError, StateMismatchError
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.training.architecture import architecture_of, differences
from learnd.daemon.training.averaging import RunningAverages, averaged
from learnd.daemon.training.carried import carried_states, takes_one_row
from learnd.daemon.training.compiled import updates_of
from learnd.daemon.training.doubts import tell_doubts
from learnd.daemon.training.guard import Guard
from learnd.daemon.training.hedge import Hedge
from learnd.daemon.training.layers import RunningStandardization
from learnd.daemon.training.losses import TargetLoss, create_loss, measures_differences
from learnd.daemon.training.memory.memory import Memory
from learnd.daemon.training.metrics import create_metrics
from learnd.daemon.training.mixing import Mixing, mixture_of
from learnd.daemon.training.models import create_model
from learnd.daemon.training.optimizers import create_optimizer
from learnd.daemon.training.phases import Phases, walk
from learnd.daemon.training.plain import copied, problem_with_copy, write_mixed, write_plain
from learnd.daemon.training.runtime import keras, tf, value_of
from learnd.daemon.training.settings import (
    GuardSettings,
    ModelSettings,
    PhaseSettings,
    TrainSettings,
    problems_of_training,
)
from learnd.daemon.training.step.head_start import HeadStart
from learnd.daemon.training.step.own_step import make_ready, takes_own_step
from learnd.daemon.training.step.parts import Parts
from learnd.daemon.training.step.replay import Replay
from learnd.daemon.values import Arrays, Facts, InputSpec, SampleSpec

_GUARD = "guard/"  # before the names of its variables


class Network:
    """Everything that updates read and write. Checks a state that is to be restored, variable by variable."""

    def __init__(
        self,
        model: ModelSettings,
        train: TrainSettings,
        spec: SampleSpec,
        guard: GuardSettings,
        phases: Sequence[PhaseSettings],
    ) -> None:
        """Raises ModelError, or SettingsError for a name unknown to Keras."""
        self._spec = spec
        kind = KINDS[spec.task.kind]
        self.model = create_model(model, spec, scales_label=measures_differences(train, kind))
        _check_rows(self.model, train)
        by_own_step = takes_own_step(train, self.model)
        self._of_step: list[Any] = []  # what the model's own step uses beside the variables of the parts
        self._architecture = architecture_of(self.model)  # before phases freeze layers of it
        self.phases = Phases(phases, self.model)
        self.optimizing = create_optimizer(train, self.model, self.phases.ever_trained, clips=not by_own_step)
        self.updates_before = updates_of(self.optimizing.optimizer)  # those that the model came with
        losses = {target.name: create_loss(train, self.model, target, spec) for target in spec.targets}
        mixture = mixture_of(self.model)
        self._check_training(train, mixes=mixture is not None, by_own_step=by_own_step)
        averages, replay = self._averages(train), self._replay(train, losses)
        self.parts = Parts(
            model=self.model,
            optimizing=self.optimizing,
            losses=losses,
            metrics=create_metrics(train, self.model, spec),
            guard=Guard(guard) if guard.sigma is not None else None,
            spec=spec,
            infer=tf.function(self._served, reduce_retracing=True, autograph=False),
            ensemble=None
            if mixture is None
            else Mixing(self.model, spec.targets[0], losses[spec.targets[0].name], mixture),
            averages=averages,
            hedge=self._hedge(train, losses),
            replay=replay,
            head_start=None if mixture is None else self._head_start(train),
            weighs_classes=train.class_weight is not None,
            by_own_step=by_own_step,
            kept=self.variables,
        )
        self._check_optimizer(phases)
        if by_own_step:
            self.phases.begin(0)  # what does not train is not traced
            self._of_step = make_ready(self.parts, train)
            self._check_phases(phases)
        tell_doubts(self.parts, train, self.phases.ever_trained)

    def _check_training(self, train: TrainSettings, *, mixes: bool, by_own_step: bool) -> None:
        """Raise ModelError if the model cannot be trained so."""
        problems = list(problems_of_training(train, mixes=mixes, by_own_step=by_own_step))
        if mixes and self.optimizing.averages:
            problems.append(
                "train.optimizer: use_ema: a mixture has averages of its own, and predicts with them where they are "
                "better; leave it out, or take preset: mlp"
            )
        if problems:
            raise ModelError(f"{'; '.join(problems)}. Nothing was trained.")

    def _averages(self, train: TrainSettings) -> RunningAverages | None:
        """Return the averages of the weights that the settings ask for, beside which there are no others."""
        if train.average is None:
            return None
        if self.optimizing.averages:
            problem = "the optimizer keeps averages too (use_ema), and only one of the two can predict; leave one out"
            raise SettingsError([f"train.average: {problem}. Nothing was trained."])
        return RunningAverages.of(self.phases.ever_trained, train.average.decay)

    def _hedge(self, train: TrainSettings, losses: Mapping[str, TargetLoss]) -> Hedge | None:
        """Return what mixes predictions with the weights and with their averages, if the settings ask for it."""
        if train.average is None or not train.average.hedge:
            return None
        if (problem := problem_with_copy(self.model)) is not None:
            raise ModelError(
                "train.average.hedge: an export holds the model twice, with both weights, and it cannot be copied: "
                f"{problem}. Nothing was trained. Leave it out, or build the model of layers that Keras can copy: "
                "Sequential, or with keras.Model(inputs, outputs), each layer with a get_config."
            )
        return Hedge(losses, self._spec)

    def export(self, path: Path) -> list[str]:
        """Write what is served, in the format of the path's ending. Return each layer that needs more than Keras.

        Raises OSError, ModelError.
        """
        hedge, served = self.parts.hedge, self.parts.served
        if hedge is None:
            with averaged(served):
                return write_plain(self.model, path)
        copies = [copied(self.model)]
        with averaged(served):
            copies.append(copied(self.model))
        return write_mixed(dict(zip(hedge.members, copies, strict=True)), hedge.shares.numpy(), path)

    def _replay(self, train: TrainSettings, losses: Mapping[str, TargetLoss]) -> Replay | None:
        """Return what trains from a memory of the stream, if the settings ask for one."""
        if train.memory is None:
            return None
        memory = Memory(train.memory, self._spec, train.seed)
        return Replay(memory, train.memory.distill, losses, self._spec)

    def _head_start(self, train: TrainSettings) -> HeadStart | None:
        """Return what a mixture starts with. With a regression it would be worse: the noise is in the labels."""
        return HeadStart(self._spec, train.seed) if self._spec.task.kind in ("binary", "classes") else None

    def predict(self, inputs: Arrays) -> Arrays:
        """Return the outputs (m, ..., C) for each target, given inputs (m, ...), in inference mode.

        A model with a state predicts for each of the samples from the state that it is in.
        """
        if not takes_one_row(self.model):
            return {name: output.numpy() for name, output in self.parts.infer(inputs).items()}
        count = len(next(iter(inputs.values())))
        rows = [
            self.parts.infer({name: array[row : row + 1] for name, array in inputs.items()}) for row in range(count)
        ]
        return {name: np.concatenate([row[name].numpy() for row in rows]) for name in rows[0]}

    @property
    def served_otherwise(self) -> tuple[str, str] | None:
        """How predictions outside of the stream are made otherwise than in it, and what to set so that they are not;
        None if they are not.
        """
        if self.parts.averages is not None and self.parts.hedge is None:
            return "with averages of its weights", "set train.average.hedge: true, or leave train.average out"
        mixture = mixture_of(self.model)
        return None if mixture is None or not mixture.lagged else ("without the last labels", "set model.lags: false")

    def shares(self) -> dict[str, float]:
        """Return the share of each member of a mixture or of a hedge by name; empty if one predicts alone."""
        mixed = self.parts.hedge or mixture_of(self.model)
        return {} if mixed is None else dict(zip(mixed.members, map(float, mixed.shares.numpy()), strict=True))

    def memory(self) -> Facts:
        """Return how many samples of each class the memory holds, and how many it gave; empty without one."""
        return {} if self.parts.replay is None else self.parts.replay.memory.facts()

    def variables(self) -> dict[str, Any]:
        """Return all variables by names that are unique and the same in every process."""
        guard = self.parts.guard
        of_parts = {
            "model": self.model.variables,
            "carried": carried_states(self.model),
            "optimizer": self.optimizing.optimizer.variables,
            "metric": [variable for metric in self.parts.metrics for variable in metric.variables],
            "guard": [] if guard is None else guard.variables,
            "step": self._of_step,
            "average": [] if self.parts.averages is None else self.parts.averages.variables,
            "hedge": [] if self.parts.hedge is None else self.parts.hedge.variables,
            "memory": [variable for memory in self.parts.memories for variable in memory.variables],
        }
        return {
            f"{part}/{index:04d}/{variable.path}": variable
            for part, variables in of_parts.items()
            for index, variable in enumerate(variables)
        }

    def info(self) -> dict[str, str]:
        """Return the names of model and optimizer, and the versions of Keras and TensorFlow."""
        names = {"model": self.model.name, "optimizer": self.optimizing.optimizer.name}
        return {**names, "keras": keras.__version__, "tensorflow": tf.__version__}

    def facts(self) -> Facts:
        """Return what the columns and labels mean, and how the model is built: variables of the same shape may mean
        something else.
        """
        columns = [
            [column.name, int(column.kind), column.size, _fingerprint(column.values)] for column in self._spec.columns
        ]
        label = [name for target in self._spec.targets for name in target.task.names]
        parts: list[list[Any]] = [[part.name, *part.shape, *_words(part)] for part in self._spec.inputs]
        parts += [[target.name, *target.task.shape] for target in self._spec.targets]
        memory = {} if self.parts.replay is None else {"memory": self.parts.replay.memory.kind}
        return {"columns": columns, "label": label, "parts": parts, "architecture": self._architecture, **memory}

    def mismatches(self, arrays: Arrays, facts: Facts) -> list[str]:
        """Return why a state cannot be restored; empty if it can. A guard that is new or gone is no reason."""
        variables, arrays, now = self.variables(), dict(arrays), self.facts()
        if self._guard_is_new_or_gone(arrays):
            variables, arrays = _without_guard(variables), _without_guard(arrays)
        problems = _differences(variables, arrays)
        if facts["columns"] != now["columns"]:
            problems.append("samples.features: the features, their values or their order differ")
        if facts.get("parts", now["parts"]) != now["parts"]:
            problems.append("model: the inputs or outputs, their shapes, their vocabularies or their order differ")
        if facts["label"] != now["label"]:
            problems.append("samples.label: the classes, the values or their order differ")
        then, today = facts.get("memory"), now.get("memory")
        if None not in (then, today) and then != today:
            problems.append(f"train.memory.kind: {then} in the checkpoint, {today} in the settings")
        return problems

    def changes(self, facts: Facts) -> list[str]:
        """Return what of the model, beside its variables, is not as it was when a state was made."""
        return differences(facts["architecture"], self._architecture)

    def assign(self, arrays: Arrays) -> None:
        """Set the variables from a state without mismatches. If the guard is new, it starts fresh."""
        variables = self.variables()
        if self._guard_is_new_or_gone(arrays):
            variables = _without_guard(variables)
            if self.parts.guard is not None:
                self.parts.guard.reset()
        for name, variable in variables.items():
            variable.assign(arrays[name])

    def refit_standardization(self) -> None:
        """Let each RunningStandardization replace its statistics within its next 2,000 samples."""
        for layer in self._standardizations():
            layer.start_refit()

    def _standardizations(self) -> list[RunningStandardization]:
        return [layer for _, layer in walk(self.model) if isinstance(layer, RunningStandardization)]

    @contextmanager
    def refitting(self) -> Iterator[None]:
        """Refit within the block. What the block changes is for the caller to take back."""
        left = [(layer.refit, layer.refit.numpy()) for layer in self._standardizations()]
        self.refit_standardization()
        try:
            yield
        finally:
            for variable, samples in left:
                variable.assign(samples)

    def _check_optimizer(self, phases: Sequence[PhaseSettings]) -> None:
        if len(phases) > 1 and isinstance(self.optimizing.optimizer, keras.optimizers.MultiOptimizer):
            raise ModelError(
                "phases: a MultiOptimizer takes the gradients of all its variables at once, and phases leave some out. "
                "Nothing was trained. Leave phases out, or use one optimizer with groups of layers."
            )

    def _check_phases(self, phases: Sequence[PhaseSettings]) -> None:
        """Raise ModelError if there are phases and another optimizer, which was built for what trains at first."""
        if phases and self._of_step:
            raise ModelError(
                f"phases: the model's train_step has variables of its own ({self._of_step[0].path}, ...), as other "
                "optimizers do, and these cannot follow what trains. Nothing was trained. Leave phases out, or use the "
                "one optimizer of the model."
            )

    def _served(self, inputs: Any) -> Any:
        return self.parts.inference(inputs, served=True)

    def _guard_is_new_or_gone(self, arrays: Arrays) -> bool:
        """Whether the settings have switched the guard on or off since the state was saved."""
        return (self.parts.guard is not None) != any(name.startswith(_GUARD) for name in arrays)


def _check_rows(model: Any, train: TrainSettings) -> None:
    if train.batch_size > 1 and takes_one_row(model):
        raise ModelError(
            f"model: its input is of one sample at a time, and train.batch_size is {train.batch_size}. Nothing was "
            "trained. Set train.batch_size: 1, or leave the size of a batch out of the model's input."
        )


def refused(problems: Sequence[str]) -> StateMismatchError:
    """Return the error for a state with mismatches."""
    return StateMismatchError(
        "the checkpoint belongs to another model or optimizer than the settings describe:\n  "
        + "\n  ".join(problems)
        + "\nNothing was changed. Go back to the settings that made it, or give a new --state directory."
    )


def _fingerprint(values: Sequence[str]) -> str | None:
    """Return a hash of the values in their order; None if there are none."""
    return hashlib.sha256(json.dumps(list(values)).encode()).hexdigest() if values else None


def _words(part: InputSpec) -> list[Any]:
    """Return what the ids of a text stand for; nothing for another input."""
    return [part.vocabulary_size, _fingerprint(part.vocabulary)] if part.vocabulary_size else []


def _without_guard(named: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if not name.startswith(_GUARD)}


def _differences(variables: dict[str, Any], arrays: Arrays, most: int = 3) -> list[str]:
    """Return the first few variables of each kind of difference."""
    gone = [f"only in the checkpoint: {name}" for name in arrays if name not in variables]
    new = [f"only in the model: {name}" for name in variables if name not in arrays]
    other = [
        f"{name}: {have.shape} {have.dtype} in the checkpoint, {tuple(want.shape)} {want.dtype}"
        for name in variables.keys() & arrays.keys()
        if ((have := arrays[name]).shape, have.dtype.name) != (tuple((want := variables[name]).shape), want.dtype)
    ]
    return [problem for problems in (gone, new, other) for problem in sorted(problems)[:most]]


def values_of(variables: dict[str, Any]) -> Arrays:
    """Return copies of the variables' values."""
    return {name: value_of(variable) for name, variable in variables.items()}
