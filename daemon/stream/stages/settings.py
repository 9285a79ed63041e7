"""The settings under `samples.window`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Self

from pydantic import Field, PositiveInt, model_validator

from learnd.daemon.foundation.recent import RecentRows
from learnd.daemon.foundation.section import Section
from learnd.daemon.stream.targets import Target
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.values import InputSpec, Window


class WindowSettings(Section):
    """A window over the latest records of a key."""

    length: Annotated[int, Field(ge=2, le=10_000)]
    """How many records a window has."""

    ahead: Annotated[int, Field(ge=0, le=10_000)] = 0
    """How many records the one with the label comes behind the last of the window. 0: the window ends with the record
    of the label. From 1 on it is a forecast, and the field of the label may be a feature, too."""

    season: PositiveInt | None = None
    """Of a forecast: after how many records values come again, such as 24 for the hours of a day. The model is then
    compared with the value of one season before, too."""

    keys: PositiveInt = 10_000
    """Of how many keys the latest records are kept, in memory and in checkpoints. The key that came least recently
    makes room for a new one, and begins anew if it comes again."""

    @model_validator(mode="after")
    def _season_within_reach(self) -> Self:
        if self.season is None:
            return self
        if not self.ahead:
            raise ValueError("season: only of a forecast; give ahead, or leave the season out")
        longest = self.length - 1 + self.ahead
        if not self.ahead <= self.season <= longest:
            raise ValueError(
                f"season: a window of {self.length} records, {self.ahead} ahead, holds labels from {self.ahead} to "
                f"{longest} records before; choose a season within, or a longer window"
            )
        return self

    def window(self) -> Window:
        return Window(self.length, self.ahead, self.season)

    def without_label(self) -> WindowSettings:
        """Return windows that end with the record of which something is to be told."""
        return self.model_copy(update={"ahead": 0, "season": None})

    def recent_rows(self, columns: int) -> RecentRows:
        """Return what keeps the rows that later windows need."""
        return RecentRows(self.window().kept, columns, self.keys)


def problems_with_window(
    window: WindowSettings, inputs: Sequence[InputSpec], targets: Sequence[Target]
) -> Iterator[str]:
    """Yield what is wrong with windows over the records of these inputs."""
    if len(inputs) > 1 or not inputs[0].columns:
        alone = next((one for one in inputs if not one.columns), None)
        what = f"{alone.name!r} is {alone.described}" if alone is not None else f"there are {len(inputs)} inputs"
        yield f"samples.window: it takes one input of numbers and categories, and {what}; leave one of both out"
    elif inputs[0].shape != (len(inputs[0].columns),):
        yield f"samples.inputs.{inputs[0].name}.shape: a window says the shape; leave it out"
    if window.ahead and any(KINDS[target.task].task(target.label).learnt for target in targets):
        yield "samples.window.ahead: classes that are learnt come with a sample, and not before its window; list them"
    if window.ahead and any(target.label.is_inputs for target in targets):
        yield "samples.window.ahead: a label that is the window itself is no forecast; leave ahead out"
