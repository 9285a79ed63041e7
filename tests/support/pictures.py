"""Encoded pictures, and folders of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def noise(height: int = 30, width: int = 40, seed: int = 1, channels: int = 3) -> Any:
    """Return the pixels of a picture that is smooth enough to be compressed, and nowhere the same."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(small)[:, :, :channels]


def encoded(pixels: Any, form: str = "png", mode: str | None = None, **options: Any) -> bytes:
    """Return the file of a picture."""
    image = Image.fromarray(np.squeeze(pixels))
    file = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(file, form, **options)
    return file.getvalue()


def lossless(pixels: Any, form: str) -> bytes:
    """Return the file of a picture from which the same pixels come back, but of JPEG nearly the same."""
    return encoded(
        pixels, form, **{"png": {}, "webp": {"lossless": True}, "jpeg": {"quality": 100, "subsampling": 0}}[form]
    )


def write_folders(root: Path, count: int, classes: tuple[str, ...] = ("cat", "dog"), size: int = 12) -> Path:
    """Write so many small pictures into a folder for each class; a class has a colour of its own."""
    for number in range(count):
        of = number % len(classes)
        pixels = noise(size, size, seed=number) // 4
        pixels[:, :, of] += 150
        path = root / classes[of] / f"{number:04d}.{('png', 'webp')[number % 3 == 0]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lossless(pixels, path.suffix[1:]))
    return root
