"""Images: what of them comes to the model, and bad ones, each with the reason that it must be given."""

from __future__ import annotations

import base64
import hashlib
import struct
import sys
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import encoded, lossless, noise
from PIL import Image, ImageFile

from learnd.daemon.errors import SettingsError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.decoding.defects import Reason
from learnd.daemon.stream.decoding.messages import _example_type
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import FEATURES, Block, Fate, RecordBatch

SIZE = (30, 40)
PIXELS = noise(*SIZE)
FILES = {form: lossless(PIXELS, form) for form in ("png", "webp", "jpeg")}


def decoder(form: str = "raw", size: tuple[int, int] = SIZE, **image: Any) -> SampleDecoder:
    field = "content" if form == "raw" else "photo"
    features = {"photo": {"image": {"size": size, **image}, "field": field}}
    label = {"field": "folder", "values": ["cat", "dog"]} if form == "raw" else "y"
    settings = SamplesSettings.model_validate({"format": form, "features": features, "label": label})
    return SampleDecoder(settings, settings.spec("binary"))


def batch(records: list[Any], keys: list[bytes | None] | None = None, columns: Any = None) -> RecordBatch:
    return RecordBatch("p", 0, np.arange(1, 1 + len(records)), records, columns, keys=keys)


def decode(*records: bytes, **image: Any) -> Block:
    return decoder(**image).decode(batch([*records], [b"dog/1"] * len(records)))


def pixels(file: bytes, **image: Any) -> Any:
    """Return what the model gets of a file, (height, width, channels)."""
    block = decode(file, **image)
    assert not block.rejections, block.rejections[0].defect
    assert block.samples.inputs[FEATURES].dtype == np.uint8
    return block.samples.inputs[FEATURES][0]


@pytest.mark.parametrize("form", FILES)
def test_the_pixels_come_as_they_are(form: str) -> None:
    found = pixels(FILES[form])
    assert found.shape == (*SIZE, 3)
    np.testing.assert_allclose(found.astype(int), PIXELS, atol=4 if form == "jpeg" else 0)


def test_the_same_bits_on_every_machine() -> None:
    """A file that is written out here, since encoders may change: what is decoded and resized of it is known."""
    file = base64.b64decode(OF_OLD)
    found = [pixels(file, size=size, channels=channels) for size, channels in AS]
    assert [hashlib.sha256(each.tobytes()).hexdigest()[:16] for each in found] == KNOWN


def test_shrinking_averages_and_stretching_interpolates() -> None:
    step = np.zeros((8, 8, 3), np.uint8)
    step[:, 4:] = 200
    fine = (np.indices((64, 64)).sum(axis=0) % 2 * 200).astype(np.uint8)
    assert sorted(set(pixels(encoded(step), size=(16, 16))[0, :, 0].tolist())) == [0, 50, 150, 200]
    np.testing.assert_allclose(pixels(encoded(fine), size=(8, 8)), 100, atol=2)


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same() -> None:
    large = noise(1200, 1600)
    one, other = (pixels(lossless(large, form), size=(60, 80)).astype(int) for form in ("jpeg", "png"))
    np.testing.assert_allclose(one, other, atol=6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_of_any_mode(mode: str, channels: int) -> None:
    grey = np.repeat(noise(*SIZE)[:, :, :1], 3, axis=2)
    file = encoded(grey[:, :, 0], mode=mode) if mode != "I;16" else encoded(grey[:, :, 0].astype(np.uint16) << 8)
    found = pixels(file, channels=channels)
    assert found.shape == (*SIZE, channels)
    np.testing.assert_allclose(found.astype(int), grey[:, :, :channels], atol=255 if mode == "1" else 3)


def test_a_cmyk_jpeg() -> None:
    np.testing.assert_allclose(pixels(encoded(PIXELS, "jpeg", "CMYK", quality=100)).astype(int), PIXELS, atol=8)


def test_what_is_transparent_is_white() -> None:
    shown = np.dstack([PIXELS, np.full(SIZE, 255, np.uint8)])
    shown[:10, :, 3] = 0
    shown[10:20, :, 3] = 128
    found = pixels(encoded(shown)).astype(int)
    assert (found[:10] == 255).all()
    np.testing.assert_allclose(found[10:20], (PIXELS[10:20].astype(int) + 255) / 2, atol=2)
    np.testing.assert_array_equal(found[20:], PIXELS[20:])


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("orientation", range(10))
def test_a_picture_is_turned_as_exif_says(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    ways = {
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: x.swapaxes(0, 1)[:, ::-1],
        7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
        8: lambda x: x.swapaxes(0, 1)[::-1],
    }
    upright = ways.get(orientation, lambda x: x)(PIXELS)
    file = encoded(PIXELS, form, exif=exif.tobytes(), quality=100, lossless=True, subsampling=0)
    found = pixels(file, size=upright.shape[:2])
    np.testing.assert_allclose(found.astype(int), upright, atol=4 if form == "jpeg" else 0)


def test_damaged_exif_changes_nothing() -> None:
    file = encoded(PIXELS, "jpeg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(pixels(file), pixels(encoded(PIXELS, "jpeg")))


def _png(width: int, height: int, rows: bytes = b"") -> bytes:
    """Return a PNG with a header of that size, and not always what would fill it."""
    return _png_of(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), zlib.compress(rows))


def _png_of(header: bytes, compressed: bytes) -> bytes:
    """Return a PNG whose checksums are right, whatever it holds."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", compressed) + chunk(b"IEND", b"")


def _rows(count: int, filtered_by: int = 0) -> bytes:
    return (bytes([filtered_by]) + bytes([200]) * 3 * SIZE[1]) * count


def _webp(kind: bytes, sides: bytes) -> bytes:
    """Return a WebP that has little more than a header."""
    chunk = kind + struct.pack("<I", 100) + sides + bytes(100 - len(sides))
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def _gif() -> bytes:
    return encoded(PIXELS, "gif", "P")


# A JPEG of 24 × 24 that Pillow 13.0.0 wrote; it need not be the one that reads it.
OF_OLD = (
    b"/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABQODxIPDRQSEBIXFRQYHjIhHhwcHj0sLiQySUBMS0dARkVQWnNiUFVtVkVGZIhlbXd7gYKBTmCNl4"
    b"x9lnN+gXz/2wBDARUXFx4aHjshITt8U0ZTfHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHz/wAARCAAY"
    b"ABgDASIAAhEBAxEB/8QAGAABAQEBAQAAAAAAAAAAAAAAAAUEAwb/xAAhEAACAgIBBAMAAAAAAAAAAAABAgADBBIRBRMhMRUkQf/EABgBAQADAQ"
    b"AAAAAAAAAAAAAAAAMBAgQF/8QAIxEAAQMDAwUBAAAAAAAAAAAAAQACAxESMQQhQRMjMlFxof/aAAwDAQACEQMRAD8AqOV6jUaduCZOsPxjce9Z"
    b"Jr6lbh5S36kgfk25Vj5jV2MpAsiN0wD+kPDlVuskuAzlajldv7oHO/jiJ2rxaxSKi4PETGY4XnuCtNh84RzmRz65Xn2y1ucJoPMqjMW/FCBADW"
    b"PcROlLCxkj7eAP0pg47j0NlhGQ6MW2MREOSFjTQBTGwagXyZX/2Q=="
)
AS = [((16, 16), 3), ((16, 16), 1), ((50, 50), 3), ((4, 4), 3)]
KNOWN = ["5e4e50674a193297", "d74812b3b4057c24", "c091dee1d91e8c56", "e087ebc859e71abc"]

HEADER = _png(40, 30)[16:29]

BAD: list[tuple[str, bytes, Reason]] = [
    ("nothing", b"", Reason.MISSING),
    ("a text", b"cat", Reason.NOT_AN_IMAGE),
    ("JSON", b'{"content": 1}', Reason.NOT_AN_IMAGE),
    ("zeros", bytes(5000), Reason.NOT_AN_IMAGE),
    ("a GIF", _gif(), Reason.NOT_AN_IMAGE),
    ("a BMP", encoded(PIXELS, "bmp"), Reason.NOT_AN_IMAGE),
    ("a TIFF", encoded(PIXELS, "tiff"), Reason.NOT_AN_IMAGE),
    ("an SVG", b'<svg xmlns="http://www.w3.org/2000/svg"/>', Reason.NOT_AN_IMAGE),
    ("the first byte of a JPEG", FILES["jpeg"][:1], Reason.NOT_AN_IMAGE),
    ("a sound", b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), Reason.NOT_AN_IMAGE),
    ("the beginning of a PNG", FILES["png"][:10], Reason.BAD_IMAGE),
    ("a JPEG of 12 bits", FILES["jpeg"].replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), Reason.BAD_IMAGE),
    ("half a JPEG", FILES["jpeg"][: len(FILES["jpeg"]) // 2], Reason.BAD_IMAGE),
    ("half a PNG", FILES["png"][: len(FILES["png"]) // 2], Reason.BAD_IMAGE),
    ("a PNG without pixels", _png(40, 30), Reason.BAD_IMAGE),
    ("a PNG of garbage", _png_of(HEADER, b"garbage" * 99), Reason.BAD_IMAGE),
    (
        "a PNG that is garbage from somewhere on",
        _png_of(HEADER, zlib.compress(PIXELS)[:999] + bytes(99)),
        Reason.BAD_IMAGE,
    ),
    ("a PNG of a row too few", _png(40, 30, _rows(29)), Reason.BAD_IMAGE),
    ("a PNG with a filter that there is not", _png(40, 30, _rows(15) + _rows(15, 9)), Reason.BAD_IMAGE),
    ("zeros within a PNG", FILES["png"][:100] + bytes(50) + FILES["png"][150:], Reason.BAD_IMAGE),
    ("a bomb", _png(60_000, 60_000), Reason.TOO_MANY_PIXELS),
    ("a large one", _png(8_000, 8_000), Reason.TOO_MANY_PIXELS),
    ("a bomb of WebP", _webp(b"VP8X", bytes(4) + b"\xff\xff\0" * 2), Reason.TOO_MANY_PIXELS),
    ("a bomb of lossless WebP", _webp(b"VP8L", b"\x2f\xff\xff\xff\x0f"), Reason.TOO_MANY_PIXELS),
    ("a bomb of lossy WebP", _webp(b"VP8 ", b"\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f"), Reason.TOO_MANY_PIXELS),
]
BROKEN_OR_NOT = [*FILES.values(), *(file[: len(file) * 3 // 4] for file in FILES.values()), _png(40, 30, _rows(20))]
CASES = [pytest.param(*case[1:], id=case[0]) for case in BAD]


@pytest.mark.parametrize(("record", "reason"), CASES)
def test_a_bad_image_is_rejected_and_those_around_it_come_through(record: bytes, reason: Reason) -> None:
    good = FILES["png"]
    block = decode(good, record, good)
    (rejection,) = block.rejections
    assert (rejection.defect.reason, rejection.value) == (reason, record), rejection.defect.detail
    assert rejection.defect.detail.startswith("content: ")
    assert " at 0x" not in rejection.defect.detail
    assert block.fates.tolist() == [Fate.TRAIN, Fate.REJECT, Fate.TRAIN]
    np.testing.assert_array_equal(block.samples.inputs[FEATURES], [PIXELS, PIXELS])


def test_a_png_that_is_written_by_hand() -> None:
    assert (pixels(_png(40, 30, _rows(30))) == 200).all()
    assert not pixels(_png(40, 30, bytes(121 * 30))).any()


@pytest.mark.parametrize("size", [(30, 40), (1, 1), (5, 3)])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_a_black_png_has_all_its_rows(mode: str, size: tuple[int, int]) -> None:
    file = encoded(np.zeros((*size, 3), np.uint8), mode=mode)
    assert not pixels(file).any()


def test_an_interlaced_png_of_a_few_bytes_too_few() -> None:
    header = b"\0\0\0\x07\0\0\0\x05\x08\0\0\0\1"  # 7 × 5, grey
    whole = bytes(sum(1 + columns for columns in (1, 1, 2, 2, 2, 4, 3, 3, 3, 7, 7)))
    assert not pixels(_png_of(header, zlib.compress(whole))).any()
    assert decode(_png_of(header, zlib.compress(whole[:-1]))).rejections[0].defect.reason == Reason.BAD_IMAGE


def test_what_a_program_makes_of_pillow_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> list[Any]:
        return [(block.fates.tolist(), block.samples.inputs[FEATURES].tolist()) for block in map(decode, BROKEN_OR_NOT)]

    before = found()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert found() == before
    assert (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS) == (True, 10)


def test_a_pillow_without_a_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL._webp", None)  # as where it was built without the library
    with pytest.raises(SettingsError, match="Pillow cannot read WebP"):
        decoder()


def test_a_webp_that_is_cut_off_is_no_image_or_a_bad_one() -> None:
    reasons = {decode(FILES["webp"][:end]).rejections[0].defect.reason for end in range(1, len(FILES["webp"]), 97)}
    assert reasons == {Reason.NOT_AN_IMAGE, Reason.BAD_IMAGE}


def test_reasons_of_images_are_in_this_corpus() -> None:
    assert {Reason.NOT_AN_IMAGE, Reason.BAD_IMAGE, Reason.TOO_MANY_PIXELS} <= {reason for *_, reason in BAD}


def test_as_many_pixels_as_are_allowed() -> None:
    assert pixels(FILES["png"], max_pixels=SIZE[0] * SIZE[1]).shape == (*SIZE, 3)
    (rejection,) = decode(FILES["png"], max_pixels=SIZE[0] * SIZE[1] - 1).rejections
    assert "40 × 30 are 1,200 pixels, and max_pixels allows 1,199" in rejection.defect.detail


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An image with some bytes other than they were, and cut somewhere."""
    file = bytearray(FILES[draw(st.sampled_from([*FILES]))])
    for _ in range(draw(st.integers(0, 5))):
        file[draw(st.integers(0, len(file) - 1))] = draw(st.integers(0, 255))
    return bytes(file[: draw(st.integers(0, 2 * len(file)))])


@given(st.lists(damaged() | st.binary(max_size=40), max_size=4))
def test_whatever_the_bytes_each_record_is_read_by_itself(records: list[bytes]) -> None:
    together, alone = decode(FILES["png"], *records), [decode(record) for record in records]
    assert together.fates.tolist()[1:] == [block.fates[0] for block in alone]
    found = [block.samples.inputs[FEATURES] for block in (decode(FILES["png"]), *alone)]
    np.testing.assert_array_equal(together.samples.inputs[FEATURES], np.concatenate(found))
    defects = [rejection.defect for block in alone for rejection in block.rejections]
    assert [rejection.defect for rejection in together.rejections] == defects


def as_records(form: str, file: bytes) -> Any:
    """Return a record of a format that holds a file, and of CSV the columns."""
    text = base64.b64encode(file).decode()
    if form == "json":
        return f'{{"photo": "{text}", "y": 1}}'.encode()
    if form == "tf_example":
        example = _example_type()()
        example.features.feature["photo"].bytes_list.value.append(file)
        example.features.feature["y"].int64_list.value.append(1)
        return example.SerializeToString()
    return f"{text},1".encode() if form == "csv" else {"photo": file, "y": 1}


@pytest.mark.parametrize("form", ["json", "csv", "parquet", "tf_example"])
def test_a_field_of_records(form: str) -> None:
    records = [as_records(form, file) for file in (FILES["png"], b"", b"no image", FILES["webp"])]
    block = decoder(form).decode(batch(records, columns=("photo", "y") if form == "csv" else None))
    np.testing.assert_array_equal(block.samples.inputs[FEATURES], [PIXELS, PIXELS])
    assert [one.defect.reason for one in block.rejections] == [Reason.MISSING, Reason.NOT_AN_IMAGE]


@pytest.mark.parametrize(
    ("form", "record", "reason"),
    [
        ("json", b'{"photo": "no base64!", "y": 1}', Reason.WRONG_TYPE),
        ("json", b'{"photo": null, "y": 1}', Reason.NULL),
        ("json", b'{"photo": [1, 2], "y": 1}', Reason.WRONG_TYPE),
        ("json", b'{"y": 1}', Reason.MISSING),
        ("csv", b"no base64!,1", Reason.WRONG_TYPE),
        ("csv", b",1", Reason.MISSING),
        ("parquet", {"photo": "no base64!", "y": 1}, Reason.WRONG_TYPE),
        ("parquet", {"photo": 7, "y": 1}, Reason.WRONG_TYPE),
        ("parquet", {"photo": None, "y": 1}, Reason.NULL),
        ("parquet", {"photo": FILES["png"], "y": 3}, Reason.UNKNOWN_LABEL),
    ],
)
def test_what_is_no_image_in_a_field(form: str, record: Any, reason: Reason) -> None:
    block = decoder(form).decode(batch([record], columns=("photo", "y") if form == "csv" else None))
    assert [rejection.defect.reason for rejection in block.rejections] == [reason]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (b"x.png", Reason.MISSING),
        (None, Reason.MISSING),
        (b"fox/x.png", Reason.UNKNOWN_LABEL),
        (b"\xff/x", Reason.MISSING),
    ],
)
def test_a_file_in_no_folder_has_no_label(key: bytes | None, reason: Reason) -> None:
    block = decoder().decode(batch([FILES["png"]] * 2, [key, b"cat/a/b.png"]))
    assert [rejection.defect.reason for rejection in block.rejections] == [reason]
    assert block.samples.targets["label"].tolist() == [[0.0]]


def test_an_image_beside_numbers_and_the_time_of_the_event() -> None:
    given_settings: Mapping[str, Any] = {
        "features": {"photo": {"image": {"size": [2, 2], "channels": 1}}, "a": "float", "c": {"hash": 9}},
        "inputs": {"picture": ["photo"], "numbers": ["a", "c"]},
        "label": "y",
        "weight": "w",
        "event_time": "t",
    }
    settings = SamplesSettings.model_validate(given_settings)
    reads = SampleDecoder(settings, settings.spec("binary"))
    text = base64.b64encode(encoded(np.full((2, 2), 9, np.uint8))).decode()
    sound = f'{{"photo": "{text}", "a": 2, "c": "x", "y": 1, "w": 0.5, "t": 1700000000}}'.encode()
    block = reads.decode(
        batch([sound, sound.replace(b'"a": 2', b'"a": "x"'), sound.replace(text.encode(), b"AAAA"), sound])
    )
    assert [one.defect.reason for one in block.rejections] == [Reason.WRONG_TYPE, Reason.NOT_AN_IMAGE]
    assert block.samples.inputs["picture"].tolist() == [[[[9], [9]]] * 2] * 2
    assert block.samples.inputs["numbers"][:, 0].tolist() == [2, 2]
    assert block.samples.weight.tolist() == [0.5, 0.5]
    assert block.event_time_s is not None
    assert block.event_time_s.tolist() == [1.7e9, 1.7e9]
