"""`learnd evaluate`: how well the model of a checkpoint does on labelled records that it does not train on."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from learnd.daemon.config.place import settings_of_state, state_at
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import DataError
from learnd.daemon.operate.summary import score_lines, to_json
from learnd.daemon.state.look import checkpoint_of
from learnd.daemon.stream.decoding.declared import missing_columns
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.tasks.contract import ErrorRange
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.values import Facts, Past
from learnd.daemon.verbs.checkpoints import SequenceOption, restored_evaluation, restored_learner
from learnd.daemon.verbs.given import Place, Records, blocks_of
from learnd.daemon.verbs.options import AsJson

if TYPE_CHECKING:
    from learnd.daemon.evaluation.by_class import ByClass, OfClass
    from learnd.daemon.evaluation.sets import SetScores
    from learnd.daemon.state.store import Checkpoint

verb = typer.Typer()

_MOST_SHOWN = 12  # classes, of which the table says what was predicted for which


@verb.command()
def evaluate(place: Place, file: Records = None, sequence: SequenceOption = None, as_json: AsJson = False) -> None:
    """Score the model on labelled records, beside what its baselines say, without training on them.

    A record that cannot be decoded is in no score; standard error says why, and the exit code is 65.
    """
    root = state_at(place)
    settings = settings_of_state(root)  # those that the model was trained with
    checkpoint = checkpoint_of(root, sequence)
    scored = Scored.nothing(settings, checkpoint)
    try:
        scored.add_all(root, checkpoint, settings, file)
    finally:  # what could be decoded is told, also if something could not
        if scored.records:
            print(to_json(scored.facts()) if as_json else scored.text())


@dataclass(slots=True)
class _Target:
    """The scores of one target."""

    scores: SetScores
    by_class: ByClass | None
    names: Sequence[str]

    def name_of(self, index: int) -> str:
        return self.names[index] if index < len(self.names) else str(index)

    def classes(self) -> list[OfClass]:
        return [] if self.by_class is None else self.by_class.classes(self.name_of)

    def facts(self) -> Facts:
        found = self.scores.board.summary()
        if self.by_class is None:
            return found
        classes = {
            one.name: {name: value for name, value in one.facts().items() if name != "name"} for one in self.classes()
        }
        return {**found, "classes": classes, "confusion": self.by_class.confusion(self.name_of)}


@dataclass(slots=True)
class Scored:
    """What was found on the records so far."""

    sequence: int
    samples_trained: int
    targets: Mapping[str, _Target]
    records: int = 0

    @classmethod
    def nothing(cls, settings: Settings, checkpoint: Checkpoint) -> Scored:
        """Return what is there before the first record."""
        from learnd.daemon.evaluation.by_class import ByClass

        targets = {}
        learnt = checkpoint.manifest["classes"]
        for name, scores in restored_evaluation(settings, checkpoint).of_a_set().items():
            kind = KINDS[scores.task.kind]
            names = learnt or scores.task.names
            of_numbers = kind.error_range is ErrorRange.UNBOUNDED
            counts = None if of_numbers else ByClass(of_elements=bool(scores.task.shape))
            targets[name] = _Target(scores, counts, names)
        manifest = checkpoint.manifest
        return cls(manifest["sequence"], manifest["samples_trained"], targets)

    def add_all(self, root: Path, checkpoint: Checkpoint, settings: Settings, file: Path | None) -> None:
        """Score all records of a file, or of standard input. Raises as `blocks_of`, or DataError if there are none."""
        from learnd.daemon.evaluation.sets import predict_all

        learner, learnt = restored_learner(root, checkpoint), list(checkpoint.manifest["classes"])
        if learner.served_otherwise is not None:
            print(f"learnd: outside of the stream, the model predicts {learner.served_otherwise[0]}", file=sys.stderr)
        spec = settings.samples.spec(settings.model.task)
        decoder = SampleDecoder(settings.samples, spec)
        decoder.begin(Past(learnt))
        for _, block in blocks_of(settings, file, decoder, partial(missing_columns, settings.samples)):
            self.records += len(block)
            learnt += [name for _, name in block.new_classes]
            if not len(block.samples):
                continue
            outputs = predict_all(learner.predict, block.samples.inputs)
            for name, target in self.targets.items():
                naive = spec.naive(name, block.samples.inputs)
                rows = target.scores.add(outputs[name], block.samples.targets[name], naive)
                target.names = learnt or target.names
                if target.by_class is not None:
                    target.by_class.add(rows)
        if not self.records:
            raise DataError("there are no records, so there is nothing to score")

    def facts(self) -> Facts:
        about = {"checkpoint": self.sequence, "samples_trained": self.samples_trained, "records": self.records}
        return {**about, "targets": {name: target.facts() for name, target in self.targets.items()}}

    def text(self) -> str:
        first = f"checkpoint {self.sequence}, {self.samples_trained:,} samples trained; {self.records:,} records here"
        return "\n".join(
            [first, *(line for name, target in self.targets.items() for line in self._lines(name, target))]
        )

    def _lines(self, name: str, target: _Target) -> Iterator[str]:
        board = target.scores.board
        of_target = f"{name}: " if len(self.targets) > 1 else ""
        without = f", {board.unscored:,} without a finite prediction" if board.unscored else ""
        yield f"\n{of_target}{board.scored:,} samples scored{without}\n"
        yield from score_lines(board.scores(), board.baselines())
        if target.by_class is not None:
            yield f"\n{_of_classes(target.classes())}"
            yield from _confused(target)


def _of_classes(classes: Sequence[OfClass]) -> str:
    table = _table("", "came", "predicted", "precision", "recall", "f1")
    for one in classes:
        scores = (one.scores.get(name) for name in ("precision", "recall", "f1"))
        cells = ["-" if score is None else f"{score:.4f}" for score in scores]
        table.add_row(one.name, f"{one.came:,}", f"{one.predicted:,}", *cells)
    return _drawn(table)


def _confused(target: _Target) -> Iterator[str]:
    """Yield what was predicted for each class that came, if there are few enough to show."""
    assert target.by_class is not None, "there are classes"
    found, names = target.by_class.confusion(target.name_of), [one.name for one in target.classes()]
    if not found or len(names) > _MOST_SHOWN:
        return
    table = _table("came, predicted as", *names)
    for label in names:
        table.add_row(label, *(f"{found.get(label, {}).get(guess, 0):,}" for guess in names))
    yield _drawn(table)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _drawn(table: Table) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as drawn:
        console.print(table)
    return drawn.get()
