"""Runs contestants over a recording, one after the other, and compares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from learnd.daemon.bench.advice import advice, chosen
from learnd.daemon.bench.comparison import LEVEL, Comparison
from learnd.daemon.bench.contestants import Contestant, ContestantError, Maker, Watch, baselines
from learnd.daemon.bench.ran import Ran
from learnd.daemon.bench.recorded import Recorded
from learnd.daemon.bench.rivers import rivers
from learnd.daemon.bench.trained import trained
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import LearndError, SettingsError, StoppedError
from learnd.daemon.values import Facts


class Progress(Protocol):
    """Who looks on."""

    def begin(self, name: str, samples: int) -> Callable[[int], None]:
        """A contestant begins on so many samples. Return what is told of each that is through."""


class NoModelError(LearndError):
    """Raised when each model has given up. The exit code is that of a run of the first one."""

    def __init__(self, failed: Mapping[str, ContestantError]) -> None:
        names: dict[str, list[str]] = {}
        for name, error in failed.items():
            names.setdefault(str(error), []).append(name)
        each = "\n".join(f"  {', '.join(those)}: {why}" for why, those in names.items())
        super().__init__(f"no model got through the recording, so there is nothing to compare:\n{each}")
        self.exit_code = next(iter(failed.values())).exit_code


@dataclass(frozen=True, slots=True)
class ReportCard:
    """What was compared, and what came out."""

    recorded: Recorded
    comparison: Comparison
    unfinished: Sequence[str]
    """Contestants that a signal has kept from the end, or from the beginning."""
    failed: Mapping[str, str]
    """Contestants that could not go on, and why."""

    @property
    def advice(self) -> str:
        return advice(self.comparison)

    def facts(self) -> Facts:
        """Return the whole card, for machines."""
        comparison, use = self.comparison, chosen(self.comparison)
        return {
            "label": self.recorded.label,
            "task": self.recorded.task.kind,
            "samples": len(self.recorded),
            "whole": self.recorded.whole,
            "rejected": dict(self.recorded.rejected),
            "metric": comparison.metric,
            "level": LEVEL,
            "evidence_needed": comparison.needed,
            "contestants": [
                {
                    "name": one.name,
                    "maker": one.maker,
                    "scores": one.scores,
                    "unscored": one.unscored,
                    "verdict": comparison.verdict(one),
                    "evidence_of_best": None if one is comparison.best else comparison.evidence(comparison.best, one),
                    "beats_baselines": comparison.beats_baselines(one),
                    "samples_per_second": one.ran.samples_per_second,
                    "times_cheapest": comparison.times_cheapest(one),
                    "start_seconds": one.ran.start_seconds,
                    "left_out": one.ran.left_out,
                    "served_otherwise": one.ran.served_otherwise and one.ran.served_otherwise[0],
                }
                for one in comparison.entries
            ],
            "unfinished": list(self.unfinished),
            "failed": dict(self.failed),
            "use": None if use is None else use.name,
            "advice": self.advice,
        }


def contestants(settings: Settings, recorded: Recorded) -> list[Contestant]:
    """Return all that are worth comparing: those that are soon through come first.

    Raises SettingsError if the samples are of a form that presets do not take.
    """
    if settings.samples.inputs is not None or settings.samples.labels is not None:
        several = (
            "samples: bench compares models of one input and one label, as presets are; give `features` and `label` "
            "instead of `inputs` and `labels`"
        )
        raise SettingsError([several])
    spec = settings.samples.spec(settings.model.task)
    if any(part.is_image for part in spec.inputs):
        raise SettingsError(["samples.features: the contestants take numbers, categories and texts, and no image"])
    if spec.task.shape:
        raise SettingsError(
            ["samples.label: the contestants learn one value a record, and this label is a tensor; give it one value"]
        )
    return [*baselines(recorded.task), *trained(settings), *rivers(recorded.spec)]


def compared(
    field: Sequence[Contestant], recorded: Recorded, stop: Callable[[], bool], progress: Progress
) -> ReportCard:
    """Run each of the field over the recording. A stop ends it with those that are through by then.

    Raises LearndError, StoppedError if a stop came before a model was through, and NoModelError if all have given up.
    """
    ran: dict[str, tuple[Maker, Ran]] = {}
    failed: dict[str, ContestantError] = {}
    for one in field:
        watch = Watch(stop, progress.begin(one.name, len(recorded)))
        try:
            found = None if stop() else one.run(recorded, watch)
        except ContestantError as error:
            failed[one.name] = error
            continue
        if found is not None:
            ran[one.name] = (one.maker, found)
    unfinished = [one.name for one in field if one.name not in ran and one.name not in failed]
    if all(maker == "baseline" for maker, _ in ran.values()):
        if failed and not unfinished:
            raise NoModelError(failed)
        raise StoppedError("stopped before the first model was through, so there is nothing to compare.")
    why = {name: str(error) for name, error in failed.items()}
    return ReportCard(recorded, Comparison.of(recorded.task, ran, recorded.labels), unfinished, why)
