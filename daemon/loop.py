"""The loop: the daemon as a whole."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import structlog

from learnd.daemon.contracts import Contested, Monitor
from learnd.daemon.control.control_state import ControlState
from learnd.daemon.control.inbox import Inbox
from learnd.daemon.errors import LearndError, LostError, StoppedError
from learnd.daemon.evaluation.evaluation import Evaluation
from learnd.daemon.foundation.failpoints import failpoint
from learnd.daemon.reactions.reactions import Reactions
from learnd.daemon.state.keeper import Keeper
from learnd.daemon.state.outputs import Outputs
from learnd.daemon.state.progress import Progress
from learnd.daemon.stream.reader import Reader
from learnd.daemon.training.trainer import Trainer
from learnd.daemon.values import Ahead, Call, Event, JournalEntry, Report

log = structlog.get_logger()

_IDLE_S = 0.2


@dataclass(frozen=True, slots=True)
class Loop:
    """Consumes the stream until it ends or the loop is stopped, and leaves a committed checkpoint."""

    reader: Reader
    learner: Contested
    trainer: Trainer
    evaluation: Evaluation
    reactions: Reactions
    progress: Progress
    control: ControlState
    inbox: Inbox
    outputs: Outputs
    keeper: Keeper
    monitor: Monitor
    ahead: Ahead = tuple  # carries out what a repetition could not
    gives_up_lost: bool = False  # whether to give up journaled calls whose records are no longer in the source

    def run(self, stop: Callable[[], bool]) -> None:
        """Resume, then train until `stop()` or the end of the stream. Raises LearndError; nothing is lost then."""
        with self._running():
            self.start_up(stop)
            self.main_loop(stop)
            self.shut_down()

    def settle(self, stop: Callable[[], bool]) -> None:
        """Repeat the journal's calls, save, and end. Raises as `run`."""
        with self._running():
            self.resume(stop)
            self.keeper.finish()

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Start the writer, and at the end stop everything, whatever happened. Every wait has a time limit.

        1. The reader and then its source, since nobody takes their calls any more.
        2. The writer, after the last checkpoint.
        3. The outputs: the writer syncs them as part of a checkpoint, so they stay open until it has stopped.
        """
        with ExitStack() as stops:
            stops.callback(self.outputs.close)  # 3.
            stops.callback(self.keeper.writer.stop)  # 2.
            stops.callback(self.reader.stop)  # 1.
            self.keeper.writer.start()
            yield

    def start_up(self, stop: Callable[[], bool]) -> None:
        """Resume, and start to read new records."""
        self.resume(stop)
        gc.freeze()  # TensorFlow's objects live on: without this, each full collection visits them, which takes 0.2 s
        self.reader.start()

    def main_loop(self, stop: Callable[[], bool]) -> None:
        """Train call by call."""
        while (call := self.next_call(stop)) is not None:
            self.keeper.append_to_journal(call, stop)  # before it runs, so that a resume repeats it
            self.inbox.remove(call.commands)
            self.train(call)

    def shut_down(self) -> None:
        """Publish the last scores if the stream has ended, or a rule has ended the run, and save."""
        self.monitor.state("finishing")
        if self.reader.exhausted or self.reactions.stopped:
            self._publish(self.evaluation.at_end(self.learner, self.progress.samples))
        self.keeper.finish()
        if self.reader.exhausted:
            self.reactions.check_end()

    def resume(self, stop: Callable[[], bool]) -> None:
        """Restore the newest checkpoint that verifies, and repeat the journal's calls after it. Raises as `repeat`."""
        self.monitor.state("restoring")
        entries, notes = self.keeper.restore(self.learner.compile)
        self.trainer.check_model_of(entries)
        self.reader.open(self.progress.positions, notes, self.progress.past)
        with self.reactions.repeating():
            repeated = self.repeat(entries, stop)
        self.keeper.go_live()
        log.info("consuming", samples=self.progress.samples, repeated_calls=repeated)

    def repeat(self, entries: Sequence[JournalEntry], stop: Callable[[], bool]) -> int:
        """Train the journal's calls again, up to the first with lost records; return how many. Raises StoppedError."""
        for index, entry in enumerate(entries):
            try:
                call = None if stop() else self.reader.repeat(entry, self.progress.samples, stop)
            except LostError as error:
                if not self.gives_up_lost:
                    raise
                self.give_up(entries[index:], error)
                return index
            if call is None:
                raise StoppedError(f"stopped while repeating the journal: {len(entries)} calls. Nothing was changed.")
            self.train(call)
        return len(entries)

    def give_up(self, entries: Sequence[JournalEntry], error: LostError) -> None:
        """Continue without the journal's last calls: a new segment overrides them, and what is left is cut anew."""
        log.error(
            "journal_given_up",
            calls=len(entries),
            first_call=entries[0].number,
            reason=str(error),
            consequence="they are not in the model; the records that are left train as new ones, after the gap",
        )
        self.reader.open(self.progress.positions, self.progress.notes, self.progress.past)
        self.inbox.put_back(command for entry in entries for command in entry.commands)
        self.keeper.saving.ask()

    def next_call(self, stop: Callable[[], bool]) -> Call | None:
        """Wait for the next call; None at the end, or if `stop()` is true. What is raised is raised after a save."""
        while True:
            with self._saved_on_error():
                self.reactions.check()  # before any other checkpoint: if this raises, only the final one has this state
                if self.control.paused is not None:
                    self.reader.check()
            self.keeper.save_if_due()
            if stop():
                return None
            self.monitor.alive()
            with self._saved_on_error():
                call = self._next_records()
            if commands := self.ahead(self.inbox.new(self.control)):
                return replace(call or self.reader.empty_call(self.progress.samples), commands=commands)
            if call is not None or self.reader.exhausted or self.reactions.stopped:
                return call

    def _next_records(self) -> Call | None:
        """Return the next call of records; None after a moment if there are none, or if training is paused or over."""
        if self.control.paused is None:
            self.monitor.state("consuming")
            return None if self.reactions.stopped else self.reader.call(self.progress.samples, _IDLE_S)
        self.monitor.state("paused")
        time.sleep(_IDLE_S)
        return None

    def train(self, call: Call) -> None:
        """Train a call that is in the journal, watch its updates, react, and score its predictions."""
        started = time.perf_counter()
        call = self.progress.with_classes(call)
        self.reactions.begin(call)
        reports = []
        for part in self.trainer.parts(call):
            reports.append(part.report)
            self.reactions.react(part)
        report = Report.joined(reports)
        failpoint("loop.updated")
        scores, said = self.evaluation.update(call, report, self.learner)
        self.outputs.predicted(call, replace(report, said=said), self.progress.updates)
        self.progress.add(call, report)
        self.outputs.set_aside(call.rejections)
        events, taken_back = self.reactions.finish(call, scores)
        self.outputs.set_aside(taken_back)
        if taken_back or self.reactions.ended_by_callbacks:
            self.evaluation.went_back()
        self._publish(events)
        self.reader.measured(call.updates, seconds := time.perf_counter() - started)
        self.monitor.call_done(call, report, seconds)
        failpoint("loop.call.after")

    @contextmanager
    def _saved_on_error(self) -> Iterator[None]:
        try:
            yield
        except LearndError:
            self.keeper.finish_if_possible()
            raise

    def _publish(self, events: Sequence[Event]) -> None:
        self.outputs.tell(events)
        self.monitor.happened(events)
