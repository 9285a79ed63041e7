"""Images in a field: the bytes of an image file, or the same as base64 where a record is text."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.stream.decoding.columns import NAN, InputReader, Values
from learnd.daemon.stream.decoding.defects import Reason, defect, shown
from learnd.daemon.values import Defect, Float64


class ImageReader(InputReader):
    """Images of one size, (height, width, channels) each."""

    json_type: Any = bytes  # for which msgspec reads base64

    def __init__(self, size: tuple[int, int], channels: int, max_pixels: int) -> None:
        from learnd.daemon.stream.decoding.pixels import BadImageError, pixels_of

        self._bad, self._pixels_of = BadImageError, pixels_of
        self._size, self._channels, self._max_pixels = size, channels, max_pixels

    def read_input(self, values: Values) -> tuple[NDArray[np.uint8], Float64]:
        pixels = np.zeros((len(values), *self._size, self._channels), np.uint8)
        sound = np.full((len(values), 1), NAN)
        for row, value in enumerate(values):
            try:
                pixels[row] = self._pixels(value)
                sound[row] = 0
            except self._bad:
                pass  # `defect` says why
        return pixels, sound

    def from_text(self, cells: Sequence[str]) -> Values:
        return [cell or None for cell in cells]

    def defect(self, name: str, value: Any) -> Defect:
        if value is None:
            return defect(Reason.NULL, f"{name}: expected an image, got null")
        try:
            self._pixels(value)
        except self._bad as error:
            return defect(error.reason, f"{name}: {error}")
        raise AssertionError("only a value that gives no pixels has a defect")

    def _pixels(self, value: Any) -> NDArray[np.uint8]:
        """Raises BadImageError."""
        return self._pixels_of(self._data(value), self._size, self._channels, self._max_pixels)

    def _data(self, value: Any) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            return b64decode(value, validate=True)
        except (TypeError, ValueError) as error:
            raise self._bad(
                Reason.WRONG_TYPE, f"expected the bytes of an image, or base64, got {shown(value)}"
            ) from error
