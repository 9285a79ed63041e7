"""The learner: a model, its optimizer, and the compiled calls that update them."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from daemon.errors import ModelError, StateMismatchError
from daemon.training.by_batch import TrainOnBatch
from daemon.training.models import create_model
from daemon.training.objects import create_loss, create_metrics, create_optimizer, take_global_clip_norm
from daemon.training.runtime import configure, keras, memory_error, tf
from daemon.training.settings import ModelSettings, TrainSettings
from daemon.training.step import Updates, link
from daemon.values import Arrays, Call, Facts, Float32, Report, SampleSpec

log = structlog.get_logger()

_CALL_BYTES = 8 << 20  # of the features of one call: images come in shorter calls than rows of ten numbers
_SMALL_CALL = 32
_COLOUR = re.compile(r"\x1b\[\d+m")
_RAISED = re.compile(r"\w*(Error|Exception): ")


class Step(Protocol):
    """A compiled call. Its results are those of `Updates`."""

    traces: int

    def __call__(self, x: Any, y: Any, weight: Any, updates: int) -> tuple[Float32, Float32]: ...


class Learner:
    """Updates a model with calls, predicts with it, and gives and takes its whole state."""

    @memory_error()
    def __init__(self, model: ModelSettings, train: TrainSettings, spec: SampleSpec) -> None:
        """Build and compile. Raises ModelError, or SettingsError for a name that Keras does not know."""
        configure(train.threads, train.seed)
        self._rows = train.batch_size
        self._spec = spec
        self.model = create_model(model, spec)
        self._optimizer = create_optimizer(train, self.model)
        self._optimizer.build(self.model.trainable_variables)
        self._metrics = create_metrics(train, spec.task.kind)
        self._learning_rate = _initial_learning_rate(self._optimizer)
        self.max_updates = _longest_call(train, spec)
        self._loss = create_loss(train, self.model, spec.task.kind, reduction=_reduction(train))
        self._as_probabilities = link(self._loss)
        self._infer = tf.function(self._inference, reduce_retracing=True)
        self._widths = (spec.width,), (spec.task.label_columns,), ()  # of x, y and the weight of a sample
        self._xla = False
        self._steps = self._compile(train)
        self._nothing = _empty_report(train.batch_size, spec.task.outputs)

    # Training and prediction.

    @memory_error()
    def update(self, call: Call) -> Report:
        """Run the updates of a call, if it has any, each after the prediction of its samples."""
        if not call.updates:
            return self._nothing
        if call.partial:
            return _report(*self._partial_step()(call.x, call.y, call.weight, 1), 1)
        starts = range(0, call.updates, self.max_updates)  # a journaled call may be longer than calls are now
        return _joined([self._run(call, start, min(start + self.max_updates, call.updates)) for start in starts])

    def _run(self, call: Call, start: int, end: int) -> Report:
        size = self._size(end - start)
        x, y, weight = (_padded(array[start:end], size) for array in (call.x, call.y, call.weight))
        return _report(*self._steps["full"](x, y, weight, end - start), end - start)

    @memory_error()
    def predict(self, x: NDArray[Any]) -> Float32:
        """Return the outputs (m, C) of the current weights for features (m, ...), in inference mode."""
        outputs: Float32 = self._infer(x).numpy()
        return outputs

    @property
    def traces(self) -> int:
        """How often a call was traced; more than a handful over a life is a bug."""
        return sum(step.traces for step in self._steps.values())

    @property
    def learning_rate(self) -> float:
        return float(np.asarray(self._optimizer.learning_rate))

    @property
    def trainable_parameters(self) -> int:
        return sum(int(np.prod(variable.shape)) for variable in self.model.trainable_variables)

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
        return {metric.name: float(metric.result()) for metric in self._metrics}

    def export(self, path: Path) -> None:
        """Write the model as a `.keras` file for inference."""
        self.model.save(path)

    # State.

    def state(self) -> tuple[Arrays, Facts]:
        """Return a copy of every variable by its name, and what describes the optimizer."""
        arrays = {name: np.array(variable.value.numpy()) for name, variable in self._variables().items()}
        return arrays, {"learning_rate": self._learning_rate, "xla": self._xla, "columns": self._columns()}

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """Take over every variable. A learning rate that the settings changed since then holds from here on.

        Raises StateMismatchError, and changes nothing, where a name, shape or dtype differs.
        """
        variables = self._variables()
        problems = _mismatches(variables, arrays)
        if facts["columns"] != self._columns():
            problems.append("samples.features: other features, or the same in another order")
        if problems:
            raise StateMismatchError(
                "the checkpoint is of another model or optimizer than the settings describe:\n  "
                + "\n  ".join(problems)
                + "\nNothing was changed. Go back to the settings that made it, or give a new --state directory."
            )
        self._go_on_in(facts["xla"])
        for name, variable in variables.items():
            variable.assign(arrays[name])
        if self._learning_rate is not None and facts["learning_rate"] != self._learning_rate:
            log.info("learning_rate_changed", before=facts["learning_rate"], now=self._learning_rate)
            self._optimizer.learning_rate = self._learning_rate

    def _columns(self) -> list[list[Any]]:
        return [[column.name, int(column.kind), column.size] for column in self._spec.columns]

    def _go_on_in(self, xla: bool) -> None:
        """Compile as the model was compiled before: XLA and graph mode round differently.

        Raises StateMismatchError where XLA was used before and does not compile the model now.
        """
        if xla and not self._xla:
            raise StateMismatchError(
                "the checkpoint was trained with XLA, and the model runs in graph mode now, which rounds differently. "
                "Nothing was changed. Leave train.xla out, mend what keeps XLA from compiling, or give a new --state."
            )
        if self._xla and not xla:
            self._steps["full"] = self._in_graph_mode()
            self._xla = False

    def _variables(self) -> dict[str, Any]:
        """Return each variable by a name that is unique, and the same in every process."""
        parts = {
            "model": self.model.variables,
            "optimizer": self._optimizer.variables,
            "metric": [variable for metric in self._metrics for variable in metric.variables],
        }
        return {
            f"{part}/{index:04d}/{variable.path}": variable
            for part, variables in parts.items()
            for index, variable in enumerate(variables)
        }

    # Compiling.

    def _compile(self, train: TrainSettings) -> dict[str, Step]:
        """Compile the call of full batches, with XLA where the model compiles."""
        if train.step == "train_on_batch":
            step = TrainOnBatch(self.model, self._optimizer, self._loss, self._metrics, self._infer)
            return {"full": step, "partial": step}
        self._updates = partial(
            Updates,
            self.model,
            self._loss,
            self._optimizer,
            self._metrics,
            outputs=self._spec.task.outputs,
            clip_norm=take_global_clip_norm(self._optimizer),
        )
        if train.xla is False:
            return {"full": self._in_graph_mode()}
        try:
            full = self._warmed_up(self._updates(xla=True))
        except tf.errors.ResourceExhaustedError:
            raise
        except (tf.errors.OpError, ValueError, TypeError, NotImplementedError) as error:
            if train.xla:
                raise ModelError(
                    f"train.xla: the model does not compile with XLA: {_reason(error)}\n"
                    "  Nothing was trained. Leave train.xla out to run it in graph mode."
                ) from error
            full = self._in_graph_mode()
            log.warning(
                "graph_mode", reason=_reason(error), consequence="slower updates; the last bits differ from XLA's"
            )
        else:
            self._xla = True
        return {"full": full}

    def _in_graph_mode(self) -> Step:
        try:
            return self._warmed_up(self._updates(xla=False))
        except (tf.errors.OpError, ValueError, TypeError, NotImplementedError) as error:
            raise ModelError(
                f"model: an update of it does not compile: {_reason(error)}\n"
                "  Nothing was trained. Mend the model, or the loss if it is one of yours."
            ) from error

    def _warmed_up(self, step: Updates) -> Step:
        """Compile now, by calls of no updates, which change no variable: not while records wait for it."""
        for size in sorted({self._size(1), self._size(self.max_updates)}):
            x, y, weight = (np.zeros((size, self._rows, *last), np.float32) for last in self._widths)
            step(x, y, weight, 0)
        self._check_captured(step.captured(x, y, weight))
        return step

    def _check_captured(self, handles: list[Any]) -> None:
        """Raise ModelError where an update depends on a variable that no checkpoint would hold."""
        kept = {id(variable.value.handle) for variable in self._variables().values()}
        if stray := [handle for handle in handles if id(handle) not in kept]:
            raise ModelError(
                f"model: its updates use {len(stray)} variables that are not the model's, so that no checkpoint would "
                "hold them and a resumed model would differ. Nothing was trained. Make them weights of a layer; for "
                "random numbers give the layer a keras.random.SeedGenerator of its own and pass it as seed."
            )

    def _size(self, updates: int) -> int:
        """Return the length of the compiled call that runs so many updates.

        Never 1: XLA drops the loop then, and rounds otherwise in what is left.
        """
        return max(2, min(_SMALL_CALL, self.max_updates) if updates <= _SMALL_CALL else self.max_updates)

    def _partial_step(self) -> Step:
        """A batch of another size than B runs in graph mode, which takes any: no padding to tell from samples."""
        if "partial" not in self._steps:
            shapes = [(1, None, *last) for last in self._widths]
            signature = [*[tf.TensorSpec(shape, tf.float32) for shape in shapes], tf.TensorSpec((), tf.int32)]
            self._steps["partial"] = self._updates(xla=False, signature=signature)
        return self._steps["partial"]

    def _inference(self, x: Any) -> Any:
        return self._as_probabilities(tf.cast(self.model(x, training=False), tf.float32))


def _report(outputs: Float32, figures: Float32, updates: int) -> Report:
    figures = figures[:updates]
    return Report(outputs[:updates], figures[:, 0], figures[:, 1], figures[:, 2] == 0)


def _joined(reports: list[Report]) -> Report:
    if len(reports) == 1:
        return reports[0]
    return Report(*(np.concatenate([getattr(report, field.name) for report in reports]) for field in fields(Report)))


def _reduction(train: TrainSettings) -> str | None:
    """One loss a sample for the fused step, which weighs them itself; Keras' own mean for its `train_step`."""
    return None if train.step == "fused" else "sum_over_batch_size"


def _empty_report(rows: int, outputs: int) -> Report:
    none = np.zeros(0, np.float32)
    return Report(np.zeros((0, rows, outputs), np.float32), none, none, np.zeros(0, np.bool_))


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


def _initial_learning_rate(optimizer: Any) -> float | None:
    """Return the learning rate that the settings give; None for a schedule, which counts iterations."""
    given = optimizer.get_config()["learning_rate"]
    return None if isinstance(given, dict) else float(given)


def _mismatches(variables: dict[str, Any], arrays: Arrays, most: int = 6) -> list[str]:
    problems = [f"only in the checkpoint: {name}" for name in arrays if name not in variables]
    problems += [f"only in the model: {name}" for name in variables if name not in arrays]
    for name in variables.keys() & arrays.keys():
        have, want = arrays[name], variables[name]
        if have.shape != tuple(want.shape) or have.dtype.name != want.dtype:
            problems.append(f"{name}: {have.shape} {have.dtype} in the checkpoint, {tuple(want.shape)} {want.dtype}")
    return sorted(problems)[:most]


def _reason(error: Exception, most: int = 3) -> str:
    """Return what went wrong: in TensorFlow's message, what is behind the frames of the function that it traced."""
    lines = [_COLOUR.sub("", line).strip() for line in str(error).splitlines()]
    told = [line for line in lines if line]
    raised = [index for index, line in enumerate(told) if _RAISED.match(line)]
    return " ".join(told[raised[-1] :][:most] if raised else told[:1])
