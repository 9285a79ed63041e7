"""Images in the settings: which input they are, and what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from learnd.daemon.config.file import load_settings
from learnd.daemon.errors import SettingsError
from learnd.daemon.stream.inferring.folders import for_folders
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import FEATURES, InputSpec

PHOTO = {"image": {"size": [48, 64]}}


def samples(**changes: Any) -> SamplesSettings:
    return SamplesSettings.model_validate({"features": {"photo": PHOTO}, "label": "y", **changes})


def problems(tmp_path: Path, **sections: Any) -> str:
    given = {
        "model": {"build": "network.py:build"},
        "source": {"files": {"path": "a.jsonl"}},
        "samples": {"features": {"photo": PHOTO}, "label": "y"},
        **sections,
    }
    (tmp_path / "learnd.yaml").write_text(yaml.safe_dump(given))
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path / "learnd.yaml", environ={})
    return "\n".join(caught.value.problems)


def test_an_image_is_the_one_input() -> None:
    spec = samples().spec("binary")
    assert spec.inputs == (InputSpec(FEATURES, (48, 64, 3), "uint8"),)
    assert (spec.width, spec.bytes_a_sample) == (0, 48 * 64 * 3)


def test_an_image_beside_columns_is_an_input_by_its_name() -> None:
    spec = samples(features={"a": "float", "photo": PHOTO, "b": "float"}).spec("binary")
    assert [(part.name, part.shape) for part in spec.inputs] == [(FEATURES, (2,)), ("photo", (48, 64, 3))]
    spec = samples(features={"photo": PHOTO, "other": PHOTO}).spec("binary")
    assert [part.name for part in spec.inputs] == ["photo", "other"]
    with pytest.raises(
        ValidationError, match=r"features\.features: it is an input of its own, and 'features' is the na"
    ):
        samples(features={"features": PHOTO, "a": "float"})
    with pytest.raises(
        ValidationError, match="it is an input of its own, and its name cannot have a /; give it anothe"
    ):
        samples(features={"a/b": PHOTO, "a": "float"})
    assert samples(features={"a/b": PHOTO}).spec("binary").inputs[0].name == FEATURES


def test_an_image_is_an_input_beside_others() -> None:
    features = {"a": "float", "photo": {"image": {"size": [8, 9], "channels": 1}}, "b": "float"}
    spec = samples(features=features, inputs={"p": ["photo"], "n": ["b", "a"]}).spec("binary")
    assert [(part.name, part.shape, part.dtype) for part in spec.inputs] == [
        ("p", (8, 9, 1), "uint8"),
        ("n", (2,), "float32"),
    ]
    assert [column.name for column in spec.columns] == ["b", "a"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"features": {"photo": PHOTO, "a": "float"}, "inputs": {"all": ["photo", "a"]}},
            r"'photo' is an input of its own, beside that of 'a'",
        ),
        (
            {"features": {"photo": PHOTO, "b": PHOTO}, "inputs": {"all": ["photo", "b"]}},
            r"as in {picture: \[photo\], numbers: \[b\]}",
        ),
        (
            {"inputs": {"p": {"features": ["photo"], "shape": [64, 48, 3]}}},
            r"p.shape: 'photo' is of shape \[48, 64, 3\]",
        ),
    ],
)
def test_what_goes_with_no_image(changes: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        samples(**changes).spec("binary")


@pytest.mark.parametrize(
    "image",
    [
        {},
        {"size": [64]},
        {"size": [0, 64]},
        {"size": 64},
        {"size": [64, 64], "channels": 4},
        {"size": [64, 64], "x": 1},
    ],
)
def test_an_image_that_cannot_be(tmp_path: Path, image: Any) -> None:
    assert "samples.features.photo.image" in problems(
        tmp_path, samples={"features": {"photo": {"image": image}}, "label": "y"}
    )


@pytest.mark.parametrize(
    ("head", "of_images"),
    [(b"RIFF\x24\0\0\0WEBPVP8 ", True), (b"RIFF\x24\0\0\0WAVEfmt ", False), (b"\xff\xd8\xff", True)],
)
def test_init_tells_images_by_how_they_begin(tmp_path: Path, head: bytes, of_images: bool) -> None:
    folders = {name: [tmp_path / name] for name in ("cat", "dog")}
    for file in tmp_path / "cat", tmp_path / "dog":
        file.write_bytes(head)
    assert bool(for_folders(tmp_path, folders, tmp_path / "learnd.yaml")) == of_images


def test_what_needs_columns_says_so(tmp_path: Path) -> None:
    assert "model.preset: a preset takes numbers, categories and texts, and no image" in problems(tmp_path, model={})
    watch = {"watch": "features", "detector": "psi"}
    assert "drift.0.watch: images and texts are not watched" in problems(tmp_path, drift=[watch])
    raw = {"format": "raw", "features": {"photo": {**PHOTO, "field": "content"}}, "label": "folder"}
    assert "raw cannot be read from this source" in problems(tmp_path, source={"stdin": {}}, samples=raw)
