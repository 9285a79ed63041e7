"""All scores that the loop publishes: prequential, on held-out samples, and on the anchor set. And losses and rates."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from learnd.daemon.contracts import Learner
from learnd.daemon.errors import SettingsError, StateMismatchError
from learnd.daemon.evaluation.certainty.certainty import Certainty
from learnd.daemon.evaluation.certainty.settings import CertaintySettings
from learnd.daemon.evaluation.giving_back import errors_of_giving_back
from learnd.daemon.evaluation.prequential import Prequential
from learnd.daemon.evaluation.ring import Ring
from learnd.daemon.evaluation.scoreboard import Scoreboard
from learnd.daemon.evaluation.sets import Predict, SetScores, predict_all
from learnd.daemon.evaluation.settings import ValidateSettings
from learnd.daemon.foundation.counters import FiniteMean, up_to_multiples
from learnd.daemon.foundation.shares import spending
from learnd.daemon.tasks.behind import Behind, behind
from learnd.daemon.tasks.contract import Better
from learnd.daemon.tasks.scoring import compared_metrics, scoring_of
from learnd.daemon.tasks.tallies import Scores
from learnd.daemon.values import Call, Event, Facts, Report, Said, Samples, SampleSpec, State


class Evaluation:
    """Scores the stream. State and scores are a function of the samples, however these were cut into calls.

    Scores on the holdout and the anchor set are made with the weights at the end of a call, and the course of the
    training is told there. So calls must end with the first update that reaches a multiple of one of `periods`.
    Prequential scores are exact in any case. For the loop's thread only.
    """

    def __init__(
        self,
        settings: ValidateSettings,
        spec: SampleSpec,
        anchor: Samples | None = None,
        *,
        weighs_classes: bool = False,
        certainty: CertaintySettings | None = None,
    ) -> None:
        """`weighs_classes` says whether training does. Raises SettingsError for a metric that the tasks do not have."""
        _check_metrics(settings, spec)
        self._settings = settings
        self._certainty = certainty or CertaintySettings()
        self._spec = spec
        self._weighs_classes = weighs_classes
        self._prequential = self._of_each_target()
        self._held = self._ring()
        self._losses = FiniteMean()  # of the samples since it was last told
        self._anchor = anchor if settings.anchor and anchor and len(anchor) else None
        self.anchor_digest = State(self._anchor.named()).digest() if self._anchor else ""
        self._best_anchor: dict[str, float] = {}
        self._latest: dict[str, Facts] = {}  # the last published scores of each set
        self._published_at = 0  # sample count at which prequential scores were last published

    def _of_each_target(self) -> dict[str, Prequential]:
        how = (self._settings.prequential.windows, self._settings.metrics, self._certainty)
        none = self._spec.zeros(0).inputs
        return {
            target.name: Prequential(target.task, *how, naive=self._spec.naive(target.name, none))
            for target in self._spec.targets
        }

    def _ring(self) -> Ring:
        return Ring(self._settings.holdout.size if self._settings.holdout else 0)

    @property
    def periods(self) -> tuple[int, ...]:
        """Sample counts: a call ends with the first update that reaches a multiple of one of them."""
        return self._settings.periods

    @property
    def certainty(self) -> dict[str, Certainty]:
        """What says something with the predictions of a target, by its name; none where nothing is to be said."""
        return {name: part.certainty for name, part in self._prequential.items() if part.certainty.anything}

    @property
    def shown_metric(self) -> str:
        """The one metric that the display shows."""
        first = self._spec.targets[0]
        shown = scoring_of(first.task).shown_metric
        return shown if len(self._spec.targets) == 1 else f"{first.name}.{shown}"

    @spending("scoring")
    def update(self, call: Call, report: Report, learner: Learner) -> tuple[list[Event], Mapping[str, Said]]:
        """Take in a call. Return the scores that are due, in the order of their sample counts, and what is said with
        the predictions, by target.

        `learner` predicts with the weights at the end of the call, `sets.CHUNK` samples at a time.
        """
        events, said = self._score_predictions(call, report) if call.samples else ([], {})
        self._losses.add(report.loss, call.rows)
        if len(call.held):
            self._held.add(call.held.named())
        holdout, anchor = self._settings.holdout, self._settings.anchor
        if holdout and len(self._held) and call.passes(holdout.every):
            events += self._score_holdout(learner.predict, call.end)
        if anchor and self._anchor and call.passes(anchor.every):
            events += self._score_anchor(learner.predict, call.end)
        if call.passes(self._settings.prequential.every):
            events += self._trained(learner, call.end)
        return [*events, *_kept_by(learner, call.end)] if events else [], said

    def at_end(self, learner: Learner, samples: int) -> list[Event]:
        """Return the scores at the end of the stream, which need not be a multiple of a period."""
        due = self._published_at != samples
        events = list(self._prequential_scores(samples)) if due else []
        if len(self._held) and (due or not self.holdout_scores()):
            events += self._score_holdout(learner.predict, samples)
        if self._anchor and due:
            events += self._score_anchor(learner.predict, samples)
        if due:
            events += self._trained(learner, samples)
        return [*events, *_kept_by(learner, samples)] if events else []

    def went_back(self) -> None:
        """Note that the model is an earlier one: what was published last is not of it."""
        self._published_at = -1

    def scores(self) -> Scores:
        """Return the prequential scores of the whole run, without undefined ones."""
        return _as_one({name: part.overall.scores() for name, part in self._prequential.items()})

    def baselines(self) -> dict[str, Scores]:
        """Return the scores of the baselines over the same samples, by name."""
        return _as_one_each({name: part.overall.baselines() for name, part in self._prequential.items()})

    def window_scores(self, window: int) -> Scores:
        """Return the prequential scores of the latest `window` samples. Takes 1 ms for 10,000 samples."""
        parts = self._prequential.items()
        return _as_one({name: part.window(window).scores() | part.certainty.window(window) for name, part in parts})

    def window_baselines(self, window: int) -> dict[str, Scores]:
        """Return the scores of the baselines over the latest `window` samples, by name."""
        return _as_one_each({name: part.window(window).baselines() for name, part in self._prequential.items()})

    def holdout_scores(self) -> Scores:
        """Return the last published scores of the held-out samples; empty before the first."""
        keys = {name: self._key("holdout", name) for name in self._prequential}
        return _as_one({name: self._latest[key]["metrics"] for name, key in keys.items() if key in self._latest})

    @property
    def holdout_unscored(self) -> str | None:
        """Why there are no scores of held-out samples although some are asked for."""
        if self._settings.holdout is None or self.holdout_scores():
            return None
        if not len(self._held):
            return "no sample was held out"
        return f"the first score comes after {self._settings.holdout.every:,} samples, or when the stream ends"

    def behind(self, least: int) -> list[Behind]:
        """Return where a baseline beats the model over the whole run, once `least` samples are scored."""
        return [
            replace(found, metric=found.metric if len(self._prequential) == 1 else f"{name}.{found.metric}")
            for name, part in self._prequential.items()
            if part.overall.scored >= least
            for found in behind(
                compared_metrics(part.task, weighs_classes=self._weighs_classes),
                part.overall.scores(),
                part.overall.baselines(),
            )
        ]

    def of_a_set(self) -> dict[str, SetScores]:
        """Return what scores samples that do not train, by target, with the baselines as they stand now."""
        metrics, parts = self._settings.metrics, self._prequential.items()
        return {name: SetScores(part.task, part.constants, metrics, part.known, part.naive) for name, part in parts}

    def latest(self, learner: Learner) -> list[Event]:
        """Return the current scores: prequential ones up to now, and those of each set as last published."""
        samples = next(iter(self._prequential.values())).samples
        if not samples:
            return []
        sets = (Event("score", samples, data) for data in self._latest.values())
        return [*self._prequential_events(samples), *sets, *_kept_by(learner, samples)]

    def state(self) -> State:
        parts = {name: part.state() for name, part in self._prequential.items()}
        facts = {
            "shape": self._shape(),
            "latest": dict(self._latest),
            "anchor": self.anchor_digest,
            "best_anchor": dict(self._best_anchor),
            "published_at": self._published_at,
        }
        own = {"prequential": State.joined(parts), "held": self._held.state(), "losses": self._losses.state()}
        return State.joined(own, facts)

    def restore(self, state: State) -> None:
        """Continue from `state`. Sizes of windows and of the holdout may differ: the latest samples are taken over.

        With other anchor samples, the best anchor scores start over.

        Raises StateMismatchError, and changes nothing, if the state is of another task, of other features or of another
        forecast.
        """
        mine, theirs = self._shape(), state.facts.get("shape", {})
        if other := sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)):
            declares, holds = ({name: shape.get(name) for name in other} for shape in (mine, theirs))
            raise StateMismatchError(
                f"evaluation state: the settings declare {declares}, but the checkpoint holds {holds}, so "
                "scores cannot continue; use the settings that made it, or another state directory"
            )
        prequential, held, losses = self._of_each_target(), self._ring(), FiniteMean()
        for name, part in prequential.items():
            part.restore(state.part("prequential").part(name))
        held.restore(state.part("held"))
        if "losses" in state.facts:  # earlier versions kept none
            losses.restore(state.part("losses"))
        self._prequential, self._held, self._losses = prequential, held, losses
        self._latest = dict(state.facts["latest"])
        self._best_anchor = dict(state.facts["best_anchor"]) if state.facts["anchor"] == self.anchor_digest else {}
        self._published_at = state.facts["published_at"]

    def _score_predictions(self, call: Call, report: Report) -> tuple[list[Event], Mapping[str, Said]]:
        """Return scores at each exact multiple of the period, so that they do not depend on where the call ends, and
        what is said with the predictions.
        """
        every = self._settings.prequential.every
        outputs, labels = call.in_a_row(report.outputs), call.in_a_row(call.batches.targets)
        inputs = call.in_a_row(call.batches.inputs)
        naive = {name: self._spec.naive(name, inputs) for name in self._prequential}
        events: list[Event] = []
        said: dict[str, list[Said]] = defaultdict(list)
        for rows in up_to_multiples(call.first, call.samples, every):
            for name, part in self._prequential.items():
                guessed = {baseline: guesses[rows] for baseline, guesses in naive[name].items()}
                if (its := part.add(outputs[name][rows], labels[name][rows], guessed)) is not None:
                    said[name].append(its)
            if (call.first + rows.stop) % every == 0:
                events += self._prequential_scores(call.first + rows.stop)
        given_back = errors_of_giving_back(self._spec, outputs, inputs)
        return events, {**{name: Said.joined(parts) for name, parts in said.items()}, **given_back}

    def _prequential_scores(self, samples: int) -> Iterator[Event]:
        self._published_at = samples
        return self._prequential_events(samples)

    def _prequential_events(self, samples: int) -> Iterator[Event]:
        for name, part in self._prequential.items():
            yield self._event("prequential", "all", name, part.overall, samples)
            for window in self._settings.prequential.windows:
                event = self._event("prequential", window, name, part.window(window), samples)
                metrics = event.data["metrics"] | part.certainty.window(window)
                yield Event(event.kind, samples, {**event.data, "metrics": metrics})

    def _score_holdout(self, predict: Predict, samples: int) -> list[Event]:
        assert self._settings.holdout is not None, "samples are held out"
        held = Samples.of_named(self._held.latest(self._settings.holdout.size))
        return list(self._score_set("holdout", held, predict, samples))

    def _score_anchor(self, predict: Predict, samples: int) -> list[Event]:
        assert self._anchor is not None, "there is an anchor set"
        return list(self._score_set("anchor", self._anchor, predict, samples, self._forgetting))

    def _score_set(
        self, set_: str, of: Samples, predict: Predict, samples: int, more: Callable[[str, Scores], Facts] | None = None
    ) -> Iterator[Event]:
        """Yield the scores of some samples, for each target. `more` adds facts to each event."""
        outputs = predict_all(predict, of.inputs)
        for name, scores in self.of_a_set().items():
            scores.add(outputs[name], of.targets[name], self._spec.naive(name, of.inputs))
            event = self._event(set_, "all", name, scores.board, samples)
            self._latest[self._key(set_, name)] = dict(event.data)
            extra = more(name, event.data["metrics"]) if more is not None else {}
            yield Event(event.kind, samples, {**event.data, **extra})

    def _trained(self, learner: Learner, samples: int) -> Iterator[Event]:
        """Yield how training went since the last time: the mean loss, and the rate of the next update."""
        told = {"loss": self._losses.take(), "learning_rate": learner.learning_rate}
        if finite := {name: value for name, value in told.items() if value is not None and math.isfinite(value)}:
            yield Event("training", samples, finite)

    def _forgetting(self, target: str, scores: Scores) -> Facts:
        """Return the forgetting: how far the anchor score is below the best that the model ever had.

        It is of the first main metric for which higher is better, as Chaudhry et al. (Riemannian Walk for Incremental
        Learning, ECCV 2018) define it for an earlier task.
        """
        kind = scoring_of(self._prequential[target].task)
        rising = (name for name in kind.main_metrics if kind.metrics[name] is Better.HIGHER)
        name = next((name for name in rising if name in scores), None)
        if name is None:
            return {}
        best = self._best_anchor[target] = max(scores[name], self._best_anchor.get(target, -math.inf))
        return {"forgetting": best - scores[name]}

    def _event(self, set_: str, window: int | str, target: str, board: Scoreboard, samples: int) -> Event:
        named = {"target": target} if len(self._prequential) > 1 else {}
        return Event("score", samples, {"set": set_, "window": window, **named, **board.summary()})

    def _key(self, set_: str, target: str) -> str:
        return set_ if len(self._prequential) == 1 else f"{set_} {target}"

    def _shape(self) -> Facts:
        inputs = {part.name: list(part.shape) for part in self._spec.inputs}
        tasks = {part.name: [part.task.kind, part.task.outputs, *part.task.shape] for part in self._spec.targets}
        window = self._spec.window
        windows = {} if window is None else {"samples.window": {"ahead": window.ahead, "season": window.season}}
        return {"inputs": inputs, "targets": tasks, **windows}


def _kept_by(learner: Learner, samples: int) -> Iterator[Event]:
    """Yield the scores from the learner's own Keras metrics, if the settings name any and they are finite, and the
    shares of a mixture and the fill of a memory.
    """
    if metrics := {name: value for name, value in learner.metric_results().items() if math.isfinite(value)}:
        data = {"set": "prequential", "window": "all", "metrics": metrics, "baselines": {}}
        yield Event("score", samples, data)
    if shares := learner.shares():
        yield Event("mixture", samples, {"shares": shares})
    if memory := learner.memory():
        yield Event("memory", samples, memory)


def _as_one(scores: Mapping[str, Scores]) -> Scores:
    """Return the scores of a single target as they are; those of several with the target's name in front."""
    if len(scores) == 1:
        return dict(next(iter(scores.values())))
    return {f"{target}.{name}": value for target, its in scores.items() for name, value in its.items()}


def _as_one_each(baselines: Mapping[str, Mapping[str, Scores]]) -> dict[str, Scores]:
    """Return the scores of each baseline; some targets may lack it."""
    names = dict.fromkeys(name for its in baselines.values() for name in its)
    return {name: _as_one({target: its.get(name, {}) for target, its in baselines.items()}) for name in names}


def _check_metrics(settings: ValidateSettings, spec: SampleSpec) -> None:
    known = dict.fromkeys(name for target in spec.targets for name in scoring_of(target.task).metrics)
    if foreign := [name for name in settings.metrics or () if name not in known]:
        raise SettingsError(
            [
                f"validate.metrics: {name} is not a metric of a {spec.task.kind} task and would never be published; "
                f"choose from {', '.join(known)}"
                for name in foreign
            ]
        )
