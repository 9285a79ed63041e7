"""The loss of each target as Keras computes it: of the settings, of a compiled model, or the usual one of the task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from learnd.daemon.tasks.contract import TaskKind
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.training.compiled import loss_weight_of, of_target
from learnd.daemon.training.layers import RunningLabelScale
from learnd.daemon.training.objects import class_of, create
from learnd.daemon.training.phases import walk
from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.training.settings import TrainSettings
from learnd.daemon.values import SampleSpec, TargetSpec, Task

_OF_DIFFERENCES = ("MeanSquaredError", "MeanAbsoluteError", "Huber", "LogCosh")  # Keras' losses of output minus label
_OF_INDICES = ("sparse_categorical_crossentropy", "circle", "categorical_generalized_cross_entropy")
_AS_KERAS_WRAPS: Any = keras.losses.MeanSquaredError.__base__  # its name is not public
_AS_IT_IS: Callable[[Any], Any] = tf.identity
_LINKS: Mapping[str, Callable[[Any], Any]] = {"softmax": tf.nn.softmax, "sigmoid": tf.math.sigmoid}


@dataclass(frozen=True, slots=True)
class TargetLoss:
    """The loss of one target, in the sum of all losses."""

    keras: Any  # a keras.losses.Loss: as it was given, or around a function, as Keras wraps it
    weight: float
    labels: Callable[[Any], Any]  # from labels (B, ..., O) to what the loss takes, such as one-hot labels (B, ..., C)
    link: Callable[[Any], Any]  # from the model's outputs to probabilities: the identity, unless the loss takes logits

    @property
    def adds_up(self) -> bool:
        """Whether the loss of a batch is a sum over its samples, not a mean."""
        return self.keras.reduction in ("sum", "none", None)

    def value(self, labels: Any, outputs: Any, weight: Any) -> Any:
        """Return the weighed loss of a batch, given the weight (B,) of each sample.

        The weights get the rank of the outputs: Keras takes the last dimension away if the loss has none for it, and a
        loss of several values a sample is never multiplied crosswise.
        """
        of_samples = of_rank(weight, len(outputs.shape) - 1)
        value = tf.cast(self.keras(self.labels(labels), outputs, sample_weight=of_samples), tf.float32)
        value = tf.reduce_sum(value)  # without a reduction, Keras descends the sum
        return value if self.weight == 1 else self.weight * value


def of_rank(weight: Any, rank: int) -> Any:
    """Return the weight (B,) of each sample with so many axes more."""
    return tf.reshape(weight, (-1, *[1] * rank))


def indices(labels: Any, task: Task) -> Any:
    """Return the indices of classes (B, 1), of tensors (B, ...), without an axis of their own: (B,), or (B, ...)."""
    return labels if task.shape else tf.squeeze(labels, -1)


def one_hot(labels: Any, task: Task) -> Any:
    """Return the indices of classes (B, 1), of tensors (B, ...), as (B, ..., C)."""
    return tf.one_hot(tf.cast(indices(labels, task), tf.int32), task.outputs)


def create_loss(settings: TrainSettings, model: Any, target: TargetSpec, spec: SampleSpec) -> TargetLoss:
    """Return the loss of a target: that of the settings, which holds for every target, or of a compiled model, or of
    the task; if the target is the only one and the model scales it, in standard deviations. Raises SettingsError.
    """
    kind, weight = KINDS[target.task.kind], target.loss_weight
    given = settings.loss
    if given is None:
        given = of_target(getattr(model, "loss", None), model, target.name, spec)
        weight *= loss_weight_of(model, target.name, spec)
    if given is None or given in ("crossentropy", "ce"):  # Keras takes the latter by the shapes
        given = kind.loss
    loss = create("train.loss", given, keras.losses) if isinstance(given, str | dict) else given
    if not isinstance(loss, keras.losses.Loss):
        loss = _AS_KERAS_WRAPS(loss, name=getattr(loss, "__name__", None))
    scale = label_scale(model) if len(spec.targets) == 1 else None
    scaled = loss if scale is None else ScaledLoss(loss, scale)
    return TargetLoss(scaled, weight, _labels_for(loss, target.task), _link(loss, kind))


def measures_differences(settings: TrainSettings, kind: TaskKind[Any]) -> bool:
    """Whether a preset's loss is of the difference between output and label alone, so that it may be taken in any unit.

    Raises SettingsError.
    """
    loss = create("train.loss", kind.loss if settings.loss is None else settings.loss, keras.losses)
    name = type(loss).__name__ if isinstance(loss, keras.losses.Loss) else getattr(loss, "__name__", "")
    return kind.last_activation == "linear" and class_of(name, keras.losses) in _OF_DIFFERENCES


def label_scale(model: Any) -> RunningLabelScale | None:
    """Return the layer with which a model scales its label; None if it has none."""
    return next((layer for _, layer in walk(model) if isinstance(layer, RunningLabelScale)), None)


def is_own(loss: Any) -> bool:
    """Whether a loss is the user's, so that nothing is known of what it takes."""
    function = getattr(loss, "fn", loss)
    return not getattr(function, "__module__", "").startswith("keras.")


class ScaledLoss(keras.losses.Loss):
    """A loss in standard deviations of the label, whatever its unit.

    The output is scaled as the layer scaled it; then the layer learns the labels, so that even the first ones are at
    most sqrt(n) deviations from the mean, where n is how many came.
    """

    def __init__(self, loss: Any, label_scale: RunningLabelScale) -> None:
        super().__init__(name=loss.name, reduction=loss.reduction)
        self.given = loss
        self.label_scale = label_scale

    def call(self, y_true: Any, y_pred: Any) -> Any:
        outputs = self.label_scale.scaled(y_pred)
        self.label_scale.learn(y_true)
        return self.given.call(self.label_scale.scaled(y_true), outputs)


def unscaled(loss: Any) -> Any:
    """Return the loss that one in standard deviations of the label is of; any other is returned itself."""
    return loss.given if isinstance(loss, ScaledLoss) else loss


def _labels_for(loss: Any, task: Task) -> Callable[[Any], Any]:
    """Return the function from labels (B, ..., O) to what a loss takes. One's own takes the index of a class as it is.

    Keras' losses compare an output with a label for each class, but for some, which take indices. Those get them as
    (B,): the generalized one multiplies (B, 1) crosswise.
    """
    if task.kind != "classes" or is_own(loss):
        return _AS_IT_IS
    if loss.fn.__name__ in _OF_INDICES:
        return partial(indices, task=task)
    return partial(one_hot, task=task)


def _link(loss: Any, kind: TaskKind[Any]) -> Callable[[Any], Any]:
    """Keras' losses say whether they take logits, and one's own may: by an attribute `from_logits`."""
    takes_logits = getattr(getattr(loss, "fn", loss), "from_logits", False) or getattr(loss, "from_logits", False)
    return _LINKS.get(kind.last_activation, tf.identity) if takes_logits else tf.identity
