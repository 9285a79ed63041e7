"""The latest rows of each key of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from learnd.daemon.errors import StateMismatchError
from learnd.daemon.values import Arrays, Float32, Int64, State

_FIRST_ROOM = 4  # keys, before the arrays grow
_NONE = np.float32(-0.0)  # where there is no row; no number of a row is a negative zero


@dataclass(frozen=True, slots=True)
class Placed:
    """Rows beside those of their keys that came before: those of one key stand one after the other."""

    rows: Float32  # (r, columns)
    at: Int64  # (n,) where each new row stands
    earlier: Int64  # (n,) how many rows of its key came before it, of those that are kept or placed with it

    def windows(self, length: int, ahead: int) -> Float32:
        """Return for each new row the `length` rows of its key up to `ahead` rows before it: (n, length, columns).

        Negative zeros stand for rows from before the first.
        """
        steps = np.arange(1 - length, 1) - ahead
        windows: Float32 = self.rows[self.at[:, None] + steps]
        return windows


class RecentRows:
    """The latest `length` rows of at most `most` keys: the one that came least recently makes room for a new one.

    A `contracts.Stateful`: however a sequence is cut, its end is the same.
    """

    def __init__(self, length: int, columns: int, most: int) -> None:
        self._length, self._columns, self._most = length, columns, most
        self.forgotten = 0  # keys, since this process began
        self._clear(0)

    def _clear(self, room: int) -> None:
        self._slots: dict[bytes, int] = {}  # by key, the one that came least recently first
        self._rows = self._none(room)
        self._seen = np.zeros(room, np.int64)

    def __len__(self) -> int:
        return len(self._slots)

    def add(self, keys: Sequence[bytes], rows: Float32, *, anew: bool = False) -> Placed:
        """Take in rows (n, columns) with their keys, in the order of the stream. `anew`: forget all before them."""
        if anew:
            self._clear(0)
        slots, fresh, run_of_row, last_runs = self._runs(keys)
        kept, counts = self._length, np.bincount(run_of_row, minlength=len(slots))
        before = np.where(fresh, 0, self._seen[slots])
        of_earlier_runs = np.cumsum(counts) - counts
        starts = np.arange(len(slots)) * kept + of_earlier_runs
        order = np.argsort(run_of_row, kind="stable")
        within = np.empty(len(rows), np.int64)
        within[order] = np.arange(len(rows)) - of_earlier_runs[run_of_row[order]]
        at = starts[run_of_row] + kept + within
        placed = np.empty((len(slots) * kept + len(rows), self._columns), np.float32)
        placed[starts[:, None] + np.arange(kept)] = np.where(fresh[:, None, None], _NONE, self._rows[slots])
        placed[at] = rows + np.float32(0)  # of a negative zero it is a positive one
        into, runs = np.fromiter(last_runs, np.int64), np.fromiter(last_runs.values(), np.int64)
        self._rows[into] = placed[(starts + counts)[runs][:, None] + np.arange(kept)]
        self._seen[into] = np.minimum((before + counts)[runs], kept)
        return Placed(placed, at, before[run_of_row] + within)

    def _runs(self, keys: Sequence[bytes]) -> tuple[Int64, np.ndarray, Int64, dict[int, int]]:
        """Return the slot of each run of rows that one key has here, and whether it begins anew; the run of each row;
        and the last run by slot. A key that was forgotten in between has two.
        """
        slots: list[int] = []
        fresh: list[bool] = []
        run_of_row: list[int] = []
        run_of_slot: dict[int, int] = {}
        for key in keys:
            slot = self._slots.pop(key, None)
            new = slot is None
            if slot is None:
                slot = self._room()
            if new or slot not in run_of_slot:
                run_of_slot[slot] = len(slots)
                slots.append(slot)
                fresh.append(new)
            self._slots[key] = slot
            run_of_row.append(run_of_slot[slot])
        return np.array(slots, np.int64), np.array(fresh, np.bool_), np.array(run_of_row, np.int64), run_of_slot

    def _room(self) -> int:
        """Return a slot for a new key: a free one, or that of the key that came least recently."""
        if len(self._slots) >= self._most:
            self.forgotten += 1
            return self._slots.pop(next(iter(self._slots)))
        slot = len(self._slots)
        if slot == len(self._seen):
            more = min(self._most, max(_FIRST_ROOM, 2 * slot)) - slot
            self._rows = np.concatenate((self._rows, self._none(more)))
            self._seen = np.concatenate((self._seen, np.zeros(more, np.int64)))
        return slot

    def _none(self, keys: int) -> Float32:
        return np.full((keys, self._length, self._columns), _NONE)

    def state(self) -> State:
        slots = np.fromiter(self._slots.values(), np.int64, len(self._slots))
        arrays: Arrays = {
            "keys": np.frombuffer(b"".join(self._slots), np.uint8).copy(),
            "lengths": np.fromiter(map(len, self._slots), np.int64, len(self._slots)),
            "rows": self._rows[slots],
            "seen": self._seen[slots],
        }
        return State(arrays)

    def restore(self, state: State) -> None:
        """Continue from `state`. Fewer keys than it has are the latest ones.

        Raises StateMismatchError, and changes nothing, if its rows are others.
        """
        rows = state.arrays.get("rows", self._none(0))
        if rows.shape[1:] != (self._length, self._columns):
            raise StateMismatchError(
                f"recent rows: the settings need {self._length} rows of {self._columns} columns for each key, but the "
                f"checkpoint holds {rows.shape[1]} of {rows.shape[2]}; use the settings that it was made with, or "
                "another state directory"
            )
        self._clear(len(rows))
        if not len(rows):
            return
        text, first = state.arrays["keys"].tobytes(), max(0, len(rows) - self._most)
        ends = [0, *np.cumsum(state.arrays["lengths"]).tolist()]
        self._slots = {text[start:end]: slot for slot, (start, end) in enumerate(list(pairwise(ends))[first:])}
        self._rows[: len(rows) - first], self._seen[: len(rows) - first] = rows[first:], state.arrays["seen"][first:]
