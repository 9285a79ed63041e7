"""Keeps the state: takes it up at the start, saves it while the loop runs, and leaves it whole at the end.

To commit is, in this order:

1. copy the state, and the marks of the outputs, to memory (the loop stands still for this alone);
2. start a new journal segment: the calls from here on come after the new checkpoint;
3. on the writer's thread: sync the outputs, write the checkpoint, remove what nothing needs any more;
4. back in the loop: tell the source which positions are safe.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog

from learnd.daemon.contracts import Monitor, Output, Source, Stateful
from learnd.daemon.errors import FencedError, OutputError, StoreError
from learnd.daemon.state.digest import digest
from learnd.daemon.state.journal import Journal
from learnd.daemon.state.lock import StateLock
from learnd.daemon.state.progress import Progress
from learnd.daemon.state.settings import CheckpointEvery
from learnd.daemon.state.settings_record import write_settings_record
from learnd.daemon.state.store import Checkpoint, CheckpointStore
from learnd.daemon.state.writer import CheckpointWriter, Snapshot, Written
from learnd.daemon.values import Arrays, Call, Event, Facts, JournalEntry, Note, finite

log = structlog.get_logger()


@dataclass(kw_only=True)
class Keeper:
    """The state of one run. All methods are for the loop's thread."""

    parts: Mapping[str, Stateful]  # the one called `learner` holds the variables of the digest
    outputs: Mapping[str, Output]
    describe: Callable[[], Facts]  # what a manifest says beside the state: scores, the settings' fingerprint
    source: Source
    store: CheckpointStore
    journal: Journal
    writer: CheckpointWriter
    lock: StateLock
    monitor: Monitor
    every: CheckpointEvery
    root: Path
    announce: Callable[[Event], None]  # writes a line of the history
    settings_record: Facts  # remembered in `root` for whoever has to repeat the journal
    progress: Progress = field(default_factory=Progress, init=False)
    newest: Facts | None = field(default=None, init=False)  # the manifest of the newest checkpoint
    _sequence: int = field(default=0, init=False)
    _failed: Exception | None = field(default=None, init=False)  # why the last commit did not reach the disk
    _soon: bool = field(default=False, init=False)  # save as soon as may be
    _pin: bool = field(default=False, init=False)  # and keep that one for good
    _saved_calls: int = field(default=0, init=False)  # at the last commit
    _saved_samples: int = field(default=0, init=False)
    _saved_at_s: float = field(default_factory=time.monotonic, init=False)

    def restore(self, ready: Callable[[], None]) -> tuple[list[JournalEntry], list[Note]]:
        """Take up the newest checkpoint that verifies. Return the journal's calls after it, and every note so far.

        `ready` is called before anything on disk changes. Raises what it raises, StoreError where no checkpoint
        verifies, StateMismatchError where it is of another model.
        """
        checkpoint = self.store.newest()
        if checkpoint is not None:
            self._take_up(checkpoint)
        ready()
        marks = checkpoint.facts["marks"] if checkpoint else {}
        for name, output in self.outputs.items():
            place, mark = marks.get(name, (None, None))
            output.open(mark if place == self._place(output) else None)
        if checkpoint is not None:
            self._announce_checkpoint(checkpoint.manifest)  # its line came after its own marks
        entries = self.journal.read(self.progress.calls)
        self._check_settings_of(entries)
        return entries, [*self.progress.notes, *[note for entry in entries for note in entry.notes]]

    def go_live(self) -> None:
        """Take charge of the state from here on: the journal's calls have been repeated. Raises StoreError."""
        try:
            self.lock.begin_epoch(self._sequence + 1, max(self.store.highest_epoch, self.journal.highest_epoch))
            write_settings_record(self.root, self.settings_record)
            self._start_segment()
        except OSError as error:
            raise StoreError(
                f"the state directory cannot be written: {error}. Nothing new was trained. Make room or mend the disk."
            ) from error
        if self.newest is None:
            self._commit()  # so that even the first checkpoint has one to fall back to
            self._take_results(self.writer.results(wait=True))

    def append_to_journal(self, call: Call, give_up: Callable[[], bool]) -> None:
        """Write down a call that is about to run. Raises StoreError where that is not possible."""

        def waiting() -> bool:
            self.monitor.alive()
            return give_up()

        self.journal.append(JournalEntry.of(self.progress.calls, call), waiting)

    def save_next(self, *, pin: bool = False) -> None:
        """Save as soon as no checkpoint is being written; where it is to `pin`, keep that one for good."""
        self._soon = True
        self._pin = self._pin or pin

    def save_if_due(self) -> None:
        """Commit when enough samples or seconds went by.

        Raises FencedError when another daemon took over, OutputError where no waiting will bring a checkpoint.
        """
        self._take_results(self.writer.results())
        if self._soon and not self.writer.busy:
            self._commit()
        if (self.progress.calls == self._saved_calls and self._failed is None) or self.writer.busy:
            return
        due = self.progress.samples - self._saved_samples >= self.every.samples
        if due or time.monotonic() - self._saved_at_s >= self.every.seconds:
            self._commit()

    def finish(self) -> None:
        """Leave a checkpoint of where the loop stopped. Raises StoreError where it cannot be written."""
        self._take_results(self.writer.results(wait=True))
        if self.progress.calls != self._saved_calls or self._failed is not None or self._soon:
            self._commit()
            self._take_results(self.writer.results(wait=True))
            if self._failed is not None:
                way_out = "" if isinstance(self._failed, StoreError) else ". Make room or mend the disk."
                raise StoreError(
                    "the last checkpoint could not be written. The one before it and the journal are whole: the next "
                    f"start repeats the calls since then. What was in the way: {self._failed}{way_out}"
                )
        self.journal.close()

    @property
    def saved(self) -> Facts | None:
        """Return the manifest of the checkpoint of right now; None where the last one is older, or failed."""
        whole = self._failed is None and not self.writer.busy and self.progress.calls == self._saved_calls
        return self.newest if whole else None

    def _take_up(self, checkpoint: Checkpoint) -> None:
        for name, part in self.parts.items():
            if name not in checkpoint.facts:
                continue  # it was made before there was this part
            part.restore(_under(f"{name}/", checkpoint.arrays), checkpoint.facts[name])
        self.progress = Progress.of(checkpoint.facts["progress"])
        self.newest = checkpoint.manifest
        self._sequence = checkpoint.sequence
        self._remember_commit()
        self.monitor.resumed(checkpoint.manifest, self.progress.samples, self.progress.rejected.total())

    def _commit(self) -> None:
        started = time.perf_counter()
        self._remember_commit()
        try:
            marks = {name: (self._place(output), output.mark()) for name, output in self.outputs.items()}
        except StoreError as error:
            self._take_results([Written(self._manifest(), 0.0, 0, error)])
            return
        self.writer.submit(self._snapshot(marks))
        self._soon = self._pin = False
        self._sequence += 1
        try:
            self._start_segment()
        except OSError as error:  # the old segment serves as well: calls are found by their numbers
            log.warning("journal_segment_not_started", reason=str(error), consequence="the last one goes on")
        self.monitor.checkpoint_begun(time.perf_counter() - started)

    def _place(self, output: Output) -> str:
        """Return where an output goes: as seen from the state directory if it is in there, since that may move."""
        path = Path(output.place)
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def _start_segment(self) -> None:
        fingerprint = self.settings_record["fingerprint"]
        self.journal.start_segment(self._sequence, self.lock.epoch, self.progress.calls, fingerprint)

    def _check_settings_of(self, entries: Sequence[JournalEntry]) -> None:
        """Raise StoreError where a call was written under settings that would train it otherwise."""
        foreign = next((entry for entry in entries if entry.settings != self.settings_record["fingerprint"]), None)
        if foreign is not None:
            raise StoreError(
                f"{self.root}: call {foreign.number} and later ones in the journal were made under other settings than "
                "these, and would train otherwise now. Nothing was changed. Start once with the settings of that time "
                "(those of the checkpoint before it), stop, and change them then."
            )

    def _remember_commit(self) -> None:
        self._saved_calls = self.progress.calls
        self._saved_samples = self.progress.samples
        self._saved_at_s = time.monotonic()

    def _snapshot(self, marks: Facts) -> Snapshot:
        arrays: Arrays = {}
        facts: Facts = {"progress": self.progress.facts(), "marks": marks}
        for name, part in self.parts.items():
            part_arrays, facts[name] = part.state()
            arrays.update({f"{name}/{key}": value for key, value in part_arrays.items()})
        return Snapshot(arrays, facts, self._manifest(), partial(_seal, arrays, self.progress.stream_facts()))

    def _manifest(self) -> Facts:
        """Describe the checkpoint to come, but for its digest."""
        return {
            "sequence": self._sequence + 1,
            "epoch": self.lock.epoch,
            "parent": None if self.newest is None else self.newest["sequence"],
            "created_s": time.time(),
            "calls": self.progress.calls,
            "samples_trained": self.progress.samples_trained,
            "positions": dict(self.progress.positions),
            "ranges": self.progress.ranges(),
            "pin": self._pin,
            **self.describe(),
        }

    def _take_results(self, results: Sequence[Written]) -> None:
        """Learn what became of checkpoints. Raises FencedError, OutputError: to go on would be of no use."""
        for written in results:
            self.monitor.checkpoint_done(written.manifest, written.seconds, written.size, written.error)
            self._failed = written.error
            if isinstance(written.error, FencedError | OutputError):
                raise written.error
            if written.error is None:
                self.newest = written.manifest
                self._announce_checkpoint(written.manifest)
                self.source.commit(written.manifest["positions"], written.needed_positions)
            else:
                self._soon = self._pin = self._pin or written.manifest["pin"]
                self._log_failure(written)

    def _announce_checkpoint(self, manifest: Facts) -> None:
        data = {key: manifest[key] for key in ("sequence", "digest")}
        self.announce(Event("checkpoint", manifest["samples_trained"], data))

    def _log_failure(self, written: Written) -> None:
        log.error(
            "checkpoint_failed",
            sequence=written.manifest["sequence"],
            reason=str(written.error),
            consequence="training goes on; a restart would repeat more of the stream",
        )


def learner_part(checkpoint: Checkpoint) -> tuple[Arrays, Facts]:
    """Return what the learner restores from a checkpoint."""
    return _under("learner/", checkpoint.arrays), checkpoint.facts["learner"]


def _under(prefix: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _seal(arrays: Arrays, stream_facts: Facts, manifest: Facts) -> Facts:
    """Add to a manifest what takes long to compute: the digest, what the variables are, and whether all are finite."""
    variables = _under("learner/", arrays)
    described = [[name, list(array.shape), array.dtype.name] for name, array in sorted(variables.items())]
    good = manifest.get("good", True) and finite(variables)
    return {**manifest, "digest": digest(variables, stream_facts), "variables": described, "good": good}
