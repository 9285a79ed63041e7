"""What presets forecast before they have learnt anything: the last value that a window has."""

import numpy as np

from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.training.models import create_model
from learnd.daemon.training.networks import AveragedNetwork
from learnd.daemon.training.settings import ModelSettings
from learnd.daemon.values import SampleSpec

FEATURES = {"a": "float", "kind": {"values": ["x", "y"]}, "v": "float"}


def spec(label: str = "v") -> SampleSpec:
    given = {"features": FEATURES, "label": label, "window": {"length": 4, "ahead": 1}}
    return SamplesSettings.model_validate(given).spec("regression")


def rows() -> np.ndarray:
    rows = np.random.default_rng(2).normal(size=(5, 4, 3)).astype(np.float32)
    rows[:, :, 1] = 1
    return rows


def test_a_linear_preset_begins_with_the_last_value() -> None:
    settings = ModelSettings(preset="linear", task="regression", standardize=False)
    assert np.allclose(create_model(settings, spec()).predict(rows(), verbose=0)[:, 0], rows()[:, -1, 2])


def test_a_hidden_layer_stands_beside_the_last_value() -> None:
    model = create_model(ModelSettings(preset="mlp", task="regression", standardize=False), spec())
    kernel = model.get_layer("output").kernel.numpy()
    hidden = model.get_layer(f"hidden_{len(ModelSettings().hidden) - 1}").units
    assert np.flatnonzero(kernel[hidden:, 0]).tolist() == [7]
    assert kernel[hidden + 7, 0] == 1


def test_a_mixture_begins_with_the_last_value_where_the_window_has_the_label() -> None:
    for label, first in (("v", 7), ("w", None)):  # numbers come before categories
        model = create_model(ModelSettings(preset="auto", task="regression"), spec(label), scales_label=True)
        network = model.get_layer("columns")
        assert isinstance(network, AveragedNetwork)
        assert network.first == first
