"""From the bytes of an image file to pixels, by Pillow. Loaded only where a feature is an image.

The same bytes give the same pixels on every machine: the libraries in Pillow's wheels decode in whole numbers, and so
does its resizing, whatever the processor.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from learnd.daemon.stream.decoding.defects import Reason, told

T = TypeVar("T")

_FORMATS = ("JPEG", "PNG", "WEBP")
_SPARE = 2  # a JPEG is decoded smaller as long as it stays so many times as large as it has to be
_ORIENTATION = 0x0112  # of EXIF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})

Image.MAX_IMAGE_PIXELS = None  # `max_pixels` takes its place, which rejects one record and warns nobody
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of damaged metadata, which is not used


class BadImageError(Exception):
    """Raised when bytes give no pixels, with the reason of the dead letter."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


def pixels_of(data: bytes, size: tuple[int, int], channels: int, max_pixels: int) -> NDArray[np.uint8]:
    """Return the pixels (height, width, channels) of an image file, resized to `size`, its height and width.

    Raises BadImageError, before anything is decoded if the header tells of more than `max_pixels`.
    """
    image = _opened(data)
    if (pixels := image.width * image.height) > max_pixels:
        raise BadImageError(
            Reason.TOO_MANY_PIXELS,
            f"{image.width} × {image.height} are {pixels:,} pixels, and max_pixels allows {max_pixels:,}",
        )
    if image.format == "PNG":
        _guarded(image.verify, "a broken PNG")  # its checksums; other formats have none
        image = _opened(data)  # one that was verified cannot be decoded any more
    turned = _orientation(image)
    target = size if turned in _SIDEWAYS else (size[1], size[0])
    box = _draft(image, target)
    found = _guarded(lambda: _coloured(image, channels), f"a broken {image.format}")
    found = found.resize(target, Image.Resampling.BILINEAR, box=box)
    if turned in _TURNS:
        found = found.transpose(_TURNS[turned])
    return np.asarray(found).reshape(*size, channels)


def _opened(data: bytes) -> Image.Image:
    """Return an image of which the header alone was read."""
    if not data:
        raise BadImageError(Reason.MISSING, "missing, since there are no bytes")
    try:
        return _guarded(lambda: Image.open(io.BytesIO(data), formats=_FORMATS), "a broken image")
    except UnidentifiedImageError as error:
        raise BadImageError(Reason.NOT_AN_IMAGE, f"no JPEG, PNG or WebP: it begins with {data[:8]!r}") from error


def _guarded(work: Callable[[], T], what: str) -> T:
    """Return what Pillow makes of the bytes of strangers. Raises BadImageError, but UnidentifiedImageError as it is."""
    try:
        return work()
    except (UnidentifiedImageError, MemoryError):
        raise
    except Exception as error:  # (bytes of any kind make Pillow raise errors of any kind)
        raise BadImageError(Reason.BAD_IMAGE, f"{what}: {told(error)}") from error


def _orientation(image: Image.Image) -> Any:
    """Return what EXIF says of how the picture lies. If that cannot be read, it is as it is stored."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  (as above)
        return 1


def _draft(image: Image.Image, target: tuple[int, int]) -> tuple[float, float, float, float]:
    """Let a JPEG that is much larger than `target` be decoded at a half, a quarter or an eighth of its size.

    Return the part that the picture fills of what will be decoded: its last row and column may be of half pixels.
    """
    smaller = image.draft(None, (_SPARE * target[0], _SPARE * target[1]))
    return (0, 0, image.width, image.height) if smaller is None else smaller[1]


def _coloured(image: Image.Image, channels: int) -> Image.Image:
    """Return the decoded picture in grey (ITU-R 601-2) or in colours, what is transparent over white."""
    if image.mode.startswith("I"):  # 16 bits of grey, of which Pillow would keep those that fit into 8
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")
