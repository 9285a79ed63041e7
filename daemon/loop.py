"""The loop: the daemon as a whole."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog

from learnd.daemon.contracts import Adaptable, DeadLetters, Monitor, Predictions
from learnd.daemon.control.pause import Pause
from learnd.daemon.control.phase_request import PhaseRequest
from learnd.daemon.errors import LearndError, LostError, StoppedError
from learnd.daemon.evaluation.evaluation import Evaluation
from learnd.daemon.evaluation.history import History
from learnd.daemon.foundation.failpoints import failpoint
from learnd.daemon.reactions.reactions import Reactions
from learnd.daemon.state.keeper import Keeper
from learnd.daemon.state.writer import CheckpointWriter
from learnd.daemon.stream.reader import Reader
from learnd.daemon.values import Call, Event, JournalEntry, Rejection

log = structlog.get_logger()

_IDLE_S = 0.2


@dataclass(frozen=True, slots=True)
class Loop:
    """Consumes the stream until it ends or is stopped, and leaves a committed checkpoint."""

    reader: Reader
    learner: Adaptable
    evaluation: Evaluation
    reactions: Reactions
    dead_letters: Sequence[DeadLetters]
    predictions: Predictions | None
    history: History
    keeper: Keeper
    writer: CheckpointWriter
    pause: Pause
    phase_request: PhaseRequest
    monitor: Monitor
    gives_up_lost: bool = False  # whether calls of the journal whose records are gone are given up

    def run(self, stop: Callable[[], bool]) -> None:
        """Resume, then train until `stop()` or the end of the stream. Raises LearndError; nothing is lost by one."""
        with self.writer, self.reader:
            self.resume(stop)
            gc.freeze()  # what TensorFlow has made stays: each full collection would walk it, which takes 0.2 s
            self.reader.start()
            self.monitor.state("consuming")
            while (call := self.next_call(stop)) is not None:
                self.keeper.append_to_journal(call, stop)  # before training, so that a resume repeats it
                if call.next_phase is not None:
                    self.phase_request.done()
                self.train(call)
                self.grant_wishes()
            self.monitor.state("finishing")
            if self.reader.exhausted:
                self._publish(self._with_learner_scores(self.evaluation.at_end(self.learner.predict)))
            self.keeper.finish()

    def resume(self, stop: Callable[[], bool]) -> None:
        """Go back to the newest checkpoint that verifies, and repeat the calls that the journal has after it.

        Raises StoppedError where it is to stop before that is done; the state directory is as it was then.
        """
        self.monitor.state("restoring")
        entries, notes = self.keeper.restore(self.learner.compile)
        self.reader.open(self.keeper.progress.positions, notes)
        repeated = self.repeat(entries, stop)
        self.keeper.go_live()
        self.monitor.happened(self.evaluation.latest())
        self.grant_wishes()
        log.info("consuming", samples=self.keeper.progress.samples, repeated_calls=repeated)

    def repeat(self, entries: Sequence[JournalEntry], stop: Callable[[], bool]) -> int:
        """Train the journal's calls once more, and return how many: those whose records are there."""
        for index, entry in enumerate(entries):
            try:
                call = None if stop() else self.reader.repeat(entry, stop)
            except LostError as error:
                if not self.gives_up_lost:
                    raise
                self.give_up(entries[index:], error)
                return index
            if call is None:
                raise StoppedError(f"stopped while it repeated the journal: {len(entries)} calls. Nothing was changed.")
            self.reactions.forget_pauses()  # they have ended, but perhaps for that of the last call
            self.train(call)
        return len(entries)

    def give_up(self, entries: Sequence[JournalEntry], error: LostError) -> None:
        """Go on ahead of the journal's last calls, whose weights died with the daemon, and cut them anew.

        The segment that begins when this goes live overrules them, ahead of the first call that follows the gap.
        """
        log.error(
            "journal_given_up",
            calls=len(entries),
            first_call=entries[0].number,
            reason=str(error),
            consequence="they are not in the model; what is left of their records trains as new, behind the gap",
        )
        self.reader.open(self.keeper.progress.positions, self.keeper.progress.notes)
        if any(entry.next_phase is not None for entry in entries):
            self.phase_request.write(self.learner.phase)
        self.keeper.save_next()

    def settle(self, stop: Callable[[], bool]) -> None:
        """Repeat the journal's calls, save, and end. Raises as `resume`."""
        with self.writer, self.reader:
            self.resume(stop)
            self.keeper.finish()

    def close(self) -> None:
        """Release the outputs; called once, whatever happened before."""
        for output in self.keeper.outputs.values():
            output.close()

    def next_call(self, stop: Callable[[], bool]) -> Call | None:
        """Wait for the next call; None at the end of the stream, or when it is time to stop.

        Raises what the source raised, or that the model went back too often, after a checkpoint of everything before.
        """
        while True:
            with self._saved_on_error():
                self.reactions.check()  # ahead of any checkpoint of the last call: none but the last one may have it
            self.keeper.save_if_due()
            if stop() or self.reader.exhausted:
                return None
            self.monitor.alive()
            with self._saved_on_error():
                call = None if self._paused() else self.reader.call(self.keeper.progress.samples, _IDLE_S)
            if call is not None:
                request = self.phase_request.pending(self.keeper.progress.phase_request, self.learner.phase)
                return call if request is None else replace(call, next_phase=request)

    def _paused(self) -> bool:
        """Return False at once where there is no pause, True after a moment where there is one."""
        if not self.pause.lasts:
            self.monitor.state("consuming")
            return False
        self.monitor.state("paused")
        time.sleep(_IDLE_S)
        return True

    def train(self, call: Call) -> None:
        """Train a call that is in the journal, and score its predictions."""
        started = time.perf_counter()
        report = self.reactions.update(call)
        failpoint("loop.updated")
        if self.predictions is not None:
            self.predictions.write(call, report, self.keeper.progress.updates)
        self.keeper.progress.add(call, report)
        for dead_letters in self.dead_letters:
            dead_letters.write(call.rejections)
        scores = self._with_learner_scores(self.evaluation.update(call, report, self.learner.predict))
        events, set_aside = self.reactions.finish(call, scores, self.keeper.progress)
        self._set_aside(set_aside)
        self._publish(events)
        self.monitor.call_done(call, report, time.perf_counter() - started)
        failpoint("loop.call.after")

    def grant_wishes(self) -> None:
        """Do what reactions have asked for outside of the model."""
        for wish in self.reactions.take_wishes():
            if wish.action == "pause":
                self.pause.begin(wish.reason)
                self.keeper.save_next()
            else:
                self.keeper.save_next(pin=True)

    @contextmanager
    def _saved_on_error(self) -> Iterator[None]:
        try:
            yield
        except LearndError:
            self.keeper.finish()
            raise

    def _publish(self, events: Sequence[Event]) -> None:
        if events:
            self.history.write(events, time.time())
            self.monitor.happened(events)

    def _set_aside(self, rejections: Sequence[Rejection]) -> None:
        for dead_letters in self.dead_letters:
            dead_letters.write(rejections)

    def _with_learner_scores(self, scores: list[Event]) -> list[Event]:
        """Add the scores that the learner keeps itself, where the settings ask for some."""
        metrics = self.learner.metric_results()
        if not (scores and metrics):
            return scores
        data = {"set": "prequential", "window": "all", "metrics": metrics, "baselines": {}}
        return [*scores, Event("score", self.keeper.progress.samples, data)]
