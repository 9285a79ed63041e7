"""What `preset: auto` is made of, by the columns and the label. Imports no TensorFlow, as the settings do."""

from __future__ import annotations

from dataclasses import dataclass

from learnd.daemon.training.settings import ModelSettings
from learnd.daemon.values import ColumnKind, SampleSpec

COLUMNS, LAGS = "columns", "lags"
"""The networks, by what they see."""

UNITS = {COLUMNS: 64, LAGS: 32}
KEEP = {COLUMNS: 0.997, LAGS: 0.99}  # of the averages of weights: what follows the last labels changes faster

_MOST_LAGGED = 20  # outputs: the last labels are four columns for each
_BINS = ((16, 8), (64, 4))  # up to so many columns that need bins, so many bins for each


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which encoded columns are cut into how many bins, and whether a network sees the last labels."""

    binned: tuple[int, ...]
    bins: int
    lags: bool

    @property
    def networks(self) -> list[str]:
        """The names of the networks, in their order."""
        return [COLUMNS, LAGS] if self.lags else [COLUMNS]


def recipe_of(settings: ModelSettings, spec: SampleSpec) -> Recipe:
    """Return the recipe for samples of this kind. Numbers come first among the encoded columns."""
    columns = spec.columns * (1 if spec.window is None else spec.window.length)
    numbers = [column for column in columns if column.kind is ColumnKind.NUMBER]
    binned = tuple(index for index, column in enumerate(numbers) if not column.two_values)
    bins = next((bins for most, bins in _BINS if len(binned) <= most), 0) if settings.standardize and binned else 0
    return Recipe(binned, bins, settings.lags and spec.task.outputs <= _MOST_LAGGED)
