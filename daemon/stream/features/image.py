"""An image: the bytes of a JPEG, PNG or WebP file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from learnd.daemon.foundation.section import Section
from learnd.daemon.stream.decoding.columns import InputReader
from learnd.daemon.stream.decoding.images import ImageReader
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.features.contract import Default, FeatureSettings, InputKind
from learnd.daemon.values import InputSpec

Side = Annotated[int, Field(ge=1, le=4096)]


class ImageForm(Section):
    """What an image becomes."""

    size: Annotated[list[Side], Field(min_length=2, max_length=2)]
    """Height and width in pixels: every image is stretched or shrunk to them, bilinearly."""

    channels: Literal[1, 3] = 3
    """3: red, green and blue. 1: grey."""

    max_pixels: PositiveInt = 50_000_000
    """An image with more pixels than that, by its header, is rejected before it is decoded."""


class ImageSettings(FeatureSettings):
    """The keys of an image."""

    image: ImageForm | None = None
    """The bytes of a JPEG, PNG or WebP file (base64 where records are text). It is an input of its own, of shape
    [height, width, channels], with values from 0 to 255."""


class ImageFeature(InputKind[ImageSettings]):
    """Its pixels."""

    key = "image"
    settings = ImageSettings

    def alone(self, name: str, feature: ImageSettings) -> InputSpec:
        form = _form(feature)
        return InputSpec(name, (*form.size, form.channels), "uint8")

    def reader(self, feature: ImageSettings, texts: Texts) -> InputReader:  # noqa: ARG002
        form = _form(feature)
        height, width = form.size
        return ImageReader((height, width), form.channels, form.max_pixels)

    def takes(self, default: Default, feature: ImageSettings) -> bool:  # noqa: ARG002
        return False  # no picture can stand in for another


def _form(feature: ImageSettings) -> ImageForm:
    assert feature.image is not None, "its key chose this kind"
    return feature.image


KIND = ImageFeature()
