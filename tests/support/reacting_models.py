"""Models whose gradients overflow on a huge feature, so that the update is skipped."""

from typing import Any

import keras
from witness_models import Witness

from learnd.daemon.training.layers import RunningStandardization
from learnd.daemon.values import SampleSpec


def fragile(spec: SampleSpec) -> Any:
    """One hidden layer on the features, both standardised and raw."""
    return _model(spec, 0.0)


def fragile_with_dropout(spec: SampleSpec) -> Any:
    """The same, with dropout and therefore a random state."""
    return _model(spec, 0.2)


def _model(spec: SampleSpec, dropout: float) -> Any:
    inputs = keras.Input((spec.width,))
    raw = Witness()(inputs)
    hidden = keras.layers.Concatenate()([RunningStandardization()(raw), raw])
    hidden = keras.layers.Dense(8, activation="relu")(hidden)
    if dropout:
        hidden = keras.layers.Dropout(dropout)(hidden)
    return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))
