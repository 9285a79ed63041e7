"""Every part of the daemon that has a state: how to make one, and how to feed it the same stream in any pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from calls import made_call, made_report, samples
from learners import KINDS as MIXED_CLASSES
from learners import MIXED, VALUE, call, learner
from processes import SUPPORT
from rig import SPEC, WATCHES, Rig, Stream, errors

from learnd.daemon.actions.roll_back import RollBack
from learnd.daemon.contest.contest import Challenger, Contest
from learnd.daemon.contest.paired import PairedTest
from learnd.daemon.contest.settings import ChallengerSettings
from learnd.daemon.control.control_state import ControlState
from learnd.daemon.drift.distribution import DistributionWatch
from learnd.daemon.drift.sequential import Rise, SequentialWatch
from learnd.daemon.drift.settings import DriftWatch
from learnd.daemon.drift.signals import Signals
from learnd.daemon.drift.watch import Drift, _Scale
from learnd.daemon.evaluation.certainty.certainty import Certainty
from learnd.daemon.evaluation.certainty.conformal import Conformal
from learnd.daemon.evaluation.certainty.deciding import Threshold
from learnd.daemon.evaluation.certainty.settings import CertaintySettings
from learnd.daemon.evaluation.certainty.temperature import Temperature
from learnd.daemon.evaluation.evaluation import Evaluation
from learnd.daemon.evaluation.prequential import Prequential
from learnd.daemon.evaluation.ring import Ring
from learnd.daemon.evaluation.scoreboard import Scoreboard, observe
from learnd.daemon.evaluation.settings import ValidateSettings
from learnd.daemon.foundation.counters import Counters, FiniteMean
from learnd.daemon.foundation.recent import RecentRows
from learnd.daemon.reactions.early_stop import EarlyStop
from learnd.daemon.reactions.good_copy import GoodCopy
from learnd.daemon.reactions.kept_copy import KeptCopy
from learnd.daemon.reactions.outcomes import Outcomes
from learnd.daemon.reactions.reactions import Reactions
from learnd.daemon.reactions.set_scores import ComparedScore, SetPlateau
from learnd.daemon.reactions.settings import Reaction
from learnd.daemon.reactions.skip_rate import SkipRate
from learnd.daemon.reactions.triggers import Drop, Plateau, SkipsInARow
from learnd.daemon.reactions.watching import Watching
from learnd.daemon.state.progress import Progress
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.tasks.baselines import ClassPriors, LabelPriors, MajorityClass, MajorityLabel, NoChange, RunningMean
from learnd.daemon.tasks.calibration import CalibrationError
from learnd.daemon.tasks.elements import ClassShares, CommonClass, ElementCounts, ElementErrors, ElementHits
from learnd.daemon.tasks.known import Known
from learnd.daemon.tasks.probabilities import Auc, ElementsLogLoss, LogLoss, loss_units
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.tasks.tallies import BinaryCounts, ClassCounts, ErrorSums, LabelCounts
from learnd.daemon.training.callbacks import KerasCallbacks
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.scripted import ScriptedLearner
from learnd.daemon.values import Command, Event, SampleSpec, Skip, Span, State, Task

N = 3000
_rng = np.random.default_rng(4)
ERRORS = errors((1300, 0.05), (N - 1300, 0.5))
SKIPS = np.where(_rng.random(N) < 0.01, 2, 0)
SKIPS[2000:2010] = 1
OUTPUTS = _rng.random((N, 1)).astype(np.float32)
TRUTH = (_rng.random(N) < 0.4)[:, None]
CLASSES = _rng.integers(0, 3, (2, N)).astype(np.int32)
COMING = np.minimum(CLASSES[0], np.arange(N) // 1000)  # classes that come one after the other
LABELS = _rng.random((2, N, 3)) < 0.3
VALUES = _rng.normal(5, 2, (2, N, 2)).astype(np.float32)
TABLE = _rng.normal(size=(N, 2)).astype(np.float32)
SHARES = _rng.dirichlet(np.ones(5), N).astype(np.float32)
TABLE[1800:] += 2
SEQUENCES = _rng.integers(0, 3, (N, 4)).astype(np.int32)
TAGS, FEWER_TAGS = Task("classes", 3, 1, shape=(4,)), Task("classes", 2, 1, shape=(4,))
BINARY, REGRESSION, LEARNT = Task("binary", 1, 1), Task("regression", 2, 2), Task("classes", 5, 1, learnt=True)


@dataclass(frozen=True)
class Part:
    """How to make a part, and to feed it what is at `start` up to `end` of its stream; that returns what it told."""

    of: type
    make: Callable[[], Any]
    feed: Callable[[Any, int, int], Sequence[object]]
    length: int = N
    foreign: Callable[[], Any] | None = None  # one whose state is not for it
    takes_any: str = ""  # why there is none
    without_cuts: Callable[[Any], State] = lambda part: part.state()  # what may not depend on how it was fed
    name: str = ""

    def __str__(self) -> str:
        return f"{self.of.__name__} {self.name}".strip()


def told(events: Sequence[Event]) -> list[object]:
    return [(event.kind, event.samples, dict(event.data)) for event in events]


def counters(of: type, make: Callable[[], Any], *columns: Any, foreign: Callable[[], Any]) -> Part:
    """Return a part that adds rows of columns."""

    def feed(part: Any, start: int, end: int) -> list[object]:
        part.add(*(column[start:end] for column in columns))
        return list(part.scores().items()) if end == N else []

    return Part(of, make, feed, foreign=foreign)


def baseline(of: type, make: Callable[[], Any], labels: Any, foreign: Callable[[], Any]) -> Part:
    def feed(part: Any, start: int, end: int) -> list[object]:
        return np.broadcast_to(part.follow(labels[start:end]), labels[start:end].shape).tolist()  # type: ignore[no-any-return]

    return Part(of, make, feed, foreign=foreign)


def _count(part: Counters, start: int, end: int) -> list[object]:
    part.arrays["n"] += end - start
    return []


def _mean(part: FiniteMean, start: int, end: int) -> list[object]:
    part.add(TABLE[start:end, 0])
    return [part.take()] if end == N else []


def _recent(part: RecentRows, start: int, end: int) -> list[object]:
    keys = [b"%d" % (number % 7 + number % 5) for number in range(start, end)]
    return part.add(keys, TABLE[start:end]).windows(2, 1).tolist()  # type: ignore[no-any-return]


def _ring(part: Ring, start: int, end: int) -> list[object]:
    part.add({"row": np.arange(start, end), "pair": TABLE[start:end]})
    return [len(part)] if end == N else []


def _scoreboard(part: Scoreboard, start: int, end: int) -> list[object]:
    part.add(observe(BINARY, OUTPUTS[start:end], TRUTH[start:end]), first=start == 0)
    return [part.summary()] if end == N else []


def _prequential(part: Prequential, start: int, end: int, outputs: Any = OUTPUTS, labels: Any = TRUTH) -> list[object]:
    part.add(outputs[start:end], labels[start:end].astype(np.float32))
    return [part.window(7).summary()] if end == N else []


CERTAIN = CertaintySettings.model_validate({"coverage": 0.9, "calibrate": "temperature", "decide": "f1"})
USABLE = _rng.random(N) < 0.95


def _followed(*columns: Any) -> Callable[[Any, int, int], list[object]]:
    """Return what feeds a part rows of columns, and tells what it gave for each."""

    def feed(part: Any, start: int, end: int) -> list[object]:
        found = part.follow(*(column[start:end] for column in columns))
        return (found[0] if isinstance(found, tuple) else found).tolist()  # type: ignore[no-any-return]

    return feed


def _certainty(part: Certainty, start: int, end: int) -> list[object]:
    said = part.follow(OUTPUTS[start:end], TRUTH[start:end].astype(np.float32))
    return [*said.rows(), *([part.window(40)] if end == N else [])]


EVALUATED = {"prequential": {"windows": [40], "every": 250}, "holdout": {"size": 30, "every": 500}}


def evaluation(spec: SampleSpec = SPEC) -> Evaluation:
    anchor = samples(TABLE[:9], TRUTH[:9])
    settings = {**EVALUATED, "anchor": {"file": "anchor.jsonl", "every": 1000}}
    return Evaluation(ValidateSettings.model_validate(settings), spec, anchor)


def _evaluation(part: Evaluation, start: int, end: int) -> list[object]:
    found: list[Event] = []
    cuts = [start, *range(start // 250 * 250 + 250, end, 250), end]  # calls end with the periods
    for first, last in pairwise(cuts):
        held = [n for n in range(first, last) if n % 20 == 3]
        consumed = made_call(
            TABLE[first:last, None], TRUTH[first:last, None], held=samples(TABLE[held], TRUTH[held]), first=first
        )
        trained = ScriptedLearner(SPEC)
        found += part.update(consumed, made_report(OUTPUTS[first:last, None]), trained)[0]
    return told(found)


def _drift_watch(**settings: Any) -> DriftWatch:
    return DriftWatch.model_validate(settings)


ADWIN = _drift_watch(watch="error", detector="adwin", warn="hddm_w", quiet=300)
DDM = _drift_watch(watch="error", detector="ddm")
PSI = _drift_watch(watch="features", detector="psi", reference=900, window=250)
WIDE = SamplesSettings.model_validate({"features": {"v": {"vector": 3}}, "label": "y"}).spec("binary")
RULES = [
    {"on": "drift.confirmed", "signal": "error", "do": [{"learning_rate": {"times": 3, "over": 500}}]},
    {"on": "drift.warning", "do": ["reset_moments"], "cooldown": 300},
    {"on": "score.plateau", "window": 200, "after": 2, "do": ["next_phase"], "cooldown": 300},
    {"on": "loss.spike", "do": ["checkpoint"], "cooldown": 100},
    {"on": "update.non_finite", "after": 3, "do": ["refit_standardization"], "cooldown": 0},
    {"on": "score.drop", "do": ["pause"]},
    {"on": "score.plateau", "of": "anchor", "metric": "accuracy", "after": 4, "do": ["stop"]},
]
MADE = [Reaction.model_validate(rule) for rule in RULES]
STREAM = Stream(ERRORS, SKIPS)


def _rise(part: Rise, start: int, end: int) -> list[object]:
    rises, warnings = part.scan(ERRORS[start:end])
    return [*((start + index, means) for index, means in rises), *(start + index for index in warnings)]


def _scan(part: Any, values: Any, start: int, end: int) -> list[object]:
    return list(part.scan(values[start:end], np.arange(start + 1, end + 1)))


def _drift(part: Drift, start: int, end: int) -> list[object]:
    consumed = STREAM.call(start, end)
    report = made_report(consumed.batches.inputs["features"][:, :, :1])
    return told(part.scan(Signals.of(SPEC, consumed, report), slice(0, end - start), start))


def _watching(part: Watching, start: int, end: int) -> list[object]:
    consumed = STREAM.call(start, end)
    report = made_report(consumed.batches.inputs["features"][:, :, :1], SKIPS[start:end])
    return told(part.watch(consumed, report, None)[1])


def _rig(part: Rig, start: int, end: int) -> list[object]:
    before = len(part.events)
    return told(part.feed(STREAM, [start, end]).events[before:])


def _outcomes(part: Outcomes, start: int, end: int) -> list[object]:
    found: list[object] = []
    for first, last in ((start, min(end, 1500)), (max(start, 1500), end)):
        if first == 1500 < end:
            found.append(part.reacted(2, "drift.confirmed", 1500))
        if first < last:
            found += told(part.add(ERRORS[first:last], first))
    return found


def _good_copy(part: GoodCopy, start: int, end: int) -> list[object]:
    found: list[object] = []
    for look in range(start, end):
        model = ScriptedLearner(SPEC)
        model.weight = look
        found.append(part.look(model, 0.1 if look % 7 else 0.9, {"samples": look}))
        if look % 9 == 8:
            part.roll_back(model, look)
            found.append(model.weight)
    return found


def _kept_copy(part: KeptCopy, start: int, end: int) -> list[object]:
    found: list[object] = []
    for number in range(start, end):
        model = ScriptedLearner(SPEC)
        model.weight = number
        if number % 5 == 2:
            part.keep(model.state(), {"samples": number})
        if number % 17 == 16:
            part.forget_after(number - 3)
        if part.progress is not None:
            part.bring_back(model, number)
        found.append(model.weight)
    return found


def _early_stop(part: EarlyStop, start: int, end: int) -> list[object]:
    found: list[object] = []
    for number in range(start, end):
        model = ScriptedLearner(SPEC)
        model.weight = number
        kind = "score.best" if number % 4 == 1 else "score.plateau"
        part.look(Event(kind, number, {"rule": 6 - number % 3}), model, {"samples": number})
        part.reason = f"a plateau at {number}" if number % 7 == 3 else part.reason
        found.append((part.best.progress, part.go_on() if number % 9 == 4 else part.reason))
    return found


def _callbacks(part: KerasCallbacks, start: int, end: int) -> list[object]:
    found: list[Event] = []
    for number in range(start, end):
        part.begin()
        consumed = call(10 * number, 1, 10)
        part.look(made_report(np.zeros((1, 10, 1))))
        metrics = {"log_loss": 1 / (1 + number % 7)}
        found += part.finish(
            consumed, [Event("score", number, {"set": "holdout", "window": "all", "metrics": metrics})]
        )
    return [(event.samples, event.data["epoch"], event.data["logs"]) for event in found]  # the rate is the learner's


def _drop(part: Drop | SetPlateau, start: int, end: int) -> list[object]:
    scores = [0.5 + 0.4 * np.sin(number / 3) for number in range(start, end)]
    data = [{"set": "anchor", "metrics": {"accuracy": float(score)}} for score in scores]
    return told(part.scan([Event("score", start + index, each) for index, each in enumerate(data)]))


def _control(part: ControlState, start: int, end: int) -> list[object]:
    for number in range(start, end):
        part.obeyed(Command(str(number), "log"))
        if number == 1000:
            part.pause("a drift")
    return [part.paused] if end == N else []


def _progress(part: Progress, start: int, end: int) -> list[object]:
    count = np.zeros((end - start, 1, 1))
    labels = COMING[start:end, None, None]
    new = [f"class {label}" for label in range(3) if start <= np.argmax(label == COMING) < end]
    consumed = made_call(count, labels, first=start, spans=(Span("p", start, end),))
    part.add(replace(consumed, new_classes=tuple(new)), made_report(count, SKIPS[start:end]))
    return [part.ranges()] if end == N else []


def _trained(part: Any, start: int, end: int) -> list[object]:
    report = part.update(call(3 * start, end - start, 3))
    figures = [report.loss.tolist(), report.skipped.tolist()]
    told = zip(*(array.tolist() for array in report.outputs.values()), *figures, strict=True)
    return [*told, *(phase.event for phase in report.phases)]


def _scripted(part: ScriptedLearner, start: int, end: int) -> list[object]:
    report = part.update(STREAM.call(start, end))
    return [*report.outputs["label"].tolist(), *(phase.event for phase in report.phases)]


def _contest(part: Contest, start: int, end: int) -> list[object]:
    if start == end:
        return []
    report = part.update(call(3 * start, end - start, 3))
    return [*report.outputs["label"].tolist(), *((event.samples, event.data) for event in report.decided)]


def contest(*, hidden: int = 8) -> Contest:
    """A model that hardly learns, and two that challenge it: one learns, and one is as bad."""
    made = {
        name: learner(MIXED, {"hidden": [hidden]}, batch_size=3, optimizer={"sgd": {"learning_rate": rate}})
        for name, rate in (("model", 1e-6), ("quick", 0.1), ("bad", 1e-6))
    }
    terms = {"train": {"seed": 1}, "warm_up": 20, "level": 0.4, "samples": 500}
    named = [ChallengerSettings.model_validate({"name": name, **terms}) for name in ("quick", "bad")]
    return Contest(made["model"], MIXED, [Challenger(settings, made[settings.name]) for settings in named])


def _paired(part: PairedTest, start: int, end: int) -> list[object]:
    leading, challenging = VALUES[:, start:end, :1].astype(np.float64)
    part.scan(leading, challenging, bounded=[False])
    return []


PHASES = [{"unfreeze": "output", "until": {"samples": 31}}, {"warm_up": 10}]
OF_NETWORKS = "of networks that see the last labels"
KERAS: dict[str, dict[str, Any]] = {
    "with dropout, in phases": {"model": {"dropout": 0.2}, "optimizer": "adam", "phases": PHASES},
    "linear": {"model": {"preset": "linear"}, "metrics": ["auc"]},
    "of a regression": {"spec": VALUE, "model": {"task": "regression", "dropout": 0.2}},
    "with balanced classes": {"class_weight": "balanced"},
    OF_NETWORKS: {"spec": MIXED_CLASSES, "model": {"preset": "auto", "task": "classes"}},
    "with averages, hedged, and a memory": {
        "average": {"decay": 0.9, "hedge": True},
        "memory": {"size": 20, "per_update": 3},
    },
    "of classes with a memory of them": {
        "spec": MIXED_CLASSES,
        "model": {"task": "classes"},
        "memory": {"size": 20, "distill": None},
    },
    "of a regression with a memory": {"spec": VALUE, "model": {"task": "regression"}, "memory": {"size": 20}},
    "by its own step": {"step": "train_on_batch", "optimizer": "adam", "average": {}, "phases": PHASES},
}


def keras_part(name: str, **more: Any) -> Part:
    def make() -> KerasLearner:
        return learner(**{"spec": MIXED, "batch_size": 3, **KERAS[name], **more})

    def foreign() -> KerasLearner:
        return learner(MIXED, {"hidden": [3]}, batch_size=3)

    return Part(KerasLearner, make, _trained, 30, foreign, name=name)


def _skip_rate(part: SkipRate, start: int, end: int) -> list[object]:
    part.add(np.where(np.arange(start, end) % 1500 < 900, Skip.NON_FINITE, Skip.NONE).astype(np.uint8))
    return [part.too_high] if end == N else []


def _plateau() -> Plateau:
    return Plateau(MADE[2], 2)


_ANY = "it has one shape: whatever settings made it, its state is of the same kind"
_ANEW = "what belongs to rules begins anew if the rules are others"
PARTS = [
    *(keras_part(name) for name in KERAS),
    Part(ScriptedLearner, lambda: ScriptedLearner(SPEC, [900, "command"]), _scripted, takes_any=_ANY),
    Part(Contest, contest, _contest, 200, foreign=lambda: contest(hidden=3)),
    Part(PairedTest, lambda: PairedTest(0.01), _paired, foreign=lambda: Counters(lead=np.zeros(2))),
    Part(Counters, lambda: Counters(n=np.zeros(1, np.int64)), _count, foreign=lambda: Counters(n=np.zeros(2))),
    counters(BinaryCounts, BinaryCounts, OUTPUTS[:, 0] > 0.5, TRUTH[:, 0], foreign=lambda: ClassCounts(3)),
    counters(ClassCounts, lambda: ClassCounts(3), *CLASSES, foreign=lambda: ClassCounts(4)),
    counters(LabelCounts, lambda: LabelCounts(3), *LABELS, foreign=lambda: LabelCounts(2)),
    counters(ErrorSums, lambda: ErrorSums(2), *VALUES, foreign=lambda: ErrorSums(1)),
    counters(LogLoss, lambda: LogLoss(of_truth=False), OUTPUTS[:, 0], TRUTH[:, 0], foreign=BinaryCounts),
    counters(Auc, Auc, OUTPUTS[:, 0], TRUTH[:, 0], foreign=BinaryCounts),
    counters(CalibrationError, CalibrationError, OUTPUTS[:, 0], TRUTH[:, 0], foreign=BinaryCounts),
    Part(
        Conformal,
        lambda: Conformal(0.9, 2, 0.0),
        _followed(np.abs(VALUES[0].astype(np.float64))),
        foreign=lambda: Conformal(0.9, 1, 0.0),
    ),
    Part(
        Temperature,
        Temperature,
        _followed(np.log(SHARES.astype(np.float64) + 1e-6), COMING, USABLE),
        foreign=lambda: Conformal(0.9, 1, 0.0),
    ),
    Part(
        Threshold,
        lambda: Threshold(None),
        _followed(OUTPUTS[:, 0].astype(np.float64), TRUTH[:, 0], USABLE),
        foreign=Temperature,
    ),
    Part(
        Certainty,
        lambda: Certainty(CERTAIN, Task("binary", 1, 1, ("no", "yes")), [40]),
        _certainty,
        takes_any="what other settings said is begun anew",
    ),
    counters(ElementErrors, ElementErrors, *np.abs(VALUES).astype(np.float64), foreign=BinaryCounts),
    counters(ElementCounts, ElementCounts, SEQUENCES[:, :2], SEQUENCES[:, :2] + 4, foreign=lambda: ClassCounts(3)),
    counters(ElementHits, ElementHits, CLASSES[0][:, None], CLASSES[1][:, None] + 2, foreign=BinaryCounts),
    counters(ElementsLogLoss, ElementsLogLoss, loss_units(OUTPUTS[:, 0]), SEQUENCES + 1, foreign=BinaryCounts),
    baseline(CommonClass, lambda: CommonClass(TAGS), SEQUENCES, lambda: CommonClass(FEWER_TAGS)),
    baseline(ClassShares, lambda: ClassShares(TAGS), SEQUENCES, lambda: ClassShares(FEWER_TAGS)),
    baseline(NoChange, lambda: NoChange(np.zeros((), np.int32)), CLASSES[0], lambda: RunningMean(1)),
    baseline(MajorityClass, lambda: MajorityClass(3), CLASSES[0], lambda: MajorityClass(4)),
    baseline(MajorityLabel, lambda: MajorityLabel((3,)), LABELS[0], lambda: MajorityLabel((2,))),
    baseline(ClassPriors, lambda: ClassPriors(3), CLASSES[0], lambda: ClassPriors(4)),
    baseline(ClassPriors, lambda: ClassPriors(5, learnt=True), COMING, lambda: ClassPriors(4)),
    baseline(Known, Known, COMING, lambda: RunningMean(1)),
    baseline(LabelPriors, lambda: LabelPriors((3,)), LABELS[0], lambda: LabelPriors((2,))),
    baseline(RunningMean, lambda: RunningMean(2), VALUES[0], lambda: RunningMean(1)),
    Part(FiniteMean, FiniteMean, _mean, foreign=lambda: Counters(n=np.zeros(2))),
    Part(
        RecentRows,
        lambda: RecentRows(2, TABLE.shape[1], 8),
        _recent,
        foreign=lambda: RecentRows(3, TABLE.shape[1], 8),
    ),
    Part(Ring, lambda: Ring(70), _ring, takes_any="it takes over the latest rows of a ring of any size"),
    Part(
        Scoreboard,
        lambda: Scoreboard(BINARY, (), None),
        _scoreboard,
        foreign=lambda: Scoreboard(REGRESSION, (), None),
    ),
    Part(
        Prequential,
        lambda: Prequential(BINARY, [40], None),
        _prequential,
        foreign=lambda: Prequential(REGRESSION, [40], None),
    ),
    Part(
        Prequential,
        lambda: Prequential(LEARNT, [40], None),
        lambda part, start, end: _prequential(part, start, end, SHARES, COMING[:, None]),
        foreign=lambda: Prequential(Task("classes", 5, 1), [40], None),
        name="of classes that are learnt",
    ),
    Part(Evaluation, evaluation, _evaluation, foreign=lambda: evaluation(WIDE)),
    Part(Rise, lambda: Rise("adwin", {}), _rise, foreign=lambda: Rise("ddm", {})),
    Part(
        SequentialWatch,
        lambda: SequentialWatch(ADWIN),
        lambda part, start, end: _scan(part, ERRORS, start, end),
        foreign=lambda: SequentialWatch(DDM),
    ),
    Part(
        DistributionWatch,
        lambda: DistributionWatch(PSI, ("a", "b")),
        lambda part, start, end: _scan(part, TABLE, start, end),
        foreign=lambda: DistributionWatch(PSI, ("a",)),
    ),
    Part(
        _Scale,
        _Scale,
        lambda part, start, end: part.apply(np.abs(TABLE[start:end, 0]).astype(np.float64)).tolist(),
        foreign=lambda: Counters(seen=np.zeros(3)),
    ),
    Part(Drift, lambda: Drift(WATCHES, SPEC), _drift, foreign=lambda: Drift(WATCHES, WIDE)),
    Part(
        Watching,
        lambda: Watching(MADE, Drift(WATCHES, SPEC), SPEC, ""),
        _watching,
        foreign=lambda: Watching(MADE, Drift(WATCHES, WIDE), WIDE, ""),
    ),
    Part(
        Reactions,
        lambda: Rig(RULES, WATCHES, ["command"] * 9),
        _rig,
        takes_any=_ANEW,
        without_cuts=lambda rig: State.joined({"rules": rig.reactions.state(), "learner": rig.learner.state()}),
    ),
    Part(Outcomes, Outcomes, _outcomes, takes_any=_ANY),
    Part(
        SkipsInARow,
        lambda: SkipsInARow("update.non_finite", MADE),
        lambda part, start, end: told(part.scan(SKIPS[start:end] > 0, np.arange(start + 1, end + 1))),
        takes_any=_ANY,
    ),
    Part(SkipRate, SkipRate, _skip_rate, takes_any=_ANY),
    Part(
        Plateau,
        _plateau,
        lambda part, start, end: told(part.scan(ERRORS[start:end], np.arange(start + 1, end + 1))),
        takes_any=_ANY,
    ),
    Part(Drop, lambda: Drop(MADE[5], 5, KINDS["binary"]), _drop, 60, takes_any=_ANY),
    Part(SetPlateau, lambda: SetPlateau(MADE[6], 6, ComparedScore.of(MADE[6], SPEC)), _drop, 60, takes_any=_ANY),
    Part(GoodCopy, lambda: GoodCopy(RollBack()), _good_copy, 60, takes_any=_ANY),
    Part(KeptCopy, KeptCopy, _kept_copy, 60, takes_any=_ANY),
    Part(EarlyStop, lambda: EarlyStop(MADE), _early_stop, 60, takes_any=_ANY),
    Part(
        KerasCallbacks,
        lambda: KerasCallbacks(SUPPORT / "own_callbacks.py:fitting", learner(batch_size=10), "holdout", 20),
        _callbacks,
        30,
        takes_any="those of others begin anew",
    ),
    Part(ControlState, ControlState, _control, takes_any=_ANY),
    Part(
        Progress,
        Progress,
        _progress,
        takes_any=_ANY,
        without_cuts=lambda part: State(facts={**part.state().facts, "calls": "numbers the entries of the journal"}),
    ),
]
