"""Images in a field: the bytes of an image file, or the same as base64 where a record is text."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.errors import SettingsError
from learnd.daemon.stream.decoding.columns import InputReader, Values
from learnd.daemon.stream.decoding.defects import Reason, defect, shown
from learnd.daemon.values import Defect


class ImageReader(InputReader):
    """Images of one size, (height, width, channels) each."""

    json_type: Any = bytes  # for which msgspec reads base64

    def __init__(self, size: tuple[int, int], channels: int, max_pixels: int) -> None:
        """Raises SettingsError if Pillow was built without one of the formats."""
        from learnd.daemon.stream.decoding.pixels import BadImageError, lacking, pixels_of

        if formats := lacking():
            problem = (
                f"samples.features: this build of Pillow cannot read {' and '.join(formats)}, and would reject them. "
                "Install it from a wheel: pip install --force-reinstall --only-binary pillow pillow"
            )
            raise SettingsError([problem])
        self._bad, self._pixels_of = BadImageError, pixels_of
        self._size, self._channels, self._max_pixels = size, channels, max_pixels

    def read_input(self, name: str, values: Values) -> tuple[NDArray[np.uint8], dict[int, Defect]]:
        pixels = np.zeros((len(values), *self._size, self._channels), np.uint8)
        defects = {}
        for row, value in enumerate(values):
            try:
                pixels[row] = self._pixels_of(self._data(value), self._size, self._channels, self._max_pixels)
            except self._bad as error:
                defects[row] = defect(error.reason, f"{name}: {error}")
        return pixels, defects

    def from_text(self, cells: Sequence[str]) -> Values:
        return [cell or None for cell in cells]

    def _data(self, value: Any) -> bytes:
        """Raises BadImageError."""
        if isinstance(value, bytes):
            return value
        if value is None:
            raise self._bad(Reason.NULL, "expected an image, got null")
        try:
            return b64decode(value, validate=True)
        except (TypeError, ValueError) as error:
            raise self._bad(
                Reason.WRONG_TYPE, f"expected the bytes of an image, or base64, got {shown(value)}"
            ) from error
