"""Classes that are not known beforehand: each value becomes the next one when its first sample comes.

What becomes of a record depends on those before it, here alone: on which classes came, and whether there is room for
one more. So records must be decoded in the order in which they are consumed, and a decoder that begins anew must be
told the classes that came before (`SampleDecoder.begin`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from learnd.daemon.stream.decoding.categories import CategoryReader
from learnd.daemon.stream.decoding.columns import NAN, SCALAR, canonical
from learnd.daemon.stream.decoding.defects import Reason, defect, missing_text, shown
from learnd.daemon.stream.decoding.texts import Texts, number_from_text
from learnd.daemon.values import Defect

NEW = -1.0
"""What is read for a value that may become a class."""


class LearntReader(CategoryReader):
    """The index of a class by its text. A number and the text that programs write for it (`1`, `1.0`) are the same
    class; blanks around it do not count.

    Reading makes no class: a record may yet be rejected for another field. `learn` does.
    """

    def __init__(self, most: int, texts: Texts) -> None:
        super().__init__(SCALAR, None, texts.missing_category)
        self._most = most
        self._indices: dict[str, float] = {}

    def begin(self, names: Iterable[str]) -> None:
        """Go on from these classes, whatever came before."""
        self._indices = {name: float(index) for index, name in enumerate(names)}
        self._memo.clear()

    def index(self, value: Any) -> float:
        """Return the index of a value, `NEW` if it may become a class, or NaN if it cannot."""
        name = self._name(value)
        if name is None:
            return NAN
        return self._indices.get(name, NEW if len(self._indices) < self._most else NAN)

    def learn(self, value: Any) -> tuple[float, str | None]:
        """Make a value a class, unless it is one. Return its index, NaN if there is no room, and its name if new."""
        if (index := self.index(value)) != NEW:
            return index, None
        name = self._name(value)
        assert name is not None, "only a value with a name may become a class"
        index = self._indices[name] = float(len(self._indices))
        self._memo.clear()  # it may hold the value as a new one
        return index, name

    def _name(self, value: Any) -> str | None:
        text = canonical(value)
        return None if text is None or self._missing(value) else _normal(text.strip()) or None

    def defect(self, name: str, value: Any) -> Defect:
        if isinstance(value, str) and not value.strip():
            return missing_text(name, value)
        if self._name(value) is None:
            return super().defect(name, value)
        room = f"there is room for {self._most} (samples.label.classes.max), and so many others came before"
        return defect(Reason.UNKNOWN_LABEL, f"{name}: {shown(value)} would be a new class, but {room}")


def _normal(text: str) -> str:
    """Return the name of a number for its text. Any other text, `007` and `1.10` among them, is a name of its own."""
    number = number_from_text(text)
    return (canonical(number) or text) if isinstance(number, float) and repr(number) == text else text
