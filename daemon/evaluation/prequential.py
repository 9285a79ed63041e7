"""Test-then-train: scores of the predictions made before each update, over the whole run and in sliding windows.

Source: Gama, Sebastião, Rodrigues, "On evaluating stream learning algorithms" (2013).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from learnd.daemon.contracts import Stateful
from learnd.daemon.evaluation.certainty.certainty import Certainty
from learnd.daemon.evaluation.certainty.settings import CertaintySettings
from learnd.daemon.evaluation.ring import Ring
from learnd.daemon.evaluation.scoreboard import Scoreboard, observe, restore_all
from learnd.daemon.tasks.baselines import Baseline
from learnd.daemon.tasks.scoring import scoring_of
from learnd.daemon.values import Arrays, Float32, Said, State, Task


class Prequential:
    """The counts of the whole run, and the latest samples, from which windows are counted on demand."""

    def __init__(
        self,
        task: Task,
        windows: Sequence[int],
        metrics: Iterable[str] | None,
        certainty: CertaintySettings | None = None,
        naive: Iterable[str] = (),
    ) -> None:
        """`naive` are the baselines whose predictions come with the samples."""
        self.task = task
        self.certainty = Certainty(certainty or CertaintySettings(), task, windows)
        """What is said with the predictions."""
        self._metrics = metrics
        self._scoring = scoring_of(task)
        self._baselines = self._scoring.baselines(task)
        self.naive = tuple(naive)
        self.known = self._scoring.known(task)
        """Which classes have trained; None if all are known from the start."""
        self._ring = Ring(max(windows, default=0))
        self.overall = self._scoreboard()

    @property
    def samples(self) -> int:
        return self.overall.scored + self.overall.unscored

    def add(self, outputs: Float32, labels: Float32, naive: Arrays | None = None) -> Said | None:
        """Score predictions (m, ..., C), and `naive` ones by name, against labels (m, ..., O), in the order of the
        stream.

        Return what is said with them; None if nothing is to be said.
        """
        known = None if self.known is None else self.known.follow(labels[:, 0])
        rows = observe(self.task, outputs, labels, known)
        for name, baseline in self._baselines.items():
            rows[name] = baseline.follow(rows["label"])
        rows = self._scoring.kept(rows | (naive or {}))
        self.overall.add(rows, first=self.samples == 0)
        self._ring.add(rows)
        return self.certainty.follow(outputs, labels, known) if self.certainty.anything else None

    def window(self, size: int) -> Scoreboard:
        """Return the counts of the latest `size` samples, including those without a finite prediction."""
        rows = self._ring.latest(size)
        board = self._scoreboard()
        if rows:
            board.add(rows, first=len(rows["label"]) == self.samples)
        return board

    @property
    def constants(self) -> dict[str, Baseline]:
        """The baselines that predict the same whatever the sample: all except `no_change`."""
        return {name: baseline for name, baseline in self._baselines.items() if name != "no_change"}

    def state(self) -> State:
        return State.joined({name: part.state() for name, part in self._parts().items()})

    def restore(self, state: State) -> None:
        """Continue from `state`. Raises StateMismatchError, and changes nothing, if it is of another task."""
        restore_all(self._parts(), state)

    def _parts(self) -> dict[str, Stateful]:
        known = {} if self.known is None else {"known": self.known}
        said = {"certainty": self.certainty} if self.certainty.anything else {}
        return {"overall": self.overall, "window": self._ring, **known, **self._baselines, **said}

    def _scoreboard(self) -> Scoreboard:
        return Scoreboard(self.task, [*self._baselines, *self.naive], self._metrics)
