"""From the bytes of an image file to pixels, by Pillow. Loaded only where a feature is an image.

The same bytes give the same pixels on every machine: the libraries in Pillow's wheels decode in whole numbers, and so
does its resizing, whatever the processor.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError, features

from learnd.daemon.stream.decoding.defects import Reason, told
from learnd.daemon.stream.decoding.image_heads import HEAD_BYTES, canvas, is_image
from learnd.daemon.stream.decoding.png import has_all_rows, is_interlaced

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


class BadImageError(Exception):
    """Raised when bytes give no pixels, with the reason of the dead letter."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


class _OurPillow:
    """What programs may change of Pillow is, while images are decoded in any thread, as it has to be here: a file that
    is cut off is an error, and `max_pixels` says how large one may be.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._before: tuple[bool, int | None] = (False, None)

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
                ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, None
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = self._before


_our_pillow = _OurPillow()


def lacking() -> list[str]:
    """Return the formats that this build of Pillow cannot read."""
    return [name for name, of in (("JPEG", "jpg"), ("PNG", "zlib"), ("WebP", "webp")) if not features.check(of)]


def pixels_of(data: bytes, size: tuple[int, int], channels: int, max_pixels: int) -> NDArray[np.uint8]:
    """Return the pixels (height, width, channels) of an image file, resized to `size`, its height and width.

    Raises BadImageError, before anything is decoded if the header tells of more than `max_pixels`.
    """
    with _our_pillow:
        image = _opened(data, max_pixels)
        turned = _orientation(image)
        target = size if turned in _SIDEWAYS else (size[1], size[0])
        box = _draft(image, target)
        found = _guarded(lambda: _coloured(image, channels), f"a broken {image.format}")
        found = found.resize(target, Image.Resampling.BILINEAR, box=box)
        if turned in _TURNS:
            found = found.transpose(_TURNS[turned])
        return np.asarray(found).reshape(*size, channels)


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    """Return an image of which the header was read, and of PNG all else: its EXIF may come behind its pixels."""
    if not data:
        raise BadImageError(Reason.MISSING, "missing, since there are no bytes")
    if not is_image(data[:HEAD_BYTES]):
        raise BadImageError(Reason.NOT_AN_IMAGE, f"no JPEG, PNG or WebP: it begins with {data[:8]!r}")
    if (size := canvas(data[:HEAD_BYTES])) is not None:
        _check(size, max_pixels)
    image = _headed(data)
    _check(image.size, max_pixels)
    if image.format == "PNG":
        _guarded(image.verify, "a broken PNG")  # its checksums; other formats have none
        image = _headed(data)  # one that was verified cannot be decoded any more
        _guarded(image.load, "a broken PNG")
        if _ends_black(image, data) and not _guarded(lambda: has_all_rows(data), "a broken PNG"):
            raise BadImageError(Reason.BAD_IMAGE, "a broken PNG: its last rows are missing")
    return image


def _headed(data: bytes) -> Image.Image:
    try:
        return _guarded(lambda: Image.open(io.BytesIO(data), formats=_FORMATS), "a broken image")
    except UnidentifiedImageError as error:
        raise BadImageError(Reason.BAD_IMAGE, "its header is broken, or of a kind that Pillow cannot read") from error


def _ends_black(image: Image.Image, data: bytes) -> bool:
    """Whether the last rows of a PNG may be missing."""
    last_row = image.crop((0, image.height - 1, image.width, image.height))
    return is_interlaced(data) or not np.asarray(last_row).any()


def _check(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if (pixels := width * height) > max_pixels:
        raise BadImageError(
            Reason.TOO_MANY_PIXELS,
            f"{width} × {height} are {pixels:,} pixels, and max_pixels allows {max_pixels:,}",
        )


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
