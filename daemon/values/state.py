"""State as a value: what checkpoints hold of each part, and what rollbacks, copies and comparisons use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from learnd.daemon.values.arrays import Arrays, Facts


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Everything that the later behaviour of a part depends on: named arrays, and facts that JSON can hold."""

    arrays: Arrays = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Mapping[str, State], facts: Facts | None = None) -> State:
        """Return the states of several parts as one; `part` gives each of them back. `facts` belong to the whole."""
        arrays = {f"{name}/{key}": array for name, state in parts.items() for key, array in state.arrays.items()}
        return cls(arrays, {**(facts or {}), **{name: state.facts for name, state in parts.items()}})

    def part(self, name: str) -> State:
        """Return the state that was joined under this name. Raises KeyError if there is none."""
        prefix = f"{name}/"
        arrays = {key.removeprefix(prefix): array for key, array in self.arrays.items() if key.startswith(prefix)}
        return State(arrays, self.facts[name])

    def clone(self) -> State:
        """Return a copy that shares nothing with this one."""
        return State({name: array.copy() for name, array in self.arrays.items()}, deepcopy(self.facts))

    def digest(self) -> str:
        """Return a SHA-256 over each array's name, shape, dtype and bytes, in the order of names, and the facts."""
        sha = hashlib.sha256()
        for name in sorted(self.arrays):
            array = np.ascontiguousarray(self.arrays[name])
            sha.update(f"{name} {array.shape} {array.dtype.str}\n".encode())
            sha.update(array.data if array.ndim else array.tobytes())
        sha.update(canonical_json(self.facts))
        return sha.hexdigest()

    def __eq__(self, other: object) -> bool:
        """Whether both are equal to the last bit."""
        return isinstance(other, State) and self.digest() == other.digest()

    __hash__ = None  # type: ignore[assignment]  # arrays can change


def canonical_json(value: Any) -> bytes:
    """Return `value` as JSON in one fixed form, so that bytes and hashes can be compared."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
