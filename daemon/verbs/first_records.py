"""What becomes of the first records of the source under the settings, before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import numpy as np

from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import SourceError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.holdout import HoldoutRule
from learnd.daemon.values import LABEL, Block, Float64

_ENOUGH = 200  # records; the batch with the last of them is judged to its end
_MOST_REASONS = 4
_RARE = 0.02
_FAR = 30.0  # a label whose usual size is over this, or under its inverse, is slow to learn


class FirstRecords:
    """The first records of files or of a recording, decoded. Other sources are not read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read = False  # whether the source could be read at all
        self._live = False
        blocks = self._blocks()
        self._rejections = [rejection for block in blocks for rejection in block.rejections]
        self._count = sum(map(len, blocks))
        labels = [block.samples.targets[LABEL] for block in blocks]
        self._labels: Float64 = np.concatenate(labels).astype(np.float64) if labels else np.empty((0, 1))

    def problems(self) -> Iterator[str]:
        """Yield a problem if none of the records can be used."""
        if self._count and len(self._rejections) == self._count:
            yield f"samples: none of the first {self._count:,} records can be used: {self._reasons()}"

    def doubts(self) -> Iterator[str]:
        """Yield what a run would do with these records that may not be meant."""
        if not self._count and self._read and not self._live:
            yield "source: it holds no record, so that a run ends at once and has trained nothing"
        if 0 < len(self._rejections) < self._count:
            yield self._some_rejected()
        if len(self._labels):
            yield from self._doubts_of_labels()

    def _blocks(self) -> list[Block]:
        from learnd.daemon.compose import open_source

        settings = self._settings
        if settings.source.name not in {"files", "recording"} or getattr(settings.source.settings, "registry", None):
            return []
        holdout = settings.validation.holdout
        rule = HoldoutRule(holdout.share, holdout.by) if holdout else None
        decoder = SampleDecoder(settings.samples, settings.samples.spec(settings.model.task), rule)
        blocks: list[Block] = []
        try:
            with closing(open_source(settings)) as source:
                source.open({}, [])
                self._read, self._live = True, source.live
                while sum(map(len, blocks)) < _ENOUGH and not source.exhausted:
                    if (batch := source.read(0.0 if source.live else 1.0)) is not None:
                        blocks.append(decoder.decode(batch))
                    elif source.live:
                        break
        except SourceError:
            self._read = False  # said by the look at the source, which comes before
        return blocks

    def _some_rejected(self) -> str:
        share, limit = len(self._rejections) / self._count, self._settings.dead_letters.max_rate
        stop = f"; a run stops with 65 if more than {limit:.0%} are (dead_letters.max_rate)" if share > limit else ""
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

    def _doubts_of_labels(self) -> Iterator[str]:
        model, labels = self._settings.model, self._labels
        if model.task == "binary" and len(labels) >= _ENOUGH:
            positive = float(labels.mean())
            if positive == 0:
                yield (
                    f"samples.label: none of the first {len(labels):,} is positive; if that is a misspelt value, a run "
                    "would learn that nothing ever is: see samples.label.positive and values"
                )
            elif min(positive, 1 - positive) < _RARE:
                yield (
                    f"samples.label: {positive:.1%} of the first {len(labels):,} are positive; accuracy says little of "
                    "so rare a class: look at auc and recall, and let train.class_weight: balanced give it more weight"
                )
        if model.task == "regression" and (model.build or model.load):
            size = float(np.sqrt(np.mean(labels**2)))
            if not 1 / _FAR <= size <= _FAR:
                yield (
                    f"samples.label: its usual size is {size:.3g}, far from 1; unless the model scales it itself, "
                    "updates are too large or too small: scale it in the model's last layer"
                )
