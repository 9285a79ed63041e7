"""What becomes of the first records of the source under the settings, before anything is trained."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from learnd.daemon.config.settings import Settings
from learnd.daemon.contracts import Source
from learnd.daemon.errors import DataError, SourceError
from learnd.daemon.state.directory import has_consumed
from learnd.daemon.stream.decoding.declared import missing_fields
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.holdout import HoldoutRule
from learnd.daemon.stream.reject_rate import RejectRate
from learnd.daemon.values import Block, Float32, Float64, RecordBatch

_ENOUGH = 200  # records; the batch with the last of them is judged to its end
_MOST = 10_000  # records, to judge the share of rejects in a window
_MOST_REASONS = 4
_RARE = 0.02
_TIMES_EACH = 10  # how often a category must have come for its values to be known
_WIDE = 50  # times as many indices as values waste most of an embedding
_FAR = 30.0  # a label whose usual size is over this, or under its inverse, is slow to learn


class FirstRecords:
    """The first records of files or of a recording, decoded and judged as by a run. Other sources are not read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._source_error: SourceError | None = None
        self._read = False  # whether there is a source that can be read at all
        self._live = False
        self._ends_run = False  # whether a run would end because of them
        self._goes_on = has_consumed(settings.checkpoint.dir)  # so that a run reads other records
        self._lossy: list[str] = []
        limits = settings.dead_letters
        self._rate = RejectRate(limits.max_rate, limits.window)
        blocks = self._blocks()
        self._rejections = [rejection for block in blocks for rejection in block.rejections]
        self._count = sum(map(len, blocks))
        spec = settings.samples.spec(settings.model.task)
        self._first = spec.targets[0]
        self._labels = _joined([block.samples.targets[self._first.name] for block in blocks])
        self._inputs = _joined([spec.matrix(block.samples.inputs) for block in blocks])

    def problems(self) -> Iterator[str]:
        """Yield problems if a run would end because all of the records lack the same field."""
        if self._ends_run and self._rate.lacking is not None and not self._goes_on:
            none = f"none of the first {self._count:,} records can be used"
            named = [f"{problem}; {none}" for problem in self._lacking()]
            yield from named or [f"samples: {none}: {self._reasons()}"]

    def _lacking(self) -> list[str]:
        """Return a problem for each needed field that all of the records lack, if they are JSON."""
        last, where = self._rate.lacking, Path(self._settings.look_at_source().where).name
        return missing_fields(self._settings.samples, last.value, where or "the source") if last is not None else []

    def check(self) -> None:
        """Raise what a run would end with that begins with these records. Raises SourceError and DataError."""
        if self._goes_on:
            return
        if self._source_error is not None:
            raise self._source_error
        if self._ends_run:
            raise DataError(f"{self._some_rejected()}. Correct `samples`, or the producer, or raise that limit.")

    def doubts(self) -> Iterator[str]:
        """Yield what a run would do with these records that may not be meant."""
        if self._source_error is not None:
            yield str(self._source_error)
        if not self._count and self._read:
            yield from self._no_records()
        if self._rejections:
            yield self._some_rejected()
            yield from self._lacking()
        yield from (f"samples.features: {lossy}" for lossy in self._lossy)
        if len(self._labels):
            yield from self._doubts_of_hashes()
            yield from self._doubts_of_labels()

    def _no_records(self) -> Iterator[str]:
        glance = self._settings.look_at_source()
        if not self._live:
            yield "source: it holds no record, so that a run ends at once and has trained nothing"
        elif glance.away is not None:
            yield f"{glance.where}: {glance.away}; a run waits for it"

    def _blocks(self) -> list[Block]:
        from learnd.daemon.compose import open_source

        settings = self._settings
        if settings.source.name not in {"files", "recording"} or getattr(settings.source.settings, "registry", None):
            return []
        holdout = settings.validation.holdout
        rule = HoldoutRule(holdout.share, holdout.by) if holdout else None
        spec = settings.samples.spec(settings.model.task)
        decoder = SampleDecoder(settings.samples, spec, rule, self._lossy.append)
        blocks: list[Block] = []
        try:
            with closing(open_source(settings)) as source:
                source.open({}, [])
                self._read, self._live = True, source.live
                for batch in self._batches(source):
                    blocks.append(decoder.decode(batch))
                    self._rate.add(blocks[-1])
                if source.exhausted:
                    self._rate.check_end(fresh=True)
        except SourceError as error:
            self._source_error = error
        except DataError:
            self._ends_run = True
        return blocks

    def _batches(self, source: Source) -> Iterator[RecordBatch]:
        """Yield as many records as it takes to judge their share of rejects, or those that are there now."""
        wanted, records = max(_ENOUGH, min(self._settings.dead_letters.window, _MOST)), 0
        while records < wanted and not source.exhausted:
            batch = source.read(0.0 if source.live else 1.0)
            if batch is None and source.live:
                return
            if batch is not None:
                records += len(batch)
                yield batch

    def _some_rejected(self) -> str:
        share, limits = len(self._rejections) / self._count, self._settings.dead_letters
        rule = f"at most {limits.max_rate:.0%} of {limits.window:,} in a row (dead_letters.max_rate)"
        stop = f"; a run ends with 65 there, since it takes {rule}" if self._ends_run else ""
        return (
            f"samples: {len(self._rejections):,} of the first {self._count:,} records ({share:.1%}) would be rejected: "
            f"{self._reasons()}{stop}"
        )

    def _reasons(self) -> str:
        """Return the most frequent reasons, each with an example."""
        counts = Counter(rejection.defect.reason for rejection in self._rejections)
        examples = {rejection.defect.reason: rejection.defect.detail for rejection in reversed(self._rejections)}
        named = [f"{count:,} {reason} ({examples[reason]})" for reason, count in counts.most_common(_MOST_REASONS)]
        return ", ".join(named) + (", …" if len(counts) > _MOST_REASONS else "")

    def _doubts_of_hashes(self) -> Iterator[str]:
        """Yield hashed categories that are far wider than their values, once these are known."""
        columns = self._settings.samples.spec(self._settings.model.task).columns
        features = self._settings.samples.features.items()
        hashed = [name for name, feature in features if feature.kind.key == "hash"]
        for index, column in enumerate(columns):
            values = len(np.unique(self._inputs[:, index]))
            known = len(self._inputs) >= max(_ENOUGH, _TIMES_EACH * values)
            if column.name in hashed and known and column.size > _WIDE * values:
                yield (
                    f"samples.features.{column.name}: {column.size:,} indices, {values} of them in use in the "
                    f"first {self._count:,} records; each index has weights of its own: list them with `values`, or "
                    f"give a hash of about {2 ** math.ceil(math.log2(10 * values))}"
                )

    def _doubts_of_labels(self) -> Iterator[str]:
        model, labels = self._settings.model, self._labels
        if self._first.task.kind == "binary" and len(labels) >= _ENOUGH:
            positive = float(labels.mean())
            if positive == 0:
                yield (
                    f"samples.label: none of the first {len(labels):,} is positive; if that is a misspelt value, a run "
                    "would learn that nothing ever is: see samples.label.positive and values"
                )
            elif min(positive, 1 - positive) < _RARE:
                decides = self._settings.certainty.decide is not None
                more = "" if decides else ", and let certainty.decide learn from which probability on to say it"
                yield (
                    f"samples.label: {positive:.1%} of the first {len(labels):,} are positive; accuracy says little of "
                    f"so rare a class: look at auc and recall{more}"
                )
        if self._first.task.kind == "regression" and (model.build or model.load):
            size = float(np.sqrt(np.mean(labels**2)))
            if not 1 / _FAR <= size <= _FAR:
                yield (
                    f"samples.label: its usual size is {size:.3g}, far from 1; unless the model scales it itself, "
                    "updates are too large or too small: scale it in the model's last layer"
                )


def _joined(parts: list[Float32]) -> Float64:
    """Return the rows of all parts as one array (m, ...)."""
    return np.concatenate(parts).astype(np.float64) if parts else np.empty((0, 1))
