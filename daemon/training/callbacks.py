"""Keras callbacks of the user, called at the ends of epochs, between two calls.

What a callback knows is in its attributes, and these are part of the checkpointed state. What it may change is the
learning rate and the weights, which are in the learner's state, and whether training goes on. So a resume calls them
again for what was not saved, and the same comes out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from learnd.daemon.contracts import Contender
from learnd.daemon.errors import ModelError
from learnd.daemon.foundation.counters import FiniteMean
from learnd.daemon.training.attributes import Holding, NotHoldableError, given_back, is_code
from learnd.daemon.training.runtime import keras
from learnd.daemon.training.user_code import call_function, place_of
from learnd.daemon.values import Arrays, Call, Event, Facts, Report, State

log = structlog.get_logger()

_GIVEN = "_model"  # the attribute that is of no callback
_AS_MADE = {"as made": None}  # instead of code, which is as the callback is made
_INSTEAD = {
    "ModelCheckpoint": "checkpoints are saved anyway, and learnd checkpoints export --best writes the best model",
    "BackupAndRestore": "learnd does that anyway, to the last bit",
    "CSVLogger": "scores.jsonl in the state directory has a line for each score",
    "TensorBoard": "history.tensorboard writes for TensorBoard, and learnd report and the page draw scores, too",
    "TerminateOnNaN": "the guard skips updates that are not finite, and ends a run with too many of them",
    "SwapEMAWeights": "train.average keeps averages of the weights, which predict",
}


_TRIED_AGAIN = (
    "The epoch is in the journal, and its end is tried again by the next start. Correct the callback and start again; "
    "it can be left out only when the journal has been repeated."
)


class KerasCallbacks:
    """A `contracts.Callbacks` of the Keras callbacks that a function of the user returns."""

    def __init__(self, given: Path, learner: Contender, validation: str, every: int) -> None:
        """An epoch is `every` samples. Scores of the set `validation` are those that Keras calls `val_`.

        Raises ModelError, also for a callback that acts beside the ends of epochs, or cannot be in a checkpoint.
        """
        self._validation, self._every = validation, every
        returned = call_function("callbacks", given, "a list of Keras callbacks")
        self._module = given.name.partition(":")[0].removesuffix(".py")
        self._all = _checked(given.name, returned)
        self.names = [type(callback).__name__ for callback in self._all]
        self.stop = False
        self._learner, self._model = learner, _Model(learner)
        self._epoch: int | None = None  # under way; None before the first
        self._losses = FiniteMean()  # of its updates
        self._logs: dict[str, float] = {}  # the latest scores, by their Keras names
        for callback in self._all:
            callback.set_params({})
            callback.set_model(self._model)
        self._as_made = [dict(vars(callback)) for callback in self._all]
        self._made = self._attributes()

    @property
    def made(self) -> str:
        return self._made.digest()

    def begin(self) -> None:
        """Begin the first epoch, if that has not been done."""
        if self._epoch is None:
            self._epoch = 0
            self._call("on_train_begin", {})
            self._call("on_epoch_begin", 0, {})

    def look(self, report: Report) -> None:
        """Take in updates of the epoch."""
        self._losses.add(report.loss)

    def finish(self, call: Call, scores: Sequence[Event]) -> list[Event]:
        """Take in the scores of a call, and let the callbacks act if an epoch ends with it."""
        self.stop = False
        for event in scores:
            if event.kind == "score" and event.data["window"] == "all":
                self._logs.update(self._as_logs(event.data))
        return [Event("epoch", call.end, self._end_epoch())] if call.passes(self._every) else []

    def _end_epoch(self) -> Facts:
        """Let the callbacks act. Return what there is to tell."""
        assert self._epoch is not None, "it has begun"
        loss = self._losses.take()
        logs = dict(sorted({**self._logs, **({} if loss is None else {"loss": loss})}.items()))
        told: Facts = {"epoch": self._epoch, "logs": _finite(logs)}
        self._model.stop_training = False
        self._call("on_epoch_end", self._epoch, logs)
        self.stop = self._model.stop_training
        if self.stop:
            self._call("on_train_end", logs)
            self._epoch = None  # what goes on from here does so as another `fit`
        else:
            self._epoch += 1
            self._call("on_epoch_begin", self._epoch, {})
        self._attributes()  # what no checkpoint can hold is told here, and not first by the next checkpoint
        return {**told, "learning_rate": self._learner.learning_rate}

    def _as_logs(self, data: Mapping[str, Any]) -> dict[str, float]:
        """Return the scores of a set by the names that Keras has for them."""
        front = {self._validation: "val_", "prequential": ""}.get(data["set"], f"{data['set']}_")
        of = f"{data['target']}_" if "target" in data else ""
        metrics = dict(data["metrics"])
        if front and (loss := _loss_of(metrics)) is not None:
            metrics["loss"] = loss
        return {f"{front}{of}{name}": float(value) for name, value in metrics.items()}

    def _call(self, hook: str, *arguments: Any) -> None:
        """Call them one after the other with the same arguments: one may add to the logs for the next."""
        for name, callback in zip(self.names, self._all, strict=True):
            try:
                getattr(callback, hook)(*arguments)
            except Exception as error:
                raise ModelError(
                    f"callbacks: {name}.{hook} failed with {type(error).__name__}: {error}\n"
                    f"  {place_of(error, self._module)}{_TRIED_AGAIN}"
                ) from error
            if hook == "on_epoch_end":
                _check_monitored(callback, arguments[1])

    def state(self) -> State:
        facts = {"epoch": self._epoch, "logs": {name: repr(value) for name, value in self._logs.items()}}
        parts = {
            "now": self._attributes(),
            "made": self._made.clone(),
            "losses": self._losses.state(),
        }
        return State.joined(parts, facts)

    def _attributes(self) -> State:
        """Return the attributes of all, without code that they were made with. Raises ModelError."""
        holding = Holding()
        of_each = [_facts_of(*each, holding) for each in zip(self._all, self._as_made, strict=True)]
        return State(holding.arrays, {"names": self.names, "attributes": of_each})

    def restore(self, state: State) -> None:
        """Continue from a state; from the start if it is of callbacks that were made otherwise. Raises ModelError."""
        made, now = state.part("made"), state.part("now")
        if made != self._made:
            log.warning("callbacks_anew", before=made.facts["names"], now=self.names, consequence="they begin anew")
            return
        for callback, as_made, facts in zip(self._all, self._as_made, now.facts["attributes"], strict=True):
            _give_back(callback, as_made, facts, now.arrays)
        self._epoch = state.facts["epoch"]
        self._logs = {name: float(text) for name, text in state.facts["logs"].items()}
        self._losses.restore(state.part("losses"))


class _Optimizer:
    """The optimizer as callbacks see it."""

    def __init__(self, learner: Contender) -> None:
        vars(self)["_learner"] = learner

    @property
    def learning_rate(self) -> float:
        return float(self._learner.base_learning_rate)

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "learning_rate":
            raise AttributeError(f"a callback may set the learning_rate of the optimizer, and not its {name}")
        rate = float(np.float32(value))
        if not (math.isfinite(rate) and rate >= 0):
            raise ValueError(f"a learning rate is a finite number from 0 on, and not {value}")
        self._learner.fix_learning_rate(rate)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a callback may read and set the learning_rate of the optimizer; there is no {name}")


class _Model:
    """The model as callbacks see it."""

    def __init__(self, learner: Contender) -> None:
        vars(self).update(_learner=learner, stop_training=False, optimizer=_Optimizer(learner))

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "stop_training":
            raise AttributeError(f"a callback may set stop_training of the model, and not its {name}")
        vars(self)[name] = bool(value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._learner.model, name)


def _checked(given: str, returned: Any) -> list[Any]:
    callbacks = list(returned) if isinstance(returned, list | tuple) else [returned]
    for callback in callbacks:
        name = type(callback).__name__
        if not isinstance(callback, keras.callbacks.Callback):
            raise ModelError(f"callbacks: {given} returned {name}; it must return a list of Keras callbacks")
        if name in _INSTEAD and type(callback).__module__.startswith("keras."):
            raise ModelError(f"callbacks: {name} is not taken: {_INSTEAD[name]}. Nothing was trained. Leave it out.")
        if hooks := [hook for hook in _other_hooks() if _overrides(callback, hook)]:
            raise ModelError(
                f"callbacks: {name} acts on {', '.join(hooks)}, and thousands of updates run in one compiled call, "
                "where nothing can act. Nothing was trained. Act on_epoch_begin or on_epoch_end: an epoch ends with "
                "each score of the anchor file, or else of the holdout."
            )
    return callbacks


def _other_hooks() -> list[str]:
    taken = ("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end")
    return [name for name in dir(keras.callbacks.Callback) if name.startswith("on_") and name not in taken]


def _overrides(callback: Any, hook: str) -> bool:
    return hook in vars(callback) or getattr(type(callback), hook) is not getattr(keras.callbacks.Callback, hook)


def _facts_of(callback: Any, as_made: Mapping[str, Any], holding: Holding) -> list[Any]:
    """Return the names and facts of the attributes of a callback, in their order. Raises ModelError."""
    facts = []
    for name, value in vars(callback).items():
        stays = name == _GIVEN or (as_made.get(name) is value and _is_code(value))
        try:
            facts.append([name, _AS_MADE if stays else holding.fact(value)])
        except NotHoldableError as error:
            raise ModelError(
                f"callbacks: {type(callback).__name__}.{name} holds {error}, which a checkpoint cannot: a resume would "
                "go on otherwise. Keep numbers, texts, arrays, and lists, tuples and dictionaries of them, each of "
                "them in one place."
            ) from error
    return facts


def _is_code(value: Any) -> bool:
    """Whether a value is code alone, or a schedule of Keras, which is made once and for all."""
    return is_code(value) or (
        isinstance(value, keras.optimizers.schedules.LearningRateSchedule)
        and type(value).__module__.startswith("keras.")
    )


def _give_back(callback: Any, as_made: Mapping[str, Any], facts: Sequence[Any], arrays: Arrays) -> None:
    """Give a callback the attributes that it had, in the order that they had. Raises ModelError."""
    attributes = {}
    for name, fact in facts:
        try:
            attributes[name] = as_made[name] if fact == _AS_MADE else given_back(fact, arrays)
        except NotHoldableError as error:
            raise ModelError(
                f"callbacks: in the checkpoint, {type(callback).__name__}.{name} holds {error}. Nothing was changed. "
                "Give the function its name and place back, or start with a new --state."
            ) from error
    vars(callback).clear()
    vars(callback).update(attributes)


def _check_monitored(callback: Any, logs: Mapping[str, float]) -> None:
    """Raise ModelError if a callback waits for a score that does not come."""
    monitor = getattr(callback, "monitor", None)
    if isinstance(monitor, str) and monitor not in logs:
        raise ModelError(
            f"callbacks: {type(callback).__name__} monitors {monitor!r}, which is not in the logs of this epoch: there "
            f"are {', '.join(sorted(logs))}. {_TRIED_AGAIN}"
        )


def _loss_of(metrics: Mapping[str, float]) -> float | None:
    if "log_loss" in metrics:
        return metrics["log_loss"]
    return metrics["rmse"] ** 2 if "rmse" in metrics else None


def _finite(logs: Mapping[str, float]) -> Facts:
    return {name: value if math.isfinite(value) else None for name, value in logs.items()}
