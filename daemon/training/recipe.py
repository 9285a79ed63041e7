"""Which networks `preset: auto` is made of, by the columns and the label. Imports no TensorFlow, as the settings do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from learnd.daemon.training.settings import ModelSettings
from learnd.daemon.values import ColumnKind, SampleSpec

_NARROW = 32  # encoded columns, up to which there is a wide network and the others are twice as large
_MOST_LAGGED = 20  # outputs: the last labels are four columns for each
_BINS = ((16, 8), (64, 4))  # up to so many columns that need bins, so many bins for each


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """A network of the mixture, and what it sees beside the encoded columns."""

    name: str
    hidden: tuple[int, ...]
    activation: str
    sees: Literal["columns", "bins", "lags"] = "columns"
    keep: float = 0.997  # of the averages of its weights


@dataclass(frozen=True, slots=True)
class Recipe:
    """The networks in their order, the last one with the lags; which encoded columns are cut into how many bins."""

    networks: tuple[NetworkPlan, ...]
    binned: tuple[int, ...]
    bins: int

    @property
    def lagged(self) -> int:
        """How many networks see the last labels."""
        return sum(network.sees == "lags" for network in self.networks)


def recipe_of(settings: ModelSettings, spec: SampleSpec) -> Recipe:
    """Return the recipe for samples of this kind."""
    numbers = [column for column in spec.columns if column.kind is ColumnKind.NUMBER]
    embedded = sum(min(settings.embedding, column.size) for column in spec.columns if column not in numbers)
    narrow = len(numbers) + embedded <= _NARROW
    binned = tuple(index for index, column in enumerate(numbers) if not column.two_values)
    bins = next((bins for most, bins in _BINS if len(binned) <= most), 0) if settings.standardize and binned else 0
    networks = [NetworkPlan("deep", (32, 16), "tanh")]
    networks.append(NetworkPlan("bins", (64 if narrow else 32,), "relu", "bins" if bins else "columns"))
    if settings.lags and spec.task.outputs <= _MOST_LAGGED:
        networks.append(NetworkPlan("lags", (32 if narrow else 16,), "relu", "lags", keep=0.99))
    return Recipe(tuple(networks), binned, bins)
