"""learnd's own models, each trained by a whole run of the daemon over the recording."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from learnd.daemon.bench.contestants import ContestantError, Maker, Watch
from learnd.daemon.bench.ran import Observed, Ran
from learnd.daemon.bench.recorded import Recorded
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import LearndError, SourceError, StoppedError
from learnd.daemon.operate.telemetry import Telemetry
from learnd.daemon.operate.views import Views
from learnd.daemon.reactions.settings import Reaction
from learnd.daemon.run import Options, run
from learnd.daemon.training.settings import ModelSettings, TrainSettings
from learnd.daemon.values import Call, Report

PRESETS = ("linear", "mlp", "auto")

# What TensorFlow reads once in a process, and what says how the stream is cut into updates and compiled.
_COMMON = ("batch_size", "max_wait_ms", "max_updates_per_call", "threads", "xla")
_OF_MODEL = ("model", "train", "guard", "phases", "challengers", "certainty", "drift", "reactions", "callbacks")
_ENDING = ("pause", "stop")  # actions


@dataclass(frozen=True, slots=True)
class TrainedContestant:
    """A model of learnd under settings whose source is the recording, in a state directory that does not stay."""

    name: str
    settings: Settings
    maker: Maker = "learnd"
    left_out: tuple[str, ...] = ()
    """What of the settings it runs without."""

    def run(self, recorded: Recorded, watch: Watch) -> Ran | None:
        from learnd.daemon.training import learner  # noqa: F401  (to import TensorFlow is no part of its time)

        made: list[_Witness] = []

        def telemetry(*parts: Any, total_known: bool) -> Telemetry:
            made.append(_Witness(recorded, watch, *parts, total_known=total_known))
            return made[0]

        with tempfile.TemporaryDirectory(prefix="learnd-bench-", ignore_cleanup_errors=True) as folder:
            settings = _in(self.settings, Path(folder) / "state")
            options = Options(http=False, display=False, recorded=True, records=recorded.records, telemetry=telemetry)
            try:
                run(settings, watch.stop, options)
            except StoppedError:
                return None
            except LearndError as error:  # the others can still be compared
                raise ContestantError(str(error), error.exit_code) from error
        ran = made[0].ran()
        return None if ran is None else replace(ran, left_out=self.left_out)


def presets(settings: Settings, names: Sequence[str] = PRESETS) -> list[TrainedContestant]:
    """Return learnd's presets, with the stream of these settings and all else as it is without a word of them."""
    common = {key: getattr(settings.train, key) for key in _COMMON if key in settings.train.model_fields_set}
    usual = {key: Settings.model_fields[key].get_default() for key in _OF_MODEL}
    found = []
    for name in names:
        model = ModelSettings(preset=name, task=settings.model.task)
        changes = {**usual, "model": model, "train": TrainSettings(**common)}
        found.append(TrainedContestant(f"preset: {name}", settings.model_copy(update=changes)))
    return found


def trained(settings: Settings) -> list[TrainedContestant]:
    """Return the presets, and the settings as they are unless they are one of them."""
    usual = presets(settings)
    if any(_alike(one.settings, settings) for one in usual):
        return usual
    return [TrainedContestant("your settings", settings, left_out=tuple(_left_out(settings))), *usual]


def _left_out(settings: Settings) -> Iterator[str]:
    """Yield the keys that `_in` takes out and that change what a run predicts."""
    if settings.validation.holdout is not None:
        yield "validate.holdout"
    if settings.callbacks is not None:
        yield "callbacks"
    ends = {choice.name for rule in settings.reactions for choice in rule.do if choice.name in _ENDING}
    yield from (f"reactions that {name}" for name in sorted(ends))


def _alike(one: Settings, other: Settings) -> bool:
    if _preset(one.model) != _preset(other.model):
        return False
    return all(getattr(one, key) == getattr(other, key) for key in _OF_MODEL if key != "model")


def _preset(model: ModelSettings) -> ModelSettings:
    """Return the settings of a model with the preset that they stand for."""
    usual = "mlp" if model.build is None and model.load is None else None
    return model.model_copy(update={"preset": model.preset or usual})


def _in(settings: Settings, state: Path) -> Settings:
    """Return the settings with a state directory, and without what sets samples aside, writes elsewhere, or ends it."""
    changes: dict[str, Any] = {
        "checkpoint": settings.checkpoint.model_copy(update={"dir": state}),
        "validation": settings.validation.model_copy(update={"holdout": None}),
        "dead_letters": settings.dead_letters.model_copy(update={"file": None, "kafka": None}),
        "predictions": settings.predictions.model_copy(update={"file": None, "kafka": None}),
        "callbacks": None,
        "reactions": tuple(kept for rule in settings.reactions if (kept := _without_end(rule)).do),
    }
    return settings.model_copy(update=changes)


def _without_end(rule: Reaction) -> Reaction:
    """Return a rule that neither ends the run nor waits for somebody: all contestants take all records."""
    return rule.model_copy(update={"do": tuple(choice for choice in rule.do if choice.name not in _ENDING)})


class _Witness(Telemetry):
    """Also keeps what a run predicts, and times it: from when it begins to read to the end of each call.

    By then the model is compiled. What the witness takes itself does not count.
    """

    def __init__(self, recorded: Recorded, watch: Watch, *parts: Any, total_known: bool) -> None:
        super().__init__(*parts, total_known=total_known)
        self._recorded = recorded
        self._watch = watch
        self._observed = Observed(recorded)
        self._timed = 0
        self._seconds = 0.0
        self._created_s = self._since_s = time.perf_counter()
        self._start_seconds: float | None = None
        self._served_otherwise: Callable[[], tuple[str, str] | None] = lambda: None

    def watch(self, views: Views) -> None:
        super().watch(views)
        self._served_otherwise = views.served_otherwise

    def state(self, word: str) -> None:
        super().state(word)
        if word == "consuming" and self._start_seconds is None:
            self._since_s = time.perf_counter()
            self._start_seconds = self._since_s - self._created_s

    def call_done(self, call: Call, report: Report, seconds: float) -> None:
        super().call_done(call, report, seconds)
        if not call.samples:
            return
        self._seconds += time.perf_counter() - self._since_s
        self._timed += call.samples
        self._observe(call, report)
        self._watch.advance(call.samples)
        self._since_s = time.perf_counter()

    def ran(self) -> Ran | None:
        """Return what was predicted for the samples of the recording; None if the run did not get so far.

        Raises SourceError if it was for others.
        """
        if self._timed < len(self._recorded):
            return None
        if not np.array_equal(self._observed.labels, self._recorded.labels):
            raise SourceError(
                "the recording has changed since its samples were read, so that predictions and labels do not belong "
                "together. Nothing is compared. Start again, on a file that stays as it is."
            )
        ran = self._observed.ran(self._timed, self._seconds, self._start_seconds)
        return replace(ran, served_otherwise=self._served_otherwise())

    def _observe(self, call: Call, report: Report) -> None:
        name = self._recorded.spec.targets[0].name
        outputs, labels = report.outputs[name], call.batches.targets[name]
        self._observed.add(outputs.reshape(call.samples, -1), labels.reshape(call.samples, -1))
