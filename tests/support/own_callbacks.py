"""Callbacks as users of Keras have them."""

from typing import Any

import keras
import numpy as np


class Counting(keras.callbacks.Callback):  # type: ignore[misc]  # keras is untyped
    """Keeps what it was called with, and lowers the rate each third epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.worst = float("-inf")
        self.sums = {"loss": np.zeros(2)}

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        self.seen.append("begun")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen.append((epoch, logs["val_loss"], self.model.count_params()))
        self.worst = max(self.worst, logs["val_loss"])
        self.sums["loss"] = self.sums["loss"] + [1, logs["loss"]]
        if epoch % 3 == 2:
            self.model.optimizer.learning_rate = self.model.optimizer.learning_rate * 0.7


class EachBatch(keras.callbacks.Callback):  # type: ignore[misc]
    """Acts where nothing can."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Do nothing."""


class WithFile(keras.callbacks.Callback):  # type: ignore[misc]
    """Has something that no checkpoint can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.file = object()


class Scoring(keras.callbacks.Callback):  # type: ignore[misc]
    """Adds to the logs for the next one, and keeps their order."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []
        self.best: dict[int, float] = {}

    def on_train_begin(self, logs: Any) -> None:
        assert logs == {}
        self.best = {100: 0.0}

    def on_epoch_begin(self, epoch: int, logs: Any) -> None:
        assert (epoch in self.best, logs) == (False, {})

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        self.order = [*logs, *map(str, self.best), *self.__dict__]
        self.best[epoch] = logs["twice_loss"] = 2 * logs["val_loss"]
        setattr(self, f"z{9 - epoch}", epoch)


class Gathering(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps something, at first or later."""

    def __init__(self, kept: Any = None, later: Any = None) -> None:
        super().__init__()
        self.kept, self._later = kept, later

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        if self._later is not None:
            self.kept = self._later()


class Rating(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets a rate."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.model.optimizer.learning_rate = self.rate


class Failing(keras.callbacks.Callback):  # type: ignore[misc]
    """Raises at the end of an epoch."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        raise KeyError(f"{epoch} {sorted(logs)}")


class Setting(keras.callbacks.Callback):  # type: ignore[misc]
    """Changes what it may not."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.model.optimizer.beta_1 = 0.5


def fitting() -> list[Any]:
    return [
        Scoring(),
        keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1),
        Counting(),
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=3, restore_best_weights=True),
    ]


def scheduled() -> list[Any]:
    return [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate if epoch < 2 else rate * 0.5)]


def saving() -> list[Any]:
    return [keras.callbacks.ModelCheckpoint("model.keras")]


def each_batch() -> list[Any]:
    return [EachBatch()]


def with_file() -> list[Any]:
    return [WithFile()]


def failing() -> list[Any]:
    return [Failing()]


def setting() -> list[Any]:
    return [Setting()]


def not_one() -> list[Any]:
    return [3]


def scoring() -> list[Any]:
    return [Scoring(), keras.callbacks.EarlyStopping("twice_loss", mode="min", patience=2)]


def waiting(patience: int = 2) -> list[Any]:
    return [keras.callbacks.EarlyStopping("val_loss", patience=patience), Gathering(np.zeros(2))]


def waiting_longer() -> list[Any]:
    return waiting(patience=3)


def monitoring_nothing() -> list[Any]:
    return [keras.callbacks.ReduceLROnPlateau("val_auc", mode="max")]


def by_schedule() -> list[Any]:
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    return [keras.callbacks.LearningRateScheduler(lambda epoch, _: float(schedule(epoch))), Gathering(schedule)]


def with_metric() -> list[Any]:
    return [Gathering(keras.metrics.Mean())]


def with_shared() -> list[Any]:
    weights = [np.zeros(3)]
    return [Gathering(weights), Gathering(weights)]


def gathering_objects() -> list[Any]:
    return [Gathering(later=object)]


def to_infinity() -> list[Any]:
    return [Rating(float("inf"))]


def below_nothing() -> list[Any]:
    return [Rating(-0.1)]


def with_argument(spec: Any) -> list[Any]:
    return [spec]
