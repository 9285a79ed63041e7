"""The image's lock file is the lock file, but for TensorFlow's build. `make image-test` builds and runs the image."""

from __future__ import annotations

import re

from processes import ROOT

BLOCK = re.compile(r"^([a-z0-9-]+(?:\[.*\])?)==(\S+)(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def locked(name: str) -> dict[str, tuple[str, str]]:
    """Return each package's version, and what else is said of it, by its name."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    return {package: (version, rest.strip()) for package, version, rest in BLOCK.findall(text)}


def test_the_image_has_what_is_locked_and_a_tensorflow_without_what_gpus_need() -> None:
    everywhere, image = locked("requirements.lock"), locked("requirements-image.lock")
    assert len(everywhere) > 40
    assert image.pop("tensorflow-cpu")[0] == everywhere.pop("tensorflow")[0]
    del everywhere["libclang"]  # nothing imports it
    assert image == everywhere, "run `make lock`"
