"""What trains, watches and reacts, without the rest of the daemon: on a scripted learner and a stream of errors."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from calls import made_call

from learnd.daemon.contracts import Stateful
from learnd.daemon.control.control_state import ControlState
from learnd.daemon.drift.settings import DriftWatch
from learnd.daemon.drift.watch import Drift
from learnd.daemon.reactions.reactions import Reactions
from learnd.daemon.reactions.settings import Reaction
from learnd.daemon.reactions.watching import Watching
from learnd.daemon.state.progress import Progress
from learnd.daemon.state.saving import SaveRequest
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.training.scripted import ScriptedLearner
from learnd.daemon.training.trainer import Trainer
from learnd.daemon.values import Call, Command, Event, Rejection, Report, Span, State

SPEC = SamplesSettings.model_validate({"features": {"prediction": "float", "skip": "float"}, "label": "y"}).spec(
    "binary"
)
WATCHES = [
    DriftWatch.model_validate({"watch": "error", "detector": "adwin", "warn": "hddm_w", "quiet": 1500}),
    DriftWatch.model_validate({"watch": "features", "detector": "psi", "reference": 1000, "window": 300}),
]


class Stream:
    """Errors and skips by sample; labels are 0, so that a prediction of 1 is an error."""

    def __init__(self, errors: Any, skips: Any = None) -> None:
        skips = np.zeros(len(errors)) if skips is None else skips
        self.x = np.stack([errors, skips], axis=1).astype(np.float32)

    def call(self, start: int, end: int, batch: int = 1) -> Call:
        x = self.x[start:end].reshape(-1, batch, 2)
        return made_call(x, np.zeros((*x.shape[:2], 1)), first=start, spans=(Span("p", start, end),))


def errors(*parts: tuple[int, float], seed: int = 2) -> Any:
    """Return errors by sample, of parts of a length and an error rate each."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.random(length) < rate for length, rate in parts]).astype(np.float64)


class Scripted:
    """`contracts.Callbacks` that tell when they were called."""

    stop = False

    def __init__(self, made: str) -> None:
        self.made = made
        self.calls: list[list[object]] = []

    def begin(self) -> None:
        self.calls.append(["begin"])

    def look(self, report: Report) -> None:
        """Take in nothing."""

    def finish(self, call: Call, scores: Sequence[Event]) -> list[Event]:
        self.calls.append([call.end, len(scores)])
        return []

    def state(self) -> State:
        return State(facts={"calls": self.calls})

    def restore(self, state: State) -> None:
        self.calls = [list(each) for each in state.facts["calls"]]


class Rig:
    """One life of the parts. `feed` trains a stream in calls; `events` and `set_aside` are what came of it."""

    def __init__(
        self,
        rules: Iterable[Any],
        watches: Sequence[DriftWatch] = WATCHES,
        ends: Sequence[int | str] = (),
        *,
        anchor: str = "",
        callbacks: Scripted | None = None,
    ) -> None:
        """`ends` are those of the learner's phases."""
        made = [rule if isinstance(rule, Reaction) else Reaction.model_validate(rule) for rule in rules]
        self.learner, self.progress = ScriptedLearner(SPEC, ends), Progress()
        self.control, self.saving = ControlState(), SaveRequest()
        self.watching = Watching(made, Drift(watches, SPEC), SPEC, anchor)
        parts = (self.learner, self.watching, self.control, self.progress, self.saving)
        self.reactions = Reactions(made, (), *parts, callbacks)
        at_once = self.reactions.act_at_once if self.reactions.ever_at_once else None
        self._trainer = Trainer(self.learner, self.watching, at_once)
        self.events: list[Event] = []
        self.set_aside: list[Rejection] = []

    def feed(self, stream: Stream, cuts: Sequence[int], batch: int = 1, scores: Sequence[Event] = ()) -> "Rig":
        ends = sorted({*cuts, *(n for n in range(0, cuts[-1], *self.reactions.periods or (1 << 60,)) if n > cuts[0])})
        for start, end in pairwise(ends):
            self.train(stream.call(start, end, batch), [score for score in scores if start < score.samples <= end])
        return self

    def train(self, call: Call, scores: Sequence[Event] = ()) -> None:
        self.reactions.begin(call)
        reports = []
        for part in self._trainer.parts(call):
            reports.append(part.report)
            self.reactions.react(part)
        self.progress.add(call, Report.joined(reports))
        events, set_aside = self.reactions.finish(call, scores)
        self.events += events
        self.set_aside += set_aside

    def command(self, action: str, **arguments: Any) -> Event:
        """Obey a command in a call that has nothing else; return the line that the history has of it."""
        call = Stream([]).call(0, 0)
        number = len(self.of_kind("command"))
        command = Command(f"id {number}", action, arguments, by="me", at="now", why="to see")
        self.train(Call((), call.batches, call.held, False, 0, self.progress.samples, commands=(command,)))
        return self.of_kind("command")[-1]

    def state(self) -> State:
        return State.joined({name: part.state() for name, part in self._parts().items()})

    def restore(self, state: State) -> None:
        for name, part in self._parts().items():
            part.restore(state.part(name))

    def saved(self, rules: Iterable[Any], **parts: Any) -> "Rig":
        """Return another life that goes on from the state of this one, by way of JSON."""
        other, state = Rig(rules, **parts), self.state()
        other.restore(State(state.arrays, json.loads(json.dumps(state.facts, allow_nan=False))))
        return other

    def of_kind(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]

    @property
    def outcome(self) -> Any:
        told = [(event.kind, event.samples, json.dumps(event.data)) for event in self.events]
        return self.learner.weight, self.learner.done, told, self.set_aside, self.progress.stream_facts()

    def _parts(self) -> dict[str, Stateful]:
        return {
            "learner": self.learner,
            "watching": self.watching,
            "reactions": self.reactions,
            "control": self.control,
            "progress": self.progress,
        }
