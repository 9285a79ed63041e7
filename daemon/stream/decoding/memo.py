"""A bounded cache that C code can look things up in, without a Python call where they are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MOST_ENTRIES = 65_536


class Memo(dict[Any, Any]):
    """`memo[value]` is `function(value)`. `map(memo.__getitem__, values)` costs some 30 ns a known value.

    The function must give equal results for equal values: 1, 1.0 and True are one key.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, value: Any) -> Any:
        if len(self) >= _MOST_ENTRIES:
            self.clear()  # a stream of ever new values must not fill the memory
        result = self[value] = self._function(value)
        return result
