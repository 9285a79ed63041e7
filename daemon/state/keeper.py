"""Keeps the state: restores it at the start, saves it while the loop runs, and saves it once more at the end.

A commit has these steps, in this order (`Keeper._protocol`):

1. copy the state, and the marks of the outputs, to memory: the loop waits for this step only;
2. start a new journal segment: the calls from here on come after the new checkpoint;
3. sync the outputs up to their marks;
4. write the checkpoint to a temporary directory, sync it, check that this daemon is still in charge, and rename it;
5. remove the checkpoints and journal segments that are no longer needed;
6. tell the source which positions are safe.

Steps 3 to 5 run on the writer's thread. If one of them fails, the last good checkpoint and the journal after it remain,
so nothing is lost: the failure is reported, training goes on, and the next commit tries again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from learnd.daemon.contracts import Monitor, Output, Source, Stateful
from learnd.daemon.errors import FencedError, OutputError, StoreError
from learnd.daemon.foundation.failpoints import failpoint
from learnd.daemon.foundation.shares import spending
from learnd.daemon.state import retention
from learnd.daemon.state.journal import Journal
from learnd.daemon.state.lock import StateLock
from learnd.daemon.state.outputs import Outputs
from learnd.daemon.state.progress import Progress
from learnd.daemon.state.saving import SaveRequest
from learnd.daemon.state.settings import CheckpointSettings
from learnd.daemon.state.settings_record import write_settings_record
from learnd.daemon.state.store import Checkpoint, CheckpointStore
from learnd.daemon.state.writer import PATIENCE_S, CheckpointWriter, Commit
from learnd.daemon.values import Call, Event, Facts, JournalEntry, Note, Positions, State, finite

log = structlog.get_logger()

_RETRY_S = 5.0  # between a failed checkpoint and the next try, if somebody asked for a checkpoint


@dataclass(kw_only=True)
class Keeper:
    """The state of one run. For the loop's thread only."""

    parts: Mapping[str, Stateful]  # `learner` holds the variables that enter the digest
    progress: Progress
    outputs: Outputs
    describe: Callable[[], Facts]  # further facts for the manifest: scores, the settings' fingerprint
    source: Source
    store: CheckpointStore
    journal: Journal
    writer: CheckpointWriter
    lock: StateLock
    monitor: Monitor
    saving: SaveRequest
    settings: CheckpointSettings
    root: Path
    settings_record: Facts  # kept in `root` for the daemon that repeats the journal
    trained_with: Facts  # digests of what the model depends on beside the stream, by plural names
    newest: Facts | None = field(default=None, init=False)  # the manifest of the newest checkpoint
    _new_output: bool = field(default=False, init=False)  # whether the restored checkpoint has no mark of one
    _sequence: int = field(default=0, init=False)
    _failed: Exception | None = field(default=None, init=False)  # why the last commit did not reach the disk
    _saved_calls: int = field(default=0, init=False)  # at the last commit
    _saved_samples: int = field(default=0, init=False)
    _saved_at_s: float = field(default_factory=time.monotonic, init=False)

    def restore(self, ready: Callable[[], None]) -> tuple[list[JournalEntry], list[Note]]:
        """Restore the newest checkpoint that verifies. Return the journal's calls after it, and every note so far.

        `ready` is called before anything on disk changes, except that broken checkpoints are set aside. Raises what
        `ready` raises, StoreError if no checkpoint verifies, and StateMismatchError if the checkpoint does not fit the
        model.
        """
        checkpoint = self.store.newest()
        if checkpoint is not None:
            self._take_up(checkpoint)
        ready()
        marks = checkpoint.state.facts["marks"] if checkpoint else {}
        for name, output in self.outputs.by_name.items():
            place, mark = marks.get(name, (None, None))
            known = place == self._place(output)
            self._new_output = self._new_output or not known
            output.open(mark if known else None)
        if checkpoint is not None:
            self._announce_checkpoint(checkpoint.manifest)  # its line follows its marks, so it was just cut off
        entries = self.journal.read(self.progress.calls)
        self._check_origin_of(entries)
        return entries, [*self.progress.notes, *[note for entry in entries for note in entry.notes]]

    def go_live(self) -> None:
        """Take charge of the state directory, after the journal's calls were repeated. Raises StoreError."""
        try:
            self.lock.begin_epoch(self._sequence + 1, max(self.store.highest_epoch, self.journal.highest_epoch))
            write_settings_record(self.root, self.settings_record)
            self._start_segment()
        except OSError as error:
            raise StoreError(
                f"the state directory cannot be written: {error}. Nothing new was trained. Make room or repair the "
                "disk."
            ) from error
        if self.newest is None or self._new_output:
            self._commit()  # to fall back to; and an output without a mark would be written again by each repetition
            self._take_results(self.writer.results(wait=True))
            if self.newest is None:
                raise self._not_written("the first checkpoint could not be written. Nothing new was trained.")

    @spending("writing")
    def append_to_journal(self, call: Call, give_up: Callable[[], bool]) -> None:
        """Write the journal entry of a call that is about to run. Raises StoreError if it cannot be written."""
        blocked = False

        def waiting() -> bool:
            nonlocal blocked
            if not blocked:
                self.monitor.journal_blocked(f"there is no room for the journal in {self.root}")
            blocked = True
            self.monitor.alive()
            return give_up()

        self.journal.append(JournalEntry.of(self.progress.calls, call), waiting)
        if blocked:
            self.monitor.journal_blocked(None)

    def take_up(self, settings: CheckpointSettings, record: Facts) -> None:
        """Save as these settings say from now on, and remember the record of all settings.

        Raises StoreError if the record cannot be written, and FencedError if another daemon took over: nothing has
        changed then.
        """
        self.lock.check()
        try:
            write_settings_record(self.root, record)
        except OSError as error:
            raise StoreError(f"the state directory cannot be written: {error}. Nothing was changed.") from error
        self.settings, self.settings_record = settings, record

    @spending("saving")
    def save_if_due(self) -> None:
        """Commit if enough samples or seconds have passed, or if somebody asked for it.

        Raises FencedError if another daemon took over, and OutputError if an output has failed for good.
        """
        self._take_results(self.writer.results())
        if not self.writer.busy and self._is_due(time.monotonic() - self._saved_at_s):
            self._commit()

    def _is_due(self, seconds: float) -> bool:
        """Whether to commit, `seconds` after the last try."""
        if self.saving.wanted:
            return self._failed is None or seconds >= _RETRY_S
        if self.progress.calls == self._saved_calls and self._failed is None:
            return False
        every = self.settings.every
        return self.progress.samples - self._saved_samples >= every.samples or seconds >= every.seconds

    def finish(self) -> None:
        """Save a checkpoint of the state at which the loop stopped. Raises StoreError if it cannot be written."""
        self._take_results(self.writer.results(wait=True))
        unsaved = self.progress.calls != self._saved_calls or self._failed is not None or self.saving.wanted
        if unsaved and not self.writer.busy:
            self._commit()
            self._take_results(self.writer.results(wait=True))
        if self._failed is not None or self.writer.busy:
            raise self._not_written(
                "the last checkpoint could not be written. The one before it and the journal are complete: the next "
                "start repeats the calls since then."
            )
        self.journal.close()

    def finish_if_possible(self) -> None:
        """Save as `finish` does. If that fails it is only logged: the error that stops the loop tells more."""
        try:
            self.finish()
        except StoreError as error:
            log.warning("last_checkpoint_failed", reason=str(error))

    def _not_written(self, consequence: str) -> StoreError:
        way_out = "" if isinstance(self._failed, StoreError) else ". Make room or repair the disk."
        why = self._failed or f"the disk takes longer than {PATIENCE_S:g} s"
        return StoreError(f"{consequence} Reason: {why}{way_out}")

    @property
    def saved(self) -> Facts | None:
        """The manifest of the checkpoint of the current state; None if the last one is older, or failed."""
        whole = self._failed is None and not self.writer.busy and self.progress.calls == self._saved_calls
        return self.newest if whole else None

    def _take_up(self, checkpoint: Checkpoint) -> None:
        for name, part in self.parts.items():
            part.restore(checkpoint.state.part(name))
        self.newest = checkpoint.manifest
        self._sequence = checkpoint.sequence
        self._remember_commit()
        self.monitor.resumed(checkpoint.manifest, self.progress.samples, self.progress.rejected.total())

    # Committing.

    def _commit(self) -> None:
        """Run the protocol's first steps on this thread, then pass it on to the writer's thread."""
        started = time.perf_counter()
        self._remember_commit()
        commit = Commit(self._manifest(pin=self.saving.take()), iter(()))
        commit.steps = self._protocol(commit)
        try:
            next(commit.steps)
        except StoreError as error:
            commit.error = error
            self._take_results([commit])
            return
        self.writer.submit(commit)
        self.monitor.checkpoint_begun(time.perf_counter() - started)

    def _protocol(self, commit: Commit) -> Iterator[None]:
        """The steps of a commit, numbered as in this module's docstring. Each `yield` changes the thread."""
        # 1. Copy.
        marks = {name: (self._place(output), output.mark()) for name, output in self.outputs.by_name.items()}
        state = State.joined({name: part.state() for name, part in self.parts.items()}, {"marks": marks})
        stream_facts = self.progress.stream_facts()
        # 2. Start a new journal segment.
        self._sequence += 1
        self._try_to_start_segment()
        yield  # to the writer's thread
        # 3. Sync the outputs.
        failpoint("writer.outputs.before")
        for output in self.outputs.by_name.values():
            output.sync()
        # 4. Write the checkpoint. Check the lock once more: a checkpoint that is published too late is ignored.
        commit.manifest = _completed(commit.manifest, state.part("learner"), stream_facts)
        commit.size = self.store.write(state, commit.manifest, self.lock.check)
        self.lock.check()
        # 5. Remove what is no longer needed.
        failpoint("writer.prune.before")
        needed = self._prune()
        yield  # back to the loop's thread
        # 6. Tell the source.
        self.newest = commit.manifest
        self._announce_checkpoint(commit.manifest)
        self.source.commit(commit.manifest["positions"], needed)

    def _take_results(self, commits: Sequence[Commit]) -> None:
        """Take in the results of commits. Raises FencedError or OutputError, after which nothing could be saved."""
        for commit in commits:
            self.monitor.checkpoint_done(commit.manifest, commit.seconds, commit.size, commit.error)
            self._failed = commit.error
            if commit.error is None:
                next(commit.steps, None)
                continue
            if isinstance(commit.error, FencedError | OutputError):
                raise commit.error
            if commit.manifest["pin"]:
                self.saving.ask(pin=True)
            self._log_failure(commit)

    def _prune(self) -> Positions:
        """Remove what is no longer needed. Return the positions of the oldest checkpoint that a fallback may need.

        A failure here costs only disk space.
        """
        try:
            manifests = self.store.manifests()
            names = retention.newest(manifests, self.settings)
            self.store.prune([*names, *retention.best(manifests, self.settings)], self.lock.epoch)
            oldest = manifests[names[-1]]
            self.journal.prune(int(oldest["calls"]))
            return dict(oldest["positions"])
        except (OSError, StoreError) as error:
            log.warning("checkpoints_not_pruned", reason=str(error), consequence="old checkpoints stay on disk")
            return {}

    def _place(self, output: Output) -> str:
        """Return the place of an output: relative if it is inside the state directory, which may be moved."""
        path = Path(output.place)
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def _start_segment(self) -> None:
        self.journal.start_segment(self._sequence, self.lock.epoch, self.progress.calls, self.trained_with)

    def _try_to_start_segment(self) -> None:
        try:
            self._start_segment()
        except OSError as error:  # the old segment will do: calls are found by their numbers
            log.warning("journal_segment_not_started", reason=str(error), consequence="the last segment goes on")

    def _check_origin_of(self, entries: Sequence[JournalEntry]) -> None:
        """Raise StoreError if a call was written with other settings, say, since these would train it differently."""
        foreign = next((entry for entry in entries if entry.trained_with != self.trained_with), None)
        if foreign is not None:
            names = foreign.trained_with.keys() | self.trained_with.keys()
            other = sorted(name for name in names if foreign.trained_with.get(name) != self.trained_with.get(name))
            raise StoreError(
                f"{self.root}: call {foreign.number} and later ones in the journal were made with other "
                f"{' and '.join(other)}, and would train differently now. Nothing was changed. Start "
                "once with the old ones (those of the checkpoint before that call), stop, and change them then."
            )

    def _remember_commit(self) -> None:
        self._saved_calls = self.progress.calls
        self._saved_samples = self.progress.samples
        self._saved_at_s = time.monotonic()

    def _manifest(self, *, pin: bool) -> Facts:
        """Return the manifest of the next checkpoint, without its digest."""
        return {
            "sequence": self._sequence + 1,
            "epoch": self.lock.epoch,
            "parent": None if self.newest is None else self.newest["sequence"],
            "created_s": time.time(),
            "calls": self.progress.calls,
            "samples": self.progress.samples,
            "samples_trained": self.progress.samples_trained,
            "positions": dict(self.progress.positions),
            "ranges": self.progress.ranges(),
            "pin": pin,
            **self.describe(),
        }

    def _announce_checkpoint(self, manifest: Facts) -> None:
        data = {key: manifest[key] for key in ("sequence", "digest")}
        self.outputs.tell([Event("checkpoint", manifest["samples"], data)])

    def _log_failure(self, commit: Commit) -> None:
        log.error(
            "checkpoint_failed",
            sequence=commit.manifest["sequence"],
            reason=str(commit.error),
            consequence="training goes on; a restart would repeat more calls",
        )


def _completed(manifest: Facts, learner: State, stream_facts: Facts) -> Facts:
    """Add what takes long to compute: the digest, the list of variables, and whether all of them are finite."""
    described = [[name, list(array.shape), array.dtype.name] for name, array in sorted(learner.arrays.items())]
    good = manifest.get("good", True) and finite(learner.arrays)
    digest = State(learner.arrays, stream_facts).digest()
    return {**manifest, "digest": digest, "variables": described, "good": good}
