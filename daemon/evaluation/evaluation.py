"""What the loop asks for scores: prequential, on held-out samples, and on the anchor set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from learnd.daemon.errors import SettingsError, StateMismatchError
from learnd.daemon.evaluation.prequential import Prequential
from learnd.daemon.evaluation.ring import Ring
from learnd.daemon.evaluation.scoreboard import Scoreboard
from learnd.daemon.evaluation.sets import Predict, score_set
from learnd.daemon.evaluation.settings import ValidateSettings
from learnd.daemon.tasks.contract import Better
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.tasks.tallies import Scores
from learnd.daemon.values import Arrays, Call, Event, Facts, Float32, Report, SampleSpec

_HELD = "holdout."


class Evaluation:
    """Scores the stream; its state and its scores are a function of the samples, however they were cut into calls.

    For the scores on the holdout and the anchor set this takes that calls end with the first update that
    reaches a multiple of a period, since they are made with the weights at the end of a call. Prequential
    scores are exact without it. All methods belong to the thread of the loop.
    """

    def __init__(
        self,
        settings: ValidateSettings,
        spec: SampleSpec,
        anchor: tuple[NDArray[Any], Float32, Float32] | None = None,
    ) -> None:
        """`anchor` holds x (m, ...), y (m, O) and weights, which scores do not regard.

        Raises SettingsError for a metric that the task does not have.
        """
        _check_metrics(settings, spec)
        self._settings = settings
        self._spec = spec
        self._prequential = Prequential(spec.task, settings.prequential.windows, settings.metrics)
        self._held = Ring(settings.holdout.size if settings.holdout else 0)
        self._anchor = anchor if settings.anchor and anchor and len(anchor[0]) else None
        self._best_anchor = -math.inf
        self._latest: dict[str, Facts] = {}  # the last published scores of each set
        self._published_at = 0  # samples, when scores of the predictions were published last

    @property
    def periods(self) -> tuple[int, ...]:
        """Counts of trained samples: a call ends with the first update that reaches a multiple of one of them."""
        parts = (self._settings.prequential, self._settings.holdout, self._settings.anchor)
        return tuple(sorted({part.every for part in parts if part is not None}))

    @property
    def samples(self) -> int:
        """Samples that updates have consumed, the skipped updates included."""
        return self._prequential.samples

    @property
    def shown_metric(self) -> str:
        """The metric that a display has room for."""
        return KINDS[self._spec.task.kind].shown_metric

    def update(self, call: Call, report: Report, predict: Predict) -> list[Event]:
        """Take in one call, and return the scores that became due, in order of their sample counts.

        `predict` gives outputs (m, C) of the current weights, in inference mode, for `sets.CHUNK` samples.
        """
        before = self.samples
        events = list(self._score_predictions(call, report)) if call.samples else []
        if len(call.held_x):
            self._held.add({"x": call.held_x, "y": call.held_y})
        holdout, anchor = self._settings.holdout, self._settings.anchor
        if holdout and len(self._held) and self._crossed(before, holdout.every):
            events.append(self._score_holdout(predict))
        if anchor and self._anchor and self._crossed(before, anchor.every):
            events.append(self._score_anchor(predict))
        return events

    def at_end(self, predict: Predict) -> list[Event]:
        """Return the scores at the end of the stream: a short one may have reached no multiple of a period."""
        if self._published_at == self.samples:
            return []
        events = list(self._prequential_scores())
        if len(self._held):
            events.append(self._score_holdout(predict))
        if self._anchor:
            events.append(self._score_anchor(predict))
        return events

    def scores(self) -> Scores:
        """Return the prequential scores of the whole run; what is undefined is absent."""
        return self._prequential.overall.scores()

    def baselines(self) -> dict[str, Scores]:
        """Return the scores of each baseline over the same samples, by its name."""
        return self._prequential.overall.baselines()

    def window_scores(self, window: int) -> Scores:
        """Return the prequential scores of the latest `window` samples. Counted anew: 1 ms for 10,000 samples."""
        return self._prequential.window(window).scores()

    def window_baselines(self, window: int) -> dict[str, Scores]:
        """Return the scores of each baseline over the latest `window` samples."""
        return self._prequential.window(window).baselines()

    def holdout_scores(self) -> Scores:
        """Return the scores last published of the held-out samples; empty before the first."""
        return dict(self._latest["holdout"]["metrics"]) if "holdout" in self._latest else {}

    def latest(self) -> list[Event]:
        """Return the scores as they stand: of the predictions up to now, and of each set as last published."""
        if not self.samples:
            return []
        sets = (Event("score", self.samples, data) for data in self._latest.values())
        return [*self._prequential_events(), *sets]

    def state(self) -> tuple[Arrays, Facts]:
        """Return copies of all that later scores depend on."""
        best = None if math.isinf(self._best_anchor) else self._best_anchor
        facts = {
            "samples": self.samples,
            "shape": self._shape(),
            "latest": dict(self._latest),
            "best_anchor": best,
            "published_at": self._published_at,
        }
        return self._prequential.copies() | self._held.copies(_HELD), facts

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """Go on from `state`. Sizes of windows and of the holdout may differ: the latest samples are taken over.

        Raises StateMismatchError where the state is of another task or of other features.
        """
        mine, theirs = self._shape(), facts.get("shape")
        if theirs != mine:
            raise StateMismatchError(
                f"evaluation state: the settings declare {mine} and the checkpoint holds {theirs}, so "
                "scores cannot go on from it; use the settings that it was made with, or another state directory"
            )
        self._prequential.take(arrays)
        self._held.take(arrays, _HELD)
        self._latest = dict(facts["latest"])
        self._published_at = facts.get("published_at", 0)
        self._best_anchor = -math.inf if facts["best_anchor"] is None else facts["best_anchor"]

    def _score_predictions(self, call: Call, report: Report) -> Iterator[Event]:
        """Publish at each exact multiple of the period, so that the scores do not depend on where the call ends."""
        every = self._settings.prequential.every
        outputs = report.outputs.reshape(call.samples, -1)
        labels = call.y.reshape(call.samples, -1)
        start = 0
        while start < call.samples:
            end = min(call.samples, start + every - self.samples % every)
            self._prequential.add(outputs[start:end], labels[start:end])
            if self.samples % every == 0:
                yield from self._prequential_scores()
            start = end

    def _prequential_scores(self) -> Iterator[Event]:
        self._published_at = self.samples
        return self._prequential_events()

    def _prequential_events(self) -> Iterator[Event]:
        yield self._event("prequential", "all", self._prequential.overall)
        for window in self._settings.prequential.windows:
            yield self._event("prequential", window, self._prequential.window(window))

    def _score_holdout(self, predict: Predict) -> Event:
        assert self._settings.holdout is not None, "samples are held out"
        held = self._held.latest(self._settings.holdout.size)
        return self._score_set("holdout", held["x"], held["y"], predict)

    def _score_anchor(self, predict: Predict) -> Event:
        assert self._anchor is not None, "there is an anchor set"
        event = self._score_set("anchor", self._anchor[0], self._anchor[1], predict)
        return replace(event, data={**event.data, **self._forgetting(event.data["metrics"])})

    def _score_set(self, name: str, x: NDArray[Any], y: Float32, predict: Predict) -> Event:
        guesses = self._prequential.guesses()
        board = score_set(self._spec.task, x, y, predict, guesses, self._settings.metrics)
        event = self._event(name, "all", board)
        self._latest[name] = dict(event.data)
        return event

    def _forgetting(self, scores: Scores) -> Facts:
        """Return how far the anchor score is below the best that the model ever had: what it has forgotten.

        Of the first main metric of which higher values are better, as Chaudhry et al. (Riemannian Walk for Incremental
        Learning, ECCV 2018) define it for an earlier task.
        """
        kind = KINDS[self._spec.task.kind]
        rising = (name for name in kind.main_metrics if kind.metrics[name] is Better.HIGHER)
        name = next((name for name in rising if name in scores), None)
        if name is None:
            return {}
        self._best_anchor = max(scores[name], self._best_anchor)
        return {"forgetting": self._best_anchor - scores[name]}

    def _event(self, name: str, window: int | str, board: Scoreboard) -> Event:
        return Event("score", self.samples, {"set": name, "window": window, **board.summary()})

    def _crossed(self, before: int, every: int) -> bool:
        return before // every < self.samples // every

    def _shape(self) -> Facts:
        task = self._spec.task
        return {"task": task.kind, "outputs": task.outputs, "features": self._spec.width}


def _check_metrics(settings: ValidateSettings, spec: SampleSpec) -> None:
    kind = KINDS[spec.task.kind]
    foreign = [name for name in settings.metrics or () if name not in kind.metrics]
    if foreign:
        raise SettingsError(
            [
                f"validate.metrics: {name} is not a metric of a {kind.name} task and would never be published; "
                f"choose from {', '.join(kind.metrics)}"
                for name in foreign
            ]
        )
